"""Templates, statistical model and fit."""
