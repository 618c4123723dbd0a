"""Exact derivatives of results by everything that a model is made of."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from agc_pipeline import analyses
from agc_pipeline.config import load_config
from agc_pipeline.declaration import Template
from agc_pipeline.inference import templates, workspace
from agc_pipeline.inference.interpolation import Factors, factors_by_ends
from agc_pipeline.inference.limits import Signal
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.inference.template_gradients import TemplateGradients, template_gradients
from agc_pipeline.inference.template_noise import contents
from agc_pipeline.validation import published
from models import EVERYTHING
from random_models import random_workspace

MINIMISER = MinimiserSettings(method="exact", max_distance=1e-20, max_iterations=200, starts=1)
# Strength that is tested for the limit.
TESTED = 0.7
ALL = {"uncertainty", "best fit", "significance", "limit"}


def opened(content: Any) -> tuple[Any, Problem]:
    model, data = workspace.load(content, place="test")
    return model, problem(model, data, MINIMISER)


def signal_of(task: Problem, best: Minimum) -> Signal:
    signal = Signal(task)
    signal.best = best
    return signal


def fitted(task: Problem, near: Any) -> dict[str, float]:
    """The quantities from fits; in place of the limit the statistic that it is where it is."""
    best = task.lowest([near]).minimum
    expected = task.asimov(task.start).lowest([task.start]).minimum
    signal = signal_of(task, best)
    return {
        "uncertainty": float(np.sqrt(expected.covariance[task.poi, task.poi])),
        "best fit": float(best.parameters[task.poi]),
        "significance": signal.expected_significance(),
        "limit": signal.expected_statistic(TESTED).statistic,
    }


def gradients_of(content: Any, samples: Any = ()) -> tuple[TemplateGradients, Minimum, float]:
    """Derivatives, the best fit, and how the statistic grows with the strength that is tested."""
    model, task = opened(content)
    best = task.lowest([task.start]).minimum
    signal = signal_of(task, best)
    result = template_gradients(model, task, best, samples, signal=signal, limit=TESTED)
    fitted_there = signal.expected_statistic(TESTED).fitted
    return result, best, float(fitted_there.expansion.gradient[signal.poi])


class Along:
    """A derivative along a direction: the sum of its terms, and their size."""

    def __init__(self) -> None:
        self.terms: dict[str, list[float]] = {name: [] for name in ALL}

    def add(self, name: str, slopes: Any, change: Any) -> None:
        self.terms[name] += (np.array(slopes) * change).tolist()

    def agrees(self, sides: list[dict[str, float]], step: float, growth: float) -> None:
        """With central differences of exact fits."""
        for name, terms in self.terms.items():
            up, down = (side[name] for side in sides)
            # The limit falls where the statistic at it rises.
            factor = -growth if name == "limit" else 1.0
            # Where terms cancel each other, differences have their rounding.
            rounding = 1e-6 * abs(factor) * float(np.linalg.norm(terms))
            difference = (up - down) / (2 * step)
            assert factor * sum(terms) == pytest.approx(difference, rel=1e-6, abs=rounding), name


def numbers(content: Any) -> Iterator[tuple[tuple[str, ...], list[float], Any]]:
    """All lists of numbers of the model of a workspace, by the entry of the gradient."""
    for channel in content["channels"]:
        for sample in channel["samples"]:
            where = (channel["name"], sample["name"])
            yield (*where, "nominal"), sample["data"], sample
            for modifier in sample["modifiers"]:
                data, key = modifier["data"], (*where, modifier["name"])
                match modifier["type"]:
                    case "normsys":
                        yield (*key, "normsys", "up"), [data["hi"]], (data, "hi")
                        yield (*key, "normsys", "down"), [data["lo"]], (data, "lo")
                    case "histosys":
                        yield (*key, "histosys", "up"), data["hi_data"], (data, "hi_data")
                        yield (*key, "histosys", "down"), data["lo_data"], (data, "lo_data")
                    case "staterror" | "shapesys":
                        yield (*where, "uncertainties"), data, (modifier, "data")


def shifted(content: Any, step: float) -> Any:
    """A workspace with all numbers of its model changed at random, relative to their sizes."""
    changed = copy.deepcopy(content)
    random = np.random.default_rng(1)
    for _, values, place in list(numbers(changed)):
        moved = np.array(values) * (1 + step * random.normal(size=len(values)))
        if isinstance(place, dict):
            place["data"] = moved.tolist()
        else:
            holder, key = place
            holder[key] = moved.tolist() if isinstance(holder[key], list) else float(moved[0])
    return changed


def along(content: Any, gradients: TemplateGradients) -> Along:
    """The derivative along the direction of ``shifted``."""
    random = np.random.default_rng(1)
    entries = {
        (entry.channel, entry.sample)
        + (("nominal",) if entry.parameter is None else (entry.parameter, entry.kind))
        + (() if entry.direction is None else (entry.direction,)): entry
        for entry in gradients.templates
    }
    result = Along()
    for key, values, _ in numbers(content):
        change = np.array(values) * random.normal(size=len(values))
        for name in ALL:
            if key[-1] == "uncertainties":
                nominal = entries[(*key[:2], "nominal")]
                # The square of an uncertainty is a sum of squared weights.
                result.add(name, nominal.by_squared_weights[name], 2 * np.array(values) * change)
            else:
                result.add(name, entries[key].derivatives[name], change)
    return result


@pytest.mark.parametrize("content", [EVERYTHING, *map(random_workspace, (1, 3, 6, 10, 14, 24))])
def test_derivatives_are_those_of_exact_fits(content: Any) -> None:
    gradients, best, growth = gradients_of(content)
    assert (set(gradients.values), gradients.reasons) == (ALL, {})
    step = 1e-5
    sides = [fitted(opened(shifted(content, sign * step))[1], best.parameters) for sign in (1, -1)]
    along(content, gradients).agrees(sides, step, growth)


@pytest.mark.parametrize("n_files", [5, -1])
def test_derivatives_by_published_histograms(n_files: int) -> None:
    analysis = analyses.load("cms_ttbar")
    histograms = published.load(analysis, n_files)
    settings = load_config().fit.model
    selection = templates.select(analysis, histograms, settings)
    samples = contents(analysis, selection, settings.treatments, {})
    gradients, best, growth = gradients_of(workspace.build(analysis, selection), samples)
    assert set(gradients.values) == ALL
    regions = {region.title: region for region in analysis.regions}
    random = np.random.default_rng(n_files + 2)
    # One bin of each template in the direction: nominal, variations, and squared weights.
    names = {process.title: process.name for process in analysis.processes}
    directions: dict[str, Any] = {}
    total = Along()
    for entry in gradients.templates:
        region, process = regions[entry.channel], names[entry.sample]
        variation = None
        if entry.parameter is not None:
            (systematic,) = (
                nuisance.systematic
                for nuisance in workspace.nuisances(analysis)
                if (nuisance.name, nuisance.region.name, nuisance.process.name)
                == (entry.parameter, region.name, process)
            )
            variation = systematic.up if entry.direction == "up" else systematic.down
        template = Template(
            region.name, process, "nominal" if variation is None else variation.name
        )
        changes = random.normal(size=(2, len(entry.contents)))
        directions[template.name] = (entry, changes)
        for name in ALL:
            total.add(name, entry.derivatives[name], changes[0] * entry.contents)
            if entry.squared_weights is not None:
                squares = changes[1] * entry.squared_weights
                total.add(name, entry.by_squared_weights[name], squares)
    step = 1e-6
    sides = []
    for sign in (1, -1):
        changed = {name: histogram.copy() for name, histogram in histograms.items()}
        for name, (entry, changes) in directions.items():
            region = regions[entry.channel]
            fine = changed[name].axes[0].edges
            edges = region.fit_edges or region.edges
            places = np.searchsorted(edges, fine[:-1] + 1e-6) - 1
            inside = (places >= 0) & (places < len(entry.contents))
            view = changed[name].view()
            for number, key in enumerate(("value", "variance")):
                factors = 1 + sign * step * changes[number][places[inside]]
                view[key][inside] *= factors
        moved = workspace.build(analysis, templates.select(analysis, changed, settings))
        sides.append(fitted(opened(moved)[1], best.parameters))
    total.agrees(sides, step, growth)


def test_interpolation_by_its_ends() -> None:
    up, down = np.array([1.3, 0.7, 1.1]), np.array([0.8, 0.9, 1.2])

    def logarithms(at: Any, up: Any, down: Any) -> tuple[Any, Any]:
        factors = Factors.between(up, down).at(at)
        return np.log(factors.value), factors.first / factors.value

    step = 1e-6
    for at in (-2.0, -1.0, -0.4, 0.0, 0.7, 1.0, 3.0):
        there = np.full(3, at)
        for side, result in enumerate(factors_by_ends(there, up, down)):
            ends = [(up + step, down), (up - step, down)]
            if side:
                ends = [(up, down + step), (up, down - step)]
            (value, slope), (value_below, slope_below) = (logarithms(there, *each) for each in ends)
            assert result[0] == pytest.approx((value - value_below) / (2 * step), abs=1e-8)
            assert result[1] == pytest.approx((slope - slope_below) / (2 * step), abs=1e-8)


def test_what_has_no_derivatives_is_told() -> None:
    # Nothing is seen where the signal is, and the rate of a bin is zero at the best fit.
    content = random_workspace(0)
    model, task = opened(content)
    best = task.search().minimum
    assert best.zero_rates
    result = template_gradients(model, task, best, (), signal=None, limit=None)
    assert "best fit" in result.reasons
    assert "is zero" in result.reasons["best fit"]
    assert set(result.values) <= {"uncertainty"}
