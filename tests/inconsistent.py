"""Files whose tree, branches and lists do not fit together, for tests of all that reads them."""

import struct
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from pyarrow import parquet

from oracle.strategies import Arrays, as_collections, with_counts, write_nanoaod


def set_entries(path: Path, arrays: Arrays, n_events: int, branch: str | None = None) -> None:
    """Write a tree of two baskets a branch, then another number of events into its header.

    Args:
        path: of the file.
        arrays: columns.
        n_events: that the tree, or the branch, is to say.
        branch: a column of the event; it loses its second basket.
    """
    half = len(arrays["run"]) // 2
    columns = as_collections(arrays)
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {name: values[:half] for name, values in columns.items()})
        tree.extend({name: values[half:] for name, values in columns.items()})
        writing: Any = tree._cascading
        start = writing._key.seek_location + writing._key.num_bytes
        if branch is None:
            file.file.sink.write(start + writing._metadata_start, struct.pack(">q", n_events))
            return
        (data,) = (d for d in writing._branch_data if d.get("fName") == branch)
        model, at = uproot.models.TBranch, start + data["metadata_start"]
        first = model._tbranch13_format1.pack(
            0, data["fBasketSize"], data["fEntryOffsetLen"], 1, n_events
        )
        second = model._tbranch13_format2.pack(
            data["fOffset"],
            writing._basket_capacity,
            data["fSplitLevel"],
            n_events,
            *(data[name] for name in ("fFirstEntry", "fTotBytes", "fZipBytes")),
        )
        file.file.sink.write(at, first)
        # Between both stand 11 bytes of the attributes of the branch.
        file.file.sink.write(at + model._tbranch13_format1.size + 11, second)


def moved_values(lists: ak.Array) -> ak.Array:
    """The same values, with one of each second event among those of the event before."""
    counts = ak.to_numpy(ak.num(lists)).copy()
    counts[::2] += 1
    counts[1::2] -= 1
    return ak.unflatten(ak.flatten(lists), counts)


def write_lists(path: Path, arrays: Arrays, column: str, kind: str) -> None:
    """Write events of which one column of a collection has other lists.

    Args:
        path: of the file.
        arrays: columns.
        column: that differs; a counter, such as nJet, says one more of all events.
        kind: "ttree", "rntuple" or "parquet".
    """
    if column.startswith("n") and kind == "ttree":
        write_nanoaod(path, arrays)
        with uproot.open({path: "Events"}) as tree:
            start = tree[column].basket_key(0).data_cursor.index
            counts = tree[column].array(library="np").astype(">u4")
        counts += 1
        content = bytearray(path.read_bytes())
        content[start : start + counts.nbytes] = counts.tobytes()
        path.write_bytes(content)
        return
    columns = with_counts(arrays)
    if column.startswith("n"):
        columns[column] = columns[column] + np.uint32(1)
    else:
        columns[column] = moved_values(arrays[column])
    if kind == "parquet":
        table = ak.to_arrow_table(ak.zip(columns, depth_limit=1), list_to32=True)
        parquet.write_table(table, path)
    else:
        with uproot.recreate(path) as file:
            if kind == "rntuple":
                file.mkrntuple("Events", columns)
            else:
                others = {name: values for name, values in arrays.items() if name != column}
                file.mktree("Events", as_collections(others) | {column: columns[column]})
