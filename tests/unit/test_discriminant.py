"""Discriminants that are trained on the expected uncertainty: derivatives, and toys."""

import itertools
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import vector

from agc_pipeline import analyses
from agc_pipeline.analyses.atlas_hzz.features import pair_mass
from agc_pipeline.columnar.features import RegionRows, Rows, matrix
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.config import load_config
from agc_pipeline.declaration import (
    Analysis,
    Dataset,
    Feature,
    Free,
    Process,
    Region,
    Systematic,
    Variation,
)
from agc_pipeline.errors import AnalysisError, ConfigurationError, InputError
from agc_pipeline.inference.closed_form import ClosedForm, RegionTemplates, Shifts
from agc_pipeline.inference.discriminant import (
    Sample,
    expected_variance,
    sample,
    shares,
    uncertainty_loss,
)
from agc_pipeline.inference.discriminant_search import Discriminants
from agc_pipeline.inference.variance_slopes import variance_slopes
from agc_pipeline.plan import Plan
from processed import ANALYSIS, SELECTION, in_memory
from toy import events as toy_events

BINS = 3
CONFIG = load_config()
PUBLISHED = {"kind": "published"}


def random_region(random: np.random.Generator) -> RegionTemplates:
    """Templates of all kinds: of samples and subsets, of weights, moving events, mirrored ones."""
    kinds = ("sample", "subset", "weight", "object", "object", "sample", "object", "weight")
    n = len(kinds)
    nominal = random.uniform(50, 200, (3, BINS))
    sample = np.arange(n) % 3

    def varied() -> Any:
        return nominal[sample] * random.uniform(0.85, 1.2, (n, BINS))

    up, down = varied(), varied()
    moved = np.array([3, 6])
    shared = random.uniform(0.05, 0.2, (2, 2, BINS, BINS)) + np.eye(BINS)
    shared *= nominal[sample[moved]][:, :, np.newaxis] / 4
    mirrored = np.array([False, True, False, True, False, True, False, False])
    # What no event passes has no systematic.
    up[7], down[7] = 0.0, 0.0
    shifts = Shifts(
        parameter=1 + np.arange(n) % 4,
        sample=sample,
        kind=np.array(kinds),
        mirrored=mirrored,
        up=up,
        down=np.where(mirrored[:, np.newaxis], up, down),
        up_variances=up * random.uniform(0.5, 0.9, (n, BINS)),
        down_variances=down * random.uniform(0.5, 0.9, (n, BINS)),
        moved=moved,
        up_shared=shared[0],
        down_shared=shared[1],
    )
    slopes = np.zeros((5, 3))
    slopes[0, 0], slopes[4, 1:] = 1.0, 0.1
    variances = nominal * random.uniform(0.5, 1.0, nominal.shape)
    return RegionTemplates(np.arange(BINS + 1.0), nominal, variances, slopes, shifts)


def arrays(model: ClosedForm) -> Iterator[tuple[str, str, Any]]:
    """Region, name and numbers of all that the variance is made of."""
    for name, of in model.regions.items():
        for key in ("nominal", "variances"):
            yield name, key, getattr(of, key)
        for key in ("up", "down", "up_variances", "down_variances", "up_shared", "down_shared"):
            yield name, key, getattr(of.shifts, key)


def moved(model: ClosedForm, region: str, key: str, values: Any) -> ClosedForm:
    """The model with other numbers; mirrored templates down are those up."""
    of = model.regions[region]
    if key in ("nominal", "variances"):
        other = replace(of, **{key: values})
    else:
        other = replace(of, shifts=of.shifts._replace(**{key: values}))
    return replace(model, regions={**model.regions, region: other})


