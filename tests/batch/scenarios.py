"""What a run on a batch system must stand, the same for each."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from agc_pipeline.files import read_json
from project import DATASETS, Project

# One dataset is taken from the files of another.
HISTOGRAMS = tuple(f"results/histograms/{name}.json" for name in DATASETS)
# What must be the same wherever histograms are filled.
FILLED = ("histograms", "cutflow")
Filled = dict[str, dict[str, Any]]


class SmallestRun(Project):
    """A copy of the project for the default run at its smallest scale, until its histograms.

    Each dataset more is three jobs more, the same as those of the others.
    """

    def write_input(self) -> None:
        """None: the run simulates its input."""

    def configuration(self) -> dict[str, Any]:
        # A file of one chunk for each dataset.
        return {"simulation": {"scale": 0.01}}

    def filled(self) -> Filled:
        """Histograms and cutflow of each dataset."""
        records = {path: read_json(self.folder / path) for path in HISTOGRAMS}
        return {path: {part: record[part] for part in FILLED} for path, record in records.items()}


class PoolProject(SmallestRun):
    """The same on a batch system.

    Args:
        folder: for the copy.
        profile: name of the profile.
        pool: environment in which commands use the pool.
        prefix: what to put before commands.
        modules: folder of modules for all that runs there; None has none.
        options: of Snakemake, on top of the profile.
    """

    def __init__(
        self,
        folder: Path,
        profile: str,
        pool: Mapping[str, str],
        *,
        prefix: Sequence[str] = (),
        modules: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.profile = profile
        self.pool = pool
        self.prefix = prefix
        self.modules = modules
        self.options = options

    def uncomment(self, *lines: str) -> None:
        """Set in the profile what it has as examples."""
        for line in lines:
            self.edit(f"profiles/{self.profile}/config.yaml", f"# {line}", line)

    def arguments(self, *options: str) -> list[str]:
        return [
            *(*self.prefix, sys.executable, "-m", "snakemake"),
            *("--profile", f"profiles/{self.profile}", *self.options),
            *("--configfile", "toy.yaml", "--nocolor", *options),
        ]

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{self.pool['PATH']}"
        places = [self.folder / "src", *([self.modules] if self.modules else [])]
        return {**self.pool, "PYTHONPATH": ":".join(map(str, places)), "PATH": path}

    def output(self, *command: str) -> str:
        """What a command says that is run beside the pool."""
        return subprocess.check_output(
            [*self.prefix, *command],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stderr=subprocess.STDOUT,
        )

    def cancel(self) -> str:
        """Do what the profile does about the jobs of a killed run; gives what it says."""
        return self.output(f"profiles/{self.profile}/cancel")

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / "run.log").open("wb") as log:
            return subprocess.Popen(
                self.arguments(*options),
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def killed_and_resumed(project: PoolProject, laptop: Filled) -> None:
    """Kill the controller in the middle, resume: the bins are those of the laptop."""
    run = project.start(*HISTOGRAMS)
    deadline = time.monotonic() + 600
    while not (finished := _finished(project.folder / "run.log", "deliver")):
        assert run.poll() is None, (project.folder / "run.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # Some deliveries have ended, others run or wait.
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    project.cancel()
    # Nothing is left to cancel.
    assert project.cancel() == ""
    manifests = (project.folder / "results/manifests").glob("*/*.json")
    before = {path: path.stat().st_mtime_ns for path in manifests}

    assert project.run(*HISTOGRAMS, "--unlock").returncode == 0
    resumed = project.run(*HISTOGRAMS)
    assert resumed.returncode == 0, resumed.stdout
    kept = [path for path, mtime in before.items() if path.stat().st_mtime_ns == mtime]
    # What had ended, but was not yet noted as finished, may be done again.
    assert len(kept) >= finished
    assert project.filled() == laptop
    assert project.todo(*HISTOGRAMS) == {}


def _finished(log: Path, rule: str) -> int:
    """How many jobs of a rule are told to be finished."""
    return len(re.findall(rf"^\S+ finished +{rule} ", log.read_text(), re.MULTILINE))


def run_again_at_once(project: PoolProject, laptop: Filled, options: Sequence[str]) -> None:
    """Right after a run, a single job and what needs it, with further options of Snakemake."""
    project.configure()
    one = "results/histograms/wjets__nominal/0000.json"
    at_once = project.run(*HISTOGRAMS, *options, "--forcerun", one)
    assert at_once.returncode == 0, at_once.stdout
    assert len(re.findall(r"^\S+ finished ", at_once.stdout, re.MULTILINE)) == 2
    assert project.filled() == laptop


def too_little_memory_and_a_bad_file(project: PoolProject, memory_message: str) -> None:
    """A job that is killed for its memory succeeds with more; one that cannot is reported."""
    project.configure(resources={"histogram": {"mem_mb": 800}})
    # With that of the stage, which calls no kernel yet, and of Snakemake: too much for 800 MB, well
    # within 1600 MB.
    project.edit(
        "src/agc_pipeline/stages/histogram.py",
        "    execution = options.execution\n",
        "    execution = options.execution\n"
        "    filled = b'x' * 800_000_000\n"
        "    import time; time.sleep(8); del filled\n",
    )
    bad = project.folder / "results/simulated/wjets__nominal/0000.root"
    content = bad.read_bytes()
    bad.write_bytes(content[: len(content) // 2])
    # One dataset that needs memory, and one with the bad file.
    good, lost = (
        project.folder / f"results/histograms/{name}.json"
        for name in ("ttbar__ME_var", "wjets__nominal")
    )
    for path in (good, lost):
        path.unlink()
    done = project.run(*(str(path.relative_to(project.folder)) for path in (good, lost)))
    assert done.returncode != 0
    assert re.search(memory_message, done.stdout), done.stdout
    assert all(file["processed"] == file["after"] for file in read_json(good)["files"])
    # Three attempts, and each of them says why.
    assert done.stdout.count("error: the file is cut off") >= 3
    assert f"where: {bad.relative_to(project.folder)}" in done.stdout
    assert not lost.exists()


def facility(project: PoolProject) -> None:
    """Points of the ladder as jobs of the pool, and by a Dask cluster of its workers."""
    values = yaml.safe_load((project.folder / "config" / "facility.yaml").read_text())
    options = ("--profile", f"profiles/{project.profile}", *project.options)
    dask = {"cluster": project.profile, "memory": "1 GB", "interface": "lo", "timeout": 300}
    values |= {
        "site": project.profile,
        "sample": values["sample"] | {"events": 1000, "files": 2},
        "executors": {
            "jobs": {"snakemake": [*options, "--jobs", "{workers}"], "workers": [1, 2]},
            "dask": {"histograms": {"executor": "dask", "dask": dask}, "workers": [1]},
        },
        "sizes": {"strong": 2, "weak": None, "cold": False, "delivery": 2},
        "run": {"delivery": {"backend": "local"}},
        "repeats": 1,
    }
    (project.folder / "facility.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [
            *(*project.prefix, sys.executable, "-m", "snakemake", "facility", "--cores", "1"),
            *("--nocolor", "--configfile", "toy.yaml", "--config", "facility=facility.yaml"),
        ],
        cwd=project.folder,
        env=project.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    points = {
        path.stem: read_json(path)
        for path in (project.folder / "results/facility/points").glob("*.json")
    }
    assert sorted(points) == [
        f"{executor}+local+{mode}+{workers:05d}+0"
        for executor, mode, workers in (
            ("dask", "strong", 1),
            ("jobs", "delivery", 1),
            ("jobs", "delivery", 2),
            ("jobs", "strong", 1),
            ("jobs", "strong", 2),
        )
    ]
    for name, point in points.items():
        assert point["problem"] is None, point
        assert point["input_events"] == 2000
        if "delivery" in name:
            assert point["delivered"]["bytes_read"] > point["delivered"]["bytes_written"] > 0
            continue
        tasks = [task for job in point["jobs"] for task in job["tasks"]]
        # Of the skims, which have less.
        assert 0 < sum(task["events"] for task in tasks) < 2000
        # A job for each file, or one with all workers.
        assert len(point["jobs"]) == (1 if name.startswith("dask") else 2)
    record = read_json(project.folder / "results/facility/facility.json")
    (jobs,) = (series for series in record["series"] if series["executor"] == "jobs")
    assert jobs["delivery"]["serial_share"]["value"] >= 0
    assert (
        "Deliveries over the ladder" in (project.folder / "results/facility/index.html").read_text()
    )


def dask_workers_as_jobs(project: PoolProject) -> None:
    """Histograms by a Dask cluster on the batch system: the bins stay the same."""
    path = project.folder / "results/histograms/wjets__nominal/0000.json"
    before = read_json(path)
    path.unlink()
    dask = {"cluster": project.profile, "memory": "1 GB", "interface": "lo", "timeout": 300}
    project.configure(histograms={"executor": "dask", "dask": dask, "chunk_size": 200})
    done = project.run(str(path.relative_to(project.folder)))
    assert done.returncode == 0, done.stdout
    made = read_json(path)
    for part in ("histograms", "cutflow", "files"):
        assert made[part] == before[part]
    assert (project.folder / "results/dask/wjets__nominal/0000.html").exists()


def another_analysis(project: PoolProject) -> None:
    """Functions of records in awkward, in jobs and on Dask workers in a job: the same bits."""
    path = project.folder / "higgs/histograms/ZH125_ZZ4lep/0000.json"
    made = []
    for histograms in (
        {"executor": "iterative"},
        {"executor": "dask", "workers": 2, "chunk_size": 9},
    ):
        path.unlink(missing_ok=True)
        project.configure(
            analysis="atlas_hzz",
            results="higgs",
            input={"kind": "simulated"},
            simulation={"scale": 0.1},
            histograms=histograms,
        )
        done = project.run(str(path.relative_to(project.folder)))
        assert done.returncode == 0, done.stdout
        made.append(read_json(path))
    for part in ("histograms", "cutflow", "files"):
        assert made[0][part] == made[1][part]
    assert made[0]["cutflow"]["Signal_region"] > 0
