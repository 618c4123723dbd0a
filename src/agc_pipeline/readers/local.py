"""Reads what is needed of files on this machine, and no more."""

from contextlib import AbstractContextManager

from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.baskets import BasketColumns
from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.pages import PageColumns


def stored_columns(
    chunk: Chunk, layout: Layout, clock: Clock, *, keep: bool = False
) -> AbstractContextManager[BasketColumns | PageColumns] | None:
    """The columns of a range of events whose baskets or pages are known.

    Args:
        chunk: the range.
        layout: of the file.
        clock: takes the time, and counts the bytes.
        keep: decompress nothing twice; for columns of which some are read again.

    Returns:
        None if uproot must look for them.
    """
    place = chunk.start, chunk.stop, clock
    if chunk.branches is not None:
        return BasketColumns(chunk.path, chunk.branches, *place, layout=layout, keep=keep).opened()
    if chunk.fields is not None:
        return PageColumns(chunk.path, chunk.fields, *place, layout=layout, keep=keep).opened()
    return None