def test_derivatives_by_all_templates() -> None:
    random = np.random.default_rng(5)
    regions = {name: random_region(random) for name in ("a", "b")}
    free = np.array([True, False, False, False, False])
    model = ClosedForm(regions, ("mu", "p", "q", "r", "s"), free)
    bins = {name: np.eye(BINS) for name in regions}
    slopes = variance_slopes(model, bins)
    estimate = model.estimate(bins)
    assert (slopes.fit, slopes.noise) == pytest.approx((estimate.fit, estimate.noise), rel=1e-12)
    assert slopes.noise > 0.02 * slopes.fit
    largest = 0.0
    for region, key, values in arrays(model):
        ours = getattr(slopes.regions[region], key)
        assert ours.shape == values.shape
        for place in np.ndindex(values.shape):
            if values[place] == 0:
                continue
            step = 1e-5 * values[place]
            sides = []
            for sign in (1, -1):
                there = values.copy()
                there[place] += sign * step
                sides.append(moved(model, region, key, there).estimate(bins).variance)
            expected = (sides[0] - sides[1]) / (2 * step)
            scale = abs(estimate.variance / values[place])
            assert ours[place] == pytest.approx(expected, rel=1e-5, abs=1e-8 * scale), (key, place)
            largest = max(largest, abs(expected) / scale)
    assert largest > 0.01
    blind = variance_slopes(model, bins, noise=False)
    assert not blind.regions["a"].up_shared.any()


# A toy: events have x and y, each 0 or 1. Both tell signal from background, x better, but where x
# is 1 the background is uncertain. Four kinds of events in two bins: all ways can be tried.
SIGNAL, BACKGROUND, UNCERTAIN = 200.0, 600.0, 0.9
SHARES = {"signal": (0.6, 0.6), "background": (0.1, 0.15)}
KINDS = ((0, 0), (0, 1), (1, 0), (1, 1))
PER_KIND = 60
TOY = Analysis(
    name="toy",
    settings=None,  # type: ignore[arg-type]
    regions=(Region("r", "r", "x", "x", (0.0, 1.0)),),
    processes=(Process("signal", "signal"), Process("background", "background")),
    datasets=(Dataset("signal", ("signal",)), Dataset("background", ("background",))),
    systematics=(
        Systematic(
            "shape",
            ("background",),
            up=Variation("up", weight=lambda *_: 1.0),
            down=Variation("down", weight=lambda *_: 1.0),
        ),
        Systematic("scale", ("signal",), up=Variation("moved", records=lambda *_: 1.0)),
    ),
    free=(Free("mu", ("signal",)),),
    features=(Feature("x", lambda *_: None, ("shape",)), Feature("y", lambda *_: None)),
)


def rows_of() -> dict[str, Rows]:
    """Rows of both datasets, as many of each kind; every second event is odd."""
    columns = np.repeat(np.array(KINDS, np.float32), PER_KIND, axis=0)
    own = np.arange(len(columns))
    result = {}
    for (name, likely), n_events in zip(SHARES.items(), (SIGNAL, BACKGROUND), strict=True):
        share = np.prod(np.where(columns > 0, likely, 1 - np.array(likely)), axis=1)
        weights = (n_events * share / PER_KIND)[:, np.newaxis]
        if name == "background":
            factors = [1 + sign * UNCERTAIN * columns[:, 0] for sign in (0, 1, -1)]
            weights = weights * np.stack(factors, axis=1)
            part = RegionRows(columns, own, 0 * own, np.full(len(own), -1), weights)
            result[name] = Rows(("nominal",), ("up", "down"), {(name, "r"): part})
            continue
        # Of the signal, one event in 60 of each kind moves out of the region with a variation, and
        # one more comes to have another y.
        kept = own[own % PER_KIND != 0]
        varied = columns[kept].copy()
        varied[kept % PER_KIND == 1, 1] = 1 - varied[kept % PER_KIND == 1, 1]
        part = RegionRows(
            np.concatenate([columns, varied]),
            np.concatenate([own, kept]),
            np.repeat([0, 1], [len(own), len(kept)]),
            np.concatenate([np.full(len(own), -1), kept]),
            np.concatenate([weights, weights[kept]]),
        )
        result[name] = Rows(("nominal", "moved"), (), {(name, "r"): part})
    return result


def toy() -> Discriminants:
    values = {"trees": 40, "depth": 2, "leaf": 0.01, "step": 0.3, "patience": 20}
    values["widths"] = (0.3, 0.1)
    settings = CONFIG.optimise.model_copy(
        update={
            "bins": (2,),
            "generations": 15,
            "discriminant": CONFIG.optimise.discriminant.model_copy(update=values),
        }
    )
    return Discriminants(
        TOY,
        settings,
        CONFIG.fit.model.model_copy(update={"data": "asimov"}),
        features=("x", "y"),
        rows={name: (part, 1.0) for name, part in rows_of().items()},
        weights={"signal": 1.0, "background": 1.0},
        subsets={},
    )


