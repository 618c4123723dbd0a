"""Folders that outputs may go to."""

import os
import sys
from pathlib import Path

import pytest

from agc_pipeline import places
from agc_pipeline.errors import ConfigurationError


def test_folders_that_can_be_written_to(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new" / "deep", Path("relative")):
        places.check_folder(folder, place="results")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden files count


def test_folders_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file is not a folder"):
        places.check_folder(tmp_path / "file" / "results", place="results")
    # Its owner may write there, but nobody can.
    with pytest.raises(ConfigurationError, match="/proc is not writable"):
        places.check_folder(Path("/proc/results"), place="results")
    # Root may write everywhere: ask as somebody who may not.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="is not writable") as caught:
        places.check_folder(tmp_path / "results", place="results")
    assert caught.value.place == "results"


def test_folders_that_outputs_may_not_go_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, problem in (
        (tmp_path / "file", "file is not a folder"),
        (tmp_path / "project/.venv/x", "a folder of sources"),
        (tmp_path, "contains the folder of the project"),
    ):
        with pytest.raises(ConfigurationError, match=problem) as caught:
            places.check_outputs(folder, place="here", projects=[tmp_path / "project"])
        assert caught.value.place == "here"
    places.check_outputs(tmp_path / "project/x", place="here", projects=[tmp_path / "project"])


def test_modules_of_the_working_folder_are_found_once_and_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        places.use_own_modules()
    assert sys.path == [str(tmp_path), "/elsewhere"]
