"""H to ZZ* to four leptons, against plain loops over the events."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from agc_pipeline import analyses, config
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import Dataset
from agc_pipeline.declaration.checks import check
from agc_pipeline.declaration.query import query
from agc_pipeline.delivery.servicex import request
from agc_pipeline.errors import AnalysisError, ConfigurationError
from agc_pipeline.files import read_json
from agc_pipeline.inference import fit, workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.settings import MinimiserSettings, ModelSettings
from agc_pipeline.plan import Plan
from agc_pipeline.readers import nano_events
from agc_pipeline.stages import workspace as workspace_stage
from agc_pipeline.validation import published
from agc_pipeline.validation.run import validate
from agc_pipeline.validation.settings import ValidationSettings
from conftest import SAMPLES, read_config
from oracle.mini import events, task, tight

ANALYSIS = analyses.load("atlas_hzz")
SELECTION: Any = ANALYSIS.selection(read_config("atlas-hzz")["physics"]["selection"])
DATA = ANALYSIS.dataset("data")
# The four files of collision data: counts in the 34 bins of the task. Its published figure has 25
# and 11 in place of 24 and 12: an event at 125.0096 GeV is in the bin below 125 GeV there.
TASK_BINS = (
    *(6, 28, 39, 8, 3, 6, 7, 8, 24, 12, 10, 8, 9, 11, 7, 6, 11),
    *(6, 7, 5, 15, 16, 8, 15, 11, 12, 10, 9, 6, 13, 8, 8, 10, 9),
)
# The same of the three channels of the selection of ROOT's tutorial df106.
TIGHT_BINS = (1, 6, 20, 7, 4, 3, 1, 0, 2, 1, 7, 9, 7, 3, 3, 1, 4, 1, 2, 4, 2, 1, 4, 2)


@pytest.fixture(scope="module")
def data() -> list[Path]:
    """The four files of collision data."""
    files = sorted((SAMPLES / "atlas_4lep").glob("data_*.root"))
    if len(files) != 4:
        pytest.skip("the ATLAS data are not at hand (looked in ../shared/samples/atlas_4lep)")
    return files


def values(path: Path) -> dict[str, np.ndarray]:
    """The observables of the analysis in a file, by region."""
    with uproot.open(path) as file:
        columns = ANALYSIS.columns(DATA, SELECTION)
        n_events = file["mini"].num_entries
        read = nano_events.of_root(file["mini"], columns, ANALYSIS.layout, (0, n_events))
        assert ANALYSIS.derived is not None
        read = ANALYSIS.derived(read, SELECTION)
        result = {}
        for region in ANALYSIS.regions:
            assert region.mask is not None
            assert region.values is not None
            selected = read[np.asarray(region.mask(read, SELECTION))]
            result[region.name] = np.asarray(region.values(selected, SELECTION))
    return result


def test_real_data(data: list[Path]) -> None:
    ours: dict[str, list[float]] = {region.name: [] for region in ANALYSIS.regions}
    loops: dict[str, list[float]] = {region.name: [] for region in ANALYSIS.regions}
    for path in data:
        for name, observables in values(path).items():
            ours[name] += observables.tolist()
        for event in events(path):
            if (m4l := task(event)) is not None:
                loops["Signal_region"].append(m4l)
            if (channel := tight(event)) is not None:
                loops[channel[0]].append(channel[1])
    for name, observables in loops.items():
        np.testing.assert_allclose(ours[name], observables, rtol=1e-6)
    assert len(ours["Signal_region"]) == 506
    counts, _ = np.histogram(ours["Signal_region"], ANALYSIS.region("Signal_region").edges)
    assert tuple(counts) == TASK_BINS
    assert counts.sum() == 371
    channels = [*ours["4e"], *ours["2e2mu"], *ours["4mu"]]
    assert len(channels) == 321
    counts, _ = np.histogram(channels, ANALYSIS.region("4e").edges)
    assert tuple(counts) == TIGHT_BINS
    assert counts.sum() == 95


def test_fit_of_the_published_yields() -> None:
    """The published fit; its yields are read off a figure, and the varied masses interpolated."""
    settings = read_config("atlas-hzz")["fit"]
    histograms = published.load(ANALYSIS, -1)
    observed = histograms[ANALYSIS.data_name("Signal_region")].values()
    assert observed.sum() == 371
    built = build_workspace(
        ANALYSIS.with_selection("task"), histograms, ModelSettings.model_validate(settings["model"])
    )
    # The regions of the tight selection are not fitted: their systematics are not missing.
    assert built.description.left_out == ()
    model, data = workspace.load(built.workspace, place="test")
    results = fit.fit(model, data, MinimiserSettings.model_validate(settings["minimiser"])).results
    pairs = zip(results.bestfit, results.uncertainty, strict=True)
    fitted = dict(zip(results.labels, pairs, strict=True))
    # Source: outputs of the AGC's notebook, analyses/atlas-open-data-hzz.
    assert fitted["Signal_norm"] == pytest.approx((1.1207, 0.7096), abs=0.05)
    assert fitted["ZZ_norm"] == pytest.approx((1.5474, 0.8128), abs=0.05)


def test_scale_of_the_published_yields() -> None:
    """Why the pull of Scalefactor_variation is 1.26: the sum of what was read off is too small.

    In each bin, the fitted statistical factor f of the data n and an expectation m without it obeys
    n / f - m = (f - 1) / width**2, so that the published ones tell what was expected.
    """
    path = SAMPLES.parent / "reference" / "hzz.json"
    if not path.is_file():
        pytest.skip("the published fit is not at hand (looked for ../shared/reference/hzz.json)")
    reference = read_json(path)
    factors, widths = (np.array(reference["staterror"][key]) for key in ("value", "uncertainty"))
    histograms = published.load(ANALYSIS, -1)
    observed = histograms[ANALYSIS.data_name("Signal_region")].values()
    expected = observed / factors - (factors - 1) / widths**2
    settings = read_config("atlas-hzz")["fit"]
    declared, kinds = (
        ANALYSIS.with_selection("task"),
        ModelSettings.model_validate(settings["model"]),
    )
    minimiser = MinimiserSettings.model_validate(settings["minimiser"])

    def model() -> tuple[Any, list[float]]:
        built = build_workspace(declared, histograms, kinds)
        return workspace.load(built.workspace, place="test")

    nominal, _ = model()
    at = np.array(nominal.config.suggested_init(), dtype=np.float64)
    for name, value in reference["fit"].items():
        if name in nominal.config.par_names:
            at[nominal.config.par_names.index(name)] = value[0]
    read = nominal.expected_actualdata(at)
    assert expected.sum() / read.sum() == pytest.approx(1.014, abs=0.002)
    for name, histogram in histograms.items():
        if name.startswith("Signal_region") and name != ANALYSIS.data_name("Signal_region"):
            histogram.view()["value"] *= expected / read
            histogram.view()["variance"] *= (expected / read) ** 2
    results = fit.fit(*model(), minimiser).results
    fitted = dict(zip(results.labels, results.bestfit, strict=True))
    assert fitted["Scalefactor_variation"] == pytest.approx(1.1483, abs=0.02)
    assert fitted["ZZ_norm"] == pytest.approx(1.5474, abs=0.05)
    assert fitted["Signal_norm"] == pytest.approx(1.1207, abs=0.05)


@pytest.mark.parametrize("dataset", ANALYSIS.datasets, ids=lambda dataset: dataset.name)
def test_query_for_the_flat_ntuples(dataset: Dataset) -> None:
    """ServiceX is asked for events of `mini` with four leptons, and the branches that are read."""
    (asked, *_) = request._sub_queries(query(ANALYSIS, SELECTION, dataset), "ttree")
    assert asked.treename == "mini"
    assert asked.cut == "(lep_n >= 3.99996)"
    branches = set(asked.filter_name)
    leptons = ("pt", "eta", "phi", "E", "charge", "type", "ptcone30", "etcone20", "z0", "pt_syst")
    assert {f"lep_{name}" for name in leptons} < branches
    assert {"lep_n", "trigE", "trigM", "runNumber", "eventNumber"} < branches
    weights = {name for name in branches if name.startswith(("mcWeight", "scaleFactor"))}
    assert len(weights) == (0 if dataset.kind == "data" else 5)


def test_selections() -> None:
    """The regions of one are fitted; what is not one of them is refused at the plan."""
    assert config.load(read_config("atlas-hzz")).selection == "task"
    fitted = {
        name: [region.name for region in ANALYSIS.with_selection(name).regions if region.fitted]
        for name in ANALYSIS.selections
    }
    assert fitted == {"task": ["Signal_region"], "tight": ["4e", "2e2mu", "4mu"]}
    chosen = config.load(read_config("atlas-hzz") | {"selection": "tight"})
    assert workspace_stage.configure(Plan(chosen)).selection == "tight"
    with pytest.raises(
        ConfigurationError, match=r"'loose' in `selection` \(there are task, tight\)"
    ):
        config.load(read_config("atlas-hzz") | {"selection": "loose"})
    with pytest.raises(ConfigurationError, match=r"'tight'.*there are none"):
        config.load(read_config() | {"selection": "tight"})


def test_shared_parts_are_of_records() -> None:
    """Columns are read when they are needed: nothing can be derived before."""
    assert check(ANALYSIS) is ANALYSIS
    with pytest.raises(
        AnalysisError, match="`derived` makes records of events, and events are col"
    ):
        check(replace(ANALYSIS, events="columns"))


def test_pseudodata_are_not_compared_with_published_data() -> None:
    assert config.load(read_config("atlas-hzz-simulated")).pseudodata
    histograms = published.load(ANALYSIS, -1)
    closure = Closure(partial=False, datasets={}, provenance={})
    settings = ValidationSettings.model_validate(read_config("atlas-hzz")["validation"])
    names = {
        pseudodata: [
            result.process
            for result in validate(
                ANALYSIS, histograms, closure, settings, {}, pseudodata=pseudodata
            ).templates
        ]
        for pseudodata in (False, True)
    }
    assert names == {False: ["Z_tt", "ZZ", "signal", "data"], True: ["Z_tt", "ZZ", "signal"]}
