"""Environments: resolved close to the lock file, built once for each set of versions."""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from agc_pipeline import extras
from agc_pipeline.errors import ServiceError
from agc_pipeline.files import read_json, write_json, write_text
from agc_pipeline.matrix import requirements
from agc_pipeline.matrix.records import EnvironmentRecord, Step
from agc_pipeline.matrix.settings import Versions
from agc_pipeline.measuring.commands import CommandResult, locked, run
from agc_pipeline.provenance import digest

log = logging.getLogger(__name__)

# Messages of uv if the index fails, not the requirements.
_UNREACHABLE = ("error sending request", "Failed to fetch", "Could not connect", "timed out")
TAIL = 30
# Packages that determine the machine code of kernels, besides Python and the kernels.
_COMPILER = ("llvmlite", "numba", "numpy")


@dataclass(frozen=True)
class EnvironmentRequest:
    """An environment to be built.

    Attributes:
        name: of the environment.
        needs: dependencies of the package, with bounds only for the lowest versions.
        requirements: that override the lock.
        lock: text of the lock file.
        python: version or path of the interpreter.
        prerelease: take pre-releases.
        versions: of what is not required.
    """

    name: str
    needs: tuple[str, ...]
    requirements: tuple[str, ...]
    lock: str
    python: str
    prerelease: bool
    versions: Versions = "locked"


@dataclass(frozen=True)
class _Resolution:
    """Result of the resolver: lines, or why there are none."""

    step: Step
    lines: tuple[str, ...] = ()
    unavailable: str | None = None


@dataclass(frozen=True)
class _Commands:
    """Runs commands with a folder for their logs and a time-out."""

    logs: Path
    timeout: float

    def run(self, arguments: Sequence[str], log_name: str) -> CommandResult:
        """Run one, with its output in a file of this name."""
        return run(arguments, self.logs / log_name, timeout=self.timeout)


def build(
    request: EnvironmentRequest, folder: Path, logs: Path, *, timeout: float
) -> EnvironmentRecord:
    """Resolve an environment, and build it unless one with the same content exists.

    A failure is no error but part of the record.

    Args:
        request: the environment.
        folder: of resolved and built environments.
        logs: folder for the output of the commands.
        timeout: seconds for each command.
    """
    record = EnvironmentRecord(
        name=request.name, requirements=request.requirements, python=request.python
    )
    commands = _Commands(logs, timeout)
    version = _python_version(request.python, commands)
    if version is None:
        return record.model_copy(
            update={
                "unavailable": f"Python {request.python} is not installed, and is not downloaded"
            }
        )
    record = record.model_copy(update={"python": version})
    # Once, so that lines and environment are those of the same content of a checkout.
    local = requirements.contents(request.requirements)
    resolution = _resolve(request, version, local, folder / "resolved", commands)
    if resolution.step.problem is not None or resolution.unavailable is not None:
        return record.model_copy(
            update={"steps": (resolution.step,), "unavailable": resolution.unavailable}
        )
    versions = requirements.versions(resolution.lines)
    refreshed = requirements.refreshed(request.requirements)
    # With how it is built: those built in other ways may hold older code of a checkout.
    content = digest([version, resolution.lines, local, *([refreshed] if refreshed else [])])
    record = record.model_copy(
        update={
            "versions": versions,
            "digest": content,
            "steps": (resolution.step,),
        }
    )
    environment = _built(
        record,
        resolution.lines,
        request.python,
        folder / content[:16],
        commands,
        refreshed=refreshed,
    )
    # The version of a checkout is known only after its installation.
    versions = dict(environment.versions)
    for package, origin in requirements.outside(request.requirements).items():
        if package in versions:
            versions[package] = f"{versions[package]} ({origin})"
    return environment.model_copy(
        update={"versions": versions, "changed_versions": changed_versions(request.lock, versions)}
    )


