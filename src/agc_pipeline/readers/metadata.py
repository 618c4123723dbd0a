"""Metadata of files: where the baskets of branches are, read once and cached for the next run.

Reading the header of a tree with a thousand branches takes as long as processing the events of a
small file. Cached metadata are used only while size, time of modification and UUID of the file are
the same.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from pydantic import NonNegativeFloat, NonNegativeInt

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.files import read_record, write_record
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.readers.file_header import HEADER_BYTES, check_no_pipe, file_uuid
from agc_pipeline.readers.ntuple_format import FieldMetadata, Structure
from agc_pipeline.readers.opening import DAMAGE, open_tree, present_branches, unreadable
from agc_pipeline.readers.root_format import BranchMetadata, baskets_of
from agc_pipeline.readers.settings import NETWORK, NetworkSettings
from agc_pipeline.settings import Settings


class FileMetadata(Settings):
    """Metadata of a file.

    Attributes:
        path: of the file, or its address.
        identity: size, time of modification in ns and UUID; None for files that are not local.
        uuid: of the file, hexadecimal.
        tree: name of its tree; "" for Parquet.
        n_events: in its tree.
        columns: names of the branches that were looked at.
        event_bytes: of these branches in memory, for one event.
        edges: first event of each cluster, and the number of events behind the last.
        branches: where the baskets of those of a TTree are; None if uproot must look for them.
        fields: likewise of an RNTuple.
    """

    path: str
    identity: tuple[int, int, str] | None
    uuid: str
    tree: str = ""
    n_events: NonNegativeInt
    columns: tuple[str, ...]
    event_bytes: NonNegativeFloat
    edges: tuple[NonNegativeInt, ...]
    branches: dict[str, BranchMetadata] | None = None
    fields: dict[str, FieldMetadata] | None = None


def cached(path: str, tree: str, names: Sequence[str], cache: Path | None) -> FileMetadata | None:
    """Metadata of a file from an earlier run; None if there are none, or if the file changed.

    Args:
        path: of the file, or its address.
        tree: name of the tree that will be read.
        names: the branches that will be read.
        cache: folder with the metadata of local files; None has none.

    Raises:
        InputError: if the file cannot be read.
    """
    if cache is None or (identity := _identity(path)) is None:
        return None
    record = _record(path, cache)
    if not record.exists():
        return None
    metadata = read_record(FileMetadata, record, "the metadata of an input file")
    if (metadata.identity, metadata.tree, metadata.columns) != (identity, tree, tuple(names)):
        return None
    return metadata.model_copy(update={"path": path})


def keep(metadata: FileMetadata, cache: Path | None) -> None:
    """Put the metadata of a local file into the cache."""
    if cache is not None and metadata.identity is not None:
        write_record(_record(metadata.path, cache), metadata.model_dump())


def read(
    path: str, columns: Columns, layout: Layout, network: NetworkSettings = NETWORK
) -> FileMetadata:
    """Metadata of a file, from its header.

    Args:
        path: of the file, or its address.
        columns: what will be read and must be there.
        layout: of the file.
        network: of remote files.

    Raises:
        InputError: if the file cannot be read, holds no such tree, or lacks a column.
    """
    with open_tree(path, columns, layout, network) as tree:
        # Of a file on this machine, counters are compared at its delivery.
        remote = is_remote(path)
        names = present_branches(tree, columns, layout) if remote else layout.branches(columns)
        return of_tree(tree, path, layout.tree, names)


def of_tree(tree: Any, path: str, name: str, names: Sequence[str]) -> FileMetadata:
    """Metadata of the file of an open tree.

    Args:
        tree: TTree or RNTuple.
        path: of the file, or its address.
        name: of the tree.
        names: the branches that will be read.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        identity = _identity(path)
        content = {
            "path": path,
            "identity": identity,
            "uuid": tree.file.uuid.hex,
            "tree": name,
            "columns": tuple(names),
        }
        # Others than paths and addresses of servers, such as `file:///...`, are left to uproot.
        places = identity is not None or is_remote(path)
        if places and isinstance(tree, uproot.behaviors.RNTuple.RNTuple):
            stored = Structure(tree).fields(names)
            if stored is not None:
                edges, fields = stored
                return FileMetadata(
                    **content,
                    n_events=edges[-1],
                    event_bytes=sum(field.bytes for field in fields.values()) / max(edges[-1], 1),
                    edges=tuple(np.unique([0, *edges]).tolist()),
                    fields=fields,
                )
        opened = [tree[name] for name in names]
        branches = {branch.name: baskets_of(branch) for branch in opened}
        return FileMetadata(
            **content,
            n_events=tree.num_entries,
            event_bytes=_size(tree, opened) / max(tree.num_entries, 1),
            edges=_edges(tree, opened),
            branches=_complete(branches) if places else None,
        )
    except DAMAGE as error:
        raise unreadable(path, error) from error


def of_parquet(
    path: str, columns: Columns, layout: Layout, network: NetworkSettings = NETWORK
) -> FileMetadata:
    """Metadata of a Parquet file; its footer is read in no time.

    Raises:
        InputError: if the file cannot be read or lacks a column.
    """
    # Takes longer to import than its footer to read.
    from agc_pipeline.readers import parquet  # noqa: PLC0415

    n_events, size = parquet.inspect(path, columns, layout, network)
    return FileMetadata(
        path=path,
        identity=None,
        uuid="",
        n_events=n_events,
        columns=(),
        event_bytes=size / max(n_events, 1),
        edges=tuple(np.unique([0, n_events]).tolist()),
    )


def _record(path: str, cache: Path) -> Path:
    name = hashlib.sha256(str(Path(path).absolute()).encode()).hexdigest()
    return cache / f"{name[:32]}.json"


def _identity(path: str) -> tuple[int, int, str] | None:
    """Size, time of modification and UUID of a local file; None for any other."""
    if "://" in path:
        return None
    try:
        check_no_pipe(Path(path))
        with Path(path).open("rb") as file:
            header = file.read(HEADER_BYTES)
        status = Path(path).stat()
    except OSError as error:
        raise unreadable(path, error) from error
    uuid = file_uuid(header)
    # Opening a file that is too short will say so.
    return None if uuid is None else (status.st_size, status.st_mtime_ns, uuid)


def _complete(
    branches: Mapping[str, BranchMetadata | None],
) -> dict[str, BranchMetadata] | None:
    """The branches if the baskets of all of them are known."""
    complete = {name: branch for name, branch in branches.items() if branch is not None}
    return complete if len(complete) == len(branches) else None


def _size(tree: Any, opened: Sequence[Any]) -> int:
    """Bytes of the columns in memory; for an RNTuple, which does not tell, of the file."""
    if isinstance(tree, uproot.TTree):
        return sum(branch.uncompressed_bytes for branch in opened)
    return int(tree.file.source.num_bytes)


def _edges(tree: Any, opened: Sequence[Any]) -> tuple[int, ...]:
    """Events where all columns start a new basket or cluster."""
    if isinstance(tree, uproot.TTree):
        common = set(opened[0].entry_offsets)
        for branch in opened[1:]:
            common &= set(branch.entry_offsets)
    else:
        common = {cluster.num_first_entry for cluster in tree.cluster_summaries}
    return tuple(np.unique([0, tree.num_entries, *common]).tolist())
