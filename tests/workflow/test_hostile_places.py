"""Names that a shell or Snakemake would read as more than names, secrets, modes, killed jobs."""

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from project import Project

pytestmark = pytest.mark.workflow

HOSTILE = "in $(touch boom);`touch boom`&|é'\"*"
SECRET = "hunter2-0123456789abcdef"  # noqa: S105 - of nobody
MANIFEST = "results/manifests/wjets__nominal/0000.json"
TARGET = "results/histograms/wjets__nominal/0000.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("places") / "a b'$(touch boom)é")
    (project.folder / "data").rename(project.folder / HOSTILE)
    values = project.configuration()
    project.configure(
        input=values["input"] | {"mirrors": {"disk": HOSTILE}},
        report={"title": "{x} $(touch boom) `touch boom` <script>alert(1)</script>"},
        # They are part of how histograms are filled, whatever fills them.
        histograms={"dask": {"cluster": "slurm", "prologue": [f"export TOKEN={SECRET}"]}},
    )
    return project


@pytest.fixture(scope="module")
def finished(project: Project) -> tuple[Project, str]:
    """The project with a file of histograms, made with a mask, and what was said."""
    done = project.run("--printshellcmds", "--verbose", "--", TARGET, umask=0o077)
    assert done.returncode == 0, done.stdout
    return project, done.stdout


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_names_are_no_commands(finished: tuple[Project, str]) -> None:
    project, _ = finished
    assert (project.folder / TARGET).is_file()
    assert not list(project.folder.parent.rglob("boom*"))
    # Nor are they patterns of Snakemake, in the whole run.
    assert project.todo("results/report.html")["report"] == 1
    refused = project.run("--config", "results='o $(touch boom);#'", "--dry-run")
    assert refused.returncode == 1
    # What is wrong, and nothing of the rules that found it.
    said = refused.stdout.splitlines()[1:]
    assert [line.split()[0] for line in said] == ["error:", "where:", "remedy:"]
    assert "names of folders here have letters" in said[0]
    assert not list(project.folder.parent.rglob("boom*"))


def test_secrets_are_in_no_argument_log_or_result(finished: tuple[Project, str]) -> None:
    project, told = finished
    assert SECRET not in told
    commands = b"".join(p.read_bytes() for p in files(project.folder / ".snakemake/metadata"))
    assert b"python -m agc_pipeline.stages.histogram --settings results/.settings/" in commands
    settings = project.folder / "results/.settings"
    with_secret = {path for path in files(project.folder) if SECRET.encode() in path.read_bytes()}
    (own,) = with_secret - {project.folder / "toy.yaml"}
    assert own.is_relative_to(settings / "histogram/execution")
    assert {path.stat().st_mode & 0o777 for path in settings.rglob("*.json")} == {0o600}
    assert settings.stat().st_mode & 0o777 == 0o700


def test_a_mask_of_the_user_holds_for_all_results(finished: tuple[Project, str]) -> None:
    project, _ = finished
    results = [project.folder / "results", *(project.folder / "results").rglob("*")]
    assert not [path for path in results if path.stat().st_mode & 0o077]


def test_another_token_reruns_nothing_and_replaces_the_old_one(
    finished: tuple[Project, str],
) -> None:
    project, _ = finished
    values = yaml.safe_load((project.folder / "toy.yaml").read_text())
    values["histograms"]["dask"]["prologue"] = ["export TOKEN=new"]
    (project.folder / "toy.yaml").write_text(yaml.safe_dump(values))
    assert project.todo(TARGET) == {}
    # A run with something to do has no use for the old one.
    (project.folder / TARGET).unlink()
    assert project.run(TARGET).returncode == 0
    stored = [path.read_text() for path in files(project.folder / "results/.settings")]
    assert not any(SECRET in text for text in stored)
    assert any("TOKEN=new" in text for text in stored)


