"""The statistical uncertainty of varied templates, and their treatment."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
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
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import workspace
from agc_pipeline.inference.closed_form import closed_form
from agc_pipeline.inference.impacts import STATISTICS, breakdown
from agc_pipeline.inference.interpolation import Factors
from agc_pipeline.inference.model import Model, build_workspace
from agc_pipeline.inference.optimisation import hard
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.result import FitResult, fit_workspace
from agc_pipeline.inference.settings import (
    MinimiserSettings,
    ModelSettings,
    NoiseSettings,
    SpendingSettings,
    Treatment,
)
from agc_pipeline.inference.spending import Expectation, Spending, spending
from agc_pipeline.inference.template_noise import (
    Contents,
    TemplateNoise,
    alone,
    effects,
    shares,
    template_noise,
)
from agc_pipeline.inference.treatment import smoothed, treated

EDGES = np.linspace(0.0, 6.0, 7)
MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=1)
NOISE = NoiseSettings(in_total=True, warn_above=0.3)
SAMPLE, WEIGHT, OBJECT = "own sample", "weights", "selection"
VARIED = {
    SAMPLE: ("sr_zz_other", None),
    WEIGHT: ("sr_zz_w_up", "sr_zz_w_down"),
    OBJECT: ("sr_zz_scale", None),
}


def declared() -> Analysis:
    """A signal, and a background with a systematic of each kind."""

    def one(*_: Any) -> Any:
        return 1.0

    # What moves in a selection has a function of records.
    moved = Variation("scale", records=one)
    return Analysis(
        name="toy",
        settings=Physics,
        regions=(Region("sr", "signal region", "m", "m", tuple(EDGES)),),
        processes=(Process("signal", "H"), Process("zz", "ZZ")),
        datasets=(
            Dataset("higgs", ("signal",)),
            Dataset("zz", ("zz",)),
            Dataset("zz__other", ("zz",), variation="other", replaces="zz"),
            Dataset("run", kind="data"),
        ),
        systematics=(
            Systematic(SAMPLE, ("zz",), up=Variation("other")),
            Systematic(
                WEIGHT,
                ("zz",),
                up=Variation("w_up", weight=one),
                down=Variation("w_down", weight=one),
            ),
            Systematic(OBJECT, ("zz",), up=moved),
        ),
        free=(Free("mu", ("signal",)),),
    )


class Events:
    """Simulated events of two samples and a variation, of which templates are made."""

    def __init__(self, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        self.signal = random.normal(3.0, 0.8, 2000)
        self.zz = random.exponential(3.0, 3000)
        self.other = random.exponential(3.6, 900)
        self.random = random

    def templates(self, *, again: bool = False) -> dict[str, tuple[Any, Any]]:
        """Contents and variances; ``again`` draws the events anew, as a bootstrap does."""
        counts = {
            name: self.random.poisson(1.0, len(x)) if again else np.ones(len(x))
            for name, x in (("signal", self.signal), ("zz", self.zz), ("other", self.other))
        }
        counts = self.counted(counts)
        slope = 0.12 * (self.zz / 3.0 - 1.0)
        weights = {
            "sr_signal": (self.signal, 0.05 * counts["signal"]),
            "sr_zz": (self.zz, 0.2 * counts["zz"]),
            "sr_zz_other": (self.other, self.weight_of_other * counts["other"]),
            "sr_zz_w_up": (self.zz, 0.2 * (1 + slope) * counts["zz"]),
            "sr_zz_w_down": (self.zz, 0.2 * (1 - slope) * counts["zz"]),
            "sr_zz_scale": (self.zz * 1.04, 0.2 * counts["zz"]),
        }
        return {
            name: tuple(np.histogram(x, EDGES, weights=w**power)[0] for power in (1, 2))
            for name, (x, w) in weights.items()
        }

    def counted(self, counts: dict[str, Any]) -> dict[str, Any]:
        """How often events are there; those of all samples are independent."""
        return counts

    @property
    def weight_of_other(self) -> float:
        """So that the variation has the yield of 900 events of a weight of 0.65."""
        return 585.0 / len(self.other)

    def histograms(self) -> dict[str, hist.Hist]:
        """The templates, and data that pull all systematics."""
        made = {name: histogram(*contents) for name, contents in self.templates().items()}
        expected = made["sr_zz"].values()
        data = made["sr_signal"].values() + 0.4 * expected + 0.6 * made["sr_zz_other"].values()
        data += 0.8 * (made["sr_zz_w_up"].values() - expected)
        made["sr_data"] = histogram(data, data)
        made["sr_zz_scale_migration"] = hist.Hist(
            *(hist.axis.Variable(EDGES, name=name) for name in ("nominal", "varied")),
            storage=hist.storage.Double(),
        )
        made["sr_zz_scale_migration"].view()[...] = np.histogram2d(
            self.zz, self.zz * 1.04, [EDGES, EDGES], weights=np.full(len(self.zz), 0.2**2)
        )[0]
        return made


class PartEvents(Events):
    """The same where the sample of the variation is a part of the nominal one."""

    def __init__(self) -> None:
        super().__init__()
        self.part = self.random.random(len(self.zz)) < 1 / (1 + np.exp(1 - self.zz / 3))
        self.other = self.zz[self.part]

    def counted(self, counts: dict[str, Any]) -> dict[str, Any]:
        """Its events are as often there as in the nominal sample."""
        return counts | {"other": counts["zz"][self.part]}


def histogram(values: Any, variances: Any) -> hist.Hist:
    result = hist.Hist(hist.axis.Variable(EDGES), storage=hist.storage.Weight())
    result.view().value, result.view().variance = values, variances
    return result


def model(events: Events, subsets: Any = MappingProxyType({}), **treatments: Any) -> Model:
    settings = ModelSettings(
        data="observed",
        missing_datasets="error",
        pruning={"normalisation": 0, "shape": 0},
        treatments=treatments,
    )
    return build_workspace(declared(), events.histograms(), settings, subsets=subsets)


def fitted(built: Model) -> FitResult:
    return fit_workspace(built.workspace, MINIMISER, description=built.description, noise=NOISE)


def noise_of(result: FitResult, contents: Any) -> TemplateNoise:
    noise = template_noise(
        result.model,
        result.problem,
        result.minimum,
        contents,
        breakdown=result.breakdown,
        settings=NOISE,
    )
    assert noise is not None
    return noise


@pytest.fixture(scope="module")
def events() -> Events:
    return Events()


@pytest.fixture(scope="module")
def result(events: Events) -> FitResult:
    return fitted(model(events))


def with_templates(result: FitResult, templates: dict[str, Any]) -> Problem:
    """The same fit with other templates; the statistical factors keep their widths."""
    likelihood = result.problem.likelihood
    names = result.problem.names
    # Cells are ordered by bin, then by sample.
    nominal = np.stack([templates["sr_signal"][0], templates["sr_zz"][0]], axis=1).ravel()
    shifts, norms = likelihood.shifts, likelihood.norms
    up, down = shifts.up.copy(), shifts.down.copy()
    factors = np.ones((2, len(norms.parameter)))
    for name, (rise, fall) in VARIED.items():
        high, low, *changes = effects(
            templates["sr_zz"][0], templates[rise][0], None if fall is None else templates[fall][0]
        )
        parameter = names.index(name)
        for array, change in zip((up, down), changes, strict=True):
            here = shifts.parameter == parameter
            array[here] = change[likelihood.bin[shifts.cell[here]]]
        factors[:, norms.parameter == parameter] = np.array([[high], [low]])
    changed = replace(
        likelihood,
        nominal=nominal,
        shifts=shifts._replace(up=up, down=down),
        norms=norms._replace(factors=Factors.between(*factors)),
    )
    return replace(result.problem, likelihood=changed)


def best(task: Problem, result: FitResult) -> float:
    return float(task.lowest([result.minimum.parameters]).minimum.parameters[task.poi])


def test_effects_are_those_of_the_workspace(events: Events, result: FitResult) -> None:
    task = with_templates(result, events.templates())
    for ours, theirs in (
        (task.likelihood.shifts.up, result.problem.likelihood.shifts.up),
        (task.likelihood.shifts.down, result.problem.likelihood.shifts.down),
        (
            task.likelihood.norms.factors.coefficients,
            result.problem.likelihood.norms.factors.coefficients,
        ),
    ):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def single(result: FitResult) -> Iterator[tuple[str, int, Any]]:
    """Each template, and contents in which only its second bin has a statistical uncertainty."""
    names = {"w_up": (1, "up"), "w_down": (1, "down"), "other": (0, "up"), "scale": (2, "up")}

    def varied(value: Any) -> Any:
        return value.model_copy(update={"variances": tuple(np.arange(6) == 1)})

    signal, zz = (
        sample.model_copy(
            update={
                "nominal": without(sample.nominal),
                "shifts": tuple(
                    shift.model_copy(
                        update={
                            "kind": "sample",
                            "up": without(shift.up),
                            "down": None if shift.down is None else without(shift.down),
                        }
                    )
                    for shift in sample.shifts
                ),
            }
        )
        for sample in result.description.contents
    )
    yield "sr_signal", 1, (signal.model_copy(update={"nominal": varied(signal.nominal)}), zz)
    yield "sr_zz", 1, (signal, zz.model_copy(update={"nominal": varied(zz.nominal)}))
    for name, (number, side) in names.items():
        shifts = list(zz.shifts)
        shift = shifts[number]
        shifts[number] = shift.model_copy(update={side: varied(getattr(shift, side))})
        yield f"sr_zz_{name}", 1, (signal, zz.model_copy(update={"shifts": tuple(shifts)}))


def without(contents: Any) -> Any:
    return contents.model_copy(update={"variances": (0.0,) * len(contents.values)})


def test_derivatives_are_those_of_fits_to_changed_templates(
    events: Events, result: FitResult
) -> None:
    names = []
    for name, bin_, contents in single(result):
        fits = []
        for step in (0.01, -0.01):
            templates = events.templates()
            templates[name][0][bin_] += step
            fits.append(best(with_templates(result, templates), result))
        slope = abs(fits[0] - fits[1]) / 0.02
        assert noise_of(result, contents).scatter == pytest.approx(slope, rel=1e-3), name
        names.append(name)
    assert len(names) == 6


def test_scatter_is_that_of_a_bootstrap_over_events(events: Events, result: FitResult) -> None:
    noise = result.template_noise
    assert noise is not None
    assert result.breakdown is not None
    # All events, of which the nominal ones are in several templates at once.
    fits = [best(with_templates(result, events.templates(again=True)), result) for _ in range(100)]
    assert noise.scatter == pytest.approx(np.std(fits), rel=0.2)
    paid = result.breakdown.groups[STATISTICS]
    assert noise.observed == pytest.approx(np.sqrt(max(noise.scatter**2 - paid**2, 0)))
    # Selections of the same events have much less than samples of their own.
    independent = tuple(
        sample.model_copy(
            update={"shifts": tuple(s.model_copy(update={"kind": "sample"}) for s in sample.shifts)}
        )
        for sample in result.description.contents
    )
    parts = [
        next(source.expected for source in each.sources if source.parameter == OBJECT)
        for each in (noise, noise_of(result, independent))
    ]
    assert parts[1] > 3 * parts[0]


def test_what_a_selection_moves_fluctuates_as_in_a_bootstrap_over_events(
    events: Events, result: FitResult
) -> None:
    (_, zz) = result.description.contents
    (shift,) = (s for s in zz.shifts if s.parameter == OBJECT)
    drawn = [events.templates(again=True) for _ in range(3000)]
    changes = [templates["sr_zz_scale"][0] - templates["sr_zz"][0] for templates in drawn]
    scatter = np.cov(changes, rowvar=False)

    def covariance(template: Contents) -> Any:
        share = shares("object", zz.nominal, template)
        rest = share - np.eye(len(share))
        common = rest.T @ np.diag(zz.nominal.variances) @ rest
        return common + alone(share, zz.nominal, template)

    size = np.sqrt(np.outer(np.diag(scatter), np.diag(scatter)))
    np.testing.assert_allclose(covariance(shift.up) / size, scatter / size, atol=0.12)
    assert result.template_noise is not None
    assert not result.template_noise.at_least
    # Without knowing what has moved, there is a lower bound only.
    unknown = shift.up.model_copy(update={"shared": None})
    # Into the first bin nothing moves.
    assert np.all(np.diag(covariance(unknown))[1:] < 0.5 * np.diag(scatter)[1:])
    contents = tuple(
        sample.model_copy(
            update={
                "shifts": tuple(
                    s.model_copy(update={"up": unknown}) if s.parameter == OBJECT else s
                    for s in sample.shifts
                )
            }
        )
        for sample in result.description.contents
    )
    lower = noise_of(result, contents)
    assert lower.at_least
    assert lower.expected < result.template_noise.expected
    assert "at least" in lower.statement("mu", 0.1)


def test_a_part_of_the_nominal_sample_has_its_fluctuations() -> None:
    """As in a bootstrap, in which an event of the part is as often there as in the whole."""
    events = PartEvents()
    parts = fitted(model(events, subsets={"zz__other": "zz"}))
    kinds = {s.parameter: s.kind for sample in parts.description.contents for s in sample.shifts}
    assert kinds == {SAMPLE: "subset", WEIGHT: "weight", OBJECT: "object"}
    noise = noise_of(parts, parts.description.contents)
    fits = [best(with_templates(parts, events.templates(again=True)), parts) for _ in range(100)]
    assert noise.scatter == pytest.approx(np.std(fits), rel=0.2)
    # Of a part of another sample, nothing is known.
    for subsets in ({}, {"zz__other": "higgs"}):
        apart = fitted(model(events, subsets=subsets))
        assert apart.poi == parts.poi
        other = noise_of(apart, apart.description.contents)
        assert other.scatter != pytest.approx(noise.scatter, rel=0.1)
        assert other.expected > 1.3 * noise.expected


def test_expected_is_the_scatter_where_true_parameters_are_off(
    events: Events, result: FitResult
) -> None:
    # Only the sample of its own varies.
    contents = tuple(
        sample.model_copy(
            update={
                "nominal": without(sample.nominal),
                "shifts": tuple(s for s in sample.shifts if s.parameter == SAMPLE),
            }
        )
        for sample in result.description.contents
    )
    noise = noise_of(result, contents)
    names = result.problem.names
    misses = []
    for _ in range(40):
        truth = events.templates()
        truth["sr_zz_other"] = events.templates(again=True)["sr_zz_other"]
        other = with_templates(result, truth).likelihood
        for value in (1.0, -1.0):
            at = result.problem.start.copy()
            at[names.index(SAMPLE)] = value
            centre = result.problem.likelihood.constraints.centre.copy()
            centre[names.index(SAMPLE)] = value
            measured = replace(result.problem.likelihood.constraints, centre=centre)
            task = result.problem.with_data(other.rates(at), measured)
            fit = task.lowest([at]).minimum
            misses.append(float(fit.parameters[task.poi]) - 1.0)
    assert noise.expected == pytest.approx(np.sqrt(np.mean(np.square(misses))), rel=0.25)


def test_record_warns_where_it_matters(result: FitResult) -> None:
    record = result.record()
    noise = record.template_noise
    assert noise is not None
    assert noise.size == max(noise.observed, noise.expected)
    assert noise.total == pytest.approx(np.hypot(record.poi.uncertainty, noise.size))
    assert record.uncertainty_of_poi == noise.total
    assert noise.sources[0].parameter == SAMPLE
    assert noise.serious == (noise.size > 0.3 * record.poi.uncertainty)
    assert (record.noise_statement is not None) == noise.serious
    told = noise.model_copy(update={"serious": True, "in_total": False})
    warning = record.model_copy(update={"template_noise": told}).noise_statement
    assert warning is not None
    assert SAMPLE in warning
    assert "not in the quoted uncertainty" in warning
    plain = record.model_copy(update={"template_noise": told})
    assert plain.uncertainty_of_poi == record.poi.uncertainty


def test_smooth_templates_have_less_noise(events: Events, result: FitResult) -> None:
    smooth = fitted(model(events, **{SAMPLE: Treatment(smoothing="linear")}))
    noise, before = smooth.template_noise, result.template_noise
    assert noise is not None
    assert before is not None
    parts = [
        next(s.expected for s in each.sources if s.parameter == SAMPLE) / fit.poi.uncertainty
        for each, fit in ((noise, smooth), (before, result))
    ]
    assert parts[0] < parts[1]


def test_straight_lines() -> None:
    nominal = np.array([50.0, 40.0, 0.0, 20.0, 10.0, 30.0])
    line = nominal * (1.1 + 0.05 * np.arange(6))
    treatment = Treatment(smoothing="linear")
    assert smoothed(nominal, line, treatment, nominal) == pytest.approx(line)
    noisy = line * np.array([1.1, 0.9, 1.0, 1.2, 0.8, 1.0])
    result = smoothed(nominal, noisy, treatment, nominal)
    assert result.sum() == pytest.approx(noisy.sum())
    ratio = result[nominal > 0] / nominal[nominal > 0]
    x = np.flatnonzero(nominal)
    assert ratio == pytest.approx(np.polyval(np.polyfit(x, ratio, 1), x))
    # Several at once, as one after the other.
    both = smoothed(np.stack([nominal, nominal]), np.stack([line, noisy]), treatment, nominal)
    assert both == pytest.approx(np.stack([line, result]))


def test_running_medians_take_out_a_spike_and_symmetrising_the_mean() -> None:
    nominal = np.full(8, 100.0)
    varied = nominal * (1 + 0.02 * np.arange(8))
    spike = varied + 30 * (np.arange(8) == 4)
    smooth = smoothed(nominal, spike, Treatment(smoothing="353QH"), nominal)
    assert smooth.sum() == pytest.approx(spike.sum())
    assert smooth / smooth.sum() == pytest.approx(varied / varied.sum(), rel=0.025)
    up, down = treated(nominal, 1.1 * nominal, nominal, Treatment(symmetrise=True), nominal)
    assert up == pytest.approx(1.05 * nominal)
    assert down == pytest.approx(0.95 * nominal)


@pytest.mark.parametrize(
    ("name", "treatment", "problem_"),
    [
        ("weigths", Treatment(), "unknown systematic 'weigths'"),
        (SAMPLE, Treatment(symmetrise=True), "no template down"),
    ],
)
def test_treatments_that_cannot_be(
    events: Events, name: str, treatment: Treatment, problem_: str
) -> None:
    with pytest.raises(ModelError, match=problem_) as error:
        model(events, **{name: treatment})
    assert error.value.place == "fit.model.treatments"


# Histograms that the events of each dataset are in.
OF_DATASET = {
    "higgs": ("sr_signal",),
    "zz": ("sr_zz", "sr_zz_w_up", "sr_zz_w_down", "sr_zz_scale"),
    "zz__other": ("sr_zz_other",),
}


def with_more(
    events: Events, factors: dict[str, float], subsets: Mapping[str, str] = MappingProxyType({})
) -> Model:
    """The model with the same contents from more events."""
    histograms = events.histograms()
    for dataset, names in OF_DATASET.items():
        for name in names:
            histograms[name].view().variance /= factors.get(dataset, 1.0)
    histograms["sr_zz_scale_migration"].view()[...] /= factors.get("zz", 1.0)
    settings = ModelSettings(
        data="observed", missing_datasets="error", pruning={"normalisation": 0, "shape": 0}
    )
    return build_workspace(declared(), histograms, settings, subsets=subsets)


def expected_of(built: Model) -> float:
    """Uncertainty of a fit of what the model expects, with the statistics of varied templates."""
    pyhf_model, data = workspace.load(built.workspace, place="test")
    task = problem(pyhf_model, data, MINIMISER)
    asimov = task.asimov(task.start)
    best = asimov.lowest([task.start]).minimum
    parts = breakdown(asimov, best, {})
    noise = template_noise(
        pyhf_model, asimov, best, built.description.contents, breakdown=parts, settings=NOISE
    )
    assert noise is not None
    return float(np.hypot(np.sqrt(best.covariance[task.poi, task.poi]), noise.expected))


def test_closed_form_is_the_fit(events: Events) -> None:
    histograms = events.histograms()
    settings = ModelSettings(
        data="observed", missing_datasets="error", pruning={"normalisation": 0, "shape": 0}
    )
    form = closed_form(declared(), histograms, settings, {})
    edges = (0.0, 2.0, 3.0, 6.0)
    estimate = form.estimate(hard(form, {"sr": edges}))
    built = build_workspace(
        declared(), histograms, settings.model_copy(update={"edges": {"sr": edges}})
    )
    pyhf_model, data = workspace.load(built.workspace, place="test")
    task = problem(pyhf_model, data, MINIMISER)
    parts = Expectation(pyhf_model, task, built.description.contents).parts({})
    assert estimate.fit == pytest.approx(parts.fit, rel=1e-9)
    assert estimate.noise == pytest.approx(sum(parts.noise.values()), rel=1e-9)


def test_more_events_keep_their_promise(events: Events) -> None:
    built = with_more(events, {})
    pyhf_model, data = workspace.load(built.workspace, place="test")
    task = problem(pyhf_model, data, MINIMISER)
    counts = {"higgs": 2000, "zz": 3000, "zz__other": 900}

    def bought(wished: float | None) -> Spending:
        result = spending(
            pyhf_model,
            task,
            built.description.contents,
            events=counts,
            settings=SpendingSettings(wished=wished, reduction=0.05),
        )
        assert result is not None
        return result

    result = bought(None)
    assert result.uncertainty == pytest.approx(expected_of(built), rel=1e-9)
    assert {gain.datasets: gain.events for gain in result.gains} == {
        (name,): count for name, count in counts.items()
    }
    for gain in result.gains:
        twice = with_more(events, dict.fromkeys(gain.datasets, 2.0))
        assert gain.doubled == pytest.approx(expected_of(twice), rel=1e-9)
        assert result.all_infinite < gain.infinite < gain.doubled < result.uncertainty
    expectation = Expectation(pyhf_model, task, built.description.contents)
    at, step = np.array([1.3, 2.0, 0.7]), 1e-5
    for number, slope in enumerate(expectation.at(at)[1]):
        more, less = (at * np.exp(sign * step * np.eye(3)[number]) for sign in (1, -1))
        rise = expectation.at(more)[0].total - expectation.at(less)[0].total
        assert slope == pytest.approx(rise / (2 * step), rel=1e-6)
    plan = result.plan
    assert plan.wished == pytest.approx(0.95 * result.uncertainty)
    assert plan.reached == pytest.approx(plan.wished, rel=1e-4)
    for share in (0.1, 0.6):
        wished = share * result.uncertainty + (1 - share) * result.all_infinite
        assert bought(wished).plan.reached == pytest.approx(wished, rel=1e-4)
    factors = {purchase.datasets[0]: purchase.factor for purchase in plan.purchases}
    assert expected_of(with_more(events, factors)) == pytest.approx(plan.reached, rel=1e-9)
    # As many events spread over all datasets alike give less.
    more = sum((factors.get(name, 1.0) - 1) * count for name, count in counts.items())
    alike = dict.fromkeys(counts, 1 + more / sum(counts.values()))
    assert expected_of(with_more(events, alike)) > plan.reached
    assert bought(0.9 * result.all_infinite).plan.reached is None
    assert bought(2 * result.uncertainty).plan.purchases == ()


def test_parts_of_a_dataset_come_with_it(events: Events) -> None:
    """More events of a dataset are as many more of its parts, and never make it worse."""
    subsets = {"zz__other": "zz"}
    built = with_more(events, {}, subsets)
    pyhf_model, data = workspace.load(built.workspace, place="test")
    result = spending(
        pyhf_model,
        problem(pyhf_model, data, MINIMISER),
        built.description.contents,
        events={"higgs": 2000, "zz": 3000, "zz__other": 900},
        settings=SpendingSettings(wished=None, reduction=0.05),
    )
    assert result is not None
    assert {gain.datasets: gain.events for gain in result.gains} == {
        ("higgs",): 2000,
        ("zz",): 3000,
    }
    together = {"higgs": ["higgs"], "zz": ["zz", "zz__other"]}
    for gain in result.gains:
        twice = with_more(events, dict.fromkeys(together[gain.datasets[0]], 2.0), subsets)
        assert gain.doubled == pytest.approx(expected_of(twice), rel=1e-9)
        assert gain.infinite < gain.doubled < result.uncertainty
    factors = {
        name: purchase.factor
        for purchase in result.plan.purchases
        for name in together[purchase.datasets[0]]
    }
    promised = expected_of(with_more(events, factors, subsets))
    assert promised == pytest.approx(result.plan.wished, rel=1e-4)
