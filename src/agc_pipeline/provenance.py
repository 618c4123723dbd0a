"""Provenance of outputs: versions of the software, digest of the settings, inputs."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

# pydantic requires this one before Python 3.12
from typing_extensions import TypedDict


class Provenance(TypedDict):
    """Record in every output.

    ``settings`` is the SHA-256 of the canonical JSON of the settings of the stage,
    ``inputs`` maps each input file to the SHA-256 of its bytes. In a JSON file there is also
    ``content``, that of all that the file holds beside it, see ``files.write_record``.
    """

    stage: str
    software: dict[str, str]
    settings: str
    inputs: dict[str, str]


def digest(content: Any) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no white space) of ``content``."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(paths: Iterable[str]) -> str:
    """Digest of the names and bytes of files.

    A file that takes the place of another one may be older than what was made of that.

    Args:
        paths: of files; those that are not there count as such.
    """
    return digest([(path, _content(path)) for path in paths])


def _content(path: str) -> str | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return _content_of(path, status.st_size, status.st_mtime_ns)


@cache
def _content_of(path: str, size: int, modified: int) -> str | None:  # noqa: ARG001
    """A file is read once in a process, unless it is written meanwhile."""
    return file_digest(Path(path)) if Path(path).is_file() else None


def distribution(module: str) -> str | None:
    """Name of an installed distribution that has a module; None if none has.

    Some packages are distributed under several names.
    """
    names = packages_distributions().get(module)
    return names[0] if names else None


def upgraded(results: Path) -> str | None:
    """What to tell of results that were made with other versions of packages than are installed.

    Of many batches the first one is looked at.

    Args:
        results: the folder.

    Returns:
        None if they were made with these versions, or if there are none.
    """
    batches = [
        min(folder.glob("*.json"), default=None)
        for kind in ("manifests", "histograms")
        for folder in sorted((results / kind).glob("*/"))
    ]
    earlier: dict[str, set[str]] = {}
    for path in (*sorted(results.glob("*.json")), *batches):
        for name, used in ({} if path is None else _software(path)).items():
            # This package is compared by its content.
            if name != "agc-pipeline":
                earlier.setdefault(name, set()).add(used)
    changes = other_versions(earlier)
    if not changes:
        return None
    return (
        f"Results in {results} are of other versions of packages than are installed: {changes}. "
        "They are kept, and jobs of this run have the installed ones; `--forcerun code` makes "
        "everything anew."
    )


def other_versions(earlier: Mapping[str, Iterable[str]]) -> str:
    """Packages of which other versions are installed now, with both; empty if there are none.

    Args:
        earlier: package to versions that were used.
    """
    changes = []
    for name, versions in sorted(earlier.items()):
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "none"
        if others := sorted(set(versions) - {installed}):
            changes.append(f"{name} {' and '.join(others)} (now {installed})")
    return ", ".join(changes)


def _software(record: Path) -> dict[str, str]:
    """Versions that a record has; none of a file that is no record."""
    try:
        content = json.loads(record.read_bytes())
        return dict(content["provenance"]["software"])
    except (OSError, ValueError, KeyError, TypeError):
        # Others will say what is wrong with it.
        return {}


def provenance(
    stage: str, *, packages: Iterable[str], settings: Any, inputs: Iterable[Path] = ()
) -> Provenance:
    """The provenance of an output.

    Args:
        stage: name of the rule.
        packages: distributions whose versions can change the output.
        settings: the stage's part of the configuration, JSON-able.
        inputs: files that the stage read.
    """
    return {
        "stage": stage,
        "software": {name: version(name) for name in ("agc-pipeline", *sorted(packages))},
        "settings": digest(settings),
        "inputs": {str(path): file_digest(path) for path in inputs},
    }
