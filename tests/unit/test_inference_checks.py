"""Checks of a model before it is fitted: what may be wrong, what is too small, what is a copy."""

import json
from functools import cache
from typing import Any

import hist
import numpy as np
import pytest

from agc_pipeline import analyses
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import audit, checks, impacts, pruning, templates, workspace
from agc_pipeline.inference.settings import FitSettings, Pruning
from agc_pipeline.validation import published
from conftest import read_config
from models import EVERYTHING, MU, sample, spec

ANALYSIS = analyses.load("cms_ttbar")
MODEL = FitSettings.model_validate(read_config()["fit"]).model


@cache
def histograms() -> dict[str, hist.Hist]:
    return published.load(analyses.load("cms_ttbar"), 5)


def build(source: dict[str, hist.Hist]) -> Any:
    return workspace.build(ANALYSIS, templates.select(ANALYSIS, source, MODEL))


@cache
def built() -> str:
    return json.dumps(build(histograms()))


def found(content: Any, **options: Any) -> list[tuple[str, str, str]]:
    return [(f.severity, f.where, f.message) for f in checks.check(content, **options)]


def one(*modifiers: Any, data: Any = (50.0, 9.0), content: Any = (40.0, 10.0)) -> Any:
    return spec(("a", list(data), sample("s", list(content), ("mu", *MU), *modifiers)))


def test_nothing_is_wrong() -> None:
    assert found(EVERYTHING) == [
        ("warning", "a, small, mc", "events without a statistical uncertainty in bin 2")
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (one(content=(40.0, -1.0)), ("error", "a", "negative expected yield in bin 1 (-1)")),
        (one(content=(40.0, 0.0)), ("error", "a", "data but zero expected yield in bin 1")),
        (
            one(data=(50.0, -1.0)),
            ("error", "a", "negative number of observed events in bin 1 (-1)"),
        ),
        (one(data=(50.0, np.nan)), ("error", "a", "contents are not finite")),
        (
            one(data=(50.0, 0.0), content=(40.0, 0.0)),
            ("note", "a", "no data and no expected events in bin 1"),
        ),
        (one(data=(0.0, 0.0)), ("warning", "a", "no data in any bin")),
        (
            one(("x", "normsys", {"hi": 2.2, "lo": -0.2})),
            (
                "error",
                "a, s, x",
                "normalisation factors -0.2 and 2.2: a factor is interpolated as an exponential, "
                "and has to be positive",
            ),
        ),
        (
            one(("x", "normsys", {"hi": 2.2, "lo": 0.5})),
            ("warning", "a, s, x", "normalisation factor 2.2: a change of 100 % or more"),
        ),
        (
            one(("x", "histosys", {"hi_data": [90.0, 9.0], "lo_data": [-10.0, 11.0]})),
            ("warning", "a, s, x", "down: negative content in bin 0"),
        ),
        (
            one(("x", "histosys", {"hi_data": [90.0, np.inf], "lo_data": [30.0, 11.0]})),
            ("error", "a, s, x", "up: contents are not finite"),
        ),
        (
            one(("g", "staterror", [1.0, 0.0])),
            ("warning", "a, s, g", "events without a statistical uncertainty in bin 1"),
        ),
        (
            one(
                *(
                    (name, "histosys", {"hi_data": [45.0, 9.0], "lo_data": [35.0, 11.0]})
                    for name in ("JES", "JER")
                )
            ),
            ("warning", "a, s", "JES and JER have identical templates"),
        ),
    ],
)
def test_what_is_found(content: Any, expected: tuple[str, str, str]) -> None:
    assert expected in found(content)
    if expected[0] == "error":
        with pytest.raises(ModelError) as caught:
            checks.refuse(checks.check(content), place="here")
        assert f"{expected[1]}: {expected[2]}" in caught.value.problem
    else:
        checks.refuse(checks.check(content), place="here")


def test_systematics_without_effect_are_named_and_no_copies() -> None:
    nothing = [
        (name, "histosys", {"hi_data": [40.0, 10.0], "lo_data": [40.0, 10.0]}) for name in "xy"
    ]
    flat = ("z", "normsys", {"hi": 1.0, "lo": 1.0 + 1e-15})
    told = [("warning", name, "changes no expected yield, up or down") for name in "xyz"]
    assert found(one(*nothing, flat)) == told
    # Not those that act on another sample, or in one direction, or by their norm alone.
    small = ("x", "normsys", {"hi": 1.0, "lo": 1.0001})
    assert found(one(*nothing, small, ("z", *MU))) == told[1:2]


def test_mirrored_templates_are_named() -> None:
    content = one(("x", "histosys", {"hi_data": [90.0, 9.0], "lo_data": [-10.0, 11.0]}))
    (finding,) = found(content, mirrored={"x"})
    assert "by mirroring a shift that is larger than the content" in finding[2]


def test_pruning_nothing_changes_nothing() -> None:
    content = json.loads(built())
    same, removed = pruning.prune(content, Pruning(normalisation=0, shape=0))
    assert same == content
    assert removed == ()


