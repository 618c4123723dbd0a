"""Each statement of a declaration in the workspace, by hand: two regions of four bins."""

import math
from dataclasses import replace
from typing import Any

import hist
import numpy as np
import pytest

from agc_pipeline.declaration import (
    Analysis,
    Dataset,
    Free,
    Physics,
    Process,
    Region,
    Systematic,
    Variation,
)
from agc_pipeline.declaration.checks import check
from agc_pipeline.errors import AnalysisError, ModelError
from agc_pipeline.inference import audit, templates
from agc_pipeline.inference.model import Model, build_workspace
from agc_pipeline.inference.propagation import propagate
from agc_pipeline.inference.result import fit_workspace
from agc_pipeline.inference.settings import MinimiserSettings, ModelSettings

EDGES = (0.0, 1.0, 2.0, 3.0, 4.0)
MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=2)
CONTENTS = {
    "sr_signal": (1, 2, 3, 4),
    "sr_zz": (10, 20, 30, 40),
    "sr_top": (5, 5, 5, 5),
    "cr_signal": (1, 1, 1, 1),
    "cr_zz": (40, 30, 20, 10),
    "cr_top": (50, 60, 70, 80),
    "sr_zz_jes_up": (11, 22, 33, 44),
    "cr_zz_jes_up": (44, 33, 22, 11),
    "sr_top_jes_up": (6, 6, 6, 6),
    "cr_top_jes_up": (55, 66, 77, 88),
    "sr_data": (17, 26, 39, 48),
    "cr_data": (90, 93, 88, 92),
}
ONE = Variation("jes_up", weight=lambda *_: 1.0)


def analysis(*systematics: Systematic, **changes: Any) -> Analysis:
    """Two regions, three processes, of which ZZ has two datasets, and collision data."""
    toy = Analysis(
        name="toy",
        settings=Physics,
        regions=(
            Region("sr", "signal region", "m", "m", EDGES),
            Region("cr", "control region", "m", "m", EDGES),
        ),
        processes=(Process("signal", "H"), Process("zz", "ZZ"), Process("top", "Top")),
        datasets=(
            Dataset("higgs", ("signal",)),
            Dataset("zz4e", ("zz",)),
            Dataset("zz4mu", ("zz",)),
            Dataset("tt", ("top",)),
            Dataset("run2012", kind="data"),
        ),
        systematics=systematics,
        free=(Free("mu", ("signal",)),),
    )
    return replace(toy, **changes)


def histograms(*dropped: str) -> dict[str, hist.Hist]:
    made = {}
    for name, contents in CONTENTS.items():
        if name not in dropped:
            made[name] = hist.Hist(hist.axis.Variable(EDGES), storage=hist.storage.Weight())
            made[name].view().value = contents
            made[name].view().variance = np.array(contents) / 4
    return made


def settings(**changes: Any) -> ModelSettings:
    values = {"data": "observed", "missing_datasets": "error"} | changes
    return ModelSettings.model_validate(values | {"pruning": {"normalisation": 0, "shape": 0}})


def build(declared: Analysis, **changes: Any) -> Model:
    return build_workspace(declared, histograms(), settings(**changes))


