"""What tells a file from all others; of ROOT, the UUID in its header, which every copy has.

Importing this is cheap, so that it can be used while a run is planned.
"""

import struct
from pathlib import Path
from uuid import UUID

from pydantic import NonNegativeInt

from agc_pipeline.settings import Settings

# Headers of files up to the UUID, for those below and above 2 GB: "root", version (beyond 2 GB
# 1,000,000 more), positions of 4 or 8 bytes, version of the UUID, UUID. All numbers are big-endian.
_SMALL_HEADER = struct.Struct(">4siiiiiiiBiiiH16s")
_LARGE_HEADER = struct.Struct(">4siiqqiiiBiqiH16s")
_FIRST_LARGE_VERSION = 1_000_000
MAGIC = b"root"
HEADER_BYTES = _LARGE_HEADER.size


class Identity(Settings):
    """What was found of an input file when it was read.

    Attributes:
        size: in bytes.
        uuid: that ROOT gave it when it was written.
        checksum: "algorithm:value" of an XRootD server, or the ETag of an HTTP server; None where
            there is none at hand.
    """

    size: NonNegativeInt
    uuid: str
    checksum: str | None


def check_magic(beginning: bytes) -> None:
    """Check that a file begins as ROOT files do, as far as it goes, in uproot's words.

    Raises:
        ValueError: if it does not.
    """
    found = beginning[: len(MAGIC)]
    if not MAGIC.startswith(found):
        raise ValueError(f"not a ROOT file: first four bytes are {found!r}")


def file_uuid(header: bytes) -> str | None:
    """UUID that ROOT gave a file when it was written, hexadecimal.

    Args:
        header: the first ``HEADER_BYTES`` of the file.

    Returns:
        None if the file is too short for one of ROOT.
    """
    if len(header) < HEADER_BYTES:
        return None
    uuid: bytes = _layout(header).unpack_from(header)[-1]
    return uuid.hex()


def make_reproducible(path: Path) -> None:
    """Give a ROOT file the UUID of zeros, as ROOT does for files that are to be the same again."""
    with path.open("r+b") as file:
        layout = _layout(file.read(HEADER_BYTES))
        file.seek(layout.size - 16)
        file.write(bytes(16))


def _layout(header: bytes) -> struct.Struct:
    large = struct.unpack_from(">i", header, 4)[0] >= _FIRST_LARGE_VERSION
    return _LARGE_HEADER if large else _SMALL_HEADER


def check_no_pipe(path: Path) -> None:
    """Refuse what would be waited for when it is opened.

    Raises:
        OSError: if there is neither a file nor a folder at a path, but something else.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(f"{path} is a named pipe or a device, and no file")


def uuid_of(path: Path) -> str | None:
    """UUID of a file on this machine; None if it is no ROOT file, has none, or cannot be read."""
    # To open a named pipe is to wait for whoever writes it.
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        # Whoever reads the events will say why.
        return None
    uuid = file_uuid(header) if header[:4] == MAGIC else None
    return normalised_uuid(uuid)


def normalised_uuid(text: str | None) -> str | None:
    """A UUID in one way of writing; None for the one of zeros, which reproducible files have.

    What is no UUID stays as it is, and is that of no file.
    """
    if text is None:
        return None
    try:
        uuid = UUID(text)
    except ValueError:
        return text
    return uuid.hex if uuid.int else None