def test_pruning_removes_what_is_small() -> None:
    content = json.loads(built())
    small, removed = pruning.prune(content, Pruning(normalisation=0.02, shape=0.05))
    assert removed
    for entry in removed:
        assert entry.effect < {"normsys": 0.02, "histosys": 0.05}[entry.kind]
    kept = {
        (channel["name"], s["name"], m["name"], m["type"])
        for channel in small["channels"]
        for s in channel["samples"]
        for m in s["modifiers"]
    }
    for entry in removed:
        assert (entry.channel, entry.sample, entry.modifier, entry.kind) not in kept
    before = sum(len(s["modifiers"]) for c in content["channels"] for s in c["samples"])
    assert len(kept) == before - len(removed)
    # The weight of W+jets is varied by 2.5 %, which is no shape.
    wjets = [entry for entry in removed if entry.modifier == "W+jets scale variation"]
    assert {entry.kind for entry in wjets} == {"histosys"}
    assert content == json.loads(built())


def test_effect_in_an_empty_bin_is_never_small() -> None:
    modifier = {"type": "histosys", "data": {"hi_data": [40.0, 1e-3], "lo_data": [40.0, 0.0]}}
    assert pruning.effect(modifier, [40.0, 0.0]) == np.inf


def test_everything_comes_from_its_histogram() -> None:
    origins = audit.audit(json.loads(built()), ANALYSIS, histograms(), MODEL)
    assert all(origin.proven for origin in origins)
    assert audit.findings(origins) == ()
    named = {name for origin in origins for name in origin.histograms}
    # Every histogram of the analysis is in the model.
    assert named == {template.name for template in ANALYSIS.templates()}


def test_pasted_templates_are_found() -> None:
    """The classic error: the resolution reads the histograms of the scale."""
    pasted = dict(histograms())
    for process in ("ttbar", "wjets"):
        pasted[f"4j2b_{process}_pt_res_up"] = pasted[f"4j2b_{process}_pt_scale_up"]
    content = build(pasted)
    origins = audit.audit(content, ANALYSIS, histograms(), MODEL)
    wrong = [origin for origin in origins if not origin.proven]
    assert [(o.sample, o.modifier, o.actual) for o in wrong] == [
        ("W+jets", "Jet energy resolution", ("4j2b_wjets_pt_scale_up",)),
        ("ttbar", "Jet energy resolution", ("4j2b_ttbar_pt_scale_up",)),
    ]
    errors = audit.findings(origins)
    assert errors[1].message == (
        "content is not that of 4j2b_ttbar_pt_res_up, but of 4j2b_ttbar_pt_scale_up"
    )
    with pytest.raises(ModelError, match="not that of 4j2b_wjets_pt_res_up"):
        checks.refuse(errors, place="here")
    # Without the histograms, the copies still look suspicious.
    assert [f.where for f in checks.check(content) if "identical templates" in f.message] == [
        "4j2b SR, W+jets",
        "4j2b SR, ttbar",
    ]


def test_a_changed_sample_is_found() -> None:
    content = json.loads(built())
    content["channels"][0]["samples"][0]["data"][3] *= 1.001
    (wrong, *_) = [
        origin
        for origin in audit.audit(content, ANALYSIS, histograms(), MODEL)
        if not origin.proven
    ]
    assert wrong.modifier is None
    assert wrong.deviation > 1e-5
    assert wrong.actual == ()


def test_groups() -> None:
    declared = impacts.declared_groups(ANALYSIS)
    assert declared["ME variation"] == declared["PS variation"] == "ttbar modelling"
    assert declared["Luminosity"] == "Luminosity"
    assert {declared[f"b-tag NP {n}"] for n in (1, 2, 3, 4)} == {"b-tagging"}
    model, _ = workspace.load(EVERYTHING, place="test")
    found = impacts.parameter_groups(
        model, impacts.matching_groups(["scale", "shape"], {"All": ("s*",)})
    )
    assert found["scale"] == found["shape"] == "All"
    assert found["lumi"] == impacts.OTHER
    assert found["poisson[0]"] == found["mc[1]"] == impacts.STATISTICS
    assert "free_shape[0]" not in found
    assert "mu" not in found
    assert impacts.matching_groups(["jes", "jer"], {"A": ("jes",), "B": ("j*",)}) == {
        "jes": "A",
        "jer": "B",
    }


def test_integers_that_numpy_takes_for_objects() -> None:
    """JSON has integers of any size: they are numbers, or too large, and no traceback."""
    largest = 10**30
    content = one(
        ("n", "normsys", {"hi": largest, "lo": 1}), data=(largest, 9), content=(largest, 10)
    )
    assert [severity for severity, _, _ in found(content)] == ["warning"]
    content["channels"][0]["samples"][-1]["modifiers"][-1]["data"]["hi"] = 10**400
    assert "error" in [severity for severity, _, _ in found(content)]
