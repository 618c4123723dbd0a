"""Formats in which results are preserved: HistFactory XML and HEPData."""
