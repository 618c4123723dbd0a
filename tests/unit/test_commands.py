"""What a command says went wrong, and what is left of it if it is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import project
from agc_pipeline.measuring.commands import CommandResult, run
from conftest import ROOT

# As Snakemake has a shell run a job, and the job a command with processes of its own.
JOB = """
import sys
from pathlib import Path
from agc_pipeline.measuring.commands import run

script = 'echo $$ > "$0/shell"; sleep 600 & echo $! > "$0/sleep"; wait'
run(["sh", "-c", script, sys.argv[1]], Path(sys.argv[1]) / "log", timeout=600)
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "08:00:01 failed    deliver\nerror: file not found\n  where: fast.json\n  remedy: none",
            "file not found (fast.json)",
        ),
        ("error: the disk is full\nerror: another\n  where: b", "the disk is full"),
        (
            "usage: snakemake [-h]\n__main__.py: error: unrecognized arguments: --corez",
            "unrecognized arguments: --corez",
        ),
        ("Traceback:\n  ...\nzlib.error: no\nOSError: no disk\nKeyError: 'x'", "OSError: no disk"),
        ("an error: in the middle of a line, and ValueErrors", None),
        ("", None),
    ],
)
def test_error_of_a_command(output: str, expected: str | None) -> None:
    assert CommandResult(code=1, output=output, seconds=1.0, cpu_seconds=1.0).error == expected


def number(path: Path) -> int:
    """What a process wrote of itself."""
    while not path.exists() or not path.read_text().strip():
        time.sleep(0.02)
    return int(path.read_text())


def end(*processes: int) -> None:
    """Wait for the end of processes, which go on for minutes if nobody ends them."""
    patience = time.monotonic() + 60
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < patience, "processes go on"
        time.sleep(0.02)


@pytest.mark.parametrize("killed", ["snakemake", "job", "group"])
def test_nothing_goes_on_of_a_command_whose_job_or_workflow_is_killed(
    killed: str, tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(JOB)
    job = f"{sys.executable} {tmp_path}/job.py {tmp_path} & echo $! > {tmp_path}/job; wait"
    workflow = tmp_path / "snakemake"
    workflow.write_text(f"import subprocess\nsubprocess.run(['bash', '-c', {job!r}])\n")
    started = subprocess.Popen(
        [sys.executable, str(workflow)],
        env=project.environment(ROOT / "src"),
        start_new_session=True,
    )
    own = [number(tmp_path / name) for name in ("job", "shell", "sleep")]
    assert all(Path(f"/proc/{process}").exists() for process in own)
    if killed == "group":
        os.killpg(started.pid, signal.SIGKILL)
    else:
        os.kill(started.pid if killed == "snakemake" else own[0], signal.SIGKILL)
    started.wait()
    end(*own)


# Killed where it would have something watch over the command.
UNWATCHED = """
import os, signal, sys
from pathlib import Path
from agc_pipeline.measuring import commands

def killed(group):
    Path(sys.argv[1], "group").write_text(str(group))
    os.kill(os.getpid(), signal.SIGKILL)

commands._ends_with_this_process = killed
script = 'echo > "$0/begun"; sleep 600'
commands.run(["sh", "-c", script, sys.argv[1]], Path(sys.argv[1]) / "log", timeout=600)
"""


def test_a_command_does_not_begin_before_it_is_watched(tmp_path: Path) -> None:
    command = (sys.executable, "-c", UNWATCHED, str(tmp_path))
    ended = subprocess.run(command, env=project.environment(ROOT / "src"), check=False)
    assert ended.returncode == -signal.SIGKILL
    end(number(tmp_path / "group"))
    assert not (tmp_path / "begun").exists()


def test_a_command_that_ends_or_takes_too_long_leaves_nothing(tmp_path: Path) -> None:
    script = 'sleep 600 & echo $! > "$0/$1"; exit 3'
    ended = run(["sh", "-c", script, str(tmp_path), "a"], tmp_path / "log", timeout=60)
    assert ended.code == 3
    script = 'sleep 600 & echo $! > "$0/$1"; wait'
    late = run(["sh", "-c", script, str(tmp_path), "b"], tmp_path / "log", timeout=0.3)
    assert late.code is None
    end(number(tmp_path / "a"), number(tmp_path / "b"))


def test_cpu_time_is_that_of_all_processes_below(tmp_path: Path) -> None:
    # Half a second each, of the command and of a process that it starts.
    busy = "import time\nwhile time.process_time() < 0.5: pass\n"
    code = f"import subprocess, sys\n{busy}subprocess.run([sys.executable, '-c', {busy!r}])"
    result = run([sys.executable, "-c", code], tmp_path / "log", timeout=60)
    assert result.succeeded
    assert result.cpu_seconds >= 1.0
