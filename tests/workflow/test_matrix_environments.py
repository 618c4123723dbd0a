"""The matrix as a user meets it: environments from the package index, and what is made of them."""

import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

import wheels
from agc_pipeline.files import read_json
from conftest import ROOT

pytestmark = pytest.mark.matrix

# Of the package index; that one of them is slower than the lock would be nothing to complain of.
RELEASES = {
    "coffea-newest": {"requirements": ["coffea"]},
    "coffea-older": {"requirements": ["coffea==2026.7.0"]},
    "uproot-older": {"requirements": ["uproot==5.7.4"]},
    "awkward-older": {"requirements": ["awkward==2.12.0"]},
    "uproot-newest": {"requirements": ["uproot"]},
    "awkward-newest": {"requirements": ["awkward"]},
    "pre-release": {"requirements": ["coffea==2026.6.0rc1"]},
    "pre-releases": {"requirements": ["coffea", "uproot", "awkward"], "prerelease": True},
}
# Every environment fills its histograms by coffea: the other reader would not notice the edits.
COFFEA = "+reader-coffea"
EXPECTED = {
    "lock": "works",
    f"lock{COFFEA}": "works",
    f"shifted{COFFEA}": "different",
    f"sleeping{COFFEA}": "slower",
    f"raising{COFFEA}": "broken",
    f"unresolvable{COFFEA}": "broken",
    f"no-python{COFFEA}": "untested",
    "lock+input-rntuple": "works",
    "lock+input-skim": "works",
}
CELLS = Path("results/matrix/cells")
# Nothing listens there.
NO_INDEX = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}


