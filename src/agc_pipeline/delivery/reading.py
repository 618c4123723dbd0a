"""Opening input files with checks: everything that can be wrong is said before events are read."""

import lzma
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import cramjam
import uproot

from agc_pipeline.datasets import TREE
from agc_pipeline.errors import InputError

# What uproot and the libraries below it raise for files that are missing, unreachable, cut off
# or damaged. They share no base class.
READ_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    ImportError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    cramjam.DecompressionError,
    uproot.DeserializationError,
    aiohttp.ClientError,
)


def branch_names(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of the branches that hold the columns, with the counters of the collections.

    Args:
        columns: collection (or "" for event columns) to the names of its fields.
    """
    names = []
    for collection, fields in columns.items():
        if collection:
            names.append(f"n{collection}")
        names += [f"{collection}_{field}" if collection else field for field in fields]
    return names


def present_branches(tree: Any, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """The branches of the columns that a tree has: RNTuple may do without counters."""
    present = set(tree.keys())
    return [name for name in branch_names(columns) if name in present]


def open_tree(url: str, columns: Mapping[str, Sequence[str]]) -> Any:
    """Open a TTree or RNTuple that has all the columns.

    Args:
        url: path or address of the file.
        columns: what must be there.

    Raises:
        InputError: if the file cannot be read, holds no such tree, or lacks a column.
    """
    try:
        file = uproot.open({url: None}, array_cache=None, object_cache=None)
        size, full_size = file.file.source.num_bytes, file.file.fEND
        if size < full_size:
            raise InputError(
                f"the file is cut off: {size} of {full_size} bytes",
                place=url,
                remedy="get an intact copy of the file, or take it out of the list",
            )
        if TREE not in file:
            raise InputError(
                f"no tree `{TREE}` in the file, only {', '.join(file.keys()) or 'nothing'}",
                place=url,
                remedy="give a NanoAOD file",
            )
        opened = file[TREE]
        present = set(opened.keys())
    except READ_ERRORS as error:
        raise unreadable(url, error) from error
    # RNTuple may keep a collection's size in the collection itself: no counter is needed there.
    needed = [
        name
        for name in branch_names(columns)
        if isinstance(opened, uproot.TTree) or name[1:] not in columns
    ]
    missing = [name for name in needed if name not in present]
    if missing:
        raise InputError(
            f"branches missing: {', '.join(missing)}",
            place=url,
            remedy="give NanoAOD that has them (versions 5 to 9 of CMS NanoAOD do)",
        )
    return opened


def check_entries(found: int, expected: int | None, *, url: str) -> None:
    """Compare the number of entries of a file with the configured one.

    Raises:
        InputError: if they differ, or if the file is empty.
    """
    if found == 0:
        raise InputError(
            "the file has no events", place=url, remedy="take it out of the list of files"
        )
    if expected is not None and found != expected:
        raise InputError(
            f"the file has {found} events, the configuration says {expected}",
            place=url,
            remedy="correct the number, or get an intact copy of the file",
        )


def unreadable(url: str, error: BaseException) -> InputError:
    """The error for a file that could not be read, from what a library raised."""
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return InputError("file not found", place=url, remedy="check the path or the mirror")
    if isinstance(error, ConnectionError | TimeoutError | aiohttp.ClientConnectionError):
        return InputError(
            f"the server does not answer: {type(error).__name__}: {text[:300]}",
            place=url,
            remedy="try again later, or another mirror (`input.mirror_order`)",
        )
    if isinstance(error, ImportError):
        return InputError(
            f"cannot read this kind of address: {text}",
            place=url,
            remedy="install the package that it names",
        )
    return InputError(
        f"cannot read the file, it may be cut off, damaged or no ROOT file: "
        f"{type(error).__name__}: {text[:300]}",
        place=url,
        remedy="get an intact copy of the file, or take it out of the list",
    )
