"""The front door: results of a run, models and fits as notebooks see them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot
from matplotlib.figure import Figure

import agc_pipeline
from agc_pipeline.errors import InputError, ModelError
from agc_pipeline.fits import FitReport
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import fit_records
from agc_pipeline.inference.fit_records import ModelRecord
from agc_pipeline.plan import Plan
from agc_pipeline.results import Histograms, Results
from agc_pipeline.stages import fit, scan, workspace
from agc_pipeline.validation import published
from conftest import ROOT, run_command
from models import TWO_BINS

CONFIG = agc_pipeline.load_config([ROOT / "config/published.yaml"], root=ROOT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run that starts from the published histograms of five files per dataset."""
    path = tmp_path_factory.mktemp("results")
    settings = {"analysis": "cms_ttbar", "n_files": 5}
    outputs = {"histograms": path / "histograms.root", "closure": path / "closure.json"}
    assert run_command("published", settings, **outputs) is None
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return agc_pipeline.open_results(folder, CONFIG)


@pytest.fixture(scope="module")
def fitted(results: Results) -> FitReport:
    return agc_pipeline.fit(agc_pipeline.build_workspace(results))


def test_the_lines_of_the_readme(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Plan(CONFIG)
    files = {name: folder / f"{name}.json" for name in ("workspace", "model", "fit")}
    run_command(
        "workspace",
        workspace.configure(plan).model_dump(),
        histograms=folder / "histograms.root",
        closure=folder / "closure.json",
        output=files["workspace"],
        model=files["model"],
        checks=folder / "checks.json",
    )
    settings = fit.configure(plan).model_dump() | {"compare": False}
    models = {name: files[name] for name in ("workspace", "model")}
    run_command("fit", settings, **models, output=files["fit"])
    settings = scan.configure(plan).model_dump()
    settings["scan"] = {"reach": 1, "points": 3, "minos": "poi"}
    fits = {name: files[name] for name in ("workspace", "fit")}
    assert run_command("scan", settings, **fits, output=folder / "scan.json") is None

    (tmp_path / "results").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/results.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    scope: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/results.md", "exec"), scope)  # noqa: S102
        assert sum(bool(line.strip()) for line in block.splitlines()) <= 12
    expected = published.load(CONFIG.declaration, 5)
    for name, key in (("nominal", "4j2b_ttbar"), ("varied", "4j2b_ttbar_ME_var")):
        assert scope[name].values().tolist() == expected[key].values().tolist()
    assert "Luminosity" in capsys.readouterr().out
    assert "ME variation" not in scope["fit"].parameters
    assert (tmp_path / "pulls.png").exists()
    assert (tmp_path / "scan.png").exists()


def test_histograms_by_region_process_and_variation(results: Results) -> None:
    expected = published.load(CONFIG.declaration, 5)
    histograms = results.histograms
    assert len(histograms) == len(expected) == 124
    assert histograms.regions == ("4j1b", "4j2b")
    assert histograms.processes[0] == "ttbar"
    assert "ME_var" in histograms.variations("4j2b", "ttbar")
    for key, name in (
        (("4j2b", "ttbar"), "4j2b_ttbar"),
        (("4j2b", "ttbar", "nominal"), "4j2b_ttbar"),
        (("4j1b", "wjets", "pt_scale_up"), "4j1b_wjets_pt_scale_up"),
        (("4j1b", "pseudodata"), "4j1b_pseudodata"),
    ):
        histogram = histograms[key]
        assert isinstance(histogram, hist.Hist)
        assert np.array_equal(histogram.view(flow=True), expected[name].view(flow=True))
    assert all(len(key) == 3 and key in histograms for key in histograms)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("4j3b", "ttbar"), r"unknown region '4j3b' \(did you mean 4j2b\?\)"),
        (("4j2b", "tbar"), r"unknown process 'tbar' \(did you mean ttbar\?\)"),
        (("4j2b", "ttbar", "ME_vra"), r"unknown variation 'ME_vra' \(did you mean ME_var\?\)"),
        (("4j2b", "wjets", "ME_var"), "ME_var does not act on wjets in 4j2b"),
        (("4j2b", "data"), "the run has no data in 4j2b"),
        (("4j2b", "pseudodata", "ME_var"), "pseudodata have no variations"),
        ("4j2b_ttbar", "'4j2b_ttbar' is no key of a histogram"),
    ],
)
def test_a_missing_histogram_is_explained(results: Results, key: str, message: str) -> None:
    assert key not in results.histograms
    with pytest.raises(InputError, match=message):
        results.histograms[key]


def test_a_run_without_a_dataset(tmp_path: Path) -> None:
    values = np.array([1.0, 2.0, 3.0])
    with uproot.recreate(tmp_path / "histograms.root") as file:
        file["4j1b_wjets"] = (values, np.arange(4.0))
        file["something_else"] = (values, np.arange(4.0))
    histograms = agc_pipeline.open_results(str(tmp_path), CONFIG).histograms
    assert list(histograms) == [("4j1b", "wjets", "nominal")]
    assert histograms["4j1b", "wjets"].values().tolist() == values.tolist()
    with pytest.raises(InputError, match="the run has no histogram 4j1b_ttbar"):
        histograms["4j1b", "ttbar"]