class Matrix:
    """A folder to run a matrix in; environments are kept in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = {label: str(wheels.edited("coffea", label, folder)) for label in wheels.EDITS}
        self.environments = {
            "lock": {},
            **RELEASES,
            "shifted": {"requirements": [made["shift"]]},
            "sleeping": {"requirements": [made["sleep"]]},
            "raising": {"requirements": [made["raise"]], "expect": "broken"},
            "unresolvable": {"requirements": ["coffea==2099.1"], "expect": "broken"},
            "no-python": {"python": "3.99"},
        }
        self.write(
            self.environments,
            {
                "matrix": {"reader": ["coffea"]},
                "include": [{"input": "rntuple"}, {"input": "skim"}],
            },
        )

    def write(self, environments: dict[str, Any], cells: dict[str, Any]) -> None:
        """Write the matrix to run."""
        values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
        values |= {"environments": environments, "cells": cells}
        (self.folder / "matrix.yaml").write_text(yaml.safe_dump(values))

    def arguments(self, *options: str) -> list[str]:
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--workflow-profile", str(ROOT / "profiles" / "default"), "--cores", "2"),
            *("--nocolor", "--config", f"matrix={self.folder / 'matrix.yaml'}"),
            *(*options, "--", "matrix"),
        ]

    def environment(self, **changes: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")} | changes

    def run(self, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(*options),
            cwd=self.folder,
            env=self.environment(**changes),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def judged(self) -> dict[str, Any]:
        """The cells of the last page by name, with their verdicts."""
        found = read_json(self.folder / "results/matrix/matrix.json")["cells"]
        return {item["cell"]["name"]: item for item in found}

    def verdicts(self) -> dict[str, str]:
        return {name: item["verdict"] for name, item in self.judged().items()}

    def written(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (self.folder / CELLS).glob("*.json")}


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Matrix, Any, dict[str, int]]:
    """A matrix that was killed behind its first cell and resumed; with the first records."""
    probe = ["uv", "pip", "compile", "--quiet", "--no-cache", "-"]
    asked = subprocess.run(probe, input="wheel", capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        pytest.skip(f"no package index: {asked.stderr.strip().splitlines()[0]}")
    matrix = Matrix(tmp_path_factory.mktemp("matrix"))
    run = subprocess.Popen(
        matrix.arguments(),
        cwd=matrix.folder,
        env=matrix.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 1800
    while not (matrix.folder / CELLS / "lock.json").exists():
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    # Snakemake has noted that the job is done.
    time.sleep(5)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    first = matrix.written()
    assert matrix.run("--unlock").returncode == 0
    return matrix, matrix.run(), first


def test_every_cell_is_classified(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    matrix, done, _ = resumed
    verdicts = matrix.verdicts()
    releases = {name: verdicts.pop(f"{name}{COFFEA}") for name in RELEASES}
    assert verdicts == EXPECTED, done.stdout
    assert set(releases.values()) <= {"works", "slower"}, done.stdout
    cells = {name: item["cell"] for name, item in matrix.judged().items()}
    lock = cells["lock"]["environment"]
    for name, asked in RELEASES.items():
        cell = cells[f"{name}{COFFEA}"]
        found = cell["environment"]
        # Nothing is built or run where the newest release is the locked one.
        assert (found["digest"] == lock["digest"]) == (not found["changed_versions"])
        if found["changed_versions"]:
            assert cell["histograms"]["grade"] in ("bit", "tolerance")
        else:
            assert cell["same_environment"]
            assert not cell["stages"]
        for requirement in asked["requirements"]:
            package, _, version = requirement.partition("==")
            assert found["versions"][package] == (version or found["versions"][package])
            assert not version or package in found["changed_versions"]
    assert cells[f"lock{COFFEA}"]["histograms"]["grade"] == "bit"
    assert cells[f"shifted{COFFEA}"]["histograms"]["differences"]
    assert "is broken" in cells[f"raising{COFFEA}"]["steps"][-1]["problem"]
    unresolvable = cells[f"unresolvable{COFFEA}"]["steps"][0]["problem"]
    assert "no version of coffea==2099.1" in unresolvable


def test_surprises_are_the_exit_status(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    matrix, done, _ = resumed
    assert done.returncode != 0
    # Where it happens, and again at the end.
    (cells,) = {
        line.partition("cells are not as expected: ")[2]
        for line in done.stdout.splitlines()
        if "cells are not as expected" in line
    }
    told = cells.split(", ")
    assert {f"shifted{COFFEA} (different)", f"sleeping{COFFEA} (slower)"} <= set(told)
    (suite,) = ET.parse(matrix.folder / "results/matrix/junit.xml").getroot()  # noqa: S314
    assert int(suite.get("failures", 0)) + int(suite.get("errors", 0)) == len(told)


def test_what_separates_is_the_wheel(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    matrix, _, _ = resumed
    found = read_json(matrix.folder / "results/matrix/matrix.json")["separations"]
    by_name = {item["bad"]: item["changes"] for item in found}
    assert [change["what"] for change in by_name[f"shifted{COFFEA}"]] == ["coffea"]
    assert [change["what"] for change in by_name[f"unresolvable{COFFEA}"]] == ["requirements"]


def test_finished_cells_are_not_run_again(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    matrix, _, first = resumed
    now = matrix.written()
    assert first
    assert {name: now[name] for name in first} == first


def test_built_environments_run_without_an_index(
    resumed: tuple[Matrix, Any, dict[str, int]],
) -> None:
    matrix, _, _ = resumed
    before = {name: item["cell"]["environment"] for name, item in matrix.judged().items()}
    shutil.rmtree(matrix.folder / "results")
    names = ("lock", "awkward-older", "unresolvable")
    matrix.write({name: matrix.environments[name] for name in names}, {"matrix": {}})
    done = matrix.run(**NO_INDEX)
    verdicts = matrix.verdicts()
    # What never resolved cannot be told from what the index does not give.
    assert verdicts.pop("unresolvable") == "untested"
    assert verdicts.pop("lock") == "works", done.stdout
    assert verdicts.pop("awkward-older") in ("works", "slower")
    assert not verdicts
    found = matrix.judged()["awkward-older"]["cell"]["environment"]
    assert found["digest"] == before[f"awkward-older{COFFEA}"]["digest"]
