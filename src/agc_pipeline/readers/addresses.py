"""Which addresses of files are read, and how.

Libraries know dozens of schemes, and chains of them, which connect to servers of their own accord.
Here a scheme is read because it is in the list, with the time-outs and the rules of this pipeline.
"""

import difflib
import re
from collections.abc import Iterator

from agc_pipeline.errors import ConfigurationError

LOCAL = "file"
# As it is written, to what is spoken.
HTTP = {"http": "http", "https": "https", "dav": "http", "davs": "https"}
XROOTD = ("root",)
SCHEMES = (LOCAL, *HTTP, *XROOTD)

_PARTS = re.compile(r"(.*?)://([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]\\]+)(?::(\d{1,5}))?", re.ASCII)
_PORTS = 1 << 16
_ONE_SLASH = re.compile(rf"({'|'.join((*HTTP, *XROOTD))}):/")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CHAIN = re.compile(r"::(?![^\[]*\])")
_NAME_IN_QUERY = re.compile(r"\?[^=&]*\.(?:root|parquet)$")


def scheme(address: str) -> str:
    """What stands before ``://`` in an address; nothing for a path."""
    before, separator, _ = address.partition("://")
    return before if separator else ""


def is_remote(address: str) -> bool:
    """Whether an address is read over the network."""
    return scheme(address) in (*HTTP, *XROOTD)


def plain(address: str) -> str:
    """The path that a ``file://`` address stands for; other addresses as they are."""
    path = address.removeprefix(f"{LOCAL}://").removeprefix("localhost")
    return path if scheme(address) == LOCAL and path.startswith("/") else address


def check(address: str, *, place: str) -> None:
    """Refuse what is no address of a file, or would be read as that of another.

    Args:
        address: of a file, or its path.
        place: where it is from, for the error.

    Raises:
        ConfigurationError: naming what is wrong with it.
    """
    for wrong, problem, remedy in _faults(address):
        if wrong:
            raise ConfigurationError(f"{problem}: {address}", place=place, remedy=remedy)


def _faults(address: str) -> Iterator[tuple[object, str, str]]:
    """Whether something is wrong with an address, what it is, and what to do about it."""
    schemes = ", ".join(f"{name}://" for name in SCHEMES)
    chain = "`::` in an address chains file systems, which are not read"
    yield _CHAIN.search(address), chain, f"give the file itself, by {schemes} or its path"
    parts = _PARTS.fullmatch(address)
    if parts is None:
        home = address.startswith("~")
        yield home, "`~` for a home folder is not read", "write the whole path"
        slash = _ONE_SLASH.match(address)
        yield slash, "an address with one slash", f"write {slash[1] if slash else ''}://"
        return
    name, host, rest = parts.groups()
    close = difflib.get_close_matches(name.lower(), SCHEMES, n=1, cutoff=0.8)
    remedy = f"write {close[0]}://" if close else f"give an address with {schemes}, or a path"
    yield name not in SCHEMES, f"addresses with {name}:// are not read", remedy
    if name == LOCAL:
        elsewhere = host not in ("", "localhost")
        yield elsewhere, "file:// with a host", "write file:///PATH, or the path alone"
        return
    yield not host, "an address without a host", f"write {name}://HOST/PATH"
    name_of_host = _HOST.fullmatch(host.rpartition("@")[2])
    port = int(name_of_host[1] or 0) if name_of_host else _PORTS
    yield port >= _PORTS, "no host, or no port of one", f"write {name}://HOST:PORT/PATH"
    yield _CONTROL.search(host + rest), "an address with control characters", "remove them"
    escaped = name in HTTP
    yield (
        escaped and "#" in rest,
        "what follows `#` is not sent to a server",
        "write `%23` for a `#` in the name of a file",
    )
    yield (
        _NAME_IN_QUERY.search(rest),
        "what follows `?` is no part of the name of a file",
        "write `%3F` for a `?` in the name of a file"
        if escaped
        else "rename the file, or read it by https: XRootD has no way to write a `?` in a name",
    )
