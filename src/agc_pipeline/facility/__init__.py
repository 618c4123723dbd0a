"""The place measured: the histogram stage over a ladder of workers, and what limits it there."""
