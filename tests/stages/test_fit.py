"""The stage `fit`."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.inference.fit_records import ModelRecord, of_workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.settings import ModelSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.validation import published
from conftest import read_config, settings_file

Command = Callable[..., str | None]


@cache
def made() -> tuple[Any, Any]:
    """Workspace and record of the published histograms for five files."""
    analysis = analyses.load("cms_ttbar")
    settings = ModelSettings.model_validate(read_config()["fit"]["model"])
    model = build_workspace(
        analysis, published.load(analyses.load("cms_ttbar"), 5), settings, partial=True
    )
    about = of_workspace(model.workspace, provenance("workspace", packages=(), settings={}))
    return model.workspace, ModelRecord(**about, **dict(model.description)).model_dump()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Options of the stage, with a workspace and its record as input."""
    paths = {name: tmp_path / f"{name}.json" for name in ("workspace", "model")}
    for path, content in zip(paths.values(), made(), strict=True):
        write_json(path, content)
    return paths | {"output": tmp_path / "fit.json"}


def stage_settings(config_values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    fit = config_values["fit"]
    return {
        "minimiser": fit["minimiser"] | changes,
        "compare": fit["compare"],
        "template_noise": fit["template_noise"],
    }


def test_fit_as_a_process(files: dict[str, Path], config_values: dict[str, Any]) -> None:
    options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    settings = settings_file(files["output"].parent, stage_settings(config_values))
    result = subprocess.run(
        [sys.executable, "-m", "agc_pipeline.stages.fit", "--settings", settings, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    fitted, noise, total, warning, distance = result.stderr.splitlines()
    assert fitted.endswith("ttbar_norm = 0.9533 +- 0.0919")
    assert noise.endswith("statistics of varied templates: +- 0.0576")
    assert total.endswith("ttbar_norm = 0.9533 +- 0.1085 with it")
    assert "63% of the 0.092 of the fit" in warning
    assert "above the minimum" in distance
    content = json.loads(files["output"].read_text())
    assert content["poi"]["bestfit"] == pytest.approx(0.953, abs=5e-4)
    assert content["poi"]["uncertainty"] == pytest.approx(0.092, abs=5e-4)
    n_parameters = len(content["labels"])
    # Ten systematics of shape, luminosity, ttbar_norm, and 2 x 11 bins.
    assert n_parameters == 10 + 1 + 1 + 22
    assert len(content["bestfit"]) == len(content["uncertainty"]) == n_parameters
    assert [len(row) for row in content["correlation"]] == [n_parameters] * n_parameters
    assert content["goodness_of_fit"] > 0.99
    assert content["comparison"]["method"] == "cabinetry"
    assert 1e-9 < content["comparison"]["distance"] < 1e-2
    assert content["breakdown"]["total"] == pytest.approx(content["poi"]["uncertainty"], rel=1e-12)
    assert set(content["yields"]) == {"prefit", "postfit"}
    about = json.loads(files["model"].read_text())
    for key in ("workspace_digest", "left_out", "partial", "channels", "analysis", "data"):
        assert content[key] == about[key]
    assert content["partial"] is True
    assert content["provenance"]["stage"] == "fit"


def test_record_of_another_workspace(
    command: Command, files: dict[str, Path], config_values: dict[str, Any]
) -> None:
    content = json.loads(files["workspace"].read_text())
    content["observations"][0]["data"][0] += 1
    write_json(files["workspace"], content)
    error = command("fit", stage_settings(config_values), **files)
    assert error is not None
    assert error.startswith("error: belongs to the workspace")
    assert str(files["model"]) in error
    assert not files["output"].exists()


def test_workspace_that_is_none(
    command: Command, files: dict[str, Path], config_values: dict[str, Any]
) -> None:
    write_json(files["workspace"], {"channels": []})
    error = command("fit", stage_settings(config_values), **files)
    assert error is not None
    assert error.startswith("error: not a valid workspace")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_iterations": 2}, "has not converged after 2 steps"),
        ({"max_distance": 1.0}, "`minimiser.max_distance` cannot be 1.0"),
        ({"max_iteration": 2}, "did you mean `max_iterations`?"),
    ],
)
def test_wrong_settings(
    command: Command,
    files: dict[str, Path],
    config_values: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    error = command("fit", stage_settings(config_values, **change), **files)
    assert error is not None
    assert message in error
    assert not files["output"].exists()
