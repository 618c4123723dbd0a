"""The folder of an analysis: which of its files are part of a run, and an archive of them."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Folders that count in another way: published histograms and input files are inputs of the rules
# that read them, tests are no part of a run. Folders of these names further down are of the
# analysis' own making.
_APART = ("input", "published", "tests")
# Nor are these: a configuration for --configfile, and what people read.
_FILES_APART = ("run.yaml", "README.md")
# Values of the configuration are passed on as settings.
_CONFIGURATION = ("config", ".yaml")
_DESCRIPTION = "analysis.json"


class Archive(NamedTuple):
    """Files of an analysis as they are sent to another machine.

    Attributes:
        name: of the file, which follows from the content.
        content: of the file, a ZIP archive.
    """

    name: str
    content: bytes


def code_files(folder: Path) -> Iterator[Path]:
    """Modules in the folder of an analysis, without tests."""
    return (
        path
        for path in _files(folder)
        if path.suffix == ".py" and not path.name.startswith("test_")
    )


def data_files(folder: Path) -> Iterator[Path]:
    """Files of an analysis that are not code, such as corrections."""
    return (path for path in _files(folder) if path.suffix != ".py")


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(_walk(folder, (), (folder.resolve(),))))


def _walk(folder: Path, parts: tuple[str, ...], above: tuple[Path, ...]) -> Iterator[Path]:
    """Files that are part of a run, also through links to folders, such as one that is shared.

    Args:
        folder: to look in.
        parts: of its path in the folder of the analysis.
        above: where it and the folders that it is in really are: a link to one of them, or further
            up, leads round.
    """
    for path in folder.iterdir():
        within = (*parts, path.name)
        if path.is_file():
            if not _apart(within):
                yield path
        elif path.is_dir() and not _apart((*within, "")):
            real = path.resolve()
            if not any(place.is_relative_to(real) for place in above):
                yield from _walk(path, within, (*above, real))


def _apart(parts: Sequence[str]) -> bool:
    """Whether a file of an analysis, by the parts of its path, is not part of a run."""
    if any(part == "__pycache__" or part.startswith(".") for part in parts):
        return True
    if len(parts) == 1:
        return parts[0] in _FILES_APART
    in_configuration = len(parts) == 2 and (parts[0], Path(parts[1]).suffix) == _CONFIGURATION
    return parts[0] in _APART or in_configuration


def pack(files: Mapping[str, Path], description: Mapping[str, str]) -> Archive:
    """An archive of files.

    Args:
        files: by their path in the archive.
        description: of the analysis, to be read by ``unpack``.
    """
    contents = {name: path.read_bytes() for name, path in sorted(files.items())}
    contents[_DESCRIPTION] = json.dumps(description, sort_keys=True).encode()
    return packed("analysis", contents)


def packed(stem: str, contents: Mapping[str, bytes]) -> Archive:
    """An archive of contents by path.

    Args:
        stem: of its name.
        contents: of its files.
    """
    digest = hashlib.sha256()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
            archive.writestr(name, content)
    return Archive(f"{stem}_{digest.hexdigest()[:16]}.zip", buffer.getvalue())


def unpack(archive: Path) -> tuple[Path, dict[str, str]]:
    """The files of an archive, unpacked beside it once, and the description.

    Args:
        archive: written from what ``pack`` gave.
    """
    folder = archive.with_suffix("")
    if not folder.is_dir():
        unfinished = Path(tempfile.mkdtemp(dir=archive.parent))
        with zipfile.ZipFile(archive) as content:
            content.extractall(unfinished)
        # Another thread may have been faster, with the same files.
        with suppress(OSError):
            unfinished.rename(folder)
    description: dict[str, str] = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
    return folder, description
