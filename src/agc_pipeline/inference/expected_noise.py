"""The expected variance by the statistics of varied templates, for any number of their events.

The fit follows the templates of a systematic by linear functions of how far an event more in each
bin moves the parameter of interest (``template_noise``). The variance is a sum of their squares,
each over a number of events, so that a matrix for each of them says everything, and value and
slopes follow from products.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agc_pipeline.inference.derivatives import Gradient, Partials, Place, Places, Term
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.template_noise import (
    Contents,
    SampleContents,
    ShiftContents,
    alone,
    shares,
    template_slopes,
)


class _Form(NamedTuple):
    """A part of the variance: a quadratic form of the weights of the bins, never below zero.

    Attributes:
        unit: whose events the part decreases with.
        matrix: of the form for the events of now, (b, b).
        common: what is subtracted of it for events that are in the nominal template, too, (b, b);
            None where nothing is.
        nominal: whose events that decreases with.
    """

    unit: int
    matrix: Array
    common: Array | None
    nominal: int


class NoiseSlopes(NamedTuple):
    """Values and derivatives of the variance.

    Attributes:
        of_units: parts of the variance, (u).
        by_weights: derivative of the sum by the weights of the bins, (b).
        by_events: derivative of the sum by the logarithms of the numbers of events, (u).
    """

    of_units: Array
    by_weights: Array
    by_events: Array


class ExpectedNoise:
    """The variance by varied templates where a model expects the data.

    Args:
        problem: the fit.
        places: of the samples in the model.
        samples: templates that the model was made of.
        units: of each dataset, the number of those that are counted together with it.
    """

    def __init__(
        self,
        problem: Problem,
        places: Places,
        samples: Sequence[SampleContents],
        units: dict[str, int],
    ) -> None:
        self._problem, self._places, self._units = problem, places, units
        n_units, n_bins = max(units.values()) + 1, len(problem.bins)
        self._sums = np.zeros((n_units, n_bins, n_bins))
        differences = []
        for form in self._forms(samples):
            if form.common is None:
                self._sums[form.unit] += form.matrix
            else:
                differences.append(form)
        empty = np.zeros((0, n_bins, n_bins))
        self._own = np.stack([form.matrix for form in differences]) if differences else empty
        subtracted = [form.common for form in differences if form.common is not None]
        self._common = np.stack(subtracted) if differences else empty
        self._varied = np.array([form.unit for form in differences], dtype=np.int64)
        self._nominal = np.array([form.nominal for form in differences], dtype=np.int64)

    def at(self, weights: Array, events: Array) -> NoiseSlopes:
        """The variance.

        Args:
            weights: change of the parameter of interest by one event more in each bin, (b).
            events: relative to those of now, (u).
        """
        sums = self._sums @ weights / events[:, np.newaxis]
        own = self._own @ weights / events[self._varied, np.newaxis]
        common = self._common @ weights / events[self._nominal, np.newaxis]
        left = (own - common) @ weights > 0
        own, common = own * left[:, np.newaxis], common * left[:, np.newaxis]
        n_units = len(events)
        of_sums, of_own, of_common = sums @ weights, own @ weights, common @ weights
        of_varied = np.bincount(self._varied, of_own, n_units)
        by_weights = 2 * (sums.sum(axis=0) + own.sum(axis=0) - common.sum(axis=0))
        return NoiseSlopes(
            of_sums + np.bincount(self._varied, of_own - of_common, n_units),
            by_weights,
            np.bincount(self._nominal, of_common, n_units) - of_sums - of_varied,
        )

    def _forms(self, samples: Sequence[SampleContents]) -> Iterator[_Form]:
        gradients: dict[tuple[int | None, float], Gradient] = {}
        likelihood, start = self._problem.likelihood, self._problem.start
        nothing = np.zeros_like(start)
        for sample in samples:
            place = self._places[sample.channel, sample.sample]
            for shift in sample.shifts:
                change = place.changes.get(shift.parameter)
                if change is None:
                    continue
                for value in (1.0, -1.0):
                    if (change.parameter, value) not in gradients:
                        there = start.copy()
                        there[change.parameter] = value
                        ones = np.ones(len(likelihood.data))
                        gradients[change.parameter, value] = Gradient(
                            likelihood, (Term(there, ones),), nothing, nothing
                        )
                    gradient = gradients[change.parameter, value]
                    yield from self._of_shift(sample, shift, place, gradient)

    def _of_shift(
        self, sample: SampleContents, shift: ShiftContents, place: Place, gradient: Gradient
    ) -> Iterator[_Form]:
        """Forms for a true value of the parameter of a systematic, of two."""
        slopes = template_slopes(sample, shift, _by_bin(gradient, place, shift.parameter))
        variances = np.array(sample.nominal.variances)
        together = slopes.nominal
        of_nominal = self._unit(sample.nominal)
        sides = []
        for slope, template in ((slopes.up, shift.up), (slopes.down, shift.down)):
            if template is None or slope is None:
                continue
            share = shares(shift.kind, sample.nominal, template)
            together = together + slope @ share.T
            sides.append((slope, template, share))
        yield self._form(place, of_nominal, (together * variances) @ together.T)
        if shift.kind == "weight" and len(sides) == 2:
            # A factor that is larger up is smaller down, in the same events.
            up, down = (
                slope * np.sqrt(np.maximum(np.diag(alone(share, sample.nominal, template)), 0.0))
                for slope, template, share in sides
            )
            yield self._form(place, of_nominal, (up - down) @ (up - down).T)
            return
        for slope, template, share in sides:
            unit = self._unit(template) if template.datasets else of_nominal
            own = (slope * np.array(template.variances)) @ slope.T
            shared = slope @ share.T
            common = (shared * variances) @ shared.T if share.any() else None
            yield self._form(place, unit, own, common, of_nominal)

    def _form(
        self,
        place: Place,
        unit: int,
        matrix: Array,
        common: Array | None = None,
        nominal: int = 0,
    ) -> _Form:
        """A form of the bins of a place, as one of all bins; for one of two true values."""
        bins = self._problem.likelihood.bin[place.cells]

        def spread(part: Array) -> Array:
            whole = np.zeros(self._sums.shape[1:])
            whole[np.ix_(bins, bins)] = part / 2
            return whole

        return _Form(unit, spread(matrix), None if common is None else spread(common), nominal)

    def _unit(self, contents: Contents) -> int:
        return self._units[contents.datasets[0]]


def _by_bin(gradient: Gradient, place: Place, parameter: str) -> Partials:
    """Derivatives by what a model has of a systematic, for the weight of each bin: (b) and (b, b).

    Args:
        gradient: of the sum of the rates of all bins.
        place: of the sample.
        parameter: of the systematic.
    """
    change, n = place.changes[parameter], len(place.cells)
    high = low = np.zeros(n)
    up = down = np.zeros((n, n))
    if change.norm is not None:
        high, low = gradient.factor(change.norm, place.cells)
    if change.shape is not None:
        up, down = map(np.diag, gradient.shape(change.parameter, place.cells))
    return Partials(high, low, up, down)
