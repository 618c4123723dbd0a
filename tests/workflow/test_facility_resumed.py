"""The facility as a user meets it: killed, resumed, and what it says then."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import project
from agc_pipeline.facility import summary
from agc_pipeline.files import read_json
from conftest import ROOT

pytestmark = pytest.mark.workflow

N_FILES, N_EVENTS = 2, 3000


def write_settings(folder: Path) -> None:
    values = yaml.safe_load((ROOT / "config" / "facility.yaml").read_text())
    dask = values["executors"]["dask"]
    snakemake = values["executors"]["snakemake"]
    values |= {
        "site": "here",
        "sample": values["sample"] | {"events": N_EVENTS, "files": 1},
        "executors": {
            "processes": {"histograms": {"executor": "futures"}},
            "dask": dask | {"workers": [2]},
            "snakemake": snakemake | {"workers": [2]},
        },
        "workers": [1, 2],
        "sizes": {"strong": N_FILES, "weak": None, "cold": False},
        "repeats": 1,
        "run": values["run"] | {"histograms": {"chunk_size": 1000}},
    }
    values["simulated"]["workers"] = [1, 100]
    (folder / "my-facility.yaml").write_text(yaml.safe_dump(values))


def arguments(folder: Path) -> list[str]:
    return [
        *("facility", "--cores", "2", "--nocolor", "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "profiles" / "default"), "--logger", "agc"),
        *("--config", f"facility={folder / 'my-facility.yaml'}"),
    ]


def test_a_facility_killed_and_resumed(tmp_path: Path) -> None:
    write_settings(tmp_path)
    points = tmp_path / "results/facility/points"
    log = tmp_path / "first.log"
    with log.open("w") as output:
        first = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments(tmp_path)],
            cwd=tmp_path,
            env=project.environment(ROOT / "src"),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # The record of a point is there a moment before Snakemake knows that it is finished.
    while "finished  facility_point" not in log.read_text():
        assert first.poll() is None, log.read_text()
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    finished = {path: path.stat().st_mtime_ns for path in points.glob("*.json")}
    assert 0 < len(finished) < 4
    project.run("snakemake", *arguments(tmp_path), "--unlock", folder=tmp_path)
    told = project.run("snakemake", *arguments(tmp_path), folder=tmp_path)

    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    record = summary.read(tmp_path / "results/facility/facility.json")
    assert record.site == "here"
    names = ["processes, local", "dask, local", "snakemake, local"]
    assert sorted(series.name for series in record.series) == sorted(names)
    for series in record.series:
        assert series.verdict is not None
        assert series.verdict.text in told
        rungs = series.measured("strong")
        assert list(rungs) == ([1, 2] if series.executor == "processes" else [2])
        for (measured,) in rungs.values():
            assert measured.events == N_FILES * N_EVENTS
            assert sum(measured.shares.values()) == pytest.approx(1)
            assert min(measured.shares.values()) >= 0
            assert 0 < measured.bytes_per_event < 1000
            assert measured.share_of_files is not None
            assert 0 < measured.share_of_files < 1
            assert measured.failed_attempts == measured.failed_jobs == 0
            assert sum(worker.events for worker in measured.workers) == measured.events
        # Whether the simulation agrees is for quiet machines to say.
        assert {rung.workers for rung in series.check} == set(rungs)
        assert [point.workers for point in series.predictions["task"]] == [1, 100]
    by_name = {series.executor: series for series in record.series}
    assert by_name["processes"].amdahl is not None
    # As many jobs as files, each in a process of its own.
    (many,) = by_name["snakemake"].measured("strong")[2]
    assert len(many.workers) == N_FILES
    history = read_json(tmp_path / ".facility/history.json")["entries"]
    assert sorted(entry["executor"] for entry in history) == ["dask", "processes", "snakemake"]
    html = (tmp_path / "results/facility/index.html").read_text()
    assert "What limits" in html
    assert 'src="data:image/svg+xml' in html
