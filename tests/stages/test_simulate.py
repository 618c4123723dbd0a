"""The stage `simulate`."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uproot

JOB = {
    "dataset": "single_top_s_chan__nominal",
    "seed": 20150613,
    "muon_identification": False,
    "first_chunk": 2,
    "n_chunks": 2,
    "showers": 60,
}

SETTINGS = {"analysis": "cms_ttbar", "job": JOB}

Command = Callable[..., str | None]


@pytest.fixture
def pythia() -> None:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    pytest.importorskip("fastjet", reason="the extra `simulation` is not installed")


@pytest.mark.usefixtures("pythia")
def test_file_and_record(
    tmp_path: Path, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    output, record = tmp_path / "part.root", tmp_path / "part.json"
    with caplog.at_level(logging.INFO):
        assert command("simulate", SETTINGS, output=output, record=record) is None
    lines = [line for line in caplog.messages if "chunk" in line]
    assert len(lines) == 2
    assert "chunk 2 of 2" in lines[1]
    assert "events/s" in lines[1]

    content = json.loads(record.read_text())
    assert set(content) == {"n_events", "n_generated", "content_hash", "provenance"}
    assert len(content["content_hash"]) == 64
    assert content["provenance"]["stage"] == "simulate"
    assert "pythia8mc" in content["provenance"]["software"]
    assert content["n_generated"] > content["n_events"]
    with uproot.open(output) as file:
        assert file["Events"].num_entries == content["n_events"] > 0
        assert file["Runs"]["genEventCount"].array().tolist() == [content["n_generated"]]
        assert set(file["Events"]["luminosityBlock"].array().tolist()) == {3, 4}

    # Once more: not the same bytes, but the same content.
    assert command("simulate", SETTINGS, output=output, record=record) is None
    assert json.loads(record.read_text())["content_hash"] == content["content_hash"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.json", "part.root"]


def test_without_pythia(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    error = command("simulate", SETTINGS, output=tmp_path / "x.root", record=tmp_path / "x.json")
    assert error is not None
    assert "pythia8mc" in error
    assert "pip install 'agc-pipeline[simulation]'" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "zjets__nominal"}, "zjets__nominal"),
        ({"n_chunks": 0}, "n_chunks"),
        ({"seed": -1}, "seed"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_bad_job(tmp_path: Path, command: Command, change: dict[str, object], message: str) -> None:
    paths = {"output": tmp_path / "x.root", "record": tmp_path / "x.json"}
    error = command("simulate", SETTINGS | {"job": JOB | change}, **paths)
    assert error is not None
    assert message in error
    assert "remedy" in error


@pytest.mark.usefixtures("pythia")
def test_parts_of_another_file(tmp_path: Path, command: Command) -> None:
    """With their records, and never of a file that has changed."""
    whole = {"output": tmp_path / "whole.root", "record": tmp_path / "whole.json"}
    names = ("ttbar__scaleup", "ttbar__ME_var")
    parts = {
        "output": [tmp_path / f"{name}.root" for name in names],
        "record": [tmp_path / f"{name}.json" for name in names],
    }
    job = JOB | {"dataset": "ttbar__nominal"}
    assert command("simulate", SETTINGS | {"job": job}, **whole) is None
    settings = {"analysis": "cms_ttbar", "jobs": [job | {"dataset": name} for name in names]}
    assert command("simulate_parts", settings, source=whole["output"], **parts) is None
    content = json.loads(whole["record"].read_text())
    # The factors of the datasets.
    for output, record, factor in zip(*parts.values(), (0.8747, 0.5012), strict=True):
        part = json.loads(record.read_text())
        assert 0 < part["n_events"] < content["n_events"]
        assert part["n_generated"] / content["n_generated"] == pytest.approx(factor, rel=1e-3)
        assert part["provenance"]["stage"] == "simulate"
        with uproot.open(output) as file:
            assert file["Events"].num_entries == part["n_events"]
            assert file["Runs"]["genEventCount"].array().tolist() == [part["n_generated"]]

    def refused() -> str:
        before = [path.read_bytes() for path in parts["output"]]
        error = command("simulate_parts", settings, source=whole["output"], **parts)
        assert [path.read_bytes() for path in parts["output"]] == before
        assert error is not None
        return error

    other = {"output": tmp_path / "other.root", "record": tmp_path / "other.json"}
    assert command("simulate", SETTINGS | {"job": job | {"seed": 1}}, **other) is None
    whole["record"].write_text(other["record"].read_text())
    assert "not those that its record describes" in refused()
    whole["record"].write_text(json.dumps(content))
    whole["output"].write_bytes(whole["output"].read_bytes()[:5000])
    assert "whole.root" in refused()
