"""The stage `workspace`."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyhf
import pytest

from agc_pipeline.files import read_json, write_json
from agc_pipeline.histograms import read_root, write_root
from agc_pipeline.provenance import digest

Command = Callable[..., str | None]


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """The stage makes cabinetry and pyhf quiet for its process, not for other tests."""
    loggers = [logging.getLogger(name) for name in ("cabinetry", "pyhf", "pyhf.optimize")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def settings(config_values: dict[str, Any]) -> dict[str, Any]:
    return {"analysis": "cms_ttbar", "model": config_values["fit"]["model"]}


@pytest.fixture
def files(tmp_path: Path, command: Command) -> dict[str, Path]:
    """Options of the stage, with published histograms as its input."""
    options = {"histograms": tmp_path / "histograms.root", "closure": tmp_path / "closure.json"}
    assert command("published", {"analysis": "cms_ttbar", "n_files": 5}, **options) is None
    return (
        options
        | {"output": tmp_path / "workspace.json", "model": tmp_path / "model.json"}
        | {"checks": tmp_path / "checks.json"}
    )


def test_writes_workspace_and_record(
    command: Command,
    settings: dict[str, Any],
    files: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert command("workspace", settings, **files) is None
    spec = json.loads(files["output"].read_text())
    assert pyhf.Workspace(spec).channels == ["4j1b CR", "4j2b SR"]
    about = json.loads(files["model"].read_text())
    assert about["workspace_digest"] == digest(spec)
    assert (about["partial"], about["left_out"], about["data"]) == (False, [], "pseudodata")
    assert set(about["provenance"]["inputs"]) == {str(files["histograms"]), str(files["closure"])}
    # A few lines, none from the libraries.
    assert caplog.messages == [
        *(
            f"{channel}: single top s-channel, single top tW, single top t-channel, W+jets, ttbar"
            for channel in ("4j1b CR", "4j2b SR")
        ),
        "4j1b CR, W+jets, Jet energy scale: down: negative content in bin 0, by mirroring a shift "
        "that is larger than the content",
    ]
    checks = json.loads(files["checks"].read_text())
    assert checks["workspace_digest"] == about["workspace_digest"]
    # Of each region: five samples; of ttbar nine systematics with shapes, W+jets seven, others six.
    assert len(checks["origins"]) == 2 * (5 + 9 + 7 + 3 * 6)
    assert all(origin["deviation"] < 1e-12 for origin in checks["origins"])
    assert checks["pruned"] == []


def test_datasets_that_are_parts_of_others(
    command: Command, settings: dict[str, Any], files: dict[str, Path]
) -> None:
    """What closure knows of them counts in the noise of templates, and changes no template."""
    assert command("workspace", settings, **files) is None
    before = files["output"].read_bytes()

    def kinds() -> dict[str, str]:
        samples = json.loads(files["model"].read_text())["contents"]
        return {
            shift["parameter"]: shift["kind"] for sample in samples for shift in sample["shifts"]
        }

    apart = kinds()
    assert apart["ME variation"] == apart["ttbar scale variation"] == "sample"
    closure = read_json(files["closure"])
    for name in ("ME_var", "scaleup"):
        closure["datasets"][f"ttbar__{name}"]["subset_of"] = "ttbar__nominal"
    write_json(files["closure"], closure)
    assert command("workspace", settings, **files) is None
    # Of the scale, only one of two datasets is said to be a part.
    assert kinds() == apart | {"ME variation": "subset"}
    closure["datasets"]["ttbar__nominal"]["left_out"] = ["a.root: not there"]
    write_json(files["closure"], closure)
    assert command("workspace", settings, **files) is None
    assert kinds() == apart
    assert files["output"].read_bytes() == before


def test_same_input_same_bytes(
    command: Command, settings: dict[str, Any], files: dict[str, Path], tmp_path: Path
) -> None:
    assert command("workspace", settings, **files) is None
    again = files | {"output": tmp_path / "again.json"}
    assert command("workspace", settings, **again) is None
    assert again["output"].read_bytes() == files["output"].read_bytes()


def test_run_without_all_datasets(
    command: Command,
    settings: dict[str, Any],
    files: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = read_root(files["histograms"])
    only = {
        name: histogram
        for name, histogram in full.items()
        if name[5:].startswith("ttbar")
        and not name.endswith(("ME_var", "PS_var", "scaleup", "scaledown"))
    }
    write_root(files["histograms"], only)
    error = command("workspace", settings, **files)
    assert error is not None
    assert "dataset ttbar__ME_var is not in the run" in error
    assert "fit.model.missing_datasets: drop" in error
    assert not files["output"].exists()

    settings["model"] |= {"missing_datasets": "drop"}
    error = command("workspace", settings, **files)
    assert error is not None
    assert "fit.model.data: asimov" in error

    settings["model"] |= {"data": "asimov"}
    closure = json.loads(files["closure"].read_text())
    write_json(files["closure"], closure | {"partial": True})
    with caplog.at_level(logging.INFO):
        assert command("workspace", settings, **files) is None
    spec = json.loads(files["output"].read_text())
    assert pyhf.Workspace(spec).samples == ["ttbar"]
    about = json.loads(files["model"].read_text())
    assert about["partial"] is True
    # Four datasets of ttbar, four other processes, and the systematic of W+jets.
    assert len(about["left_out"]) == 9
    assert "left out: wjets: dataset wjets__nominal is not in the run" in caplog.messages


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "real"}, "`model.data` cannot be 'real'"),
        ({"edgs": {}}, "did you mean `edges`?"),
        ({"edges": {"4j1b": [100, 150]}}, "100 is not among the bin edges 50"),
        ({"edges": {"5j": [50, 70]}}, "unknown region '5j' in `fit.model.edges`"),
    ],
)
def test_wrong_settings(
    command: Command,
    settings: dict[str, Any],
    files: dict[str, Path],
    change: dict[str, Any],
    message: str,
) -> None:
    settings["model"] |= change
    error = command("workspace", settings, **files)
    assert error is not None
    assert error.startswith("error: ")
    assert message in error
    assert not files["output"].exists()


def test_wrong_files(command: Command, settings: dict[str, Any], files: dict[str, Path]) -> None:
    write_json(files["closure"], [])
    assert "not a closure record" in str(command("workspace", settings, **files))
    files["histograms"].unlink()
    assert "file not found" in str(command("workspace", settings, **files))
