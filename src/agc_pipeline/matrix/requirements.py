"""Requirements of an environment: dependencies of the package, and changes to the lock."""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.provenance import file_digest

# Files of which one is in every checkout of a package.
_PROJECT = ("pyproject.toml", "setup.py")
# Folders in a checkout that are not part of it.
_GENERATED = {"__pycache__", "build", "dist", "node_modules"}


def direct(
    project: Path, extras: Iterable[str], *, place: str, bounds: bool = False
) -> tuple[str, ...]:
    """Names, with their own extras, of the dependencies of the package.

    Bounds are mostly left out: a matrix is to test whether the package works beyond them, and
    versions come from the lock file.

    Args:
        project: ``pyproject.toml`` of the package.
        extras: optional dependencies to take as well.
        place: where these stand.
        bounds: with the bounds of their versions.

    Raises:
        ConfigurationError: for an extra that the package does not have.
    """
    content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    optional = content["optional-dependencies"]
    lines = list(content["dependencies"])
    for extra in extras:
        if extra not in optional:
            raise ConfigurationError(
                f"the package has no extra {extra!r}",
                place=place,
                remedy=f"it has {', '.join(optional)}",
            )
        lines += optional[extra]
    dependencies = []
    for requirement in map(Requirement, lines):
        inner = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        specifier = requirement.specifier if bounds else ""
        dependencies.append(f"{requirement.name}{inner}{specifier}")
    return tuple(dict.fromkeys(dependencies))


def local_path(requirement: str) -> Path | None:
    """Path of a requirement that is a wheel or a checkout; None for other requirements."""
    named = requirement.endswith(".whl") and "://" not in requirement
    is_path = named or requirement.startswith((".", "/", "~"))
    # That of pathlib fails for the home of nobody.
    return Path(os.path.expanduser(requirement)).absolute() if is_path else None  # noqa: PTH111


