"""Outputs of ServiceX: their names, the input of each, and their content.

The service names an output by the address of its input, rewrites some addresses before it does,
shortens long names, and the client changes some characters and may shorten the name again.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1
from pathlib import PurePath
from typing import NamedTuple

import uproot

from agc_pipeline.declaration.query import Query
from agc_pipeline.errors import InputError, ServiceError
from agc_pipeline.readers import parquet
from agc_pipeline.readers.opening import READ_ERRORS, count_events, open_tree, unreadable
from agc_pipeline.readers.settings import NETWORK, Format, NetworkSettings

# Lengths of names at the service, and on disk with the client's `shortened_downloaded_filename`.
_OBJECT_LENGTH = 255
_SHORT_LENGTH = 60

# Beside the selected events, a tree with one column of all events: how many the input has.
COUNT_TREE = "agc_pipeline_all_events"

_SHORTENED = re.compile(r"_[0-9a-f]{40}")


def object_name(source: str, *, extension: str = "") -> str:
    """The name of the output of ``source`` in the object store."""
    return _shortened(_plain(source) + extension, _OBJECT_LENGTH)


def disk_name(name: str) -> str:
    """The client's name for an object on disk, before it may shorten it."""
    return re.sub(r"[*;:]", "_", name)


def check_sources(sources: Sequence[str]) -> None:
    """Refuse inputs whose outputs could be confused.

    Raises:
        InputError: if an input is listed twice, which ServiceX never finishes, or if two inputs
            have the same name there.
    """
    duplicates = [source for source, count in Counter(sources).items() if count > 1]
    if duplicates:
        raise InputError(
            f"listed more than once: {', '.join(duplicates)}",
            place="the files of a request to ServiceX",
            remedy="remove the duplicates: their events would be counted twice",
        )
    owners: dict[str, str] = {}
    for source in sources:
        for name in _names(source):
            other = owners.setdefault(name, source)
            if other != source:
                raise InputError(
                    f"ServiceX gives the same name to the outputs of {other} and {source}",
                    place="the files of a request to ServiceX",
                    remedy="use another address for one of them, or put them in different jobs "
                    "(`files_per_job`)",
                )


def match(outputs: Iterable[str], sources: Sequence[str], *, place: str) -> dict[str, str]:
    """Find the input of each output.

    Args:
        outputs: names of objects or files.
        sources: addresses of the inputs, as given to ``check_sources``.
        place: the service, for the error.

    Returns:
        Source to output, for the sources that have one.

    Raises:
        ServiceError: if an output is from none of the inputs, or two are from the same.
    """
    names = {source: _names(source) for source in sources}
    exact = {name: source for source in sources for name in names[source]}
    matches: dict[str, str] = {}
    for output in outputs:
        name = disk_name(output)
        owners = [exact[name]] if name in exact else _by_tail(name, names)
        if len(owners) != 1:
            reason = "belongs to none of the inputs" if not owners else "may belong to several"
            raise _ambiguous(f"{output!r} {reason}", place)
        source = owners[0]
        if source in matches:
            raise _ambiguous(f"{matches[source]!r} and {output!r} belong to the same input", place)
        matches[source] = output
    return matches


class Content(NamedTuple):
    """What a delivered file holds.

    Attributes:
        events: selected ones.
        size: in bytes.
        before: events of the input; None where the file does not tell.
    """

    events: int
    size: int
    before: int | None


def inspect(
    location: str, kind: Format, query: Query, network: NetworkSettings = NETWORK
) -> Content:
    """Look into a delivered file.

    Args:
        location: path or presigned address.
        kind: the format that was requested.
        query: the selection and columns that were requested.
        network: how to read from the object store.

    Raises:
        InputError: if the file is missing, damaged, of another format, or lacks a column.
    """
    if kind == "parquet":
        return Content(*parquet.inspect(location, query.columns, query.layout, network), None)
    with open_tree(location, query.columns, query.layout, network) as tree:
        if isinstance(tree, uproot.TTree) != (kind == "ttree"):
            raise InputError(
                f"the tree is a {tree.classname}, `{kind}` was requested",
                place=location,
                remedy="run again: the file is requested anew",
            )
        try:
            beside = tree.file.root_directory
            before = beside[COUNT_TREE].num_entries if COUNT_TREE in beside else None
        except READ_ERRORS as error:
            raise unreadable(location, error) from error
        return Content(count_events(tree), tree.file.source.num_bytes, before)


def _by_tail(output: str, names: Mapping[str, set[str]]) -> list[str]:
    # A service behind a cache puts the address of the cache in front of the name.
    tails = {source: _common_tail(output, own) for source, own in names.items()}
    longest = max(tails.values(), default=0)
    return [source for source, length in tails.items() if length == longest > 0]


def _common_tail(output: str, names: set[str]) -> int:
    """Length of the part of a name that identifies an input, 0 if it does not."""
    hashed = _SHORTENED.match(output)
    if hashed:
        tail = output[hashed.end() :]
        return len(tail) if any(name.endswith(tail) for name in names) else 0
    return max((len(name) for name in names if output.endswith(f"_{name}")), default=0)


def _names(source: str) -> set[str]:
    """Every name on disk that the output of an input may have."""
    plain = object_name(source)
    objects = {plain, object_name(source, extension=".parquet")}
    # Where the service itself turns ROOT into Parquet, the suffix is replaced.
    objects.add(str(PurePath(plain).with_suffix(".parquet")))
    return {disk_name(name) for full in objects for name in (full, _shortened(full, _SHORT_LENGTH))}


def _plain(source: str) -> str:
    # The service reads davs:// as https://.
    return re.sub(r"^davs(?=://)", "https", source).replace("/", ":")


def _shortened(name: str, length: int) -> str:
    """A long name as the hash of it and its end."""
    if len(name) <= length:
        return name
    # Not a matter of security: it is the service's naming.
    hashed = sha1(name.encode(), usedforsecurity=False).hexdigest()
    return f"_{hashed}{name[-(length - len(hashed) - 1) :]}"


def _ambiguous(problem: str, place: str) -> ServiceError:
    return ServiceError(
        f"outputs cannot be matched to inputs: {problem}",
        place=place,
        remedy="leave `shortened_downloaded_filename` out of the client's configuration, and put "
        "fewer files in a job (`files_per_job`)",
    )
