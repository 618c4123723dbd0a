"""Delivery: from input files to what the histogram stage reads, with a manifest."""