def name(requirement: str) -> str | None:
    """Normalised name of the package of a requirement.

    None for a checkout, whose name is not known before it is built.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    path = local_path(requirement)
    try:
        if path is None:
            return canonicalize_name(Requirement(requirement).name)
        return parse_wheel_filename(path.name)[0] if path.suffix == ".whl" else None
    except (InvalidRequirement, ValueError) as error:
        raise ConfigurationError(
            f"not a requirement: {requirement!r}: {' '.join(str(error).split())}",
            place="environments of the matrix",
            remedy="write it as pip reads it, e.g. coffea==2026.9.0, or as the path of a wheel",
        ) from error


def check(overriding: Sequence[str], lock: Iterable[str], *, place: str) -> None:
    """Check requirements before anything is made of them.

    Args:
        overriding: requirements of an environment.
        lock: lines of the lock file.
        place: where they stand.

    Raises:
        ConfigurationError: for one that cannot be read, whose wheel or checkout is not there, or
            that is the name of a folder; and for two of which no version of a package is both.
    """
    for requirement in overriding:
        try:
            name(requirement)
        except ConfigurationError as error:
            raise ConfigurationError(error.problem, place=place, remedy=error.remedy) from error
        path = local_path(requirement)
        if path is not None and not path.exists():
            raise ConfigurationError(
                f"there is no wheel or checkout {requirement!r}: {path} does not exist",
                place=place,
                remedy="correct the path, which is relative to the working folder, or make it",
            )
        if path is not None and path.is_dir() and not any((path / f).exists() for f in _PROJECT):
            raise ConfigurationError(
                f"{requirement!r} is no checkout of a package: {path} has neither "
                f"{' nor '.join(_PROJECT)}",
                place=place,
                remedy="name the folder of the checkout in which one of them is, or a wheel",
            )
        # What the lock has is a package, whatever folders there are.
        if path is None and Path(requirement).is_dir() and requirement not in versions(lock):
            raise ConfigurationError(
                f"{requirement!r} would be the newest release of a package of this name, and is a "
                "folder here",
                place=place,
                remedy=f"write ./{requirement} if it is a checkout, or {requirement}>=0 if the "
                "release is meant",
            )
    for package, lines in _by_package(overriding).items():
        if len(lines) > 1 and not _agree(lines):
            raise ConfigurationError(
                f"no version of {package} can be {' and '.join(map(repr, lines))}",
                place=place,
                remedy="leave one of them, or define an environment for each",
            )


def _by_package(overriding: Iterable[str]) -> dict[str, list[str]]:
    """Requirements by the package that they are of; without those for some machines only."""
    packages: dict[str, list[str]] = {}
    for requirement in overriding:
        path = local_path(requirement)
        if path is not None:
            packages.setdefault(str(canonicalize_name(_local(path)[0])), []).append(requirement)
        elif (read := Requirement(requirement)).marker is None:
            packages.setdefault(str(canonicalize_name(read.name)), []).append(requirement)
    return packages


def _agree(lines: Iterable[str]) -> bool:
    """Whether requirements of one package have at most one source, and fit the versions named."""
    sources, bounds, named = set(), SpecifierSet(), set()
    for line in lines:
        path = local_path(line)
        if path is not None:
            sources.add(str(path))
            named |= {_local(path)[1]} if path.suffix == ".whl" else set()
            continue
        requirement = Requirement(line)
        sources |= {requirement.url} if requirement.url is not None else set()
        bounds &= requirement.specifier
        named |= {
            entry.version
            for entry in requirement.specifier
            if entry.operator == "==" and not entry.version.endswith(".*")
        }
    return len(sources) <= 1 and all(bounds.contains(one, prereleases=True) for one in named)


def input_lines(needs: Iterable[str], overriding: Iterable[str]) -> tuple[str, ...]:
    """Lines for the resolver: dependencies of the package, and overriding requirements."""
    paths = {requirement: local_path(requirement) for requirement in overriding}
    lines = [requirement if path is None else str(path) for requirement, path in paths.items()]
    # Bare names beside an overriding requirement do not conflict with it.
    return (*needs, *lines)


def contents(overriding: Iterable[str]) -> dict[str, str]:
    """SHA-256 of wheels and checkouts among requirements, "missing" where one is gone by now."""
    digests = {}
    for requirement in overriding:
        path = local_path(requirement)
        if path is None:
            continue
        if path.is_dir():
            digests[requirement] = _folder_digest(path)
        else:
            digests[requirement] = file_digest(path) if path.is_file() else "missing"
    return digests


def outside(overriding: Iterable[str]) -> dict[str, str]:
    """Packages among requirements that come from no index: "local" or "address" by their name.

    Their version may be that of a release.
    """
    origins = {}
    for requirement in overriding:
        path = local_path(requirement)
        if path is not None:
            origins[str(canonicalize_name(_local(path)[0]))] = "local"
        elif Requirement(requirement).url is not None:
            origins[str(canonicalize_name(Requirement(requirement).name))] = "address"
    return origins


def refreshed(overriding: Iterable[str]) -> list[str]:
    """Options by which uv builds the checkouts among requirements from what they hold now.

    It takes an earlier build as long as `pyproject.toml` is as old as it was.
    """
    checkouts = [
        path
        for path in map(local_path, overriding)
        if path is not None and path.suffix != ".whl" and path.is_dir()
    ]
    if all(_project(path).get("name") for path in checkouts):
        return [f"--refresh-package={_local(path)[0]}" for path in checkouts]
    # Only their own code knows how they are called.
    return ["--refresh"]


def versions(resolved: Iterable[str]) -> dict[str, str]:
    """Package to version, or to the address that it comes from, of the resolver's lines.

    A wheel or checkout that is required by its path is listed as that path.
    """
    versions = {}
    for line in resolved:
        text = line.partition(" ;")[0].strip()
        if re.match(r"^[A-Za-z0-9._-]+==", text):
            package, _, version = text.partition("==")
        elif " @ " in text:
            package, _, address = text.partition(" @ ")
            version = address.rpartition("/")[2] or address
        else:
            package, version = _local(Path(text))
        versions[str(canonicalize_name(package))] = version
    return versions


def _local(path: Path) -> tuple[str, str]:
    """Name and version of a wheel; name and path of a checkout."""
    if path.suffix == ".whl":
        package, version, _, _ = parse_wheel_filename(path.name)
        return package, str(version)
    return _project(path).get("name", path.name), str(path)


def _project(checkout: Path) -> dict[str, Any]:
    """What a checkout says of itself."""
    path = checkout / "pyproject.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    project: dict[str, Any] = content.get("project", {})
    return project


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part in _GENERATED or part.startswith(".") for part in parts):
            digest.update(f"{Path(*parts)}\0{file_digest(path)}\0".encode())
    return digest.hexdigest()
