"""Bins of the fit chosen from histograms, and the configuration that a run takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import toy
from agc_pipeline import analyses, layers
from agc_pipeline.columnar import closure
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.config import load_config
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.errors import InputError
from agc_pipeline.files import read_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.optimisation_record import OptimisationRecord
from agc_pipeline.inference.problem import problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.plan import Plan
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import features, histogram, merge, optimise, published, thresholds
from conftest import read_config
from oracle.strategies import write_nanoaod

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
        "physics": CONFIG["physics"]["selection"],
        "thresholds": {},
    }
    outputs: dict[str, Any] = {
        "execution": HistogramSettings.model_validate(CONFIG["histograms"]),
        "output": folder / "optimise.json",
        "fragment": folder / "optimised.yaml",
        "table": folder / "optimise.csv",
        **{name: folder / name for name in ("page", "figures", "tables", "methods")},
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
    methods = ["declared", "untuned", "gradient", "evolution"]
    assert [line.split(",")[0] for line in table[1:]] == methods


def filled(folder: Path, overrides: dict[str, Any], seed: int) -> Plan:
    """Histograms of toy events of all datasets, and their manifests."""
    analysis = analyses.load("cms_ttbar")
    paths = {dataset.name: folder / f"{dataset.name}.root" for dataset in analysis.datasets}
    for number, path in enumerate(paths.values()):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nanoaod(path, toy.events(300, seed=seed + number), events_per_piece=300)
    source = {
        "kind": "files",
        "mirrors": {"disk": str(folder)},
        "mirror_order": ["disk"],
        "datasets": {name: {"files": {path.name: 300}} for name, path in paths.items()},
    }
    values = {"input": source, "delivery": {"backend": "none"}}
    plan = Plan(load_config(overrides={**overrides, **values}))
    for name, path in paths.items():
        delivered = entry(
            InputFile(urls=(str(path),)), before=300, after=300, path=str(path), size=None
        )
        manifest.write(
            folder / "manifests" / name / "0000.json",
            manifest.Manifest(
                dataset=name,
                backend="none",
                format=None,
                selection=None,
                files=(delivered,),
                provenance=provenance("deliver", packages=(), settings={}),
            ),
        )
        histogram.STAGE.run(
            histogram.STAGE.configure(plan),
            histogram.STAGE.options(
                execution=plan.config.histograms,
                manifest=folder / "manifests" / name / "0000.json",
                models=None,
                discriminant=plan.config.discriminant and Path(plan.config.discriminant),
                performance=folder / "unused",
                output=folder / "histograms" / f"{name}.json",
            ),
        )
    merge.STAGE.run(
        merge.STAGE.configure(plan),
        merge.STAGE.options(
            datasets=tuple(folder / "histograms" / f"{name}.json" for name in paths),
            histograms=folder / "histograms.root",
            closure=folder / "closure.json",
        ),
    )
    return plan


def of_datasets(stage: Any, plan: Plan, folder: Path) -> tuple[Path, ...]:
    """What a stage makes of the events of all datasets."""
    outputs = {name: folder / stage.name / f"{name}.npz" for name in plan.datasets}
    for name, output in outputs.items():
        told = {"execution": plan.config.histograms, "output": output}
        told["manifests"] = (folder / "manifests" / name / "0000.json",)
        if stage is thresholds.STAGE:
            told["closure"] = folder / "closure.json"
        stage.run(stage.configure(plan), stage.options(**told))
    return tuple(outputs.values())


def uncertainty_with(values: dict[str, Any], folder: Path) -> float:
    """What the whole fit expects, after the same files were filled with other values."""
    for path in (folder / "histograms").iterdir():
        path.unlink()
    again = filled(folder, values, seed=1)
    built = build_workspace(
        analyses.load(again.config.analysis),
        read_root(folder / "histograms.root"),
        again.config.fit.model,
    )
    task = problem(*workspace.load(built.workspace, place="test"), again.config.fit.minimiser)
    return float(expected_fit(task).covariance[task.poi, task.poi] ** 0.5)


def test_a_run_with_the_best_thresholds_keeps_the_promise(tmp_path: Path) -> None:
    folder, search = tmp_path / "run", SEARCH | {"bins": [2]}
    search["methods"] = ["evolution", "discriminant"]
    search["discriminant"] |= {"trees": 6, "events": 1.0, "features": ["HT", "largest b-tag"]}
    search |= {"throws": 2, "toys": 0}
    search["thresholds"] = {"jet pt": [30, 45], "lepton pt": [45], "number of jets": [5]}
    model = {"model": {"missing_datasets": "drop"}}
    # A looser run, which is compared with the cuts of the analysis.
    loose = {"physics": {"selection": {"jet": {"pt_min": 29}}}, "fit": model}
    loose["histograms"] = {"chunk_size": 100}
    search["reference"] = {"jet pt": 30}
    plan = filled(folder, loose | {"optimise": search}, seed=1)
    judge = tmp_path / "judge"
    filled(judge, loose, seed=100)
    names = {"output": "o.json", "fragment": "optimised.yaml", "table": "o.csv"}
    names |= {"page": "o.html", "figures": "figures", "tables": "tables", "methods": "methods"}
    options = {
        "execution": plan.config.histograms,
        "histograms": folder / "histograms.root",
        "closure": folder / "closure.json",
        "scans": of_datasets(thresholds.STAGE, plan, folder),
        "rows": of_datasets(features.STAGE, plan, folder),
        "judge": judge / "histograms.root",
        "judge_closure": judge / "closure.json",
        **{option: folder / name for option, name in names.items()},
    }
    stage = optimise.STAGE
    stage.run(stage.configure(plan), stage.options(**options))
    record = OptimisationRecord.model_validate(read_json(folder / "o.json"))
    assert record.trials["jet pt"] == (29, 30, 45)
    assert record.candidates[0].thresholds["jet pt"] == 30
    *_, best, scored = record.candidates
    assert (best.method, scored.method) == ("evolution", "discriminant")
    assert None not in (best.judgement, scored.judgement)
    # It has the cuts that are compared with, and a feature that no systematic knows of.
    assert scored.thresholds == record.candidates[0].thresholds
    assert scored.unknown == ("largest b-tag",)
    assert list(scored.features) == ["HT", "largest b-tag", "region"]
    of_all = folder / "methods"
    fragment = yaml.safe_load((of_all / "evolution" / "optimised.yaml").read_text())
    # It says all cuts, also where the run was looser.
    cuts = fragment["physics"]["selection"]
    assert {
        "jet pt": cuts["jet"]["pt_min"],
        "lepton pt": cuts["lepton_pt_min"],
        "number of jets": cuts["jet"]["n_min"],
    } == best.thresholds
    assert record.candidates[0].unknown == ()
    assert best.unknown == ("lepton pt",) * (best.thresholds["lepton pt"] != 30)
    # The same files again, with the configuration of each.
    models = of_all / "discriminant"
    with_models = yaml.safe_load((models / "optimised.yaml").read_text())
    assert with_models["discriminant"] == str(models)
    best_of_all = (of_all / record.best / "optimised.yaml").read_text()
    assert (folder / "optimised.yaml").read_text() == best_of_all
    for promised, values in ((scored, with_models), (best, fragment)):
        size = uncertainty_with(values | {"fit": layered(model, values["fit"])}, folder)
        assert size == pytest.approx(promised.fit, rel=1e-6)
        assert record.fits[promised.method].uncertainty == pytest.approx(promised.fit, rel=1e-7)
        filled_with = closure.read(folder / "closure.json").models
        assert (filled_with is None) == (promised is best)
    # Histograms of another selection are not those of the skims.
    stage_of = optimise.STAGE
    with pytest.raises(InputError, match="is not that of the skims and cuts of this run"):
        stage_of.run(stage_of.configure(plan), stage_of.options(**options))


def layered(values: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Values with others on top, as configuration files are."""
    return dict(layers.Values(layers.Layer(values), layers.Layer(others)))
