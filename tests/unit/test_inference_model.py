"""From histograms to templates to the workspace."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import hist
import numpy as np
import pyhf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import analyses, config
from agc_pipeline.config import load_config
from agc_pipeline.errors import ConfigurationError, ModelError
from agc_pipeline.inference import presence, templates, workspace
from agc_pipeline.inference.binning import rebin, rebin_migration
from agc_pipeline.inference.fit_records import Channel
from agc_pipeline.inference.settings import FitSettings, ModelSettings
from agc_pipeline.inference.templates import Templates
from agc_pipeline.plan import Plan
from agc_pipeline.validation import published
from conftest import read_config

ANALYSIS = analyses.load("cms_ttbar")
EDGES = tuple(float(edge) for edge in range(110, 551, 40))


def settings(**changes: Any) -> ModelSettings:
    """The model of the default configuration, with changes."""
    return ModelSettings.model_validate(read_config()["fit"]["model"] | changes)


@cache
def histograms() -> dict[str, hist.Hist]:
    return published.load(analyses.load("cms_ttbar"), 5)


@cache
def full() -> Templates:
    return templates.select(ANALYSIS, histograms(), settings())


@cache
def spec() -> Any:
    return workspace.build(ANALYSIS, full())


def sample(title: str, channel: str = "4j2b SR", spec_: Any = None) -> Any:
    (found,) = [c for c in (spec_ or spec())["channels"] if c["name"] == channel]
    (sample_,) = [s for s in found["samples"] if s["name"] == title]
    return sample_


def modifier(sample_: Any, name: str, kind: str) -> Any:
    (found,) = [m for m in sample_["modifiers"] if (m["name"], m["type"]) == (name, kind)]
    return found["data"]


def without(*datasets: str, of: dict[str, hist.Hist] | None = None) -> dict[str, hist.Hist]:
    """Histograms of a run that lacks datasets, and the pseudodata with them."""
    dropped = {ANALYSIS.pseudodata_name(region.name) for region in ANALYSIS.regions}
    dropped |= {
        template.name
        for template in ANALYSIS.templates()
        if any(dataset.name in datasets for dataset, _ in ANALYSIS.sources(template))
    }
    return {name: h for name, h in (of or histograms()).items() if name not in dropped}


def weighted(contents: Any, edges: Any) -> hist.Hist:
    made = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
    made.view(flow=True).value = contents
    made.view(flow=True).variance = np.asarray(contents) * 3
    return made


def test_published_bins_of_the_fit() -> None:
    source = histograms()["4j1b_ttbar"]
    made = rebin(source, EDGES, name="4j1b_ttbar")
    assert made.bins.tolist() == list(range(110, 551, 40))
    # Neither the three bins below 110 GeV nor the overflow are used.
    assert made.yields.tolist() == pytest.approx(
        [source.values()[k] + source.values()[k + 1] for k in range(3, 25, 2)], rel=1e-14
    )
    assert made.stdev**2 == pytest.approx(source.variances()[3:].reshape(11, 2).sum(axis=1))


INF = math.inf


@pytest.mark.parametrize(
    ("edges", "drawn", "yields"),
    [
        # Everything below 2, two bins, and the overflow, as wide as a tenth of the histogram.
        ((-INF, 2, 3, 5, INF), (0, 2, 3, 5, 5.5), (1 + 2 + 4, 8, 16 + 32, 64)),
        ((-INF, 0, 1, 5), (-0.5, 0, 1, 5), (1, 2, 4 + 8 + 16 + 32)),
        ((3, INF), (3, 5), (16 + 32 + 64,)),
        ((-INF, INF), (0, 5), (127,)),
        ((0, 5), (0, 5), (62,)),
    ],
)
def test_infinite_edges_take_in_what_is_beyond(edges: Any, drawn: Any, yields: Any) -> None:
    contents = 2.0 ** np.arange(7)
    made = rebin(weighted(contents, np.arange(6)), edges, name="h")
    assert made.bins.tolist() == list(drawn)
    assert made.yields.tolist() == list(yields)
    assert made.stdev**2 == pytest.approx(3 * np.array(yields))
    # Of what has moved from bin to bin, both flows and their mixtures.
    axes = (hist.axis.Variable(np.arange(6), name=name) for name in ("x", "y"))
    moved = hist.Hist(*axes, storage=hist.storage.Double())
    moved.view(flow=True)[...] = np.outer(contents, contents)
    assert rebin_migration(moved, edges, name="m").tolist() == np.outer(yields, yields).tolist()


def test_bins_without_a_bound() -> None:
    channel = Channel(
        region="r",
        label="$H_T$ [GeV]",
        edges=(50, 110, 550, 590),
        beyond=(True, True),
        observed=(1, 1, 1),
        blinded=(600, 700),
    )
    # What is blinded is beyond the edge that is drawn.
    assert channel.hidden == (False, False, True)
    names = [channel.bin_name(number) for number in range(3)]
    assert names == ["below 110 GeV", "110 to 550 GeV", "550 GeV and more"]
    words = "the first bin is below 110 GeV and the last bin is 550 GeV and more"
    assert channel.open_bins == words
    # JSON has no infinite numbers.
    edges = {"4j1b": (-INF, 110.0, INF)}
    model = load_config(overrides={"fit": {"model": {"edges": edges}}}).fit.model
    assert model.model_dump()["edges"] == {"4j1b": ("-inf", 110.0, "inf")}
    assert ModelSettings.model_validate_json(model.model_dump_json()) == model


@pytest.mark.parametrize(
    ("edges", "problem"),
    [
        ([INF, 50], r"`fit.model.edges.4j1b` needs two or more edges in ascending order"),
        ([50, INF, INF], "in ascending order"),
        ([50, math.nan], r"an edge is a number, or \.inf"),
        ([50, True], "true or false stands where a number should"),
    ],
)
def test_wrong_edges_are_told_at_the_plan(edges: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_config(overrides={"fit": {"model": {"edges": {"4j1b": edges}}}})


def test_published_yields_have_nothing_beyond() -> None:
    values = {
        "analysis": "atlas_hzz",
        "input": {"kind": "published"},
        "fit": {"model": {"edges": {"Signal_region": [80, INF]}}},
    }
    problem = "edges of Signal_region are infinite, and what is published .* beyond 80 to 250"
    with pytest.raises(ConfigurationError, match=problem):
        Plan(load_config(overrides=values)).check()


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_edges_are_those_of_the_histogram_in_any_unit(unit: float) -> None:
    """Rounded to a few digits of a bin, and not to the nearest edge."""
    source = weighted(np.arange(8.0), unit * np.array([12.0, 13, 14, 15, 16, 17, 18]))
    made = rebin(source, (12 * unit, 14.0004 * unit, 18 * unit), name="h")
    assert made.yields.tolist() == [1 + 2, 3 + 4 + 5 + 6]
    with pytest.raises(ModelError, match="not among the bin edges"):
        rebin(source, (12 * unit, 14.1 * unit, 18 * unit), name="h")
    with pytest.raises(ModelError, match="not among the bin edges"):
        rebin(source, (12 * unit, 18.4 * unit), name="h")


def test_a_histogram_without_flow_has_nothing_beyond() -> None:
    axis = hist.axis.Variable(np.arange(6), overflow=False)
    source = hist.Hist(axis, storage=hist.storage.Weight())
    assert rebin(source, (0, 5), name="h").yields.tolist() == [0]
    with pytest.raises(ModelError, match="h has no bins for what is beyond its edges"):
        rebin(source, (0, INF), name="h")


@given(
    first=st.integers(0, 4),
    merge=st.integers(1, 4),
    n_merged=st.integers(1, 5),
    contents=st.lists(st.floats(0, 1e6), min_size=26, max_size=26),
    widths=st.lists(st.floats(0.5, 50), min_size=24, max_size=24),
)
def test_rebinning_keeps_sums(
    first: int, merge: int, n_merged: int, contents: list[float], widths: list[float]
) -> None:
    n_bins = first + merge * n_merged
    edges = np.concatenate([[-20], -20 + np.cumsum(widths[:n_bins])])
    source = weighted(contents[: n_bins + 2], edges)
    made = rebin(source, tuple(edges[first::merge]), name="h")
    assert np.isin(made.bins, edges).all()
    assert len(made.bins) == n_merged + 1
    assert made.yields.sum() == pytest.approx(source.values()[first:].sum())
    assert (made.stdev**2).sum() == pytest.approx(source.variances()[first:].sum())


@pytest.mark.parametrize(
    ("edges", "problem"),
    [
        ((100, 150, 190), "h: 100 is not among the bin edges 50, 70, 90"),
        ((49, 70), "49 is not among"),
        ((110, 160, 200), "160, 200 is not among"),
        ((550,), "the fit edges of h are not two or more in ascending order"),
        ((150, 110), "not two or more in ascending order"),
    ],
)
def test_bins_that_do_not_fit(edges: tuple[float, ...], problem: str) -> None:
    source = weighted(np.ones(27), np.arange(50, 551, 20))
    with pytest.raises(ModelError, match=problem):
        rebin(source, edges, name="h")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_contents_that_are_not_finite(value: float) -> None:
    contents = np.ones(27)
    contents[10] = value
    with pytest.raises(ModelError, match="histogram h has bins without finite content"):
        rebin(weighted(contents, np.arange(50, 551, 20)), EDGES, name="h")


def test_histogram_without_variances() -> None:
    scaled = hist.Hist(hist.axis.Regular(25, 50, 550), storage=hist.storage.Double()) * 2.0
    assert scaled.variances() is None
    with pytest.raises(ModelError, match="without finite content and variance"):
        rebin(scaled, EDGES, name="h")


def test_default_configuration() -> None:
    made = FitSettings.model_validate(read_config()["fit"])
    assert made.model.data == "pseudodata"
    assert made.model.edges == {}
    (free,) = ANALYSIS.free
    assert (free.name, free.bounds) == ("ttbar_norm", (0, 10))
    assert all(region.fit_edges == EDGES for region in ANALYSIS.regions)


def test_workspace_is_the_model_of_the_specification() -> None:
    made = pyhf.Workspace(spec())
    assert made.channels == ["4j1b CR", "4j2b SR"]
    assert made.samples == [
        "W+jets",
        "single top s-channel",
        "single top t-channel",
        "single top tW",
        "ttbar",
    ]
    assert made.channel_nbins == {"4j1b CR": 11, "4j2b SR": 11}
    everywhere = ["Jet energy scale", "Jet energy resolution"] + [f"b-tag NP {n}" for n in "1234"]
    for channel in made.channels:
        for title in made.samples:
            statistical = "staterror_" + channel.replace(" ", "-")
            expected = {("Luminosity", "normsys"), (statistical, "staterror")}
            names = list(everywhere)
            if title == "ttbar":
                names += ["ME variation", "PS variation", "ttbar scale variation"]
                expected.add(("ttbar_norm", "normfactor"))
            if title == "W+jets":
                names.append("W+jets scale variation")
            expected |= {(name, kind) for name in names for kind in ("normsys", "histosys")}
            modifiers = sample(title, channel)["modifiers"]
            assert {(m["name"], m["type"]) for m in modifiers} == expected
            assert len(modifiers) == len(expected)
    (measurement,) = spec()["measurements"]
    assert measurement["config"] == {
        "poi": "ttbar_norm",
        "parameters": [{"name": "ttbar_norm", "inits": [1.0], "bounds": [[0.0, 10.0]]}],
    }


def test_order_of_systematics() -> None:
    names = [m["name"] for m in sample("ttbar")["modifiers"] if m["type"] == "normsys"]
    declared = [s.name for s in ANALYSIS.systematics if "ttbar" in s.acts_on]
    assert names == declared


def test_luminosity_and_statistical_uncertainties() -> None:
    for title in ("ttbar", "single top tW"):
        assert modifier(sample(title), "Luminosity", "normsys") == pytest.approx(
            {"hi": 1.03, "lo": 0.97}
        )
    nominal = full().nominal["4j2b", "ttbar"]
    assert sample("ttbar")["data"] == nominal.yields.tolist()
    assert modifier(sample("ttbar"), "staterror_4j2b-SR", "staterror") == nominal.stdev.tolist()


def test_data_are_the_pseudodata() -> None:
    for region in ANALYSIS.regions:
        (found,) = [o for o in spec()["observations"] if o["name"] == region.title]
        name = ANALYSIS.pseudodata_name(region.name)
        assert found["data"] == rebin(histograms()[name], EDGES, name=name).yields.tolist()


def test_one_sided_systematics_are_mirrored_after_normalising() -> None:
    for channel, region in (("4j1b CR", "4j1b"), ("4j2b SR", "4j2b")):
        for name, variation in (("ME variation", "ME_var"), ("Jet energy scale", "pt_scale_up")):
            found = sample("ttbar", channel)
            nominal = np.array(found["data"])
            norm = modifier(found, name, "normsys")
            shape = modifier(found, name, "histosys")
            hi, lo = np.array(shape["hi_data"]), np.array(shape["lo_data"])
            up = rebin(histograms()[f"{region}_ttbar_{variation}"], EDGES, name="up").yields
            assert norm["hi"] * hi == pytest.approx(up, rel=1e-13)
            assert hi.sum() == pytest.approx(nominal.sum(), rel=1e-13)
            assert norm["lo"] == pytest.approx(2 - norm["hi"], rel=1e-13)
            assert lo == pytest.approx(2 * nominal - hi, rel=1e-13)
            assert not np.allclose(hi, nominal, rtol=1e-3)


def test_two_sided_systematics_keep_both_templates() -> None:
    found = sample("ttbar")
    norm = modifier(found, "ttbar scale variation", "normsys")
    shape = modifier(found, "ttbar scale variation", "histosys")
    for side, variation in (("hi", "scaleup"), ("lo", "scaledown")):
        template = rebin(histograms()[f"4j2b_ttbar_{variation}"], EDGES, name="t").yields
        assert norm[side] * np.array(shape[f"{side}_data"]) == pytest.approx(template, rel=1e-13)


def test_missing_datasets_are_an_error() -> None:
    with pytest.raises(ModelError) as caught:
        templates.select(ANALYSIS, without("ttbar__PS_var", "wjets__nominal"), settings())
    assert "dataset ttbar__PS_var is not in the run" in caught.value.problem
    assert "dataset wjets__nominal is not in the run" in caught.value.problem
    assert "missing_datasets: drop" in caught.value.remedy
    assert "more events" not in caught.value.remedy


def test_missing_datasets_are_left_out_on_request() -> None:
    keep = settings(missing_datasets="drop", data="asimov")
    made = templates.select(ANALYSIS, without("ttbar__PS_var", "wjets__nominal"), keep)
    dataset, samples = templates.Cause.DATASET, templates.Cause.SAMPLES
    assert {(e.cause, e.region, e.process, e.systematic) for e in made.left_out} == {
        (dataset, None, "ttbar", "PS variation"),
        (dataset, None, "wjets", None),
        (samples, None, None, "W+jets scale variation"),
    }
    assert not any("wjets" in key for key in (*made.nominal, *made.varied))
    built = workspace.build(ANALYSIS, made)
    model = pyhf.Workspace(built).model()
    assert "W+jets" not in model.config.samples
    assert not {"PS variation", "W+jets scale variation"} & set(model.config.par_names)
    assert "ME variation" in model.config.par_names


def test_half_of_a_two_sided_systematic_is_none() -> None:
    keep = settings(missing_datasets="drop", data="asimov")
    made = templates.select(ANALYSIS, without("ttbar__scaledown"), keep)
    (entry,) = made.left_out
    assert (entry.process, entry.systematic) == ("ttbar", "ttbar scale variation")
    assert entry.describe() == (
        "ttbar scale variation, ttbar: dataset ttbar__scaledown is not in the run"
    )
    assert not any(name == "ttbar scale variation" for _, _, name in made.varied)


def test_pseudodata_need_their_datasets() -> None:
    with pytest.raises(ModelError) as caught:
        templates.select(ANALYSIS, without("ttbar__PS_var"), settings(missing_datasets="drop"))
    assert caught.value.problem == "no histogram 4j1b_pseudodata"
    assert "ttbar__PS_var" in caught.value.remedy
    assert "fit.model.data: asimov" in caught.value.remedy


def test_histograms_of_another_version_of_the_analysis() -> None:
    found = {name: h for name, h in histograms().items() if name != "4j1b_ttbar_btag_var_0_up"}
    for policy in ("error", "drop"):
        with pytest.raises(ModelError, match="no histogram 4j1b_ttbar_btag_var_0_up, but others"):
            templates.select(ANALYSIS, found, settings(missing_datasets=policy))


def test_without_the_measured_process() -> None:
    keep = settings(missing_datasets="drop", data="asimov")
    with pytest.raises(ModelError, match="no yield of process 'ttbar'"):
        templates.select(ANALYSIS, without("ttbar__nominal"), keep)


def emptied(*names: str) -> dict[str, hist.Hist]:
    return {name: h * (0.0 if name in names else 1.0) for name, h in histograms().items()}


def without_events(region: str, *processes: str) -> dict[str, hist.Hist]:
    """Histograms in which processes have no events in a region, varied or not."""
    empty = [f"{region}_{process}" for process in processes]
    return emptied(
        *(
            name
            for name in histograms()
            if any(name == one or name.startswith(f"{one}_") for one in empty)
        )
    )


def test_empty_sample_is_left_out_of_its_region() -> None:
    made = templates.select(ANALYSIS, without_events("4j1b", "wjets"), settings())
    (entry,) = made.left_out
    assert (entry.region, entry.process, entry.systematic) == ("4j1b", "wjets", None)
    assert entry.reason == "4j1b_wjets has no events"
    built = workspace.build(ANALYSIS, made)
    in_channel = {c["name"]: {s["name"] for s in c["samples"]} for c in built["channels"]}
    assert "W+jets" not in in_channel["4j1b CR"]
    assert "W+jets" in in_channel["4j2b SR"]
    # The rest of the model is what it was.
    assert sample("ttbar", spec_=built) == sample("ttbar")
    assert sample("W+jets", spec_=built) == sample("W+jets")


def test_empty_region_is_left_out() -> None:
    processes = [process.name for process in ANALYSIS.processes]
    made = templates.select(ANALYSIS, without_events("4j1b", *processes), settings())
    assert len(made.left_out) == 5
    built = workspace.build(ANALYSIS, made)
    assert [c["name"] for c in built["channels"]] == ["4j2b SR"]


def test_events_that_only_a_variation_has_are_told() -> None:
    """They are no error: with few events it happens by chance."""
    content = without_events("4j1b", "wjets")
    content["4j1b_wjets_pt_scale_up"] = histograms()["4j1b_wjets_pt_scale_up"]
    made = templates.select(ANALYSIS, content, settings())
    sample, effect = made.left_out
    assert (sample.process, sample.systematic) == ("wjets", None)
    assert (effect.region, effect.process, effect.systematic) == (
        "4j1b",
        "wjets",
        "Jet energy scale",
    )
    total = content["4j1b_wjets_pt_scale_up"].values()[3:].sum()
    assert effect.reason == (
        f"4j1b_wjets has no events, and 4j1b_wjets_pt_scale_up has {total:.6g}"
    )
    assert ("4j1b", "wjets") not in made.nominal


def test_variations_that_too_few_events_cannot_describe() -> None:
    found = emptied("4j1b_wjets_pt_res_up", "4j2b_single_top_tW_btag_var_0_down")
    found["4j2b_ttbar_pt_scale_up"] = found["4j2b_ttbar_pt_scale_up"] * 2
    ratio = found["4j2b_ttbar_pt_scale_up"].values()[3:].sum()
    ratio /= found["4j2b_ttbar"].values()[3:].sum()
    assert ratio > 2
    with pytest.raises(ModelError) as caught:
        templates.select(ANALYSIS, found, settings())
    for reason in (
        "4j1b_wjets_pt_res_up has no events",
        "4j2b_single_top_tW_btag_var_0_down has no events",
        f"4j2b_ttbar_pt_scale_up has {ratio:.3g} times the nominal events: cannot be mirrored",
    ):
        assert reason in caught.value.problem
    for remedy in ("`down` of 'Jet energy scale', or", "more events", "missing_datasets: drop"):
        assert remedy in caught.value.remedy
    assert "all datasets" not in caught.value.remedy
    made = templates.select(ANALYSIS, found, settings(missing_datasets="drop"))
    assert [(e.cause, e.region, e.process, e.systematic) for e in made.left_out] == [
        (templates.Cause.SIZE, "4j2b", "ttbar", "Jet energy scale"),
        (templates.Cause.EVENTS, "4j1b", "wjets", "Jet energy resolution"),
        (templates.Cause.EVENTS, "4j2b", "single_top_tW", "b-tag NP 1"),
    ]
    built = workspace.build(ANALYSIS, made)
    names = {m["name"] for m in sample("ttbar", spec_=built)["modifiers"]}
    assert "Jet energy scale" not in names
    assert modifier(sample("ttbar", "4j1b CR", built), "Jet energy scale", "histosys") == modifier(
        sample("ttbar", "4j1b CR"), "Jet energy scale", "histosys"
    )


def test_a_large_variation_of_one_side_needs_the_other_one() -> None:
    found = dict(histograms())
    found["4j2b_ttbar_pt_scale_up"] = found["4j2b_ttbar_pt_scale_up"] * 2.6
    with pytest.raises(ModelError, match="cannot be mirrored") as caught:
        templates.select(ANALYSIS, found, settings())
    assert caught.value.remedy == (
        "declare `down` of 'Jet energy scale', or correct the weight or the change of `up` if it "
        "is not meant to be so large"
    )
    # Which remedy is told follows from the cause, whatever other causes there are.
    found = {name: h for name, h in found.items() if "wjets" not in name}
    with pytest.raises(ModelError) as caught:
        templates.select(ANALYSIS, found, settings())
    assert caught.value.remedy == (
        "declare `down` of 'Jet energy scale', or correct the weight or the change of `up` if it "
        f"is not meant to be so large, or process all datasets, or {presence.DROP}"
    )


def test_asimov_data_are_the_sum_of_the_templates() -> None:
    keep = settings(data="asimov")
    built = workspace.build(ANALYSIS, templates.select(ANALYSIS, histograms(), keep))
    for channel, observed in zip(built["channels"], built["observations"], strict=True):
        expected = np.sum([s["data"] for s in channel["samples"]], axis=0)
        assert observed["data"] == pytest.approx(expected, rel=1e-14)


def test_asimov_data_have_the_nominal_values_of_free_normalisations() -> None:
    """The fit returns them by construction, and not 1."""
    (free,) = ANALYSIS.free
    declared = replace(ANALYSIS, free=(replace(free, nominal=1.5),))
    made = templates.select(declared, histograms(), settings(data="asimov"))
    model, data = workspace.load(workspace.build(declared, made), place="asimov")
    expected = model.expected_data(model.config.suggested_init())
    assert model.config.suggested_init()[model.config.poi_index] == 1.5
    assert data == pytest.approx(expected, rel=1e-12)


def test_unreadable_workspace() -> None:
    with pytest.raises(ModelError, match="not a valid workspace") as caught:
        workspace.load({"channels": []}, place="workspace.json")
    assert caught.value.place == "workspace.json"


def test_unknown_key_names_its_neighbour(config_values: dict[str, Any]) -> None:
    config_values["fit"]["model"]["edgs"] = {}
    with pytest.raises(ConfigurationError, match="did you mean `edges`"):
        config.load(config_values)


@pytest.mark.parametrize(
    ("edges", "problem"),
    [
        ({"5j": [110, 150]}, r"unknown region '5j' in `fit.model.edges` \(there are 4j1b, 4j2b"),
        ({"4j1bb": [110, 150]}, r"unknown region '4j1bb' .* \(did you mean 4j1b\?\)"),
        ({"4j1b": [110, 155, 190]}, "`fit.model.edges.4j1b`: 155 is not among the bin edges 50"),
        ({"4j1b": [150, 110]}, "`fit.model.edges.4j1b` needs two or more edges in ascending order"),
    ],
)
def test_wrong_fit_edges(
    config_values: dict[str, Any], edges: dict[str, list[float]], problem: str
) -> None:
    with pytest.raises(ModelError, match=problem):
        templates.select(ANALYSIS, histograms(), settings(edges=edges))
    config_values["fit"]["model"]["edges"] = edges
    with pytest.raises(ConfigurationError, match=problem):
        config.load(config_values)
