"""Columns of files in which their places are known."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.baskets import BasketColumns
from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.pages import PageColumns


def stored_columns(
    chunk: Chunk,
    layout: Layout,
    clock: Clock,
    *,
    keep: bool = False,
    content: Mapping[int, memoryview] | None = None,
) -> AbstractContextManager[BasketColumns | PageColumns] | None:
    """The columns of a range of events whose baskets or pages are known.

    Args:
        chunk: the range.
        layout: of the file.
        clock: takes the time, and counts the bytes.
        keep: decompress nothing twice; for columns of which some are read again.
        content: the chunk's ranges of a file on a server, by their first byte; None for a file on
            this machine.

    Returns:
        None if uproot must look for them.
    """
    place = chunk.start, chunk.stop, clock
    if chunk.branches is not None:
        baskets = BasketColumns(chunk.path, chunk.branches, *place, layout=layout, keep=keep)
        return baskets.opened(content)
    if chunk.fields is not None:
        pages = PageColumns(chunk.path, chunk.fields, *place, layout=layout, keep=keep)
        return pages.opened(content)
    return None
