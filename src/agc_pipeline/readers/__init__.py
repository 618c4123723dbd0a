"""From files to columns of events: readers of single baskets, ranges, servers and arrays."""
