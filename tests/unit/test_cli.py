"""The command `agc-pipeline`: version, completion, programs of its environment."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from agc_pipeline import cli, extras
from agc_pipeline.doctor import tools


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"agc-pipeline {version('agc-pipeline')}\n"


def test_bash_completes_commands_and_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli.main(["completion", "bash"])
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)
    completed = (
        f"set -u; . {script}; "
        'complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); '
        "_shtab_agc_pipeline agc-pipeline; echo ${COMPREPLY[@]}; }; "
        "complete_words agc-pipeline do; complete_words agc-pipeline doctor --con; "
        "complete_words agc-pipeline completion z"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", completed], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["doctor", "--configfile", "zsh"], done.stderr


def test_programs_of_the_environment_come_before_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder, text in ((own, "uv 1 of the environment"), (other, "uv 2")):
        folder.mkdir()
        (folder / "uv").write_text(f"#!/bin/sh\necho '{text}'\n")
        (folder / "uv").chmod(0o755)
    (other / "sinfo").write_text("#!/bin/sh\n")
    (other / "sinfo").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    monkeypatch.setenv("PATH", str(other))
    assert tools.uv(timeout=10).detail == "uv 1 of the environment"
    assert extras.program("sinfo") == str(other / "sinfo")
    assert extras.program("condor_q") is None
