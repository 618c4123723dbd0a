"""What a run needs of the folders that it works in, and of the times of the files in there."""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from agc_pipeline.errors import ConfigurationError, InputError

# Clocks of file servers differ by less.
_TOLERANCE_SECONDS = 300.0
# Their files are as old as the manifests and records beside them, and there are many.
_NOT_LOOKED_AT = {"skims", ".settings", "file_metadata"}

# Of the folder of the Snakefile.
_DEFAULTS = "config/default.yaml"
# Folders that a project comes with, and those in which git and Snakemake keep their records.
_SOURCES = frozenset(
    {
        ".ci",
        ".git",
        ".github",
        ".snakemake",
        ".venv",
        "benchmarks",
        "config",
        "docs",
        "profiles",
        "requirements",
        "src",
        "tests",
        "workflow",
    }
)


def check_working_folder(folder: Path, snakefile: Path) -> None:
    """Check that Snakemake can keep its records, for which it has a traceback only.

    Args:
        folder: that Snakemake works in.
        snakefile: of the workflow.

    Raises:
        ConfigurationError: if nothing can be written there.
    """
    records = folder / ".snakemake"
    if os.access(records if records.exists() else folder, os.W_OK | os.X_OK):
        return
    raise ConfigurationError(
        "the working folder cannot be written to, and Snakemake keeps its records there",
        place=str(folder),
        remedy=f"go to a folder of your own, and give `--snakefile {snakefile}`",
    )


def _unwritable(existing: Path) -> str | None:
    """Why nothing can be written to a place that exists; None if it can."""
    if not existing.is_dir():
        return "is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return "is not writable"
    try:
        # File systems such as /proc let their owner write, but nobody make a file.
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError:
        return "is not writable"


def check_folder(folder: Path, *, place: str) -> None:
    """Check that a folder can be written to, or created, without creating it.

    Args:
        folder: to check.
        place: where it is named, for the error.

    Raises:
        ConfigurationError: if it cannot.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    reason = _unwritable(existing)
    if reason is None:
        return
    raise ConfigurationError(
        f"cannot write to {folder}: {existing} {reason}",
        place=place,
        remedy="choose another folder, or change the permissions",
    )


def check_outputs(
    folder: Path, *, place: str, projects: Iterable[Path], analysis: Path | None = None
) -> None:
    """Check that a folder of outputs is one of its own, and not one of sources.

    A new folder in a project is one of its own; links are followed.

    Args:
        folder: to check; it need not be there.
        place: configuration key that names it, for the error.
        projects: folders with a Snakefile.
        analysis: folder of the analysis, if it has one.

    Raises:
        ConfigurationError: if outputs would lie among sources, or beside everything of a user, or
            if nothing can be written there.
    """
    check_folder(folder, place=place)
    outputs = folder.resolve()
    roots = [project.resolve() for project in projects]
    sources = {root / name for root in roots for name in _SOURCES}
    wholes = {
        Path(os.environ.get("HOME", "/")).resolve(): "your home folder",
        Path.cwd(): "the working folder",
        **dict.fromkeys(roots, "the folder of the project"),
    }
    if analysis is not None:
        sources.add(analysis.resolve())
        wholes[analysis.resolve()] = "the folder of the analysis"
    problems = []
    for path in (outputs, *outputs.parents):
        # Somebody's package in a project, such as another analysis.
        package = any(root in path.parents for root in roots) and (path / "__init__.py").is_file()
        if package or path in sources:
            where = "is" if path == outputs else f"lies in {path},"
            problems.append(f"{folder} {where} a folder of sources")
    problems += [
        f"{folder} is {name}" if path == outputs else f"{folder} contains {name}, {path}"
        for path, name in wholes.items()
        if path.is_relative_to(outputs)
    ]
    if problems:
        raise ConfigurationError(
            f"outputs would be written among other files: {problems[0]}",
            place=place,
            remedy="choose a folder of its own, such as `results/NAME`; a new one is made",
        )


def use_own_python() -> None:
    """Let jobs, which run `python`, have that of Snakemake, also where it is not activated."""
    folders = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), folders])


def use_own_modules() -> None:
    """Find modules in the working folder first, as jobs do: they run by ``python -m``."""
    place = str(Path.cwd())
    if place not in sys.path and "" not in sys.path:
        sys.path.insert(0, place)


def check_image(image: str) -> None:
    """Check that the image of the jobs is there, where it is a file.

    Args:
        image: path or address.

    Raises:
        ConfigurationError: if there is no such file.
    """
    if "://" in image or Path(image).expanduser().exists():
        return
    raise ConfigurationError(
        "the image of the jobs is missing",
        place=image,
        remedy="build it (`podman build`, then `apptainer build`, see docs/run.md), or give its "
        "path or address with `container:`",
    )


def check_times(results: Path) -> None:
    """Refuse results from the future: what they are made of would seem to be older for ever.

    Snakemake compares the times of files. A change of code or input, made after the clock was set
    right, would go unnoticed.

    Args:
        results: the folder.

    Raises:
        InputError: naming a file that is dated in the future.
    """
    now = time.time()
    for path, changed in _times(results):
        if changed > now + _TOLERANCE_SECONDS:
            date = datetime.fromtimestamp(changed, UTC).isoformat(" ", "minutes")
            raise InputError(
                f"a result is dated in the future ({date}): the clock of this machine is wrong, or "
                "that of the one that wrote it was, and what changed since would not be noticed",
                place=str(path),
                remedy="set the clock right; then delete the results, or, if nothing they are made "
                f"of has changed: find {results} -newermt now -exec touch {{}} +",
            )


def _times(folder: Path) -> Iterator[tuple[Path, float]]:
    """The files of a folder and of those in it, with their times of modification."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        # There are no results yet, or others will say what is wrong with them.
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _NOT_LOOKED_AT:
                yield from _times(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path), entry.stat(follow_symlinks=False).st_mtime


def root_folder(root: Path | str | None = None) -> Path:
    """Folder of the Snakefile.

    Args:
        root: the folder; None looks for it from the working folder upwards, then where this package
            lies.

    Raises:
        ConfigurationError: if there is none.
    """
    if root is not None:
        candidates = [Path(root)]
    else:
        working = Path.cwd()
        candidates = [working, *working.parents, Path(__file__).resolve().parents[2]]
    for folder in candidates:
        if (folder / _DEFAULTS).is_file():
            return folder
    raise ConfigurationError(
        f"no file {_DEFAULTS} in {candidates[0]}" + ("" if root is not None else " or above it"),
        place="folder of the workflow",
        remedy="give the folder with the Snakefile",
    )
