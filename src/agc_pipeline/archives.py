"""Text files as they are published: plain, compressed, or members of archives.

What is read into memory is bounded, whatever an archive says of itself: a few kilobytes may unpack
to terabytes. What is not compressed may have any size.
"""

import bz2
import gzip
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from agc_pipeline.errors import InputError
from agc_pipeline.formatting import byte_size, name_list, quoted, shortened
from agc_pipeline.settings import unknown

# Bytes that are unpacked at most; published likelihoods have up to some ten megabytes.
LARGEST = 500_000_000
_BLOCK = 1_000_000
# Ends of names of models.
_MODELS = (".json", ".xml", ".txt")

_COMPRESSIONS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    # An encrypted member, or a compression that zipfile does not know.
    RuntimeError,
)


def read(path: Path, member: str | None) -> bytes:
    """The content of a file, or of one in an archive.

    Args:
        path: the file: plain, compressed with gzip, bzip2 or xz, or a zip or tar archive.
        member: path of the file in the archive; None for no archive.

    Raises:
        InputError: if it cannot be read, is larger than ``LARGEST`` when unpacked, is an archive
            and no member is named, or the archive has no such file, or two of them.
    """
    try:
        if zipfile.is_zipfile(path):
            return _of_zip(path, member)
        with _unpacked(path) as stream:
            if _is_tar(stream):
                return _of_tar(stream, path, member)
            if member is None:
                return stream.read()
    except FileNotFoundError:
        raise InputError("file not found", place=str(path), remedy="check the path") from None
    except _DAMAGED as error:
        name = path.name if member is None else member
        raise InputError(
            f"cannot read {quoted(name)}: {error}",
            place=str(path),
            remedy="give a JSON file, or a .zip or .tar.gz with one; get it again if it is damaged",
        ) from error
    raise InputError(
        f"cannot read {quoted(member)}: this is no archive",
        place=str(path),
        remedy="give a .zip or .tar.gz, or leave the name of a file in it out",
    )


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, or an archive, by its first bytes."""
    with path.open("rb") as file:
        return file.read(6).startswith((*_COMPRESSIONS, b"PK\x03\x04"))


class _Bounded:
    """A stream of unpacked bytes that ends with an error where it is too long."""

    def __init__(self, stream: IO[bytes], path: Path, most: int) -> None:
        self._stream = stream
        self._path = path
        self._left = most
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """The next bytes, which are read again."""
        self._ahead += self._next(size - len(self._ahead))
        return self._ahead[:size]

    def read(self, size: int = -1) -> bytes:
        """The next bytes: as many as are asked for, or all."""
        parts = [self._ahead if size < 0 else self._ahead[:size]]
        self._ahead = self._ahead[len(parts[0]) :]
        missing = size - len(parts[0])
        while size < 0 or missing > 0:
            part = self._next(_BLOCK if size < 0 else min(missing, _BLOCK))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _next(self, size: int) -> bytes:
        part = self._stream.read(size) if size > 0 else b""
        self._left -= len(part)
        if self._left < 0:
            _refuse_size(self._path)
        return part


def _refuse_size(path: Path) -> NoReturn:
    raise InputError(
        f"more than {byte_size(LARGEST)} when unpacked",
        place=str(path),
        remedy="unpack the file that is needed, and name that one",
    )


@contextmanager
def _unpacked(path: Path) -> Iterator[_Bounded]:
    with path.open("rb") as plain:
        head = plain.read(6)
    opened = next(
        (opened for magic, opened in _COMPRESSIONS.items() if head.startswith(magic)), None
    )
    if opened is None:
        with path.open("rb") as stream:
            yield _Bounded(stream, path, path.stat().st_size)
    else:
        with opened(path, "rb") as stream:
            yield _Bounded(stream, path, LARGEST)


def _is_tar(stream: _Bounded) -> bool:
    return stream.peek(512)[257:262] == b"ustar"


def _of_tar(stream: _Bounded, path: Path, member: str | None) -> bytes:
    names = []
    contents = []
    # The archive is read once, from its beginning to its end: names may be there twice.
    reader: Any = stream
    with tarfile.open(fileobj=reader, mode="r|") as archive:
        for entry in archive:
            if entry.isfile():
                names.append(entry.name)
                if member is not None and _same(entry.name, member):
                    if entry.size > LARGEST:
                        _refuse_size(path)
                    file = archive.extractfile(entry)
                    contents.append(b"" if file is None else file.read())
    _require(names, member, path)
    return contents[0]


def _of_zip(path: Path, member: str | None) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _require([entry.filename for entry in entries], member, path)
        (entry,) = (entry for entry in entries if _same(entry.filename, str(member)))
        with archive.open(entry) as stream:
            return _Bounded(stream, path, LARGEST).read()


def _require(names: list[str], member: str | None, path: Path) -> None:
    """Refuse an archive that does not have exactly one file of a name."""
    if member is None:
        # Those that may be meant come first.
        likely = sorted(names, key=lambda name: not name.endswith(_MODELS))
        listed = name_list([quoted(name) for name in likely], 20)
        raise InputError(
            "this is an archive",
            place=str(path),
            remedy=f"name the file in it with `input.member`: {listed or 'it has none'}",
        )
    number = sum(_same(name, member) for name in names)
    if number == 0:
        raise InputError(
            f"{shortened(str(unknown('file', [member], names)))} in the archive",
            place=str(path),
            remedy="correct the name",
        )
    if number > 1:
        raise InputError(
            f"{number} files {quoted(member)} in the archive",
            place=str(path),
            remedy="unpack the one that is meant, and name that file",
        )


def _same(name: str, other: str) -> bool:
    """Whether two names in an archive are those of one file: ``./a.json`` is ``a.json``."""
    return posixpath.normpath(name) == posixpath.normpath(other)
