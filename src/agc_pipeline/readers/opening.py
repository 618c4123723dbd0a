"""Opening input files with checks: everything that can be wrong is said before events are read."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import gt
from pathlib import Path
from typing import Any

import uproot

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.errors import PARSER_ERRORS, InputError
from agc_pipeline.readers import addresses
from agc_pipeline.readers.failures import (
    OTHER_MIRROR,
    DamagedPart,
    Disagreement,
    HttpError,
    ImpossibleValue,
    ReadError,
    ShortAnswer,
    one_line,
)
from agc_pipeline.readers.file_header import (
    MAGIC,
    Identity,
    check_magic,
    check_no_pipe,
    normalised_uuid,
)
from agc_pipeline.readers.ntuple_format import Structure
from agc_pipeline.readers.remote import RemoteSource
from agc_pipeline.readers.root_format import DECODING_ERRORS, same_classes, tree_of
from agc_pipeline.readers.settings import NETWORK, NetworkSettings

# What uproot and the libraries below it raise for files that are missing, unreachable, cut off
# or damaged. They share no base class.
READ_ERRORS = (
    OSError,
    EOFError,
    ImportError,
    *DECODING_ERRORS,
    uproot.DeserializationError,
)

# With what uproot raises beside these for damaged files: caught only where nothing but reading is
# done.
DAMAGE = (*READ_ERRORS, *PARSER_ERRORS)

# TTree and TNtuple, and RNTuple.
_TREES = (uproot.behaviors.TBranch.HasBranches, uproot.behaviors.RNTuple.HasFields)

# Answers of servers that another attempt does not change: no permission, no such file, not
# supported, not a file, TLS needed, authentication failed
# (XProtocol.hh of XRootD; all other numbers may be a matter of time).
_XROOTD_FINAL = {3010, 3011, 3013, 3015, 3016, 3028, 3030}
_NOT_FOUND = {404, 410, 3011}
# uproot's words where a file has no bytes any more; what a server withheld is told otherwise.
_BEHIND_END = re.compile(r"expected Chunk of length (\d+),\s+received (\d+) bytes")
# What uproot says of a file that begins as web pages do.
_HTML = re.compile(r"first four bytes are b'\s*<(?:!d|!D|ht|HT)")
# What it says of others, and pyarrow of those that are no Parquet.
_NOT_ROOT = re.compile(r"first four bytes are (b'.*?'|b\".*?\")")
_NOT_PARQUET = re.compile(r"not a parquet file|Parquet file size is", re.IGNORECASE)
_SENT = "what the server sends is damaged, or no part of the file"
_LATER = "try again later, or "
_INTACT = "get an intact copy of the file, or take it out of the list"


@contextmanager
def only_reading() -> Iterator[None]:
    """A block that does nothing but read: what a damaged file makes of it is a ``ValueError``."""
    try:
        yield
    except READ_ERRORS:
        raise
    except DAMAGE as error:
        raise ValueError(one_line(error)) from error


def _names(tree: Any) -> set[str]:
    """Names of the branches of a tree, or of the fields of an event of an RNTuple.

    uproot's ``keys`` of an RNTuple takes seconds for a thousand fields.
    """
    if isinstance(tree, uproot.behaviors.RNTuple.RNTuple):
        return set(Structure(tree).names)
    return set(tree.keys())


def count_events(tree: Any) -> int:
    """Number of events of a TTree or RNTuple; for the latter uproot would look at all pages."""
    if isinstance(tree, uproot.behaviors.RNTuple.RNTuple):
        return Structure(tree).n_events
    return int(tree.num_entries)


def present_branches(tree: Any, columns: Columns, layout: Layout) -> list[str]:
    """The branches of the columns that a tree has: RNTuple may do without counters."""
    present = _names(tree)
    return [name for name in layout.all_branches(columns) if name in present]


def open_tree(
    url: str,
    columns: Columns,
    layout: Layout,
    network: NetworkSettings = NETWORK,
    *,
    whole: bool = False,
    remedy: str = "give files that have them",
) -> Any:
    """Open a TTree or RNTuple that has all the columns.

    Args:
        url: path or address of the file.
        columns: what must be there.
        layout: of the file.
        network: of remote files.
        whole: whether the columns of all events are read next.
        remedy: for a file that lacks a column.

    Raises:
        ReadError: if the file cannot be read.
        InputError: if it holds no such tree, or lacks a column.
    """
    with same_classes(), ExitStack() as open_files:
        try:
            file = open_files.enter_context(open_root(url, network, whole=whole))
            size, full_size = file.file.source.num_bytes, file.file.fEND
            if size < full_size:
                raise InputError(
                    f"the file is cut off: {size} of {full_size} bytes",
                    place=url,
                    remedy=_at_mirrors(url, _INTACT),
                )
            if layout.tree not in file:
                content = ", ".join(file.keys()) or "nothing"
                raise InputError(
                    f"no tree `{layout.tree}` in the file, only {content}",
                    place=url,
                    remedy=_at_mirrors(url, "give a file of the layout that the analysis declares"),
                )
            opened = tree_of(file, layout.tree, layout.all_branches(columns))
            if not isinstance(opened, _TREES):
                kind = file.classname_of(layout.tree)
                raise InputError(
                    f"`{layout.tree}` is no tree but a {kind}",
                    place=url,
                    remedy=_at_mirrors(url, "give a file of the layout that the analysis declares"),
                )
            present = _names(opened)
        except DAMAGE as error:
            raise unreadable(url, error) from error
        # RNTuple may keep a collection's size in the collection itself: no counter is needed.
        missing = [
            name
            for name in layout.all_branches(columns)
            if name not in present and (isinstance(opened, uproot.TTree) or name[1:] not in columns)
        ]
        if missing:
            raise InputError(
                f"branches missing: {', '.join(missing)}",
                place=url,
                remedy=_at_mirrors(url, remedy),
            )
        try:
            names = present_branches(opened, columns, layout)
            check_types(opened, names, columns, layout)
            check_branches(opened, names)
            # Of an RNTuple, that reads where its clusters are described.
            count_events(opened)
        except DAMAGE as error:
            raise unreadable(url, error) from error
        # Whoever gets the tree closes the file.
        open_files.pop_all()
    return opened


def check_types(tree: Any, names: Sequence[str], columns: Columns, layout: Layout) -> None:
    """Check that branches have numbers, and those of collections lists of them.

    Args:
        tree: open TTree or RNTuple.
        names: of the branches that it has.
        columns: that they are of.
        layout: of the file.

    Raises:
        Disagreement: naming a branch and what it has.
    """
    collections = {name: fields for name, fields in columns.items() if layout.is_collection(name)}
    listed = set(layout.branches(collections))
    kinds = None if isinstance(tree, uproot.TTree) else Structure(tree)
    for name in names:
        if kinds is None:
            found = tree[name].interpretation
            text = "string" in tree[name].typename.lower() or tree[name].typename == "char*"
            single = isinstance(found, uproot.AsDtype) and not found.inner_shape
        else:
            text, single = kinds.is_text(name), kinds.is_number(name)
        if text:
            raise Disagreement(f"the branch {name} has texts, not numbers")
        if single and name in listed:
            raise Disagreement(f"the branch {name} has one number for each event, not a list")


def check_branches(tree: Any, names: Sequence[str]) -> None:
    """Check that branches have as many events as their tree, and baskets for all of them.

    In an RNTuple the number of events is that of its clusters, which all columns share.

    Args:
        tree: open TTree or RNTuple.
        names: of the branches.

    Raises:
        Disagreement: naming a branch and both numbers.
    """
    if not isinstance(tree, uproot.TTree):
        return
    n_events = tree.num_entries
    for branch in map(tree.__getitem__, names):
        if branch.num_entries != n_events:
            raise Disagreement(
                f"the branch {branch.name} has {branch.num_entries} events, and the tree {n_events}"
            )
        offsets = branch.entry_offsets
        if offsets[0] != 0 or offsets[-1] != n_events or any(map(gt, offsets, offsets[1:])):
            raise Disagreement(
                f"the baskets of the branch {branch.name} do not hold the events 0 to {n_events} "
                "of the tree, one after the other"
            )


def open_root(url: str, network: NetworkSettings, *, whole: bool) -> Any:
    """Open a ROOT file; what uproot raises is not changed, but for short files of other kinds.

    Args:
        url: path or address of the file.
        network: of remote files.
        whole: whether all of it is read next.

    Raises:
        ValueError: for a file that does not begin as ROOT files do.
        OSError: for a named pipe.
        ConfigurationError: if it is no address that is read.
    """
    addresses.check(url, place="the address of a file")
    options: dict[str, Any] = {}
    opened: list[RemoteSource] = []
    if addresses.is_remote(url):
        options = {
            "handler": RemoteSource,
            "network": network,
            "many": whole,
            "opened": opened,
        }
    else:
        check_no_pipe(Path(addresses.plain(url)))
    try:
        return uproot.open({url: None}, array_cache=None, object_cache=None, **options)
    except DAMAGE as error:
        # uproot does not close what it cannot open.
        for source in opened:
            source.close()
        # uproot looks at the beginning of files only that are as long as a header.
        if _BEHIND_END.search(str(error)) and not addresses.is_remote(url):
            with Path(url.removeprefix("file://")).open("rb") as file:
                check_magic(file.read(len(MAGIC)))
        raise


def identity(tree: Any) -> Identity:
    """What tells the file of an open tree from another that has its name.

    Raises:
        OSError: if the time for the file is over.
    """
    source = tree.file.source
    checksum = None
    if isinstance(source, RemoteSource):
        checksum = source.checksum()
    return Identity(size=source.num_bytes, uuid=str(tree.file.uuid), checksum=checksum)


def bytes_read(tree: Any) -> int:
    """Bytes that were read so far from the file of an open tree: for remote files, transferred."""
    source = tree.file.source
    return int(source.received if isinstance(source, RemoteSource) else source.num_requested_bytes)


def needed_bytes(tree: Any, columns: Columns, layout: Layout) -> int | None:
    """Compressed bytes of the columns of a TTree; None for an RNTuple: uproot does not tell."""
    if not isinstance(tree, uproot.TTree):
        return None
    return sum(int(tree[name].compressed_bytes) for name in layout.all_branches(columns))


def entry_ranges(tree: Any, names: Sequence[str], chunk_size: int) -> list[tuple[int, int]]:
    """Ranges of entries to read one after the other.

    A range ends where baskets of all branches, or a cluster, end if that leaves it any entries:
    nothing is decompressed twice then.

    Args:
        tree: TTree or RNTuple.
        names: branches that will be read.
        chunk_size: most entries of a range.

    Raises:
        ReadError: if where they end cannot be read.
    """
    try:
        with only_reading():
            n_events = count_events(tree)
            if isinstance(tree, uproot.TTree):
                offsets = (set(tree[name].entry_offsets) for name in names)
                borders = sorted(set.intersection(*offsets))
            else:
                borders = [cluster.num_first_entry for cluster in tree.ntuple.cluster_summaries]
    except READ_ERRORS as error:
        raise unreadable(tree.file.file_path, error) from error
    ranges = []
    start = 0
    while start < n_events:
        stop = min(start + chunk_size, n_events)
        if stop < n_events:
            border = borders[bisect_right(borders, stop) - 1]
            stop = border if border > start else stop
        ranges.append((start, stop))
        start = stop
    return ranges


def check_entries(found: int, expected: int | None, *, url: str) -> None:
    """Compare the number of entries of a file with the configured one.

    Raises:
        InputError: if they differ.
    """
    if expected is not None and found != expected:
        raise InputError(
            f"the file has {found} events, the configuration says {expected}",
            place=url,
            remedy=_at_mirrors(url, "correct the number, or get an intact copy of the file"),
        )


def check_uuid(found: str, expected: str | None, *, url: str) -> None:
    """Compare the UUID of a file with the one in the list of files.

    Args:
        found: that the file has.
        expected: in the list; None does not compare.
        url: of the file.

    Raises:
        InputError: if they differ.
    """
    if normalised_uuid(expected) not in (None, normalised_uuid(found)):
        raise InputError(
            f"the file has the UUID {found}, the list of files says {expected}",
            place=url,
            remedy=_at_mirrors(
                url, "correct the address or the `uuid`: the list was made of another file"
            ),
        )


def unreadable(url: str, error: BaseException, events: tuple[int, int] | None = None) -> ReadError:
    """The error for a file that could not be read, from what a library raised.

    Args:
        url: of the file.
        error: what was raised.
        events: range of entries that was being read; None for opening.
    """
    remote = addresses.is_remote(url)
    if isinstance(error, FileNotFoundError) or _code(error) in _NOT_FOUND:
        problem = "file not found"
        remedy = error.remedy if isinstance(error, HttpError) else "check the path or the mirror"
    elif (content := _other_content(error)) is not None:
        problem, remedy = content[0], _at_mirrors(url, content[1])
    elif isinstance(error, HttpError):
        problem, remedy = str(error), error.remedy
        if error.wait is not None:
            problem = f"{problem}: the server asks to wait {error.wait:.0f} s"
            remedy = f"try again later, or raise `delivery.network.patience`; or {OTHER_MIRROR}"
        elif error.again and error.status is not None:
            problem, remedy = f"the server does not answer: {problem}", f"{_LATER}{OTHER_MIRROR}"
        elif error.status is not None:
            problem = f"the server refuses to give the file: {problem}"
    elif _transient(error) and remote:
        short = isinstance(error, ShortAnswer)
        what = "sends less than it was asked for" if short else "does not answer"
        problem = f"the server {what}: {one_line(error)}"
        remedy = f"{_LATER}{OTHER_MIRROR}"
    elif isinstance(error, ImportError):
        what = "this kind of address" if remote else "the file: a package is missing or broken"
        problem = f"cannot read {what}: {one_line(error)}"
        remedy = "install the package that it names"
    elif _code(error) is not None:
        problem = f"the server refuses to give the file: {one_line(error)}"
        remedy = "check the address and the permission to read it"
    else:
        problem, remedy = _damage(url, error, events)
    return ReadError(
        problem,
        place=url,
        remedy=remedy,
        error=one_line(error),
        transient=remote and _transient(error),
        wait=error.wait if isinstance(error, HttpError) else None,
        events=events,
    )


def _at_mirrors(url: str, remedy: str) -> str:
    """What to do about the content of a file: another server may have the right one."""
    return f"{OTHER_MIRROR}; or {remedy}" if addresses.is_remote(url) else remedy


def _damage(url: str, error: BaseException, events: tuple[int, int] | None) -> tuple[str, str]:
    """Problem and remedy of a file whose content cannot be right."""
    remote = addresses.is_remote(url)
    remedy = _INTACT
    if isinstance(error, Disagreement | ImpossibleValue):
        # awkward adds lines about the call.
        problem = str(error).splitlines()[0]
        remedy = "get an intact copy of the file, write it anew, or take it out of the list"
    elif isinstance(error, DamagedPart):
        problem = f"{_SENT if remote else 'the file is damaged'}: {error}"
    elif remote:
        part = "the description of its content"
        if events is not None:
            part = f"the events {events[0]} to {events[1]}"
        problem = f"{_SENT}, where {part} should be: {one_line(error)}"
    else:
        problem = (
            f"cannot read the file, it may be cut off, damaged or no ROOT file: {one_line(error)}"
        )
    return problem, _at_mirrors(url, remedy)


def _other_content(error: BaseException) -> tuple[str, str] | None:
    """Problem and remedy of a file that is empty, cut off or of another kind; None for others."""
    text = str(error)
    if _HTML.search(text):
        return (
            f"a web page (HTML), not a ROOT file: {one_line(error)}",
            "get the file itself: the server may have wanted a login",
        )
    if (other := _NOT_ROOT.search(text)) is not None:
        return (
            f"not a ROOT file: it begins with {other[1]}, not with `root`",
            "give the ROOT file itself, or take it out of the list",
        )
    if (end := _BEHIND_END.search(text)) is not None:
        return (
            "the file is empty or cut off, it ends before what it says to have: "
            f"{end[2]} of {end[1]} bytes of a part are there",
            _INTACT,
        )
    if _NOT_PARQUET.search(text):
        empty = text.endswith("size is 0 bytes")
        kind = (
            "the file is empty" if empty else f"not a Parquet file, or cut off: {one_line(error)}"
        )
        return kind, _INTACT
    return None


def _code(error: BaseException) -> int | None:
    """Number in the answer of an HTTP or XRootD server."""
    if isinstance(error, HttpError):
        return error.status
    answer = re.search(r"Server responded with an error: \[(\d+)\]", str(error))
    return int(answer[1]) if answer else None


def _transient(error: BaseException) -> bool:
    """Whether reading from a server failed for a reason that may go away."""
    if isinstance(error, HttpError):
        return error.again
    if isinstance(error, FileNotFoundError | PermissionError) or _BEHIND_END.search(str(error)):
        return False
    return isinstance(error, OSError) and _code(error) not in _XROOTD_FINAL
