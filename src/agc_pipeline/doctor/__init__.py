"""What a machine or facility offers, probed with time-outs, and how to get what is missing."""
