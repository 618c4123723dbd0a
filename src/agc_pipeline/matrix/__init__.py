"""Results and speed of the analysis with other packages, services and executors."""
