"""Formats for the publication of results: HistFactory XML and HEPData."""
