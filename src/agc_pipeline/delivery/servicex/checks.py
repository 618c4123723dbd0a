"""Looking at what ServiceX delivered: it opens, and has the format, the columns and events."""

import uproot

from agc_pipeline.declaration.query import Query
from agc_pipeline.errors import InputError
from agc_pipeline.readers import parquet
from agc_pipeline.readers.opening import open_tree
from agc_pipeline.readers.settings import Format

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
        return parquet.inspect(location, query.columns, query.layout)
    with open_tree(location, query.columns, query.layout) as tree:
        if isinstance(tree, uproot.TTree) != (kind == "ttree"):
            raise InputError(
                f"the tree is a {tree.classname}, `{kind}` was asked for",
                place=location,
                remedy=_REMEDY,
            )
        return tree.num_entries, tree.file.source.num_bytes
