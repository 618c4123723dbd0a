"""What a run on a batch system must stand, the same for each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agc_pipeline.files import read_json
from project import Project

HISTOGRAMS = "results/histograms.root"


class PoolProject(Project):
    """A copy of the project that runs on a batch system.

    Args:
        folder: for the copy.
        profile: name of the profile.
        pool: environment in which commands use the pool.
        prefix: what to put before commands.
        options: of Snakemake, on top of the profile.
    """

    def __init__(
        self,
        folder: Path,
        profile: str,
        pool: Mapping[str, str],
        *,
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.profile = profile
        self.pool = pool
        self.prefix = prefix
        self.options = options

    def arguments(self, *options: str) -> list[str]:
        return [
            *(*self.prefix, sys.executable, "-m", "snakemake"),
            *("--profile", f"profiles/{self.profile}", *self.options),
            *("--configfile", "toy.yaml", "--nocolor", *options),
        ]

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{self.pool['PATH']}"
        return {**self.pool, "PYTHONPATH": str(self.folder / "src"), "PATH": path}

    def cancel(self) -> str:
        """Do what the profile does about the jobs of a killed run; gives what it says."""
        command = [*self.prefix, f"profiles/{self.profile}/cancel"]
        return subprocess.check_output(
            command, cwd=self.folder, env=self.environment(), text=True, stderr=subprocess.STDOUT
        )

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / "run.log").open("wb") as log:
            return subprocess.Popen(
                self.arguments(*options),
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def killed_resumed_and_run_again(project: PoolProject, laptop: Project) -> None:
    """Kill the controller, resume, run again at once: the bins are those of the laptop."""
    run = project.start(HISTOGRAMS)
    manifests = project.folder / "results/manifests"
    deadline = time.monotonic() + 300
    while not list(manifests.glob("*/*.json")):
        assert run.poll() is None, (project.folder / "run.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # Some deliveries have ended, others run or wait.
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    project.cancel()
    # Nothing is left to cancel.
    assert project.cancel() == ""
    before = {path: path.stat().st_mtime_ns for path in manifests.glob("*/*.json")}

    assert project.run(HISTOGRAMS, "--unlock").returncode == 0
    resumed = project.run(HISTOGRAMS)
    assert resumed.returncode == 0, resumed.stdout
    again = [path for path, mtime in before.items() if path.stat().st_mtime_ns != mtime]
    # What had just ended may not yet have been noted as finished.
    assert len(again) <= 2
    assert project.contents() == laptop.contents()

    one = "results/histograms/wjets__nominal/0000.json"
    at_once = project.run(HISTOGRAMS, "--forcerun", one)
    assert at_once.returncode == 0, at_once.stdout
    assert at_once.stdout.count("Finished jobid") == 3
    assert project.contents() == laptop.contents()
    assert project.todo(HISTOGRAMS) == {}


def too_little_memory_and_a_bad_file(project: PoolProject, memory_message: str) -> None:
    """A job that is killed for its memory succeeds with more; one that cannot is reported."""
    project.configure(resources={"histogram": {"mem_mb": 300}})
    # On top of the 200 MB or so of each process: too much for 300 MB, well within 900 MB.
    project.edit(
        "src/agc_pipeline/stages/histogram.py",
        "    settings = command.settings(",
        "    filled = bytearray(b'x' * 250_000_000)\n"
        "    import time; time.sleep(8); del filled\n"
        "    settings = command.settings(",
    )
    bad = project.folder / "data/wjets__nominal.0.root"
    content = bad.read_bytes()
    bad.write_bytes(content[: len(content) // 2])
    # One dataset that needs memory, and one with the bad file.
    done = project.run(
        "results/histograms/ttbar__ME_var.json", "results/histograms/wjets__nominal.json"
    )
    assert done.returncode != 0
    assert memory_message in done.stdout, done.stdout
    summed = read_json(project.folder / "results/histograms/ttbar__ME_var.json")
    assert all(file["processed"] == file["after"] for file in summed["files"])
    # Three attempts, and each of them says why.
    assert done.stdout.count("error: the file is cut off") >= 3
    assert "where: data/wjets__nominal.0.root" in done.stdout
    assert not (project.folder / "results/histograms/wjets__nominal.json").exists()


def dask_workers_as_jobs(project: PoolProject, laptop: Project) -> None:
    """Histograms by a Dask cluster on the batch system: the bins are those of the laptop."""
    dask = {"cluster": project.profile, "memory": "1 GB", "interface": "lo", "timeout": 300}
    project.configure(histograms={"executor": "dask", "dask": dask, "chunk_size": 200})
    name = "results/histograms/wjets__nominal.json"
    run = [*project.prefix, *Project.arguments(project, name)]
    environment = project.environment()
    done = subprocess.run(
        run, cwd=project.folder, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made, expected = (read_json(p.folder / name) for p in (project, laptop))
    for part in ("histograms", "cutflow", "files"):
        assert made[part] == expected[part]
    assert (project.folder / "results/dask/wjets__nominal/0000.html").exists()
