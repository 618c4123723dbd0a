"""Derivatives of the results by the templates of a run, or by the numbers of a workspace.

A run's templates become a nominal content, a factor on the yield and a change of the shape
(``template_noise.effects``), after smoothing and symmetrising where the configuration asks for it.
Of another workspace it is not known what its modifiers were made of: there, the derivatives are
those by the numbers that it holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import sensitivity
from agc_pipeline.inference.derivatives import Change, Gradient, Places, partials
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.limits import Signal
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.template_noise import SampleContents, template_slopes
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyhf

# "uncertainty" is the expected one.
Quantity: TypeAlias = Literal["uncertainty", "best fit", "significance", "limit"]
Values: TypeAlias = tuple[float, ...]


class TemplateGradient(Settings):
    """Derivatives by the contents of a template.

    Attributes:
        channel: its name.
        sample: its name.
        parameter: of the systematic that varies it; None for the nominal one.
        direction: "up" or "down"; None likewise.
        kind: "template", or "histosys" and "normsys" for what a workspace from elsewhere has: the
            contents of the bins with the factors as they are, or a single factor.
        contents: of the template, (bins), or the factor alone.
        derivatives: of each quantity by them.
        squared_weights: sums of squared weights, of nominal templates with a statistical factor.
        by_squared_weights: derivatives of each quantity by them.
    """

    channel: str
    sample: str
    parameter: str | None = None
    direction: Literal["up", "down"] | None = None
    kind: Literal["template", "histosys", "normsys"]
    contents: Values
    derivatives: dict[Quantity, Values]
    squared_weights: Values | None = None
    by_squared_weights: dict[Quantity, Values] = Field(default_factory=dict)

    def effects(self, quantity: Quantity, change: float = 0.01) -> Array:
        """What a relative change of each content does to a quantity."""
        effects: Array = change * np.array(self.contents) * np.array(self.derivatives[quantity])
        return effects


class TemplateGradients(Settings):
    """Derivatives of results by all templates.

    Attributes:
        values: the quantities; "best fit" is that of the data, all others are expected.
        reasons: why others have no derivatives.
        templates: derivatives by their contents.
    """

    values: dict[Quantity, float]
    reasons: dict[Quantity, str]
    templates: tuple[TemplateGradient, ...]


def template_gradients(
    model: "pyhf.Model",
    problem: Problem,
    best: Minimum,
    samples: Sequence[SampleContents],
    *,
    signal: Signal | None,
    limit: float | None,
) -> TemplateGradients:
    """The derivatives of everything that has some.

    Args:
        model: that was fitted.
        problem: its fit.
        best: the minimum.
        samples: templates that the model was made of; none of a workspace from elsewhere.
        signal: tests of the strength; None where there are none.
        limit: expected (median) upper limit; None where there is none.
    """
    values: dict[Quantity, float] = {}
    reasons: dict[Quantity, str] = {}
    gradients: dict[Quantity, Gradient] = {}
    quantities: tuple[Quantity, ...] = ("uncertainty", "best fit", "significance", "limit")
    for quantity in quantities:
        try:
            known = _quantity(quantity, problem, best, signal, limit)
        except ModelError as error:
            reasons[quantity] = error.problem
        else:
            if known is not None:
                values[quantity], gradients[quantity] = known
    places = Places(model, problem.likelihood)
    rows = _of_run(places, gradients, samples) if samples else _of_workspace(places, gradients)
    return TemplateGradients(values=values, reasons=reasons, templates=tuple(rows))


def _quantity(
    quantity: Quantity,
    problem: Problem,
    best: Minimum,
    signal: Signal | None,
    limit: float | None,
) -> tuple[float, Gradient] | None:
    """A quantity and its derivatives; None where it does not exist.

    Raises:
        ModelError: if it has no derivatives.
    """
    match quantity:
        case "uncertainty":
            expected = sensitivity.expected_fit(problem)
            size = float(np.sqrt(expected.covariance[problem.poi, problem.poi]))
            return size, sensitivity.expected_variance(problem, expected).scaled(1 / (2 * size))
        case "best fit":
            gradient = sensitivity.best_fit(problem, best)
            return float(best.parameters[problem.poi]), gradient
        case "significance":
            value = None if signal is None else signal.expected_significance()
            if signal is None or not value:
                return None
            test = signal.expected_statistic(0.0, truth=1.0)
            return value, sensitivity.statistic(signal.problem, *test).scaled(1 / (2 * value))
        case "limit":
            if signal is None or limit is None:
                return None
            test = signal.expected_statistic(limit)
            slope = float(test.fitted.expansion.gradient[signal.poi])
            return limit, sensitivity.statistic(signal.problem, *test).scaled(-1 / slope)


def _of_run(
    places: Places, gradients: Mapping[Quantity, Gradient], samples: Sequence[SampleContents]
) -> Iterator[TemplateGradient]:
    """Derivatives by the templates of a run, before any treatment."""
    for sample in samples:
        place = places[sample.channel, sample.sample]
        nominal: dict[Quantity, Array] = {}
        squares: dict[Quantity, Array] = {}
        varied: dict[tuple[str, str], dict[Quantity, Array]] = {}
        for quantity, gradient in gradients.items():
            statistics = places.statistics(gradient, place)
            total = gradient.contents[place.cells] + statistics.contents
            for shift in sample.shifts:
                slopes = template_slopes(sample, shift, partials(gradient, place, shift.parameter))
                total = total + slopes.nominal
                varied.setdefault((shift.parameter, "up"), {})[quantity] = slopes.up
                if slopes.down is not None:
                    varied.setdefault((shift.parameter, "down"), {})[quantity] = slopes.down
            nominal[quantity], squares[quantity] = total, statistics.squared_weights
        where = {"channel": sample.channel, "sample": sample.sample, "kind": "template"}
        yield TemplateGradient(
            **where,
            contents=sample.nominal.values,
            derivatives=_lists(nominal),
            squared_weights=sample.nominal.variances,
            by_squared_weights=_lists(squares),
        )
        for shift in sample.shifts:
            for direction, template in (("up", shift.up), ("down", shift.down)):
                if template is not None:
                    yield TemplateGradient(
                        **where,
                        parameter=shift.parameter,
                        direction=direction,
                        contents=template.values,
                        derivatives=_lists(varied.get((shift.parameter, direction), {})),
                    )


def _of_workspace(
    places: Places, gradients: Mapping[Quantity, Gradient]
) -> Iterator[TemplateGradient]:
    """Derivatives by the numbers of a workspace."""
    for place in places.all:
        nominal: dict[Quantity, Array] = {}
        squares: dict[Quantity, Array] = {}
        varied: dict[tuple[str, str, str], dict[Quantity, Array]] = {}
        for quantity, gradient in gradients.items():
            statistics = places.statistics(gradient, place)
            total = gradient.contents[place.cells] + statistics.contents
            for name in place.changes:
                part = partials(gradient, place, name)
                total = total - part.up - part.down
                varied.setdefault((name, "histosys", "up"), {})[quantity] = part.up
                varied.setdefault((name, "histosys", "down"), {})[quantity] = part.down
                varied.setdefault((name, "normsys", "up"), {})[quantity] = np.array([part.high])
                varied.setdefault((name, "normsys", "down"), {})[quantity] = np.array([part.low])
            nominal[quantity], squares[quantity] = total, statistics.squared_weights
        uncertainties = [place.uncertainties, place.poisson_uncertainties]
        known = next((each for each in uncertainties if each is not None), None)
        where = {"channel": place.channel, "sample": place.sample}
        yield TemplateGradient(
            **where,
            kind="template",
            contents=place.contents.tolist(),
            derivatives=_lists(nominal),
            squared_weights=None if known is None else np.square(known).tolist(),
            by_squared_weights={} if known is None else _lists(squares),
        )
        for name, change in place.changes.items():
            for kind, direction, contents in _numbers(change):
                yield TemplateGradient(
                    **where,
                    parameter=name,
                    direction=direction,
                    kind=kind,
                    contents=contents,
                    derivatives=_lists(varied.get((name, kind, direction), {})),
                )


def _numbers(change: Change) -> Iterator[tuple[Any, Any, Values]]:
    """Kind, direction and numbers of what a workspace has of a systematic."""
    if change.factors is not None:
        for direction, factor in zip(("up", "down"), change.factors, strict=True):
            yield "normsys", direction, (factor,)
    if change.shape is not None:
        for direction, contents in zip(("up", "down"), change.shape, strict=True):
            yield "histosys", direction, contents


def _lists(arrays: Mapping[Quantity, Array]) -> dict[Quantity, Values]:
    return {quantity: tuple(array.tolist()) for quantity, array in arrays.items()}