def events() -> tuple[Sample, Any]:
    """All rows of the toy, and the kind of each."""
    _, form = toy().of_scores(None)
    whole = sample(TOY, form, rows_of(), {"signal": 1.0, "background": 1.0})
    return whole, np.rint(whole.columns @ (2, 1)).astype(int)


def test_cross_entropy_takes_what_tempts_and_the_uncertainty_does_not() -> None:
    trained = toy()
    entropy, better = (trained.candidate(name, {}) for name in ("cross entropy", "discriminant"))
    whole, kind = events()
    every = {
        kinds: expected_variance(whole, np.array((0.25, *kinds))[kind], {"r": (0.0, 0.5, 1.0)})
        for kinds in itertools.product((0.25, 0.75), repeat=3)
    }
    best = min(every, key=lambda kinds: every[kinds])
    # By the ratio of densities, x comes before y: these are the ways to cut it.
    ordered = [(0.25, 0.25, 0.75), (0.25, 0.75, 0.75), (0.75, 0.75, 0.75)]
    assert best == (0.75, 0.25, 0.75)
    assert better.uncertainty**2 == pytest.approx(every[best], rel=1e-6)
    assert entropy.uncertainty**2 == pytest.approx(min(every[k] for k in ordered), rel=1e-6)
    assert better.uncertainty < 0.9 * entropy.uncertainty
    assert better.features["y"] > entropy.features["y"]
    assert better.unknown == ("y",)
    # What it promises is what its models were seen to do with the other events.
    assert better.training["even events, the others"][-1] < entropy.uncertainty
    again = toy()["discriminant"].pair.models
    for parity, model in trained["discriminant"].pair.models.items():
        assert again[parity].content(parity) == model.content(parity)