def modifiers(model: Model, kind: str) -> dict[tuple[str, str, str], Any]:
    """Content of the modifiers of a kind, by channel, sample and name."""
    return {
        (channel["name"].split()[0], sample["name"], modifier["name"]): modifier["data"]
        for channel in model.workspace["channels"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
        if modifier["type"] == kind
    }


def parameters(model: Model) -> set[str]:
    return {name for _, _, name in modifiers(model, "normsys")}


def test_effects_by_process_are_asymmetric() -> None:
    model = build(analysis(Systematic("theory", effects={"zz": 0.01, "signal": (-0.03, 0.02)})))
    found = modifiers(model, "normsys")
    for region in ("signal", "control"):
        assert found.pop((region, "ZZ", "theory")) == pytest.approx({"hi": 1.01, "lo": 0.99})
        assert found.pop((region, "H", "theory")) == pytest.approx({"hi": 1.02, "lo": 0.97})
    assert found == {}


def filled(systematic: Systematic) -> Analysis:
    """The same with functions that fill the regions."""
    regions = analysis().regions
    runnable: Any = (replace(r, mask=lambda *_: True, values=lambda *_: 1.0) for r in regions)
    return analysis(systematic, regions=tuple(runnable))


def test_effects_that_no_yield_can_have_are_refused() -> None:
    for effect, problem in (
        (-1.5, "-1.5 of Lumi on zz makes the yield -0.5 times the nominal one up"),
        (1.0, "1.0 of Lumi on zz makes the yield 0 times the nominal one down"),
        ((-1.0, 0.1), "makes the yield 0 times the nominal one down"),
        ((0.1, -2.0), "makes the yield -1 times the nominal one up"),
        (math.inf, "inf of Lumi on zz is infinite"),
        (math.nan, "the entry zz in `effects` of the Systematic 'Lumi' is NaN"),
        ([0.1, 0.1], "is [0.1, 0.1]: it must be a number or a tuple of 2, in round brackets"),
        ((0.1, 0.1, 0.1), "it must be a number or a tuple of 2, in round brackets"),
    ):
        effects: Any = {"signal": 0.03, "zz": effect}
        with pytest.raises(AnalysisError) as error:
            check(filled(Systematic("Lumi", effects=effects)))
        assert problem in error.value.problem
        assert "signal" not in error.value.problem
    check(filled(Systematic("Lumi", effects={"signal": -0.9, "zz": (-0.9, 3.0)})))


def test_effect_in_one_region() -> None:
    model = build(analysis(Systematic("veto", effects={"top": 0.1}, regions=("cr",))))
    assert modifiers(model, "normsys") == {
        ("control", "Top", "veto"): pytest.approx({"hi": 1.1, "lo": 0.9})
    }


def test_shape_in_one_region() -> None:
    model = build(analysis(Systematic("JES", ("zz",), up=ONE, regions=("sr",))))
    assert modifiers(model, "normsys") == {
        ("signal", "ZZ", "JES"): pytest.approx({"hi": 1.1, "lo": 0.9})
    }
    ((key, shape),) = modifiers(model, "histosys").items()
    assert key == ("signal", "ZZ", "JES")
    assert shape["hi_data"] == pytest.approx([10, 20, 30, 40])
    assert [origin.modifier for origin in model.checks.origins if origin.modifier] == ["JES"]


@pytest.mark.parametrize(
    ("correlated", "expected"),
    [
        ("all", {"JES"}),
        ("regions", {"JES sr", "JES cr"}),
        ("processes", {"JES zz", "JES top"}),
    ],
)
@pytest.mark.parametrize("kind", ["shape", "normalisation"])
def test_correlations(kind: str, correlated: Any, expected: set[str]) -> None:
    systematic = (
        Systematic("JES", ("zz", "top"), up=ONE, correlated=correlated, group="Jets")
        if kind == "shape"
        else Systematic("JES", effects={"zz": 0.1, "top": 0.2}, correlated=correlated, group="Jets")
    )
    model = build(analysis(systematic))
    assert parameters(model) == expected
    assert model.description.groups == dict.fromkeys(expected, "Jets")
    for region, sample, name in modifiers(model, "normsys"):
        short = {"signal": "sr", "control": "cr", "ZZ": "zz", "Top": "top"}
        suffix = {"all": "", "regions": short[region], "processes": short[sample]}[correlated]
        assert name == f"JES {suffix}".strip()
    assert all(origin.proven for origin in model.checks.origins)


def test_free_normalisations_act_on_lists_of_processes() -> None:
    free = (Free("mu", ("signal", "top")), Free("norm_zz", ("zz",), nominal=0.9, bounds=(0, 5)))
    model = build(analysis(free=free))
    assert set(modifiers(model, "normfactor")) == {
        (region, sample, name)
        for region in ("signal", "control")
        for sample, name in (("H", "mu"), ("Top", "mu"), ("ZZ", "norm_zz"))
    }
    (measurement,) = model.workspace["measurements"]
    assert measurement["config"] == {
        "poi": "mu",
        "parameters": [
            {"name": "mu", "inits": [1.0], "bounds": [[0.0, 10.0]]},
            {"name": "norm_zz", "inits": [0.9], "bounds": [[0, 5]]},
        ],
    }


def test_fit_edges_by_region() -> None:
    declared = analysis()
    sr, cr = declared.regions
    declared = replace(declared, regions=(replace(sr, fit_edges=(1.0, 2.0, 4.0)), cr))
    model = build(declared)
    assert {title: entry.edges for title, entry in model.description.channels.items()} == {
        "signal region": (1.0, 2.0, 4.0),
        "control region": EDGES,
    }
    assert [entry["data"] for entry in model.workspace["observations"]] == [
        [26.0, 87.0],
        [90.0, 93.0, 88.0, 92.0],
    ]
    other = build(declared, edges={"sr": [0, 3], "cr": [2, 3, 4]})
    assert [entry["data"] for entry in other.workspace["observations"]] == [[82.0], [88.0, 92.0]]
    samples = other.workspace["channels"][0]["samples"]
    assert [sample["data"] for sample in samples] == [[6.0], [60.0], [15.0]]


def test_data_are_the_observed() -> None:
    model = build(analysis())
    assert model.description.data == "observed"
    assert [tuple(entry["data"]) for entry in model.workspace["observations"]] == [
        CONTENTS["sr_data"],
        CONTENTS["cr_data"],
    ]
    with pytest.raises(ModelError, match="no histogram cr_data") as caught:
        build_workspace(analysis(), histograms("cr_data"), settings())
    assert "process the datasets run2012" in caught.value.remedy
    with pytest.raises(ModelError, match="no histogram sr_pseudodata") as caught:
        build(analysis(), data="pseudodata")
    assert "declare the pseudodata" in caught.value.remedy


def test_negative_pseudodata_and_expectations_are_refused_with_their_value() -> None:
    """Counts have neither; bins that are merged may have parts below zero."""
    declared = analysis(pseudodata={"higgs": 1.5, "zz4e": -0.5})
    content = histograms()
    for region in ("sr", "cr"):
        content[f"{region}_pseudodata"] = content[f"{region}_zz"].copy()
    content["sr_pseudodata"].view().value = (-0.5, 3, 4, -1.25)
    with pytest.raises(ModelError) as caught:
        build_workspace(declared, content, settings(data="pseudodata"))
    assert caught.value.problem == (
        "signal region: negative number of observed events in bins 0, 3 (-1.25 at worst)"
    )
    assert caught.value.place == "histograms"
    assert "events with negative weights" in caught.value.remedy
    merged = {"sr": (0.0, 2.0, 4.0)}
    model = build_workspace(declared, content, settings(data="pseudodata", edges=merged))
    assert model.workspace["observations"][0]["data"] == [2.5, 2.75]
    content["cr_top"].view().value = (50, -60, 70, 80)
    message = r"^control region: negative expected yield in bin 1 \(-29\)"
    with pytest.raises(ModelError, match=message):
        build_workspace(declared, content, settings(data="asimov"))


def test_one_of_several_datasets_is_missing() -> None:
    lacking = histograms("sr_zz", "cr_zz")
    with pytest.raises(ModelError, match="dataset zz4e or zz4mu is not in the run"):
        templates.select(analysis(), lacking, settings())
    free = (Free("mu", ("signal",)), Free("norm_zz", ("zz",)))
    model = build_workspace(analysis(free=free), lacking, settings(missing_datasets="drop"))
    assert [entry.describe() for entry in model.description.left_out] == [
        "zz: dataset zz4e or zz4mu is not in the run",
        "norm_zz: none of its samples is in the model",
    ]
    assert {name for _, _, name in modifiers(model, "normfactor")} == {"mu"}


def test_events_outside_the_edges_are_told() -> None:
    moved = histograms()
    for name in moved:
        if "_signal" in name:
            content = moved[name].view(flow=True)
            content["value"] = content["variance"] = (0.0, 0.0, 0.0, 0.0, 0.0, 10.5)
    with pytest.raises(ModelError) as error:
        templates.select(analysis(), moved, settings())
    assert error.value.problem == (
        "no yield of process 'signal', whose normalisation is measured; sr_signal has no events "
        "in the bins of the fit, and 10.5 expected events are selected outside its edges: 0 below "
        "0 and 10.5 above 4; cr_signal has no events in the bins of the fit, and 10.5 expected "
        "events are selected outside its edges: 0 below 0 and 10.5 above 4"
    )
    assert "`fit.model.edges`" in error.value.remedy
    # Edges of the fit leave out what histograms have: here bins 0 and 1, below 2.
    with pytest.raises(ModelError, match=r"sr_signal has .* 3 below 2 and 0 above 4; cr_signal"):
        templates.select(
            analysis(),
            {
                name: h * np.array([1, 1, 0, 0]) if "_signal" in name else h
                for name, h in histograms().items()
            },
            settings(edges={"sr": (2.0, 4.0), "cr": (2.0, 4.0)}),
        )


def test_weights_that_add_up_to_nothing_are_told() -> None:
    negative = histograms()
    for name in ("sr_signal", "cr_signal", "cr_top", "sr_zz_jes_up"):
        negative[name] *= -1.0
    with pytest.raises(ModelError) as error:
        templates.select(analysis(), negative, settings())
    assert error.value.problem == (
        "no yield of process 'signal', whose normalisation is measured; the weights of the events "
        "in sr_signal add up to -10; the weights of the events in cr_signal add up to -4"
    )
    assert "the weights" in error.value.remedy
    systematic = Systematic("JES", ("zz",), up=ONE)
    with pytest.raises(ModelError, match=r"the weights of .* sr_zz_jes_up add up to -") as refused:
        templates.select(analysis(systematic), negative, settings())
    assert "the sign of the nominal" in refused.value.remedy
    assert "more events" not in refused.value.remedy


def test_a_negative_yield_is_a_yield() -> None:
    """As that of interference, which takes events away; its variations are factors on it."""
    content = histograms()
    names = ("cr_top", "cr_top_jes_up")
    for name in names:
        content[name] *= -0.1
    free = (Free("mu", ("zz",)),)
    declared = analysis(Systematic("JES", ("top",), up=ONE), free=free)
    model = build_workspace(declared, content, settings())
    assert model.description.left_out == ()
    (_, control) = model.workspace["channels"]
    (top,) = [sample for sample in control["samples"] if sample["name"] == "Top"]
    assert top["data"] == content["cr_top"].values().tolist()
    assert sum(top["data"]) == pytest.approx(-26)
    (norm,) = [m["data"] for m in top["modifiers"] if m["type"] == "normsys"]
    ratio = content["cr_top_jes_up"].values().sum() / content["cr_top"].values().sum()
    assert norm == {"hi": pytest.approx(ratio), "lo": pytest.approx(2 - ratio)}
    (finding,) = [f for f in model.checks.findings if f.kind == "negative yield"]
    assert finding.where == "control region, Top"
    assert finding.message == "negative content in bins 0, 1, 2, 3, and a yield of -26"


def test_weights_that_cancel_have_no_factor() -> None:
    content = histograms()
    view = content["cr_top"].view()
    view.value = (10.0, -10.0, 5.0, -5.0)
    free = (Free("mu", ("zz",)),)
    declared = analysis(free=free)
    made = templates.select(declared, content, settings())
    assert made.left_out == ()
    assert ("cr", "top") in made.nominal
    with pytest.raises(ModelError, match=r"and those in cr_top to 0") as error:
        templates.select(
            analysis(Systematic("JES", ("top",), up=ONE), free=free), content, settings()
        )
    assert "cr_top_jes_up" in error.value.problem


def test_audit_names_the_histograms_of_a_pasted_template() -> None:
    model = build(analysis(Systematic("JES", ("zz",), up=ONE, correlated="regions")))
    declared = analysis(Systematic("JES", ("zz",), up=ONE, correlated="regions"))
    sample = model.workspace["channels"][0]["samples"][1]
    sample["data"] = [40.0, 30.0, 20.0, 10.0]
    origins = audit.audit(model.workspace, declared, histograms(), settings())
    (wrong,) = [origin for origin in origins if not origin.proven]
    assert (wrong.histograms, wrong.actual) == (("sr_zz",), ("cr_zz",))


def test_fit_and_propagation() -> None:
    declared = analysis(
        Systematic("JES", ("zz", "top"), up=ONE, correlated="regions"),
        Systematic("theory", effects={"zz": (-0.1, 0.2)}, regions=("sr",)),
        free=(Free("mu", ("signal",)), Free("norm_top", ("top",))),
    )
    model = build(declared, edges={"sr": [0, 2, 4]})
    result = fit_workspace(model.workspace, MINIMISER, description=model.description)
    assert result.poi.name == "mu"
    assert {"JES sr", "JES cr", "theory", "norm_top"} <= set(result.parameters)
    channels, yields, missing = propagate(declared, histograms(), settings(), result.record())
    assert missing == ()
    assert channels["signal region"].edges == EDGES
    fine = yields.postfit["signal region"].samples["ZZ"].total
    coarse = result.yields.postfit["signal region"].samples["ZZ"].total
    # But for the statistical factors of the bins.
    assert fine == pytest.approx(coarse, rel=0.05)


# Names of files for cabinetry: folders, what looks like a suffix, and what is the same without
# spaces.
@pytest.mark.parametrize(
    ("regions", "processes", "names"),
    [
        (("signal region", "control region"), ("Z/gamma*/W to muons", "Z/gamma*", "/"), ("a", "b")),
        (("m > 1.5 TeV", "m > 1.7 TeV"), ("H 1.5", "H 1.7", "H.1"), ("JES 0.5", "JES 0.7")),
        (("signal region", "control region"), ("Z mm", "Z-mm", "Data"), ("jet scale", "jet-scale")),
        (("region1", "region0"), ("sample1", "sample2", "sample0"), ("systematic1", "systematic0")),
        (("..", "a/b"), ("", " ", "ä\n"), ("../x", "x/..")),
    ],
)
def test_titles_and_names_are_any_text(regions: Any, processes: Any, names: Any) -> None:
    def declared(regions: Any, processes: Any, names: Any) -> Analysis:
        toy = analysis(
            Systematic(names[0], ("zz",), up=ONE), Systematic(names[1], ("top",), up=ONE)
        )
        return replace(
            toy,
            regions=tuple(
                replace(region, title=title)
                for region, title in zip(toy.regions, regions, strict=True)
            ),
            processes=tuple(
                replace(process, title=title)
                for process, title in zip(toy.processes, processes, strict=True)
            ),
        )

    def content(model: Model) -> Any:
        return [
            [(sample["data"], [m["data"] for m in sample["modifiers"]]) for sample in c["samples"]]
            for c in model.workspace["channels"]
        ]

    plain = build(declared(("a", "b"), ("c", "d", "e"), ("f", "g")))
    model = build(declared(regions, processes, names))
    assert content(model) == content(plain)
    channels = model.workspace["channels"]
    assert [channel["name"] for channel in channels] == list(regions)
    assert [o["name"] for o in model.workspace["observations"]] == list(regions)
    assert {s["name"] for channel in channels for s in channel["samples"]} == set(processes)
    assert parameters(model) == set(names)
    factors = {name for _, _, name in modifiers(model, "staterror")}
    assert factors == {f"staterror_{title.replace(' ', '-')}" for title in regions}
