"""How commands, processes and repetitions are measured; what the matrix and the facility share."""
