"""Real file servers on loopback for tests, as processes that can be stopped and killed."""
