"""The embedded input: events from Pythia 8, a detector, and files like NanoAOD."""
