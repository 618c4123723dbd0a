"""What a person sees of a run: progress or plain lines, failures with their reasons, the result."""
