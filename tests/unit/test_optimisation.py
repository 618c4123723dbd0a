"""Bins by the expected uncertainty: toys whose optimum is known."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.stats import norm

from agc_pipeline.columnar.thresholds import Scan
from agc_pipeline.config import load_config
from agc_pipeline.declaration import (
    Analysis,
    Count,
    Cut,
    Dataset,
    Free,
    Objects,
    Process,
    Region,
    Systematic,
    Threshold,
    Variation,
)
from agc_pipeline.declaration.thresholds import (
    Trial,
    changed,
    fragment,
    nesting_problems,
    trial_problems,
    trials,
)
from agc_pipeline.inference.closed_form import ClosedForm, RegionTemplates, Shifts, closed_form
from agc_pipeline.inference.interpolation import factor_slopes
from agc_pipeline.inference.optimisation import (
    candidate,
    gradients,
    hard,
    judged,
    optimise,
    shares,
)
from agc_pipeline.inference.optimisation_record import Candidate, Judgement, Method, verdict
from agc_pipeline.inference.settings import OptimisationSettings
from agc_pipeline.inference.threshold_templates import (
    Scanned,
    ThresholdTemplates,
    averages,
    threshold_templates,
    without_thresholds,
)
from agc_pipeline.plan import Plan
from agc_pipeline.report.figures import optimisation as figures

MODEL = load_config().fit.model
FINE = np.linspace(-6.0, 6.0, 12001)
SIGNAL, BACKGROUND, NORMALISATION = 100.0, 400.0, 0.3
SETTINGS = OptimisationSettings(
    thresholds=None,
    reference={},
    objective="uncertainty",
    bins=(2,),
    overflow=True,
    methods=("gradient",),
    discriminant=load_config().optimise.discriminant,
    noise=True,
    widths=(600, 120, 24, 4),
    starts=2,
    population=10,
    generations=60,
    seed=1,
    judge=None,
    throws=2,
    toys=0,
)


def filled(mean: float, events: float) -> Any:
    return events * np.diff(norm.cdf(FINE, loc=mean))


def toy(up: Any = None, variances: Any = 0.0) -> ClosedForm:
    """Signal and background, the second with an uncertain normalisation, and shape if there is one.

    Args:
        up: contents of the background, varied.
        variances: of them, from a sample of its own.
    """
    nominal = np.stack([filled(1.0, SIGNAL), filled(-1.0, BACKGROUND)])
    (slope,) = factor_slopes(np.array([1 + NORMALISATION]), np.array([1 - NORMALISATION]))
    slopes = np.array([[1.0, 0.0], [0.0, slope], [0.0, 0.0]])
    rows = np.zeros((0, len(FINE) - 1)) if up is None else up[np.newaxis]
    n = len(rows)
    shifts = Shifts(
        parameter=np.full(n, 2),
        sample=np.ones(n, dtype=np.int_),
        kind=np.array(["sample"] * n, dtype=np.str_),
        mirrored=np.ones(n, dtype=np.bool_),
        up=rows,
        down=rows,
        up_variances=np.zeros_like(rows) + variances,
        down_variances=np.zeros_like(rows) + variances,
        moved=np.zeros(0, dtype=np.int_),
        up_shared=np.zeros((0, 1, 1)),
        down_shared=np.zeros((0, 1, 1)),
    )
    region = RegionTemplates(FINE, nominal, np.zeros_like(nominal), slopes, shifts)
    return ClosedForm({"r": region}, ("mu", "norm", "shape"), np.array([True, False, False]))


def best_of(model: ClosedForm, method: Any, settings: Any = SETTINGS) -> Candidate:
    result = optimise(without_thresholds(model), method, settings)
    return candidate(model, method, result.edges, result=result)


def variance(edge: float) -> float:
    """In two bins, by hand."""
    signal = np.array([norm.cdf(edge - 1), norm.sf(edge - 1)]) * SIGNAL
    background = np.array([norm.cdf(edge + 1), norm.sf(edge + 1)]) * BACKGROUND
    slope = factor_slopes(np.array([1 + NORMALISATION]), np.array([1 - NORMALISATION]))[0]
    slopes = np.stack([signal, slope * background])
    information = (slopes / (signal + background)) @ slopes.T + np.diag([0.0, 1.0])
    return float(np.linalg.inv(information)[0, 0])


@pytest.mark.parametrize("method", ["gradient", "evolution"])
def test_the_best_edge_of_two_gaussians(method: Any) -> None:
    best = scipy.optimize.minimize_scalar(variance, bounds=(-2, 3), method="bounded").x
    result = best_of(toy(), method)
    assert result.edges["r"][1] == pytest.approx(best, abs=1e-3 + 2e-3 * (method == "evolution"))
    assert result.uncertainty**2 == pytest.approx(variance(best), rel=1e-4)
    assert best_of(toy(), method) == result


def test_a_systematic_is_avoided() -> None:
    without = best_of(toy(), "gradient")
    # The background beyond the edge that tempts is uncertain.
    up = filled(-1.0, BACKGROUND)
    up = up * np.where(FINE[:-1] > without.edges["r"][1] - 0.2, 2.0, 1.0)
    there = toy(up)
    result = best_of(there, "gradient")
    tempted = candidate(there, "gradient", without.edges)
    assert abs(result.edges["r"][1] - without.edges["r"][1]) > 0.05
    assert result.uncertainty < 0.999 * tempted.uncertainty


def test_noise_of_varied_templates_does_not_pay() -> None:
    random = np.random.default_rng(3)
    nominal = filled(-1.0, BACKGROUND)
    # What looks like a shape is the statistics of a small sample: 30 % in each of 24 blocks.
    blocks = np.repeat(random.normal(size=24), len(nominal) // 24)
    model = toy(nominal * (1 + 0.3 * blocks), (0.3 * nominal) ** 2 * (len(nominal) // 24))
    many = SETTINGS.model_copy(update={"bins": (2, 8), "population": 4, "generations": 15})
    aware = best_of(model, "evolution", many)
    blind = best_of(model, "evolution", many.model_copy(update={"noise": False}))
    assert aware.uncertainty < blind.uncertainty
    assert blind.fit < aware.fit


def test_the_judge_knows_a_gain_from_noise() -> None:
    model = toy()
    declared = candidate(model, "declared", {"r": (-6.0, 2.0, 6.0)})
    better = best_of(model, "gradient")
    first, second = judged([declared, better], lambda _: model, lambda _: model, throws=2, seed=1)
    assert first.judgement is not None
    assert second.judgement is not None
    # With its own templates as the truth, the scatter is the uncertainty.
    assert second.judgement.scatter == pytest.approx(better.uncertainty, rel=1e-9)
    assert (first.judgement.verdict, second.judgement.verdict) == ("none", "better")


def test_the_verdict_names_those_that_the_judge_prefers() -> None:
    model = toy()
    declared = candidate(model, "declared", {"r": (-6.0, 2.0, 6.0)})
    best = best_of(model, "gradient")
    noise, gain = (
        Judgement(scatter=0.1, error=0.02, gain=0.2, gain_error=error, verdict=told)
        for error, told in ((0.2, "none"), (0.05, "better"))
    )
    promising = best.model_copy(update={"judgement": noise})
    other = best.model_copy(update={"method": "evolution", "judgement": gain})
    told = verdict([declared, promising, other], "gradient")
    assert told == f"{promising.verdict}; the judge finds a gain in evolution (20.0% +- 5.0%)"
    assert verdict([declared, promising], "gradient") == promising.verdict
    assert verdict([declared, promising, other], "evolution") == other.verdict


@pytest.mark.parametrize("method", ["gradient", "evolution"])
def test_no_bins_without_events(method: Any) -> None:
    model = toy()
    region = model.regions["r"]
    # Events at both ends only, as of scores.
    there = np.abs(FINE[:-1] + 0.1) > 2.0
    sparse = replace(model, regions={"r": replace(region, nominal=region.nominal * there)})
    few = {"bins": (5,), "starts": 1, "population": 2, "generations": 2}
    edges = best_of(sparse, method, SETTINGS.model_copy(update=few)).edges["r"]
    events, _ = np.histogram(FINE[:-1], edges, weights=(region.nominal * there).sum(axis=0))
    assert (events > 0).all()


def test_soft_bins_become_hard() -> None:
    edges = np.array([-4.0, 0.5, 4.0])
    coarse = np.linspace(-4.0, 4.0, 17)
    step = shares(edges, coarse)
    assert step.tolist() == hard_shares(coarse, edges).tolist()
    soft = shares(edges, coarse, 0.3)
    assert soft.sum(axis=1) == pytest.approx(1.0)
    assert np.abs(shares(edges, coarse, 1e-6) - step).max() < 1e-5 < np.abs(soft - step).max()


def hard_shares(fine: Any, edges: Any) -> Any:
    region = toy().regions["r"]
    n = len(fine) - 1
    small = RegionTemplates(fine, np.ones((2, n)), np.zeros((2, n)), region.slopes, region.shifts)
    model = ClosedForm({"r": small}, ("mu", "norm", "shape"), np.array([True, False, False]))
    return hard(model, {"r": tuple(edges)})["r"]


# Of the toy below: what is cut, and the observable; each of its events has a weight.
VALUES = tuple(np.linspace(0.0, 2.0, 41).tolist())
CUT = Threshold("cut", "cut", ">", VALUES[1:], parameters=("efficiency",))
EDGES = (0.0, 0.5, 1.0, 1.5, 2.0)
TEMPTING = 1.5
TOY = Analysis(
    name="toy",
    settings=None,  # type: ignore[arg-type]
    regions=(Region("r", "r", "x", "x", EDGES),),
    processes=(Process("signal", "signal"), Process("background", "background")),
    datasets=(Dataset("signal", ("signal",)), Dataset("background", ("background",))),
    systematics=(
        Systematic("norm", effects={"background": 0.2}),
        Systematic("efficiency", ("background",), up=Variation("up", weight=lambda *_: 1.0)),
    ),
    free=(Free("mu", ("signal",)),),
)


class Sample:
    """Events of a dataset: what is cut, observable, and the weights of variations."""

    def __init__(self, seed: int, n: int, mean: float, *, efficiency: Any = None) -> None:
        random = np.random.default_rng(seed)
        self.cut = random.normal(mean, 0.7, n)
        self.x = random.uniform(0, 2, n)
        self.weights = {"nominal": np.full(n, 0.05)}
        if efficiency is not None:
            self.weights["up"] = 0.05 * efficiency(self.cut)

    def filled(self, passes: Any) -> tuple[Any, Any]:
        """Contents and variances, each event with a factor, without flow."""
        contents, variances = self.with_flow(passes)
        return contents[..., 1:-1], variances[..., 1:-1]

    def with_flow(self, passes: Any) -> tuple[Any, Any]:
        """The same with it."""
        weights = self.weights.values()
        bins = np.digitize(self.x, EDGES)
        n = len(EDGES) + 1
        sums = [
            [np.bincount(bins, weights=passes * w**power, minlength=n) for w in weights]
            for power in (1, 2)
        ]
        return np.array(sums[0]), np.array(sums[1])

    def scan(self) -> Scan:
        parts = [self.with_flow(self.cut > value) for value in VALUES]
        contents, variances = (np.stack([part[kind] for part in parts]) for kind in (0, 1))
        n = len(EDGES) + 1
        return Scan(tuple(self.weights), contents, variances, (), np.zeros((len(VALUES), 0, n, n)))


def thresholds_of(**samples: Sample) -> tuple[ThresholdTemplates, Scanned]:
    scans = {name: {(name, "r"): sample.scan()} for name, sample in samples.items()}
    weights = dict.fromkeys(samples, 1.0)
    scanned = Scanned(TOY, (Trial(CUT, VALUES),), scans, weights)
    model = closed_form(TOY, scanned.histograms([0]), MODEL, {})
    return threshold_templates(model, scanned), scanned


def steep(cut: Any) -> Any:
    """An efficiency that is uncertain where the cut is as tight as it tempts to."""
    return 1.0 + 0.9 * (cut > TEMPTING)


SIGNAL_EVENTS = Sample(1, 4000, 1.5)
FLAT = Sample(2, 20000, 0.4, efficiency=np.ones_like)
STEEP = Sample(2, 20000, 0.4, efficiency=steep)


def test_soft_cuts_are_sigmoids_of_events() -> None:
    templates, _ = thresholds_of(signal=SIGNAL_EVENTS, background=FLAT)
    place, width = 17.3, 3.0
    numbers, slopes = templates.soft([place], width)
    soft = templates.of(numbers).regions["r"]
    step = VALUES[1] - VALUES[0]
    at, size = place * step, width * step
    for row, sample in enumerate((SIGNAL_EVENTS, FLAT)):
        inside = sample.cut > VALUES[0]
        passes = inside / (1 + np.exp((at - sample.cut) / size))
        contents, _ = sample.filled(passes)
        assert soft.nominal[row] == pytest.approx(contents[0], rel=2e-3)
    # By the threshold, against filling again with another one.
    for row, sample in enumerate((SIGNAL_EVENTS, FLAT)):
        sides = []
        for moved in (at + 1e-4, at - 1e-4):
            passes = (sample.cut > VALUES[0]) / (1 + np.exp((moved - sample.cut) / size))
            sides.append(sample.filled(passes)[0][0])
        derivative = (sides[0] - sides[1]) / 2e-4 * step
        ours = templates.of(slopes[0]).regions["r"].nominal[row]
        assert ours == pytest.approx(derivative, rel=2e-2)
    weights, derivatives = averages(17.3, 41, 1e-3)
    assert weights[[17, 18]] == pytest.approx([0.7, 0.3])
    assert (weights.sum(), derivatives.sum()) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_derivatives_by_an_event_are_what_its_removal_does() -> None:
    few = Sample(4, 3000, 0.4, efficiency=lambda cut: 1 + 0.3 * cut)
    fit = load_config().fit
    settings = {"settings": MODEL.model_copy(update={"data": "asimov"}), "minimiser": fit.minimiser}

    def uncertainty(**samples: Sample) -> Any:
        histograms = thresholds_of(**samples)[1].histograms([0])
        known = gradients(TOY, histograms, **settings, subsets={})
        return known.values["uncertainty"], known.templates

    before, rows = uncertainty(signal=SIGNAL_EVENTS, background=few)
    # An event that passes the loosest cut.
    number = int(np.flatnonzero(few.cut > 0.5)[0])
    place = int(few.x[number] // 0.5)
    expected = 0.0
    for row in rows:
        if row.sample != "background":
            continue
        weight = few.weights[row.direction or "nominal"][number]
        expected += row.derivatives["uncertainty"][place] * weight
        if row.squared_weights is not None:
            expected += row.by_squared_weights["uncertainty"][place] * weight**2
    less = Sample(4, 3000, 0.4)
    for name in ("cut", "x"):
        setattr(less, name, np.delete(getattr(few, name), number))
    less.weights = {name: np.delete(weights, number) for name, weights in few.weights.items()}
    after, _ = uncertainty(signal=SIGNAL_EVENTS, background=less)
    assert before - after == pytest.approx(expected, rel=2e-2)
    assert abs(expected) > 1e-7


def test_hard_cuts_are_those_of_a_run() -> None:
    templates, scanned = thresholds_of(signal=SIGNAL_EVENTS, background=STEEP)
    bins = {"r": (0.0, 1.0, 2.0)}
    for place in (0, 12, 30):
        model = closed_form(TOY, scanned.histograms([place]), MODEL, {})
        run = model.estimate(hard(model, bins))
        ours = templates.at([place]).estimate(hard(model, bins))
        assert (ours.fit, ours.noise) == pytest.approx((run.fit, run.noise), rel=1e-12)


@pytest.mark.parametrize("method", ["gradient", "evolution"])
def test_the_best_threshold_avoids_a_systematic(method: Any) -> None:
    settings = SETTINGS.model_copy(
        update={"bins": (1,), "widths": (6, 3, 1, 0.5), "generations": 20, "starts": 3}
    )
    results = {}
    for name, background in (("flat", FLAT), ("steep", STEEP)):
        templates, scanned = thresholds_of(signal=SIGNAL_EVENTS, background=background)
        losses = [
            candidate(templates.at([place]), "declared", {"r": (0.0, 2.0)}).uncertainty
            for place in range(len(VALUES))
        ]
        result = optimise(templates, method, settings)
        found = candidate(
            templates.at(result.place),
            method,
            result.edges,
            trials=scanned.trials,
            place=result.place,
            result=result,
        )
        # The best of all values, each tried.
        assert found.uncertainty == pytest.approx(min(losses), rel=1e-3)
        assert optimise(templates, method, settings) == result
        assert found.unknown == ()
        results[name] = (result.place[0], losses)
    (tempting, _), (place, losses) = results["flat"], results["steep"]
    assert place != tempting
    assert losses[place] < 0.99 * losses[tempting]


def test_the_significance_is_that_of_counts() -> None:
    signal, background = 20.0, 80.0
    slopes = np.array([[1.0, 0.0], [0.0, 0.0]])
    nothing = toy().regions["r"].shifts._replace(up=np.zeros((0, 1)), down=np.zeros((0, 1)))
    nothing = nothing._replace(up_variances=np.zeros((0, 1)), down_variances=np.zeros((0, 1)))
    contents = np.array([[signal], [background]])
    region = RegionTemplates(np.array([0.0, 1.0]), contents, 0 * contents, slopes, nothing)
    model = ClosedForm({"r": region}, ("mu", "norm"), np.array([True, False]))
    # arXiv:1007.1727, equation 97.
    expected = np.sqrt(2 * ((signal + background) * np.log(1 + signal / background) - signal))
    assert model.significance({"r": np.ones((1, 1))}) == pytest.approx(expected, rel=1e-9)
    # What a bin without background has is not known.
    split = replace(region, nominal=np.array([[15.0, 5.0], [80.0, 0.0]]))
    split = replace(split, edges=np.array([0.0, 1.0, 2.0]), variances=np.zeros((2, 2)))
    empty = nothing._replace(**{key: np.zeros((0, 2)) for key in nothing._fields[4:8]})
    alone = replace(model, regions={"r": replace(split, shifts=empty)})
    assert alone.significance({"r": np.eye(2)}) == 0.0
    assert alone.significance({"r": np.ones((2, 1))}) == pytest.approx(expected, rel=1e-9)
    # With a background of 20 %: the same counts with a second measurement of it.
    uncertain = replace(region, slopes=np.array([[1.0, 0.0], [0.0, 0.2]]))
    model = replace(model, regions={"r": uncertain})
    best = scipy.optimize.minimize_scalar(
        lambda at: 2 * (without(at) - 100 + 100 * np.log(100 / without(at))) + at**2,
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert model.significance({"r": np.ones((1, 1))}) == pytest.approx(best.fun**0.5, rel=1e-9)


def without(at: float) -> float:
    """Expected events without signal in the test above."""
    return 80 * (1 + 0.2 * at)


SELECTION = {"jet": {"pt_min": 30.0, "n_min": 4}, "leading": [25.0, 15.0]}
PT = Threshold("pt", "jet.pt_min", ">", (20.0, 30.0, 40.0), unit="GeV")
NUMBER = Threshold("number", "jet.n_min", ">=", (4, 5), observed=lambda *_: np.zeros(0))
LEADING = Threshold("leading", "leading.0", ">", (25.0, 35.0))


def test_values_are_from_that_of_the_run_on() -> None:
    declared = (NUMBER, PT, LEADING)
    tried = trials(declared, SELECTION, None, {"pt": 32.0})
    # Those that select events again come first; 20 GeV is not in the skims.
    assert [(trial.threshold.name, trial.values) for trial in tried] == [
        ("pt", (30.0, 32.0, 40.0)),
        ("leading", (25.0, 35.0)),
        ("number", (4, 5)),
    ]
    assert trials(declared, SELECTION, {}, {}) == ()
    values = [(PT, 40.0), (NUMBER, 5.0), (LEADING, 35.0)]
    assert changed(SELECTION, values) == {
        "jet": {"pt_min": 40.0, "n_min": 5},
        "leading": [35.0, 15.0],
    }
    assert fragment(SELECTION, values[1:]) == {"jet": {"n_min": 5}, "leading": [35.0, 15.0]}
    same = [(PT, 30.0), (NUMBER, 4.0)]
    assert fragment(SELECTION, same) == {"jet": {"pt_min": 30.0, "n_min": 4}}


def test_a_tighter_cut_that_takes_others_is_refused() -> None:
    def requirements(most: int) -> Any:
        def of(selection: Any) -> tuple[Count, ...]:
            jets = Objects("jets", "Jet", (Cut("pt", ">", selection["jet"]["pt_min"]),))
            return Count((jets,), ">=", 2), Count((jets,), "<=", most)

        return of

    # With eight jets at most, an event of nine has eight where the cut is tighter.
    tried = trials((PT, NUMBER), SELECTION, None, {})
    (problem,) = nesting_problems(tried, SELECTION, requirements(8))
    assert re.search(r"pt cannot be optimised: with fewer jets .* too many with 30", problem)
    # Those of the ttbar analysis are all nested; without events there are none.
    plan = Plan(load_config())
    assert [trial.threshold.name for trial in plan.trials] == [
        "jet pt",
        "b-tag",
        "lepton pt",
        "number of jets",
    ]
    assert not Plan(load_config(overrides={"input": {"kind": "published"}})).trials


@pytest.mark.parametrize(
    ("wished", "reference", "message"),
    [
        ({"pt": (25.0, 40.0)}, {}, r"pt > 25 GeV takes more than the run has.*made with 30"),
        (None, {"pt": 25.0}, r"`optimise.reference`: pt > 25 GeV takes more"),
        ({"ptt": (35.0,)}, {}, r"unknown threshold 'ptt' .*did you mean pt"),
        ({"number": tuple(range(4, 200))}, {}, "195 of thresholds on columns|fit into memory"),
    ],
)
def test_wrong_values_are_told(wished: Any, reference: Any, message: str) -> None:
    (problem, *_) = trial_problems((NUMBER, PT), SELECTION, wished, reference)
    assert re.search(message, problem)


def pictured(method: Method, edges: tuple[float, ...], **changes: Any) -> Candidate:
    """A candidate with as many events in all bins of two regions."""
    events = (1000.0,) * (len(edges) - 1)
    regions = ("4j1b", "4j2b")
    return Candidate(
        method=method,
        edges=dict.fromkeys(regions, edges),
        contents={region: {"ttbar": events, "wjets": events} for region in regions},
        uncertainty=0.1,
        fit=0.1,
        templates=0.0,
        **changes,
    )


def test_figures_of_a_discriminant_have_its_own_axes() -> None:
    ttbar = load_config().declaration
    regions = {name: ttbar.region(name) for name in ("4j1b", "4j2b")}
    declared = pictured("declared", (110, 150, 550))
    scored = pictured("discriminant", (0, 0.4, 1), features={"HT": 1.0})
    figure = figures.edges([declared, scored], regions)
    methods = [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes]
    assert methods == [["declared"], ["discriminant"]] * 2
    assert [axes.get_xlabel() == "Discriminant" for axes in figure.axes] == [False, True] * 2
    (alone,) = {len(figures.edges([declared], {"4j1b": regions["4j1b"]}).axes)}
    assert alone == 1
    for after, shared in ((scored, False), (pictured("gradient", (110, 300, 550)), True)):
        figure = figures.templates(declared, after, regions, {"ttbar": "top"})
        for left, right in zip(figure.axes[::2], figure.axes[1::2], strict=True):
            # The declared bins fill their panel beside another observable, too.
            assert left.get_ylim()[1] < 1.2 * 2000 / 40
            assert (left.get_ylim() == right.get_ylim()) == shared
            assert (left.get_xlim() == right.get_xlim()) == shared
        # No legend lies on a histogram.
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["top", "wjets"]
        figure.draw_without_rendering()
        for axes in figure.axes:
            assert axes.get_legend() is None
            assert not legend.get_window_extent().overlaps(axes.bbox)
