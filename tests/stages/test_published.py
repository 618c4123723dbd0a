"""The stage `published` as a process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agc_pipeline import analyses
from agc_pipeline.histograms import read_root
from agc_pipeline.validation import published
from conftest import settings_file


def run(folder: Path, n_files: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "agc_pipeline.stages.published",
            "--settings",
            settings_file(folder, {"analysis": "cms_ttbar", "n_files": n_files}),
            "--histograms",
            str(folder / "histograms.root"),
            "--closure",
            str(folder / "closure.json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_writes_what_merge_would_write(tmp_path: Path) -> None:
    result = run(tmp_path, 5)
    assert result.returncode == 0, result.stderr
    assert "124 histograms" in result.stderr

    histograms = read_root(tmp_path / "histograms.root")
    expected = published.load(analyses.load("cms_ttbar"), 5)
    assert list(histograms) == list(expected)
    for name, histogram in expected.items():
        assert np.array_equal(histograms[name].view(flow=True), histogram.view(flow=True)), name

    closure = json.loads((tmp_path / "closure.json").read_text())
    assert closure["partial"] is False
    assert len(closure["datasets"]) == 9
    ttbar = closure["datasets"]["ttbar__nominal"]
    # Sum of `nevts` of the first five files in nanoaod_inputs.json.
    assert ttbar["n_generated"] == 1334428 + 1297266 + 1337402 + 1228708 + 1191997
    assert ttbar["events_processed"] == ttbar["events_expected"] == ttbar["n_generated"]
    assert ttbar["weight"] == pytest.approx(729.84 * 3378 / ttbar["n_generated"], rel=1e-15)
    selected = histograms["4j2b_ttbar"].sum(flow=True).value / ttbar["weight"]
    assert list(ttbar["cutflow"]) == ["all", "4j1b", "4j2b"]
    assert ttbar["cutflow"]["4j2b"] == pytest.approx(selected, rel=1e-12)
    (source,) = closure["provenance"]["inputs"]
    assert source.startswith("https://github.com/iris-hep/analysis-grand-challenge")


def test_unpublished_number_of_files(tmp_path: Path) -> None:
    result = run(tmp_path, 3)
    assert result.returncode == 1
    assert result.stderr.startswith("error: no published histograms of cms_ttbar for 3 files")
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.root"))
    assert not list(tmp_path.glob("closure*"))
