"""pyproject.toml, the lock file and environment.yml say the same."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT

# Names that differ in conda-forge and bioconda.
CONDA_NAMES = {
    "dask": "dask-core",
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "typing-extensions": "typing_extensions",
}


def _project() -> tuple[list[Requirement], list[Requirement]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return (
        [Requirement(line) for line in project["dependencies"]],
        [Requirement(line) for extra in extras for line in extra],
    )


def test_environment_yml_has_the_same_bounds() -> None:
    dependencies, extras = _project()
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_conda = {}
    for line in environment:
        if isinstance(line, str):
            name, _, bounds = line.partition(" ")
            by_conda[name] = _bounds(bounds)
        else:
            by_pip = {r.name: r.specifier for r in map(Requirement, line["pip"])}
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert by_conda.pop("python") == _bounds(python)
    by_conda.pop("pip")
    assert by_conda == {
        CONDA_NAMES.get(r.name, r.name): _bounds(str(r.specifier)) for r in dependencies
    }
    assert by_pip == {r.name: r.specifier for r in extras}


def test_every_dependency_is_locked_within_its_bounds() -> None:
    locked: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / "lock.txt").read_text().splitlines():
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        locked.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    for requirement in [part for parts in _project() for part in parts]:
        versions = locked[canonicalize_name(requirement.name)]
        assert all(version in requirement.specifier for version in versions)


def test_the_lock_file_names_no_index() -> None:
    text = (ROOT / "requirements" / "lock.txt").read_text()
    assert not re.search(r"https?://|file:|--", text)


def test_the_wheel_has_type_information(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"agc_pipeline/py.typed", "agc_pipeline/results.py"} <= set(names)


def _bounds(text: str) -> set[str]:
    return set(filter(None, re.split(r"[,\s]+", text)))
