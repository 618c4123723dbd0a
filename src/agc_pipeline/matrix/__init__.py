"""Whether the analysis gives the same with other packages, services and executors, and how fast."""