def test_learned_regions_are_regions(results: Results) -> None:
    learned = CONFIG.declaration.learned
    assert learned is not None
    name = learned.regions[0].name
    by_name = {f"{name}_ttbar": results.histograms["4j2b", "ttbar"]}
    assert list(Histograms(CONFIG.declaration, by_name)) == [(name, "ttbar", "nominal")]


def test_results_of_another_analysis(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "histograms.root") as file:
        file["something_else"] = (np.ones(3), np.arange(4.0))
    with pytest.raises(InputError, match="none of the 1 histograms is one of the analysis cms_tt"):
        _ = agc_pipeline.open_results(tmp_path, CONFIG).histograms
    with pytest.raises(InputError, match="no folder of results"):
        agc_pipeline.open_results(tmp_path / "none", CONFIG)


def test_the_fit_of_a_run(fitted: FitReport) -> None:
    # The value of the README for N = 5.
    assert fitted.poi.bestfit == pytest.approx(0.9533, abs=5e-5)
    assert fitted.poi.uncertainty == pytest.approx(0.0919, abs=5e-5)
    assert repr(fitted) == "<fit: ttbar_norm = 0.9533 +- 0.0919>"
    assert str(fitted).splitlines()[0].split() == ["ttbar_norm", "0.9533", "+-", "0.0919"]
    table = fitted._repr_html_()
    assert table.count("<tr>") == 1 + len(fitted.parameters)
    assert "<td>ttbar_norm</td><td>0.9533</td><td>0.0919</td>" in table


def test_the_fit_plots_itself(fitted: FitReport) -> None:
    for figure in (
        fitted.plot_pulls(),
        fitted.plot_correlation(),
        fitted.plot_ranking(5),
        fitted.plot_channel("4j2b", "pre-fit"),
        agc_pipeline.figures.correlation(fitted.record()),
    ):
        assert isinstance(figure, Figure)
    figure = fitted.plot_correlation("ttbar_norm", "Luminosity")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["ttbar_norm", "Luminosity"]
    by_title = fitted.plot_channel("4j2b SR")
    legend = by_title.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:2] == ["Pseudodata", "ttbar"]
    with pytest.raises(ModelError, match=r"unknown parameter 'ttbar_nrm' .*ttbar_norm"):
        fitted.plot_correlation("ttbar_nrm")
    with pytest.raises(ModelError, match="unknown channel '4j2b SSR'"):
        fitted.plot_channel("4j2b SSR")


def test_a_fit_without_a_systematic(results: Results, fitted: FitReport) -> None:
    kept = tuple(s for s in results.analysis.systematics if s.name != "ME variation")
    analysis = replace(results.analysis, systematics=kept)
    reduced = agc_pipeline.fit(agc_pipeline.build_workspace(results, analysis=analysis))
    assert set(fitted.parameters) - set(reduced.parameters) == {"ME variation"}
    assert set(reduced.parameters) < set(fitted.parameters)
    assert reduced.poi.uncertainty < fitted.poi.uncertainty


def test_the_model_is_that_of_the_workflow(folder: Path, results: Results) -> None:
    from_folder = agc_pipeline.build_workspace(folder, config=CONFIG)
    by_name = read_root(folder / "histograms.root")
    assert agc_pipeline.build_workspace(by_name, config=CONFIG).workspace == from_folder.workspace
    settings = {"analysis": "cms_ttbar", "model": CONFIG.fit.model.model_dump()}
    names = {
        "histograms": "histograms.root",
        "closure": "closure.json",
        "output": "workspace.json",
        "model": "model.json",
        "checks": "checks.json",
    }
    paths = {option: folder / name for option, name in names.items()}
    assert run_command("workspace", settings, **paths) is None
    assert results.workspace == from_folder.workspace
    assert results.model == fit_records.read(ModelRecord, paths["model"], results.workspace)
    fitted = agc_pipeline.fit(results)
    assert fitted.description == results.model
    assert fitted.analysis is results.analysis


def test_any_workspace() -> None:
    fitted = agc_pipeline.fit(TWO_BINS, config=CONFIG)
    assert fitted.poi.name == "mu"
    (title,) = fitted.description.channels
    assert isinstance(fitted.plot_channel(title), Figure)
    with pytest.raises(ModelError, match="not a valid workspace"):
        agc_pipeline.fit({"channels": []}, config=CONFIG)


def test_a_missing_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        _ = agc_pipeline.open_results(tmp_path, CONFIG).fit


def test_what_the_package_offers() -> None:
    assert set(agc_pipeline.__all__) <= set(dir(agc_pipeline))
    for name in agc_pipeline.__all__:
        assert getattr(agc_pipeline, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'hist_of_run'"):
        _ = agc_pipeline.hist_of_run  # type: ignore[attr-defined]
