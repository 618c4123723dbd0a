"""Bins of the fit chosen from histograms, and the configuration that a run takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agc_pipeline import analyses
from agc_pipeline.config import load_config
from agc_pipeline.files import read_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.optimisation import OptimisationRecord
from agc_pipeline.inference.problem import problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.stages import optimise, published
from conftest import read_config

CONFIG = read_config()
SEARCH = CONFIG["optimise"] | {
    "bins": [5],
    "widths": [1, 0.3],
    "starts": 1,
    "generations": 10,
    "throws": 10,
    "toys": 5,
}


def histograms(folder: Path, n_files: int) -> dict[str, Path]:
    folder.mkdir()
    paths = {"histograms": folder / "histograms.root", "closure": folder / "closure.json"}
    published.STAGE.run(
        published.STAGE.settings.model_validate({"analysis": "cms_ttbar", "n_files": n_files}),
        published.STAGE.options(**paths),
    )
    return paths


def run(folder: Path, paths: dict[str, Path], **judge: Path) -> tuple[OptimisationRecord, Any]:
    folder.mkdir()
    settings = {
        "analysis": "cms_ttbar",
        "model": CONFIG["fit"]["model"],
        "minimiser": CONFIG["fit"]["minimiser"],
        "optimise": SEARCH,
    }
    outputs = {
        "output": folder / "optimise.json",
        "fragment": folder / "optimised.yaml",
        "table": folder / "optimise.csv",
    }
    stage = optimise.STAGE
    stage.run(stage.settings.model_validate(settings), stage.options(**paths, **judge, **outputs))
    record = OptimisationRecord.model_validate(read_json(outputs["output"]))
    return record, yaml.safe_load(outputs["fragment"].read_text())


def test_a_run_with_the_best_bins_keeps_the_promise(tmp_path: Path) -> None:
    paths, judge = histograms(tmp_path / "5", 5), histograms(tmp_path / "all", -1)
    record, fragment = run(
        tmp_path / "first",
        paths,
        judge=judge["histograms"],
        judge_closure=judge["closure"],
    )
    declared = record.candidates[0]
    assert declared.bins == {"4j1b": 11, "4j2b": 11}
    best = next(entry for entry in record.candidates if entry.method == record.best)
    assert best.uncertainty == min(entry.uncertainty for entry in record.candidates)
    assert all(entry.judgement is not None for entry in record.candidates)
    assert record.fits[best.method].toys == 5
    # What a run with the fragment fits.
    config = load_config(overrides=fragment)
    model = build_workspace(
        analyses.load("cms_ttbar"), read_root(paths["histograms"]), config.fit.model
    )
    task = problem(*workspace.load(model.workspace, place="test"), config.fit.minimiser)
    variance = expected_fit(task).covariance[task.poi, task.poi]
    assert variance**0.5 == pytest.approx(best.fit, rel=1e-9)
    assert record.fits[best.method].uncertainty == pytest.approx(best.fit, rel=1e-9)
    text = (tmp_path / "first" / "optimised.yaml").read_text()
    assert text.startswith("# By `snakemake optimise`.")
    table = (tmp_path / "first" / "optimise.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == ["declared", "gradient", "evolution"]
