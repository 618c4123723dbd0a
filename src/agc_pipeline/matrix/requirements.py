"""What an environment must hold: the needs of the package, with what differs from the lock."""

import hashlib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.provenance import file_digest

# What appears in a checkout without being part of it.
_MADE = {"__pycache__", "build", "dist", "node_modules"}


def direct(project: Path, extras: Iterable[str]) -> tuple[str, ...]:
    """Names, with their own extras, of what the package needs.

    Its bounds are left out: whether the package works beyond them is what a matrix is to find
    out. Versions come from the lock file.

    Args:
        project: ``pyproject.toml`` of the package.
        extras: optional dependencies to take as well.

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
                place="extras of the matrix",
                remedy=f"it has {', '.join(optional)}",
            )
        lines += optional[extra]
    found = []
    for requirement in map(Requirement, lines):
        inner = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        found.append(f"{requirement.name}{inner}")
    return tuple(dict.fromkeys(found))


def local_path(requirement: str) -> Path | None:
    """Path of a requirement that is a wheel or a checkout; None for other requirements."""
    is_path = requirement.startswith((".", "/", "~")) or requirement.endswith(".whl")
    return Path(requirement).expanduser().absolute() if is_path else None


def name(requirement: str) -> str | None:
    """Normalised name of the package that a requirement asks for.

    None for a checkout, which does not tell before it is built.

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


def input_lines(needs: Iterable[str], overriding: Iterable[str]) -> tuple[str, ...]:
    """Lines for the resolver: overriding requirements, and what the package needs beside them."""
    paths = {requirement: local_path(requirement) for requirement in overriding}
    lines = [requirement if path is None else str(path) for requirement, path in paths.items()]
    # Bare names beside an overriding requirement do not conflict with it.
    return (*needs, *lines)


def contents(overriding: Iterable[str]) -> dict[str, str]:
    """SHA-256 of wheels and checkouts among requirements, "missing" where there is none."""
    found = {}
    for requirement in overriding:
        path = local_path(requirement)
        if path is None:
            continue
        if path.is_dir():
            found[requirement] = _folder_digest(path)
        else:
            found[requirement] = file_digest(path) if path.is_file() else "missing"
    return found


def outside(overriding: Iterable[str]) -> dict[str, str]:
    """Packages among requirements that come from no index: "local" or "address" by their name.

    Their version may be that of a release.
    """
    found = {}
    for requirement in overriding:
        path = local_path(requirement)
        if path is not None:
            found[str(canonicalize_name(_local(path)[0]))] = "local"
        elif Requirement(requirement).url is not None:
            found[str(canonicalize_name(Requirement(requirement).name))] = "address"
    return found


def versions(resolved: Iterable[str]) -> dict[str, str]:
    """Package to version, or to the address that it comes from, of the resolver's lines.

    A wheel or checkout that was asked for by its path stands there as that path.
    """
    found = {}
    for line in resolved:
        text = line.partition(" ;")[0].strip()
        if re.match(r"^[A-Za-z0-9._-]+==", text):
            package, _, version = text.partition("==")
        elif " @ " in text:
            package, _, address = text.partition(" @ ")
            version = address.rpartition("/")[2] or address
        else:
            package, version = _local(Path(text))
        found[str(canonicalize_name(package))] = version
    return found


def _local(path: Path) -> tuple[str, str]:
    """Name and version of a wheel; of a checkout its name and where it is."""
    if path.suffix == ".whl":
        package, version, _, _ = parse_wheel_filename(path.name)
        return package, str(version)
    project = path / "pyproject.toml"
    content = tomllib.loads(project.read_text(encoding="utf-8")) if project.exists() else {}
    return content.get("project", {}).get("name", path.name), str(path)


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part in _MADE or part.startswith(".") for part in parts):
            digest.update(f"{Path(*parts)}\0{file_digest(path)}\0".encode())
    return digest.hexdigest()
