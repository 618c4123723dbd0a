"""The facility as a user meets it: killed, resumed, and what it says then."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import project
import toy
from agc_pipeline.facility import summary
from agc_pipeline.files import read_json
from conftest import ROOT
from oracle.strategies import write_nanoaod

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


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            # It has ended, or is another user's.
            continue
    return found


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
    # What a point had started would go on beside the next run.
    patience = time.monotonic() + 60
    while left := processes_in(tmp_path):
        assert time.monotonic() < patience, left
        time.sleep(0.1)
    finished = {path: path.stat().st_mtime_ns for path in points.glob("*.json")}
    assert 0 < len(finished) < 4
    project.run("snakemake", *arguments(tmp_path), "--unlock", folder=tmp_path)
    told = project.run("snakemake", *arguments(tmp_path), folder=tmp_path)

    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    record = summary.read(tmp_path / "results/facility/facility.json")
    assert record.site == "here"
    # What is compiled once was so before the first point.
    kernels = tmp_path / "results/facility/inputs/local/kernels.log"
    assert "finished  histogram ttbar__nominal 0000" in kernels.read_text()
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


def replaced_unnoticed(path: Path, content: bytes) -> None:
    """Write a file of events as one of the same size and time: nothing is delivered again."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_failed_is_taken_again_by_the_same_command(tmp_path: Path) -> None:
    write_settings(tmp_path)
    path = tmp_path / "my-facility.yaml"
    values = yaml.safe_load(path.read_text())
    inputs = {}
    for number, name in enumerate(("good", "broken", "lost"), 1):
        write_nanoaod(tmp_path / f"{name}.root", toy.events(500, seed=number))
        fileset = {"ttbar__nominal": {"files": {f"{name}.root": "Events"}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(fileset))
        inputs[name] = {"input": {"kind": "fileset", "path": f"{name}.json"}}
    values |= {
        "inputs": inputs,
        "executors": {"processes": {"histograms": {"executor": "futures"}}},
        "workers": [1],
        "sizes": {"strong": 1, "weak": None, "cold": False},
    }
    path.write_text(yaml.safe_dump(values))
    # The delivery of one input fails, and the point of another.
    whole = {name: (tmp_path / f"{name}.root").read_bytes() for name in inputs}
    (tmp_path / "broken.root").write_bytes(whole["broken"][:1000])
    # This target alone delivers.
    target = "results/facility/inputs/lost.json"
    project.run("snakemake", target, *arguments(tmp_path)[1:], folder=tmp_path)
    damaged = bytearray(whole["lost"])
    damaged[len(damaged) // 4 : len(damaged) // 2] = bytes(len(damaged) // 2 - len(damaged) // 4)
    replaced_unnoticed(tmp_path / "lost.root", bytes(damaged))
    failed = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments(tmp_path)],
        cwd=tmp_path,
        env=project.environment(ROOT / "src"),
        text=True,
        capture_output=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "2 of 3 points have no result; " in failed.stderr
    assert "the same command takes these points again" in failed.stderr

    records = {name: tmp_path / f"results/facility/inputs/{name}.json" for name in inputs}
    points = {
        name: tmp_path / f"results/facility/points/processes+{name}+strong+00001+0.json"
        for name in inputs
    }
    problems = {name: read_json(file)["problem"] for name, file in points.items()}
    assert problems["good"] is read_json(records["lost"])["problem"] is None
    assert read_json(records["broken"])["problem"] == problems["broken"]
    kept = {file: file.stat().st_mtime_ns for file in (points["good"], records["lost"])}
    (tmp_path / "broken.root").write_bytes(whole["broken"])
    replaced_unnoticed(tmp_path / "lost.root", whole["lost"])
    told = project.run("snakemake", *arguments(tmp_path), folder=tmp_path)
    assert "2 facility_point" in told
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    record = summary.read(tmp_path / "results/facility/facility.json")
    for series in record.series:
        (measured,) = series.measured("strong")[1]
        assert measured.events == 500
    # Nothing is left to be taken, but for what prints.
    assert "1 job: facility\n" in project.run("snakemake", *arguments(tmp_path), folder=tmp_path)