def test_a_killed_job_is_told_at_the_end_with_its_signal_and_log(
    finished: tuple[Project, str],
) -> None:
    project, _ = finished
    code = project.folder / "src/agc_pipeline/stages/histogram.py"
    original = code.read_text()
    kill = "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    code.write_text(re.sub(r'(def run\(.*\n    """.*\n)', rf"\1{kill}", original, count=1))
    try:
        done = project.run(TARGET)
    finally:
        code.write_text(original)
    assert done.returncode == 1
    log = "results/logs/histogram/wjets__nominal/0000.log"
    end = done.stdout.partition("\nFailed after ")[2]
    assert "\n  histogram wjets__nominal 0000: the job was killed by SIGKILL\n" in end
    assert f"\n    log: {log}\n" in end
    assert "error: the job was killed by SIGKILL" in (project.folder / log).read_text()


def test_another_run_with_the_same_results_is_refused(finished: tuple[Project, str]) -> None:
    project, _ = finished
    with (project.folder / "results/.settings/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = project.run("results/histograms/ttbar__nominal/0000.json")
    assert done.returncode == 1
    assert "another run writes to this folder\n  where: results" in done.stdout
    assert not (project.folder / "results/histograms/ttbar__nominal").exists()


def test_results_from_the_future_are_refused(finished: tuple[Project, str]) -> None:
    project, _ = finished
    path = project.folder / MANIFEST
    tomorrow = time.time() + 86400
    os.utime(path, (tomorrow, tomorrow))
    done = project.run("--dry-run", MANIFEST)
    # Snakemake alone would say that there is nothing to do, whatever was changed since.
    assert done.returncode == 1
    assert "a result is dated in the future" in done.stdout
    assert f"where: {MANIFEST}" in done.stdout
    os.utime(path)
    assert project.todo(MANIFEST) == {}


def test_an_input_that_is_replaced_by_an_older_one_is_noticed(
    finished: tuple[Project, str],
) -> None:
    project, _ = finished
    path = project.folder / HOSTILE / "wjets__nominal.0.root"
    status = path.stat()
    assert project.todo(MANIFEST) == {}
    # As after a copy that keeps times, or while the clock was behind.
    os.utime(path, (0, 0))
    assert project.todo(MANIFEST) == {"deliver": 1}
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert project.todo(MANIFEST) == {}


def restricted(command: list[str]) -> list[str]:
    """The command without the rights by which root writes everywhere."""
    if os.geteuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and there is no setpriv to have it not")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]


def test_checkout_configuration_and_input_may_be_read_only(
    finished: tuple[Project, str], tmp_path: Path
) -> None:
    project, _ = finished
    values = yaml.safe_load((project.folder / "toy.yaml").read_text())
    values["input"]["mirrors"]["disk"] = str(project.folder / HOSTILE)
    (project.folder / "absolute.yaml").write_text(yaml.safe_dump(values))
    everything = [project.folder, *project.folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in everything}
    options = ["--configfile", str(project.folder / "absolute.yaml"), "--nocolor", "--", MANIFEST]
    snakefile = ("--snakefile", str(project.folder / "Snakefile"))
    command = restricted(project.arguments(*snakefile, *options))

    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=folder,
            env=project.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        done = run(tmp_path)
        inside = run(project.folder)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / MANIFEST).is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"results", ".snakemake"}
    # Snakemake itself has a traceback for a folder that it cannot work in.
    assert inside.returncode == 1
    assert "the working folder cannot be written to" in inside.stdout
    assert "Traceback" not in inside.stdout


def test_a_job_of_a_cluster_is_that_of_the_plan_or_none(finished: tuple[Project, str]) -> None:
    """On a batch system, jobs read the configuration again."""
    project, _ = finished
    job = (
        *("--target-jobs", "histogram:dataset=wjets__nominal,batch=0000", "--force"),
        *("--allowed-rules", "histogram", "--mode", "remote", "--local-groupid", "x", "--no-hooks"),
    )
    kept = (project.folder / "toy.yaml").read_text()
    values = yaml.safe_load(kept)
    try:
        edited = values | {"physics": values["physics"] | {"luminosity_per_pb": 200}}
        edited["histograms"] = values["histograms"] | {"chunk_size": 77}
        (project.folder / "toy.yaml").write_text(yaml.safe_dump(edited))
        done = project.run(*job)
    finally:
        (project.folder / "toy.yaml").write_text(kept)
    assert done.returncode == 1
    said = (project.folder / "results/logs/histogram/wjets__nominal/0000.log").read_text()
    assert "the configuration was changed during the run" in said