def changed_versions(
    lock: str, versions: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    """Packages whose version is none of the locked ones, with the locked and the resolved one."""
    locked: dict[str, list[str]] = {}
    for line in lock.splitlines():
        for package, version in requirements.versions([line]).items():
            locked.setdefault(package, []).append(version)
    return {
        package: (" or ".join(locked[package]) if package in locked else None, version)
        for package, version in versions.items()
        if version not in locked.get(package, ())
    }


def compiled_code(record: EnvironmentRecord) -> Path:
    """Folder for the machine code of kernels; compiling them takes longer than running them.

    Environments with the locked compiler share it, others have their own: a branch of numba may
    have the version of a release.
    """
    own = Path(str(record.interpreter)).parents[1]
    if any(package in record.changed_versions for package in _COMPILER):
        return own / "numba"
    versions = {package: record.versions.get(package) for package in _COMPILER}
    return own.parent / f"numba-{digest([record.python, versions])[:16]}"


def _python_version(python: str, commands: _Commands) -> str | None:
    command = [uv(), "--no-python-downloads", "python", "find", "--show-version", python]
    result = commands.run(command, "python.log")
    return result.output.split()[-1] if result.succeeded else None


def _resolve(
    request: EnvironmentRequest,
    version: str,
    local: Mapping[str, str],
    folder: Path,
    commands: _Commands,
) -> _Resolution:
    """Lines of the environment.

    Args:
        request: the environment.
        version: of its Python.
        local: digests of wheels and checkouts among its requirements.
        folder: of resolutions.
        commands: what runs the resolver.
    """
    lines = requirements.input_lines(request.needs, request.requirements)
    content = [lines, local, request.lock, version, request.prerelease, request.versions]
    key = digest(content)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    source, resolved = folder / f"{key}.in", folder / f"{key}.txt"
    write_text(source, "\n".join(lines) + "\n")
    # uv prefers the versions in its output file where they do not conflict.
    draft = folder / f"{key}.draft.txt"
    write_text(draft, _preferred(request))
    command = [uv(), "pip", "compile", "--quiet", "--no-annotate", "--no-header"]
    command += ["--no-python-downloads", "--python", request.python]
    command += [f"--upgrade-package={name}" for name in sorted(_names(request.requirements))]
    command += ["--resolution=lowest-direct"] if request.versions == "lowest" else []
    command += ["--prerelease=allow"] if request.prerelease else []
    command += requirements.refreshed(request.requirements)
    result = commands.run([*command, str(source), "--output-file", str(draft)], "resolve.log")
    step = Step(name="resolve", log=str(commands.logs / "resolve.log"))
    if result.succeeded:
        write_text(resolved, draft.read_text(encoding="utf-8"))
    draft.unlink()
    if not result.succeeded and _index_is_missing(result):
        if not resolved.exists():
            return _Resolution(step, unavailable="the package index does not answer")
        log.info(
            "%s: the package index does not answer: using the earlier resolution", request.name
        )
    elif not result.succeeded:
        return _Resolution(failed(step, result, "does not resolve"))
    text = resolved.read_text(encoding="utf-8")
    return _Resolution(step, tuple(line for line in text.splitlines() if line.strip()))


def _preferred(request: EnvironmentRequest) -> str:
    """Lines of the lock file that an environment keeps where it can."""
    if request.versions == "newest":
        return ""
    if request.versions == "locked":
        return request.lock
    direct = _names(request.needs)
    kept = [line for line in request.lock.splitlines() if not direct & _names([line])]
    return "\n".join(kept) + "\n"


def _names(lines: Iterable[str]) -> set[str]:
    """Names of packages that are required, but for checkouts, whose names are not known."""
    return {name for line in lines if (name := requirements.name(line)) is not None}


def _index_is_missing(result: CommandResult) -> bool:
    # The cache of uv may be old: offline, a missing package is no proof.
    offline = os.environ.get("UV_OFFLINE", "").lower() not in ("", "0", "false")
    unreachable = any(message in result.output for message in _UNREACHABLE)
    return offline or unreachable or result.code is None


def _built(
    record: EnvironmentRecord,
    lines: tuple[str, ...],
    python: str,
    folder: Path,
    commands: _Commands,
    *,
    refreshed: Sequence[str],
) -> EnvironmentRecord:
    """The record of the environment in ``folder``, built there if it is not yet.

    Args:
        record: of its resolution.
        lines: that were resolved.
        python: version or path of the interpreter.
        folder: of the environment.
        commands: what runs them.
        refreshed: options of uv for checkouts.
    """
    # Written last: an environment without it was not finished.
    marker = folder / "installed.json"
    step = Step(name="install", log=str(commands.logs / "install.log"))
    with locked(folder.with_suffix(".lock")):
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)
            result = _install(lines, python, folder, commands, refreshed=refreshed)
            if not result.succeeded and _index_is_missing(result):
                return record.model_copy(
                    update={"unavailable": "the package index does not answer"}
                )
            if not result.succeeded:
                shutil.rmtree(folder, ignore_errors=True)
                problem = failed(step, result, "does not install")
                return record.model_copy(update={"steps": (*record.steps, problem)})
            versions = {
                str(canonicalize_name(item["name"])): item["version"]
                for item in _packages(folder, commands)
            }
            write_json(marker, {"install_seconds": result.seconds, "versions": versions})
    installation = read_json(marker)
    return record.model_copy(
        update={
            "versions": installation["versions"],
            "steps": (*record.steps, step),
            "interpreter": str((folder / "bin" / "python").absolute()),
            "install_seconds": installation["install_seconds"],
        }
    )


