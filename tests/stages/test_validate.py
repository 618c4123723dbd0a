"""The stage `validate` as a process."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from agc_pipeline import analyses
from agc_pipeline.histograms import write_root
from agc_pipeline.stages import validate
from agc_pipeline.stages.published import closure
from agc_pipeline.validation import published
from conftest import settings_file

CONFIG = Path(__file__).parents[2] / "config" / "cms_ttbar" / "validation.yaml"


def options(folder: Path, *, scale: float = 1.0, **changes: Any) -> list[str]:
    """Write the inputs and give the command line."""
    analysis = analyses.load("cms_ttbar")
    histograms = published.load(analysis, 1)
    histograms["4j1b_ttbar"] = histograms["4j1b_ttbar"] * scale
    made_by: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    write_root(folder / "histograms.root", histograms, provenance=made_by)
    record = closure(analysis, 1, made_by)
    (folder / "closure.json").write_text(record.model_dump_json())
    settings = yaml.safe_load(CONFIG.read_text()) | {"analysis": "cms_ttbar"}
    settings["validation"] |= changes
    return [
        f"--settings={settings_file(folder, settings)}",
        f"--histograms={folder / 'histograms.root'}",
        f"--closure={folder / 'closure.json'}",
        f"--output={folder / 'validation.json'}",
        f"--page={folder / 'validation.html'}",
        f"--tables={folder / 'validation_tables'}",
    ]


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> str | int | None:
    """Run the stage in this process; its error or None."""
    monkeypatch.setattr(sys, "argv", ["validate", *arguments])
    try:
        validate.main()
    except SystemExit as ended:
        return ended.code
    return None


def test_page_and_record(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "agc_pipeline.stages.validate", *options(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "validation.json").read_text())
    assert record["verdict"] == "agrees"
    assert record["counts"]["exact"] == 124
    assert record["provenance"]["stage"] == "validate"
    assert len(record["provenance"]["inputs"]) == 2
    text = (tmp_path / "validation.html").read_text()
    HTMLParser().feed(text)
    assert "All 124 histograms have the published entries in every bin" in text
    assert "4j2b SR" in text
    assert "{{" not in text


def test_disagreement_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, options(tmp_path, scale=1.1)) is None
    assert "1 of 124 histograms disagree" in (tmp_path / "validation.html").read_text()


def test_disagreement_fails_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = run(monkeypatch, options(tmp_path, scale=1.1, fail_on_disagreement=True))
    assert str(error).startswith("error: 1 of 124 histograms disagree")
    assert "First of them: 4j1b_ttbar" in str(error)
    assert (tmp_path / "validation.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p_value_minimum": 0.1}, "did you mean `p_value_min`?"),
        ({"p_value_min": 2}, "`validation.p_value_min` cannot be 2"),
    ],
)
def test_wrong_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    assert message in str(run(monkeypatch, options(tmp_path, **changes)))