def test_derivatives_by_scores_and_by_events() -> None:
    whole, _ = events()
    random = np.random.default_rng(2)
    half = whole.half("even")
    scores = random.normal(0.0, 1.0, len(half.columns))
    edges = {"r": (0.0, 0.3, 0.6, 1.0)}
    loss = uncertainty_loss(half, half, edges, 0.1, noise=True)
    step = loss.step(scores)
    for place in (*range(0, len(scores), 37), len(scores) - 1):
        sides = []
        for sign in (1, -1):
            there = scores.copy()
            there[place] += sign * 1e-4
            sides.append(loss.step(there).loss)
        expected = (sides[0] - sides[1]) / 2e-4
        assert step.slopes[place] == pytest.approx(expected, rel=1e-4, abs=1e-9), place
    assert np.abs(step.slopes).max() > 1e-5
    # By the weight of an event in all of its rows, against removing it.
    parts = {"r": shares(1 / (1 + np.exp(-scores)), edges["r"], 0.1)[0]}
    result = variance_slopes(half.binned(parts), {"r": np.eye(3)})
    of, slopes = half.regions["r"], result.regions["r"]
    number = int(of.numbers[2])
    rows = of.numbers == number
    less = replace(half, regions={"r": of.select(~rows, 1.0)})
    left = {"r": parts["r"][~rows]}
    changes = [
        (
            getattr(less.binned(left).regions["r"], key),
            getattr(half.binned(parts).regions["r"], key),
        )
        for key in ("nominal", "variances")
    ]
    expected = sum(
        float(np.sum(getattr(slopes, key) * (after - before)))
        for key, (after, before) in zip(("nominal", "variances"), changes, strict=True)
    )
    shifts = [model.regions["r"].shifts for model in (less.binned(left), half.binned(parts))]
    for key in slopes._fields[2:]:
        change = getattr(shifts[0], key) - getattr(shifts[1], key)
        expected += float(np.sum(getattr(slopes, key) * change))
    gone = less.binned(left).estimate({"r": np.eye(3)}).variance
    assert gone - step.loss == pytest.approx(expected, rel=5e-2)
    assert abs(expected) > 1e-6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"optimise": {"methods": ["discriminant"]}, "input": PUBLISHED},
            "discriminant need events",
        ),
        ({"discriminant": "models", "input": PUBLISHED}, "`discriminant` needs events"),
        (
            {"optimise": {"discriminant": {"features": ["HT", "m_bj"]}}},
            "unknown feature 'm_bj'.*did you mean m_bjj",
        ),
        ({"optimise": {"discriminant": {"features": ["HT", "HT"]}}}, "names a feature twice"),
        (
            {"analysis": "atlas_hzz", "optimise": {"methods": ["cross entropy"]}},
            "no feature for Signal_region",
        ),
        (
            {"discriminant": "models", "optimise": {"thresholds": {"lepton pt": [40]}}},
            "models of `discriminant` are for the cuts of the run",
        ),
    ],
)
def test_what_cannot_be_is_told(values: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_config(overrides=values)


def test_missing_models_are_told_at_the_plan(tmp_path: Path) -> None:
    plan = Plan(load_config(overrides={"discriminant": str(tmp_path / "none")}))
    assert not plan.validated
    with pytest.raises(InputError, match="no folder of models") as caught:
        plan.check()
    assert "correct `discriminant`" in str(caught.value)


def test_the_analysis_is_loaded_with_its_discriminant() -> None:
    config = load_config(
        overrides={"analysis": "atlas_hzz", "selection": "tight", "discriminant": "models"}
    )
    # By the name that stages are told, in this process and in others.
    there = analyses.load(config.analysis)
    for analysis in (there, pickle.loads(pickle.dumps(there))):  # noqa: S301
        regions = {region.name: region for region in analysis.with_selection("tight").regions}
        for name in ("4e", "2e2mu", "4mu"):
            assert (regions[name].edges[0], regions[name].edges[-1]) == (0.0, 1.0)
            assert regions[name].values is None
            # Nobody knows where in the score the window of the mass is.
            assert regions[name].blinded == (0.0, 2.0)
        assert regions["Signal_region"].observable == "m4l"
    assert load_config(overrides={"discriminant": "models"}).declaration.name == "cms_ttbar"
    assert analyses.load("atlas_hzz").region("4e").observable == "m4l"
    # What fills histograms needs the models.
    with pytest.raises(AnalysisError, match="no model computes it here"):
        Processing(
            load_config(overrides={"discriminant": "models"}).declaration,
            SELECTION,
            ANALYSIS.dataset("ttbar__nominal"),
        ).process(in_memory(toy_events(200)))


def test_features_are_those_of_plain_loops() -> None:
    events = Processing(ANALYSIS, SELECTION, ANALYSIS.dataset("ttbar__nominal")).nominal(
        in_memory(toy_events(200)), ANALYSIS.region("4j2b").mask
    )
    columns = matrix(ANALYSIS.features, events, SELECTION)
    names = [feature.name for feature in ANALYSIS.features]
    jets = events.jets
    for number in range(len(events)):
        of_event = slice(*jets.offsets[number : number + 2])
        pt, btag = np.sort(jets.pt[of_event])[::-1], np.sort(jets.btagCSVV2[of_event])[::-1]
        four = vector.array(
            {name: jets[name][of_event] for name in ("pt", "eta", "phi", "mass")}
        ).sum()
        expected = {
            "HT": pt.sum(),
            "number of jets": len(pt),
            "pt of the first jet": pt[0],
            "pt of the fourth jet": pt[3],
            "share of the leading jets": pt[:3].sum() / pt.sum(),
            "mass of the jets": four.mass,
            "second b-tag": btag[1],
        }
        for name, value in expected.items():
            assert columns[number, names.index(name)] == pytest.approx(value, rel=1e-5), name
    assert len(events) > 10


def test_pairs_of_leptons_are_the_nearest_to_the_z() -> None:
    # Two muons at rest relative to each other but for their angle, and two electrons of 10 GeV.
    kinds = [[13, 13, 11, 11], [11, 11, 11, 11]]
    momenta = [[45595.0, 45595.0, 10000.0, 10000.0], [45595.0, 10000.0, 45595.0, 10000.0]]
    angles = [[0.0, np.pi, 1.0, 1.0 + np.pi], [0.0, 1.0, np.pi, 1.0 + np.pi]]
    leptons = ak.zip(
        {
            "pt": momenta,
            "E": momenta,
            "eta": np.zeros((2, 4)),
            "phi": angles,
            "charge": [[1, -1, 1, -1], [1, 1, -1, -1]],
            "type": kinds,
        }
    )
    events = ak.zip({"tight": leptons}, depth_limit=1)
    for number, mass in ((0, 91.19), (1, 20.0)):
        assert pair_mass(number, events, None) == pytest.approx([mass, mass], rel=1e-6)
    assert len(pair_mass(0, events[:0], None)) == 0