def _install(
    lines: tuple[str, ...],
    python: str,
    folder: Path,
    commands: _Commands,
    *,
    refreshed: Sequence[str],
) -> CommandResult:
    lines_file = folder.with_suffix(".txt")
    write_text(lines_file, "\n".join(lines) + "\n")
    create = [uv(), "--no-python-downloads", "venv", "--quiet", "--python", python, str(folder)]
    creation = commands.run(create, "venv.log")
    if not creation.succeeded:
        return creation
    # Bytecode is compiled here, where it takes no time of what is compared.
    command = [uv(), "pip", "install", "--quiet", "--no-deps", "--compile-bytecode"]
    command += ["--python", str(folder), "--requirements", str(lines_file), *refreshed]
    return commands.run(command, "install.log")


def _packages(folder: Path, commands: _Commands) -> list[dict[str, str]]:
    """Name and version of each package that is installed in an environment."""
    command = [uv(), "pip", "list", "--quiet", "--format", "json", "--python", str(folder)]
    result = commands.run(command, "list.log")
    packages: list[dict[str, str]] = json.loads(result.output)
    return packages


def failed(step: Step, result: CommandResult, problem: str) -> Step:
    """A step that failed, with the last lines of its output."""
    lines = result.output.strip().splitlines()
    if result.code is None:
        problem = f"{problem}: did not finish within {result.seconds:.0f} s"
    return step.model_copy(
        update={"problem": f"{problem}{_cause(lines)}", "tail": "\n".join(lines[-TAIL:])}
    )


def _cause(lines: list[str]) -> str:
    """The most informative line of an output, after a colon."""
    for start in ("  cause: ", "error: "):
        for line in lines:
            if line.startswith(start):
                return ": " + line.removeprefix(start)
    return f": {lines[-1]}" if lines else ""


def describe(record: EnvironmentRecord) -> str:
    """The environment in one line."""
    if record.unavailable is not None:
        return record.unavailable
    problem = next((step.problem for step in record.steps if step.problem), None)
    changes = [f"{name} {new}" for name, (_, new) in record.changed_versions.items()]
    return problem or f"{len(record.versions)} packages; changed: {', '.join(changes) or 'none'}"


def uv() -> str:
    """Path of uv.

    Raises:
        ServiceError: if it is not installed.
    """
    path = extras.program("uv")
    if path is None:
        raise ServiceError(
            "uv, which builds the environments of the matrix, is not installed",
            place="PATH",
            remedy=extras.remedy("matrix"),
        )
    return path
