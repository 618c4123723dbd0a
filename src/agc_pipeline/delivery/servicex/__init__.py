"""Delivery with ServiceX: a service selects events and columns near the data."""
