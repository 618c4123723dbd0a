"""The matrix as a user meets it: environments from the package index, and what is made of them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import wheels
from agc_pipeline.files import read_json
from conftest import ROOT

pytestmark = pytest.mark.matrix

EXPECTED = {
    "lock": "works",
    "same": "works",
    "shifted": "different",
    "sleeping": "slower",
    "raising": "broken",
    "unresolvable": "broken",
    "no-python": "untested",
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
        values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
        values |= {
            "environments": {
                "lock": {},
                # The locked version, by another name: nothing is built for it.
                "same": {"requirements": ["coffea"]},
                "shifted": {"requirements": [made["shift"]]},
                "sleeping": {"requirements": [made["sleep"]]},
                "raising": {"requirements": [made["raise"]], "expect": "broken"},
                "unresolvable": {"requirements": ["coffea==2099.1"], "expect": "broken"},
                "no-python": {"python": "3.99"},
            },
            "cells": {"include": [{"input": "rntuple"}, {"input": "skim"}]},
        }
        (folder / "matrix.yaml").write_text(yaml.safe_dump(values))

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

    def verdicts(self) -> dict[str, str]:
        found = read_json(self.folder / "results/matrix/matrix.json")["cells"]
        return {item["cell"]["name"]: item["verdict"] for item in found}

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
    assert matrix.verdicts() == EXPECTED, done.stdout
    cells = {
        item["cell"]["name"]: item["cell"]
        for item in read_json(matrix.folder / "results/matrix/matrix.json")["cells"]
    }
    assert cells["same"]["histograms"]["grade"] == "bit"
    assert cells["same"]["environment"]["digest"] == cells["lock"]["environment"]["digest"]
    assert cells["shifted"]["histograms"]["differences"]
    assert "is broken" in cells["raising"]["steps"][-1]["problem"]
    assert "no version of coffea==2099.1" in cells["unresolvable"]["steps"][0]["problem"]


def test_surprises_are_the_exit_status(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    _, done, _ = resumed
    assert done.returncode != 0
    assert "2 of 9 cells are not as expected: shifted (different), sleeping (slower)" in done.stdout


def test_what_separates_is_the_wheel(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    matrix, _, _ = resumed
    found = read_json(matrix.folder / "results/matrix/matrix.json")["separations"]
    by_name = {item["bad"]: item["changes"] for item in found}
    assert [change["what"] for change in by_name["shifted"]] == ["coffea"]
    assert [change["what"] for change in by_name["unresolvable"]] == ["requirements"]


def test_finished_cells_are_not_run_again(resumed: tuple[Matrix, Any, dict[str, int]]) -> None:
    matrix, _, first = resumed
    now = matrix.written()
    assert first
    assert {name: now[name] for name in first} == first


def test_built_environments_run_without_an_index(
    resumed: tuple[Matrix, Any, dict[str, int]],
) -> None:
    matrix, _, _ = resumed
    shutil.rmtree(matrix.folder / "results")
    done = matrix.run(**NO_INDEX)
    # What never resolved cannot be told from what the index does not give.
    assert matrix.verdicts() == EXPECTED | {"unresolvable": "untested"}, done.stdout
