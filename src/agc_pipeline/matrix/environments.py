"""Environments: resolved near the lock file, built once for each set of versions, then kept."""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from agc_pipeline.files import read_json, write_json, write_text
from agc_pipeline.matrix import requirements
from agc_pipeline.matrix.commands import Outcome, run, uv
from agc_pipeline.matrix.records import EnvironmentRecord, Step
from agc_pipeline.provenance import digest

log = logging.getLogger(__name__)

# What uv says when it is the index that fails, not the requirements.
_UNREACHABLE = ("error sending request", "Failed to fetch", "Could not connect", "timed out")
TAIL = 30
# What the machine code of compiled kernels depends on, besides Python and the kernels.
_COMPILER = ("llvmlite", "numba", "numpy")


@dataclass(frozen=True)
class Wish:
    """An environment that is asked for.

    Attributes:
        name: of the environment.
        needs: what the package needs, without bounds.
        requirements: that override the lock.
        lock: text of the lock file.
        python: version or path of the interpreter.
        prerelease: take pre-releases.
    """

    name: str
    needs: tuple[str, ...]
    requirements: tuple[str, ...]
    lock: str
    python: str
    prerelease: bool


@dataclass(frozen=True)
class _Resolution:
    """What the resolver answered: lines, or why there are none."""

    step: Step
    lines: tuple[str, ...] = ()
    unavailable: str | None = None


@dataclass(frozen=True)
class _Commands:
    """How commands are run: where their output goes, and how long they may take."""

    logs: Path
    timeout: float

    def run(self, arguments: Sequence[str], log_name: str) -> Outcome:
        """Run one, with its output in a file of this name."""
        return run(arguments, self.logs / log_name, timeout=self.timeout)


def make(wish: Wish, folder: Path, logs: Path, *, timeout: float) -> EnvironmentRecord:
    """Resolve an environment, and build it unless one with the same content exists.

    That it cannot be had is not an error but what the record says.

    Args:
        wish: the environment.
        folder: keeps what was resolved and built.
        logs: folder for the output of the commands.
        timeout: seconds for each command.
    """
    record = EnvironmentRecord(name=wish.name, requirements=wish.requirements, python=wish.python)
    commands = _Commands(logs, timeout)
    version = _python_version(wish.python, commands)
    if version is None:
        return record.model_copy(
            update={"unavailable": f"Python {wish.python} is not at hand, and is not downloaded"}
        )
    record = record.model_copy(update={"python": version})
    resolution = _resolve(wish, version, folder / "resolved", commands)
    if resolution.step.problem is not None or resolution.unavailable is not None:
        return record.model_copy(
            update={"steps": (resolution.step,), "unavailable": resolution.unavailable}
        )
    found = requirements.versions(resolution.lines)
    content = digest([version, resolution.lines, requirements.contents(wish.requirements)])
    record = record.model_copy(
        update={
            "versions": found,
            "digest": content,
            "steps": (resolution.step,),
        }
    )
    built = _built(record, resolution.lines, wish.python, folder / content[:16], commands)
    # Only what is installed tells the version of a checkout.
    told = dict(built.versions)
    for package, origin in requirements.outside(wish.requirements).items():
        if package in told:
            told[package] = f"{told[package]} ({origin})"
    return built.model_copy(update={"versions": told, "moved": moved(wish.lock, told)})


