"""Formats in which results are kept for others: HistFactory XML and HEPData."""
