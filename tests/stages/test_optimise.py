"""Bins of the fit chosen from histograms, and the configuration that a run takes."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hist
import pytest
import yaml

import browser
import toy
from agc_pipeline import analyses, layers
from agc_pipeline.columnar import closure
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.config import Configuration, load_config
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.errors import ConfigurationError, InputError, PipelineError
from agc_pipeline.files import read_json, write_json
from agc_pipeline.histograms import read_root, write_root
from agc_pipeline.inference import workspace as workspaces
from agc_pipeline.inference.derived_records import LimitRecord, SensitivityRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.optimisation_record import Candidate, OptimisationRecord
from agc_pipeline.inference.problem import problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.plan import Plan
from agc_pipeline.provenance import digest, provenance
from agc_pipeline.report import page
from agc_pipeline.report.sections.optimisation import Optimisation, Promise, promise
from agc_pipeline.stages import (
    features,
    fit,
    histogram,
    limit,
    merge,
    optimise,
    published,
    thresholds,
    workspace,
)
from conftest import read_config
from oracle.strategies import write_nanoaod

CONFIG = read_config()
SEARCH = CONFIG["optimise"] | {
    "bins": [4],
    "widths": [1, 0.3, 0.03],
    "starts": 1,
    "generations": 5,
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
    drawn = {path.stem for path in (tmp_path / "first" / "figures").iterdir()}
    names = ("searches", "edges", "templates", "gradients")
    assert drawn == {f"optimisation_{name}" for name in names}
    assert record.chosen == best
    # The search ends where no edge beside one of its own is better, and sigmoids are steep there.
    (gradient,) = [entry for entry in record.candidates if entry.method == "gradient"]
    assert gradient.yields is not None
    assert gradient.by_sigmoids is not None
    assert 0 < gradient.by_sigmoids < 0.1
    for of in gradient.yields.values():
        assert sum(of.soft) == pytest.approx(sum(of.steps), rel=1e-9)
        assert sum(of.rounded) == pytest.approx(sum(of.steps), rel=1e-9)
    # What a run with the fragment has.
    config = load_config(overrides=fragment)
    assert config.report.optimisation == str(tmp_path / "first" / "optimise.json")
    kept = promised(tmp_path / "again", paths, record, config)
    assert kept.kept
    assert kept.differences == ()
    assert kept.rows[0].obtained == pytest.approx(best.fit, rel=1e-9)
    assert kept.rows[0].promised == pytest.approx(best.fit, rel=1e-9)
    assert kept.rows[2].obtained == pytest.approx(best.uncertainty, rel=1e-6)
    # A run with other bins is told apart, and one whose histograms are others.
    only = record.model_copy(update={"best": "declared", "candidates": record.candidates[:1]})
    others = promised(tmp_path / "again", paths, only, config)
    assert not others.kept
    assert others.differences == ("other bins in 4j1b", "other bins in 4j2b")
    less = replace(kept, rows=(replace(kept.rows[0], obtained=best.fit / 2), *kept.rows[1:]))
    check_page(
        tmp_path / "page",
        record,
        {"promise kept": kept, "promise not kept": less, "other bins or cuts": others},
    )
    check_record(tmp_path / "first" / "optimise.json", fragment)
    text = (tmp_path / "first" / "optimised.yaml").read_text()
    assert text.startswith("# By `snakemake optimise`.")
    table = (tmp_path / "first" / "optimise.csv").read_text().splitlines()
    methods = ["declared", "untuned", "gradient", "evolution"]
    assert [line.split(",")[0] for line in table[1:]] == methods


def promised(
    folder: Path, paths: dict[str, Path], record: OptimisationRecord, config: Configuration
) -> Promise:
    """What a run with these histograms has of the promise of a record."""
    names = ("workspace", "model", "checks", "fit", "limit", "sensitivity")
    files = {**paths, **{name: folder / f"{name}.json" for name in names}}
    settings = config.model_dump()["fit"]
    of_fit = {"minimiser": settings["minimiser"]}
    settings["limit"]["toys"]["count"] = 0
    settings["limit"]["points"] = 3
    for stage, wanted in (
        (workspace, {"analysis": "cms_ttbar", "model": settings["model"]}),
        (fit, of_fit | {"template_noise": settings["template_noise"], "compare": False}),
        (limit, of_fit | {name: settings[name] for name in ("limit", "spending")}),
    ):
        if files[stage.STAGE.name].exists():
            continue
        described = stage.STAGE.options.described()
        given = {name: path for name, path in files.items() if name in described}
        stage.STAGE.run(
            stage.STAGE.settings.model_validate(wanted),
            stage.STAGE.options(**given, output=files[stage.STAGE.name]),
        )
    return promise(
        analyses.load("cms_ttbar"),
        record,
        FitRecord.model_validate(read_json(files["fit"])),
        SensitivityRecord.model_validate(read_json(files["sensitivity"])),
        LimitRecord.model_validate(read_json(files["limit"])),
        selection=config.model_dump()["physics"]["selection"],
    )


def check_page(folder: Path, record: OptimisationRecord, promises: dict[str, Promise]) -> None:
    """The section beside what runs have of a promise."""
    folder.mkdir()
    shown = Optimisation(record, record.chosen, (), thresholds={}, features={})
    values = {"title": "t", "subtitle": "s", "partial": False, "left_out": ()}
    for words, beside in promises.items():
        optimisation = replace(shown, promise=beside)
        text = page.render("optimise.html.j2", values | {"optimisation": optimisation}, folder)
        assert f">{words}<" in text
        assert 'data-name="optimisation_promise"' in text
        assert 'data-name="optimisation_yields_gradient"' in text


def check_record(path: Path, fragment: dict[str, Any]) -> None:
    """The record of a fragment is looked at before the first job."""
    Plan(load_config(overrides=fragment)).check_optimisation()
    other = {"analysis": "atlas_hzz", "report": fragment["report"]}
    with pytest.raises(ConfigurationError, match="is an optimisation of the analysis cms_ttbar"):
        Plan(load_config(overrides=other)).check_optimisation()
    external = {"input": {"kind": "workspace", "path": str(path)}, "report": fragment["report"]}
    with pytest.raises(ConfigurationError, match="cms_ttbar, and this is a workspace"):
        Plan(load_config(overrides=external)).check_optimisation()
    path.write_text(path.read_text().replace('"best"', '"worst"'))
    with pytest.raises(InputError, match="damaged or edited"):
        Plan(load_config(overrides=fragment)).check_optimisation()
    path.unlink()
    with pytest.raises(InputError, match=r"(?s)not found.*run `snakemake optimise` again"):
        Plan(load_config(overrides=fragment)).check_optimisation()


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
    task = problem(*workspaces.load(built.workspace, place="test"), again.config.fit.minimiser)
    return float(expected_fit(task).covariance[task.poi, task.poi] ** 0.5)


def test_a_run_with_the_best_thresholds_keeps_the_promise(tmp_path: Path) -> None:
    folder, search = tmp_path / "run", SEARCH | {"bins": [2]}
    search["methods"] = ["evolution", "discriminant"]
    search["discriminant"] |= {"trees": 6, "leaf": 0.01, "features": ["HT", "largest b-tag"]}
    search |= {"throws": 2, "toys": 0}
    search["thresholds"] = {"jet pt": [30, 45], "lepton pt": [45], "number of jets": [5]}
    model = {"model": {"missing_datasets": "drop"}}
    # A looser run, which is compared with the cuts of the analysis.
    loose = {"physics": {"selection": {"jet": {"pt_min": 29}}}, "fit": model}
    loose["histograms"] = {"chunk_size": 100}
    search["reference"] = {"jet pt": 30}
    judge = tmp_path / "judge"
    search["judge"] = str(judge)
    plan = filled(folder, loose | {"optimise": search, "results": str(folder)}, seed=1)
    filled(judge, loose, seed=100)
    assert plan.judge == judge
    check_judges(plan, judge, folder)
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
    assert_flow_is_apart(record.candidates[1])
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
    assert_all_events(best, folder)
    # Histograms of another selection are not those of the skims.
    with pytest.raises(InputError, match="is not that of the skims and cuts of this run"):
        stage.run(stage.configure(plan), stage.options(**options))
    browser.check_tables(folder / "o.html")


def assert_flow_is_apart(untuned: Candidate) -> None:
    """Everything below 110 GeV and above 550 GeV is in bins of its own."""
    assert untuned.method == "untuned"
    assert untuned.bins == {"4j1b": 13, "4j2b": 13}
    assert all(edges[-2:] == (550, math.inf) for edges in untuned.edges.values())


def assert_all_events(best: Candidate, folder: Path) -> None:
    """No event is lost beyond the histograms."""
    merged = read_root(folder / "histograms.root")
    for region, contents in best.contents.items():
        for process, events in contents.items():
            total = merged[f"{region}_{process}"].sum(flow=True).value
            assert sum(events) == pytest.approx(total, rel=1e-9)


def check_judges(plan: Plan, judge: Path, folder: Path) -> None:
    """What cannot judge is told before the first job."""

    def refused(place: Path | str, message: str, like: Plan = plan) -> None:
        optimisation = like.config.optimise.model_copy(update={"judge": str(place)})
        again = Plan(like.config.model_copy(update={"optimise": optimisation}))
        with pytest.raises(PipelineError, match=message) as told:
            _ = again.judge
        assert told.value.remedy

    def other(change: Callable[[Path], object]) -> Path:
        place = folder.parent / "other"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(judge, place)
        change(place)
        return place

    def published_there(place: Path) -> None:
        paths = {"histograms": place / "histograms.root", "closure": place / "closure.json"}
        settings = published.STAGE.settings(analysis="cms_ttbar", n_files=1)
        published.STAGE.run(settings, published.STAGE.options(**paths))

    def with_others(change: Callable[[str, Any], dict[str, Any]]) -> Callable[[Path], None]:
        def write(place: Path) -> None:
            known = read_root(place / "histograms.root")
            changed = [change(name, histogram) for name, histogram in known.items()]
            write_root(
                place / "histograms.root", {k: v for part in changed for k, v in part.items()}
            )

        return write

    def cut_otherwise(place: Path) -> None:
        path = place / "manifests" / "ttbar__nominal" / "0000.json"
        manifest.write(path, manifest.read(path).model_copy(update={"selection": "0" * 64}))

    refused(folder.parent / "nowhere", "nowhere: there is no such folder")
    refused(judge / "closure.json", "closure.json: it is no folder")
    refused(folder, "these are the results that are to be judged")
    refused(other(lambda at: (at / "closure.json").unlink()), "has not ended: there is no closure")
    refused(other(lambda at: (at / "closure.json").write_text("{")), "not valid JSON")
    refused(other(published_there), "published histograms have no events of their own")
    refused(other(lambda at: shutil.rmtree(at / "manifests")), "no skims of .* to select")
    refused(other(cut_otherwise), r"made with another `physics.selection`")
    refused(
        other(with_others(lambda name, h: {} if "4j2b" in name else {name: h})),
        r"no histogram 4j2b_\w+ and \d+ more: its analysis or regions are others",
    )
    refused(
        other(with_others(lambda name, h: {name: h[:: hist.rebin(5)] if h.ndim == 1 else h})),
        "its histogram 4j1b_ttbar has other bins",
    )
    copied = other(lambda at: shutil.copytree(folder, at, dirs_exist_ok=True))
    refused(copied, "its events of .* are those of this run: both have")
    # The same seed makes the same events, wherever they lie.
    simulated = Plan(load_config(overrides={"results": "results/elsewhere"}))
    job = simulated.simulation.job("wjets__nominal", 0).model_dump()

    def simulated_there(place: Path) -> None:
        record = {"provenance": {"settings": digest(job)}}
        write_json(place / "simulated" / "wjets__nominal" / "0000.json", record)

    refused(other(simulated_there), "of wjets__nominal are .* has the same `simulation`", simulated)
    # The closed form is that of normalisations of 1.
    scaled = Plan(plan.config)
    free = tuple(replace(each, nominal=2.0) for each in scaled.analysis.free)
    scaled.analysis = replace(scaled.analysis, free=free)
    with pytest.raises(ConfigurationError, match="the normalisation ttbar_norm is not 1 before"):
        _ = scaled.judge
    # A workspace has nothing to be optimised.
    external = {"kind": "workspace", "path": str(judge / "closure.json")}
    with pytest.raises(ConfigurationError, match="a workspace has no histograms"):
        _ = Plan(load_config(overrides={"input": external})).judge


def layered(values: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Values with others on top, as configuration files are."""
    return dict(layers.Values(layers.Layer(values), layers.Layer(others)))