def moved(lock: str, found: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Packages whose version is none of the locked ones, with the locked and the found one."""
    locked: dict[str, list[str]] = {}
    for line in lock.splitlines():
        for package, version in requirements.versions([line]).items():
            locked.setdefault(package, []).append(version)
    return {
        package: (" or ".join(locked[package]) if package in locked else None, version)
        for package, version in found.items()
        if version not in locked.get(package, ())
    }


def compiled_code(record: EnvironmentRecord) -> Path:
    """Folder for the machine code of kernels; compiling them takes longer than running them.

    Environments with the locked compiler share it, others have one of their own: a branch of numba
    may have the version of a release.
    """
    own = Path(str(record.interpreter)).parents[1]
    if any(package in record.moved for package in _COMPILER):
        return own / "numba"
    versions = {package: record.versions.get(package) for package in _COMPILER}
    return own.parent / f"numba-{digest([record.python, versions])[:16]}"


def _python_version(python: str, commands: _Commands) -> str | None:
    command = [uv(), "--no-python-downloads", "python", "find", "--show-version", python]
    outcome = commands.run(command, "python.log")
    return outcome.output.split()[-1] if outcome.well else None


def _resolve(wish: Wish, version: str, kept: Path, commands: _Commands) -> _Resolution:
    lines = requirements.input_lines(wish.needs, wish.requirements)
    local = requirements.contents(wish.requirements)
    question = digest([lines, local, wish.lock, version, wish.prerelease])[:16]
    kept.mkdir(parents=True, exist_ok=True)
    asked, answer = kept / f"{question}.in", kept / f"{question}.txt"
    write_text(asked, "\n".join(lines) + "\n")
    # uv keeps the versions that it finds in its output file, where they do not conflict.
    draft = kept / f"{question}.draft.txt"
    write_text(draft, wish.lock)
    names = [requirements.name(requirement) for requirement in wish.requirements]
    command = [uv(), "pip", "compile", "--quiet", "--no-annotate", "--no-header"]
    command += ["--no-python-downloads", "--python", wish.python]
    command += [f"--upgrade-package={name}" for name in names if name is not None]
    command += ["--prerelease=allow"] if wish.prerelease else []
    outcome = commands.run([*command, str(asked), "--output-file", str(draft)], "resolve.log")
    step = Step(name="resolve", log=str(commands.logs / "resolve.log"))
    if outcome.well:
        write_text(answer, draft.read_text(encoding="utf-8"))
    draft.unlink()
    if not outcome.well and _index_is_missing(outcome):
        if not answer.exists():
            return _Resolution(step, unavailable="the package index does not answer")
        log.info("%s: the package index does not answer: as resolved before", wish.name)
    elif not outcome.well:
        return _Resolution(failed(step, outcome, "does not resolve"))
    text = answer.read_text(encoding="utf-8")
    return _Resolution(step, tuple(line for line in text.splitlines() if line.strip()))


def _index_is_missing(outcome: Outcome) -> bool:
    # What uv has in its cache may be old: offline no answer is no proof.
    offline = os.environ.get("UV_OFFLINE", "").lower() not in ("", "0", "false")
    unreachable = any(words in outcome.output for words in _UNREACHABLE)
    return offline or unreachable or outcome.code is None


def _built(
    record: EnvironmentRecord,
    lines: tuple[str, ...],
    python: str,
    folder: Path,
    commands: _Commands,
) -> EnvironmentRecord:
    """The record of the environment in ``folder``, built there if it is not yet."""
    # Written last: an environment without it was not finished.
    marker = folder / "installed.json"
    step = Step(name="install", log=str(commands.logs / "install.log"))
    with locked(folder.with_suffix(".lock")):
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)
            outcome = _install(lines, python, folder, commands)
            if not outcome.well and _index_is_missing(outcome):
                return record.model_copy(
                    update={"unavailable": "the package index does not answer"}
                )
            if not outcome.well:
                shutil.rmtree(folder, ignore_errors=True)
                problem = failed(step, outcome, "does not install")
                return record.model_copy(update={"steps": (*record.steps, problem)})
            versions = {
                str(canonicalize_name(item["name"])): item["version"]
                for item in _listed(folder, commands)
            }
            write_json(marker, {"install_seconds": outcome.seconds, "versions": versions})
    kept = read_json(marker)
    return record.model_copy(
        update={
            "versions": kept["versions"],
            "steps": (*record.steps, step),
            "interpreter": str((folder / "bin" / "python").absolute()),
            "install_seconds": kept["install_seconds"],
        }
    )


def _install(lines: tuple[str, ...], python: str, folder: Path, commands: _Commands) -> Outcome:
    wanted = folder.with_suffix(".txt")
    write_text(wanted, "\n".join(lines) + "\n")
    create = [uv(), "--no-python-downloads", "venv", "--quiet", "--python", python, str(folder)]
    made = commands.run(create, "venv.log")
    if not made.well:
        return made
    command = [uv(), "pip", "install", "--quiet", "--no-deps", "--python", str(folder)]
    return commands.run([*command, "--requirements", str(wanted)], "install.log")


def _listed(folder: Path, commands: _Commands) -> list[dict[str, str]]:
    """Name and version of each package that is installed in an environment."""
    command = [uv(), "pip", "list", "--quiet", "--format", "json", "--python", str(folder)]
    outcome = commands.run(command, "list.log")
    found: list[dict[str, str]] = json.loads(outcome.output)
    return found


def failed(step: Step, outcome: Outcome, problem: str) -> Step:
    """A step that failed, with the last lines of its output."""
    lines = outcome.output.strip().splitlines()
    if outcome.code is None:
        problem = f"{problem}: not ready after {outcome.seconds:.0f} s"
    return step.model_copy(
        update={"problem": f"{problem}{_cause(lines)}", "tail": "\n".join(lines[-TAIL:])}
    )


def _cause(lines: list[str]) -> str:
    """The line of an output that says most, with a colon before it."""
    for start in ("  cause: ", "error: "):
        for line in lines:
            if line.startswith(start):
                return ": " + line.removeprefix(start)
    return f": {lines[-1]}" if lines else ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file; it ends with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def describe(record: EnvironmentRecord) -> str:
    """The environment in one line."""
    if record.unavailable is not None:
        return record.unavailable
    problem = next((step.problem for step in record.steps if step.problem), None)
    changes = [f"{name} {new}" for name, (_, new) in record.moved.items()]
    return problem or f"{len(record.versions)} packages; moved: {', '.join(changes) or 'none'}"
