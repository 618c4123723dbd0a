"""Looking at what ServiceX delivered: it opens, and has the format, the columns and events."""

import fsspec
import uproot
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from agc_pipeline.analyses.base import Query
from agc_pipeline.delivery.reading import READ_ERRORS, branch_names, open_tree, unreadable
from agc_pipeline.delivery.settings import Format
from agc_pipeline.errors import InputError

_REMEDY = "run again: the file is requested anew"


def inspect(location: str, kind: Format, query: Query) -> tuple[int, int]:
    """Events and bytes of a delivered file.

    Args:
        location: path or presigned address.
        kind: the format that was asked for.
        query: what was asked for.

    Raises:
        InputError: if the file is missing, damaged, of another format, or lacks a column.
    """
    if kind == "parquet":
        return _parquet(location, query)
    with open_tree(location, query.columns) as tree:
        if isinstance(tree, uproot.TTree) != (kind == "ttree"):
            raise InputError(
                f"the tree is a {tree.classname}, `{kind}` was asked for",
                place=location,
                remedy=_REMEDY,
            )
        return tree.num_entries, tree.file.source.num_bytes


def _parquet(location: str, query: Query) -> tuple[int, int]:
    try:
        with fsspec.open(location, "rb") as file:
            size: int = file.seek(0, 2)
            footer = ParquetFile(file)
            present = set(footer.schema_arrow.names)
            events: int = footer.metadata.num_rows
    # Not all of pyarrow's errors are ValueError or OSError, too.
    except (*READ_ERRORS, ArrowException) as error:
        raise unreadable(location, error) from None
    missing = [name for name in branch_names(query.columns) if name not in present]
    if missing:
        raise InputError(f"columns missing: {', '.join(missing)}", place=location, remedy=_REMEDY)
    return events, size
