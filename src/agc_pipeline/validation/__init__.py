"""Comparison of histograms with published ones."""
