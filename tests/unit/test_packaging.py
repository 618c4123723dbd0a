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

from agc_pipeline.locks import pins
from conftest import ROOT

# Names that differ in conda-forge and bioconda.
CONDA_NAMES = {
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "typing-extensions": "typing_extensions",
    "xxhash": "python-xxhash",
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


def _locked(file: str) -> dict[str, set[str]]:
    """Versions of each package in a lock file; each of them has hashes."""
    text = (ROOT / "requirements" / file).read_text()
    assert not re.search(r"https?://|file:|--(?!hash=sha256:)", text)
    locked: dict[str, set[str]] = {}
    for line in pins(text):
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert re.search(rf"^{re.escape(line)} \\\n +--hash=sha256:", text, re.MULTILINE)
        locked.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return locked


def test_every_dependency_is_locked_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text()
    (extras,) = re.findall(r"^EXTRAS = (.*)$", makefile, re.MULTILINE)
    # All but the tools of development.
    assert {*extras.split(), "dev", "docs"} == set(optional)
    development = _locked("development.txt")
    contents = {
        "development.txt": optional.keys(),
        "all.txt": extras.split(),
        "run.txt": ("simulation",),
    }
    for file, names in contents.items():
        locked = _locked(file)
        lines = [*project["dependencies"], *(line for name in names for line in optional[name])]
        for requirement in map(Requirement, lines):
            versions = locked[canonicalize_name(requirement.name)]
            assert all(version in requirement.specifier for version in versions)
        # One version of each package everywhere.
        assert all(versions <= development[name] for name, versions in locked.items())
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert _locked("build.txt")[requirement.name] <= development[requirement.name]
    assert _locked("uv.txt") == {"uv": development["uv"]}


def test_a_run_installs_no_more_than_it_needs() -> None:
    locked = _locked("run.txt")
    assert len(locked) <= 140
    assert not locked.keys() & {"moto", "flask", "mlflow-skinny", "tritonclient", "distributed"}


def test_the_wheel_has_type_information(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    expected = {"agc_pipeline/py.typed", "agc_pipeline/results.py"}
    # Snakemake finds it by its name.
    assert expected | {"snakemake_logger_plugin_agc/__init__.py"} <= set(names)


def _bounds(text: str) -> set[str]:
    return set(filter(None, re.split(r"[,\s]+", text)))
