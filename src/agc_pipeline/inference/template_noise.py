"""The statistical uncertainty of varied templates, for which no term of the model pays.

The statistical factors of the bins (staterror) stand for the finite simulation of the nominal
templates. Those of systematics are finite, too, and above all those from samples of their own: what
differs by accident between them and the nominal one looks like an effect of the systematic, which
data can constrain.

A best fit is a function of all templates. By the implicit function theorem, a content t of one
moves the parameter of interest by

    d mu / d t = - sum_k H^-1_(mu k) d2 L / (d k d t),

with L = -2 ln L and its Hessian H. Contents change together where they have events in common: an
event of a sample is in its nominal template and in the variations made of the same events, while a
variation from a sample of its own fluctuates alone. Of a sample that is known to be a part of the
nominal one (``DatasetFiles.subset_of``), only the choice of its events does. From this follow two
uncertainties:

- ``observed``: that of this best fit, for these data. It is what a bootstrap over the events of the
  simulation gives, beyond the impact of the statistical factors. It is proportional to the
  pulls: where a parameter is at its nominal value, its templates do not matter.
- ``expected``: that of a measurement in which the true parameters of systematics are where their
  auxiliary measurements allow them, at one standard deviation up or down.

Of variations with the same events the common part is what follows from the nominal contents. For
weights that is their ratio, which is exact if all nominal weights are equal, and likewise for a
part of the nominal sample, where the rest is that of a binomial distribution. For selections that
are redone, the histogram jobs count which events have moved from which bin to which. Without their
numbers, as in published histograms, as few events as possible have moved: what these contribute is
a lower bound, and ``TemplateNoise.at_least`` says so. Events that move from one channel to another,
or up under one variation and down under another, count as independent. The widths of the
statistical factors count as known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from agc_pipeline.declaration import NOMINAL, Analysis, Template, Variation
from agc_pipeline.declaration.analysis import Kind
from agc_pipeline.inference.derivatives import Gradient, Partials, Place, Places, Term, partials
from agc_pipeline.inference.impacts import STATISTICS, Breakdown
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.sensitivity import moved
from agc_pipeline.inference.settings import NoiseSettings, Treatment
from agc_pipeline.inference.templates import Templates
from agc_pipeline.inference.treatment import treated
from agc_pipeline.inference.workspace import Nuisance, nuisances
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyhf
# Of its row beside the result.
TITLE = "Statistics of varied templates"
# What can be done about them.
REMEDY = (
    "Use more events for these variations, smooth them with `fit.model.treatments`, or merge bins "
    "with `fit.model.edges`."
)
# Relative step of derivatives by contents.
_RELATIVE = 1e-5


# What varied templates are made of; "subset": of samples that are parts of the nominal one.
Origin: TypeAlias = Kind | Literal["subset"]


class Contents(Settings):
    """Contents of a template in the bins of the fit, and their statistics.

    Attributes:
        values: contents.
        variances: statistical, of the contents.
        shared: statistical covariances with the contents of the nominal template, for each bin of
            that with all bins of this one; None where they are not known.
        datasets: names of the datasets whose sum they are.
    """

    values: tuple[float, ...]
    variances: tuple[float, ...]
    shared: tuple[tuple[float, ...], ...] | None = None
    datasets: tuple[str, ...] = ()


class ShiftContents(Settings):
    """The templates of a systematic of a sample, before any treatment.

    Attributes:
        parameter: name of the nuisance parameter.
        kind: "sample" if they are from samples of their own, "subset" if these are parts of the
            nominal one; others share all nominal events.
        up: template up.
        down: template down; None if the one up is mirrored.
        treatment: what is done with them before they enter the model.
    """

    parameter: str
    kind: Origin
    up: Contents
    down: Contents | None
    treatment: Treatment


class SampleContents(Settings):
    """The templates of a sample in a channel, as they were before any treatment."""

    channel: str
    sample: str
    nominal: Contents
    shifts: tuple[ShiftContents, ...]


class NoiseSource(Settings):
    """Part of the templates of one systematic.

    Attributes:
        parameter: name of the nuisance parameter.
        observed, expected: uncertainty of the parameter of interest, see ``TemplateNoise``.
    """

    parameter: str
    observed: float
    expected: float


class TemplateNoise(Settings):
    """Uncertainty of the parameter of interest by the statistics of varied templates.

    Attributes:
        observed: of this best fit, for these data.
        expected: with true parameters of systematics at one standard deviation.
        scatter: of this best fit by the statistics of all templates, the nominal ones included: the
            width of a bootstrap over simulated events.
        size: the larger of ``observed`` and ``expected``.
        total: with the uncertainty of the fit, added in quadrature.
        in_total: whether ``total`` is the uncertainty of the result.
        serious: whether it is more than the threshold of the configuration.
        at_least: whether these are lower bounds, since which events have moved is not known for
            some templates.
        sources: by systematic, the largest first.
    """

    observed: float
    expected: float
    scatter: float
    size: float
    total: float
    in_total: bool
    serious: bool
    at_least: bool = False
    sources: tuple[NoiseSource, ...]

    @property
    def bound(self) -> str:
        """What to say before its size."""
        return "at least " if self.at_least else ""

    def statement(self, poi: str, uncertainty: float) -> str:
        """What to say where it matters.

        Args:
            poi: name of the parameter of interest.
            uncertainty: of the fit.
        """
        names = ", ".join(source.parameter for source in self.sources[:3])
        return (
            f"the statistical uncertainty of varied templates is {self.bound}{self.size:.2g} of "
            f"{poi}, "
            f"{self.size / uncertainty:.0%} of the {uncertainty:.2g} of the fit, which has no term "
            f"for it; the largest parts: {names}"
            + ("" if self.in_total else ". It is not in the quoted uncertainty")
        )


def contents(
    analysis: Analysis,
    templates: Templates,
    treatments: Mapping[str, Treatment],
    subsets: Mapping[str, str],
) -> tuple[SampleContents, ...]:
    """The templates of a model with their statistics.

    Args:
        analysis: the declaration.
        templates: as the run has them.
        treatments: of systematics, by name.
        subsets: datasets of which all events are in another one, which is named.
    """
    of: dict[tuple[str, str], list[ShiftContents]] = {}
    for nuisance in nuisances(analysis):
        systematic = nuisance.systematic
        key = (nuisance.region.name, nuisance.process.name)
        if (*key, systematic.name) in templates.varied:
            up, down = templates.untreated[(*key, systematic.name)]
            names = systematic.variations
            of.setdefault(key, []).append(
                ShiftContents(
                    parameter=nuisance.name,
                    kind=_origin(analysis, nuisance, subsets),
                    up=_contents(
                        up,
                        _datasets(analysis, nuisance, systematic.up),
                        templates.shared.get((*key, names[0])),
                    ),
                    down=None
                    if down is None
                    else _contents(
                        down,
                        _datasets(analysis, nuisance, systematic.down),
                        templates.shared.get((*key, names[1])),
                    ),
                    treatment=treatments.get(systematic.name, Treatment()),
                )
            )
    titles = {region.name: region.title for region in analysis.regions}
    titles |= {f"process {process.name}": process.title for process in analysis.processes}
    return tuple(
        SampleContents(
            channel=titles[region],
            sample=titles[f"process {process}"],
            nominal=_contents(nominal, _sources(analysis, region, process, NOMINAL)),
            shifts=tuple(of.get((region, process), ())),
        )
        for (region, process), nominal in templates.nominal.items()
    )


def _origin(analysis: Analysis, nuisance: Nuisance, subsets: Mapping[str, str]) -> Origin:
    """What the templates of a systematic of a process are made of."""
    systematic, process = nuisance.systematic, nuisance.process.name
    if systematic.kind != "sample":
        return systematic.kind

    def filling(variation: str) -> list[str]:
        return [
            dataset.name
            for dataset in analysis.datasets
            if dataset.variation == variation and process in dataset.processes
        ]

    nominal = filling(NOMINAL)
    parts = all(
        subsets.get(name) in nominal for shift in systematic.shifts for name in filling(shift.name)
    )
    return "subset" if parts else "sample"


def _sources(analysis: Analysis, region: str, process: str, variation: str) -> tuple[str, ...]:
    """Names of the datasets whose sum a template is."""
    sources = analysis.sources(Template(region, process, variation))
    return tuple(dict.fromkeys(dataset.name for dataset, _ in sources))


def _datasets(
    analysis: Analysis, nuisance: Nuisance, variation: Variation | None
) -> tuple[str, ...]:
    name = NOMINAL if variation is None else variation.name
    return _sources(analysis, nuisance.region.name, nuisance.process.name, name)


def _contents(
    template: Any, datasets: tuple[str, ...], covariances: Array | None = None
) -> Contents:
    return Contents(
        values=template.yields.tolist(),
        variances=np.square(template.stdev).tolist(),
        shared=None if covariances is None else covariances.tolist(),
        datasets=datasets,
    )


def template_noise(
    model: "pyhf.Model",
    problem: Problem,
    best: Minimum,
    samples: Sequence[SampleContents],
    *,
    breakdown: Breakdown | None,
    settings: NoiseSettings,
) -> TemplateNoise | None:
    """The uncertainty by the statistics of templates; None where nothing is known or measured.

    Args:
        model: that was fitted.
        problem: its fit.
        best: the minimum.
        samples: templates that the model was made of.
        breakdown: of the uncertainty of the parameter of interest.
        settings: whether it counts, and when it is told.
    """
    if breakdown is None or not samples or not any(sample.shifts for sample in samples):
        return None
    responses = _Responses(model, problem, best)
    scatter = observed = expected = 0.0
    parts: dict[str, list[float]] = {}
    for sample in samples:
        place = responses.place(sample)
        nominal = responses.of_nominal(place)
        variance = np.array(sample.nominal.variances)
        shared = np.zeros_like(nominal)
        for shift in sample.shifts:
            here = parts.setdefault(shift.parameter, [0.0, 0.0])
            now = _response(sample, shift, responses.observed(place, shift.parameter))
            common = now.nominal + now.common
            shared += common
            scatter += now.own
            here[0] += float(variance @ common**2) + now.own
            for part in _expected_parts(responses, place, sample, shift):
                here[1] += part
                expected += part
        scatter += float(variance @ (nominal + shared) ** 2)
    paid = breakdown.groups.get(STATISTICS, 0.0) ** 2
    observed = np.sqrt(max(scatter - paid, 0.0))
    size = max(float(observed), float(np.sqrt(expected)))
    total = float(np.hypot(breakdown.total, size))
    return TemplateNoise(
        observed=float(observed),
        expected=float(np.sqrt(expected)),
        scatter=float(np.sqrt(scatter)),
        size=size,
        total=total,
        in_total=settings.in_total,
        serious=size > settings.warn_above * breakdown.total,
        at_least=any(
            shift.kind == "object" and shift.up.shared is None
            for sample in samples
            for shift in sample.shifts
        ),
        sources=tuple(
            sorted(
                (
                    NoiseSource(
                        parameter=name, observed=float(np.sqrt(now)), expected=float(np.sqrt(then))
                    )
                    for name, (now, then) in parts.items()
                ),
                key=lambda source: -max(source.observed, source.expected),
            )
        ),
    )


def _expected_parts(
    responses: "_Responses", place: Place, sample: SampleContents, shift: ShiftContents
) -> Iterator[float]:
    """Parts of the expected variance by the templates of a systematic in a sample."""
    variance = np.array(sample.nominal.variances)
    for direction in (1.0, -1.0):
        then = _response(sample, shift, responses.expected(place, shift.parameter, direction))
        yield float(variance @ (then.nominal + then.common) ** 2) / 2
        for own in then.sides:
            yield own / 2


@dataclass(frozen=True)
class _Response:
    """How the fit follows the templates of a systematic in a sample.

    Attributes:
        nominal: to the nominal template, as far as the shifts are differences from it, (b).
        common: to the part of the shifts that fluctuates with it, (b).
        sides: variances of what fluctuates alone.
    """

    nominal: Array
    common: Array
    sides: tuple[float, ...]

    @property
    def own(self) -> float:
        """Variance of what fluctuates alone."""
        return sum(self.sides)


def effects(nominal: Array, up: Array, down: Array | None) -> tuple[Array, Array, Array, Array]:
    """What a model has of templates: factors on the yield up and down, changes of bins up and down.

    cabinetry splits them so. Axes before the bins are those of several such sets.
    """
    total = nominal.sum(axis=-1, keepdims=True)
    high = up.sum(axis=-1, keepdims=True) / total
    rise = up / high
    if down is None:
        return high[..., 0], 2 - high[..., 0], rise - nominal, nominal - rise
    low = down.sum(axis=-1, keepdims=True) / total
    return high[..., 0], low[..., 0], rise - nominal, down / low - nominal


class Slopes(NamedTuple):
    """Derivatives by the templates of a systematic in a sample, as they were before any treatment.

    Attributes:
        nominal: by the nominal contents, as far as the shifts are differences from them, (b).
        up: by the contents up, (b).
        down: by those down; None where the ones up are mirrored.
    """

    nominal: Array
    up: Array
    down: Array | None


def template_slopes(sample: SampleContents, shift: ShiftContents, partials: Partials) -> Slopes:
    """Derivatives by templates, from those by what the model has of them.

    Axes of the latter before the bins are those of several numbers.
    """
    nominal, up = np.array(sample.nominal.values), np.array(shift.up.values)
    down = None if shift.down is None else np.array(shift.down.values)
    if not shift.treatment.nothing:
        return _treated_slopes(nominal, up, down, shift.treatment, partials)
    total = nominal.sum()
    if down is None:
        # What is mirrored has the same numbers with the other sign.
        mirrored = (partials.high - partials.low, partials.up - partials.down)
        by_nominal, by_up = _side_slopes(total, up, *mirrored)
        return Slopes(by_nominal, by_up, None)
    by_nominal, by_up = _side_slopes(total, up, partials.high, partials.up)
    more, by_down = _side_slopes(total, down, partials.low, partials.down)
    return Slopes(by_nominal + more, by_up, by_down)


def _side_slopes(
    total: float, varied: Array, by_factor: float | Array, by_change: Array
) -> tuple[Array, Array]:
    """Derivatives by the nominal and the varied contents of one side, see ``effects``."""
    factor = varied.sum() / total
    by_factor = np.asarray(by_factor)[..., np.newaxis]
    shape = np.asarray(by_change @ varied)[..., np.newaxis]
    by_varied = by_change / factor + (by_factor - shape / factor**2) / total
    by_nominal = -by_change - (by_factor * factor - shape / factor) / total
    return by_nominal, by_varied


def _treated_slopes(
    nominal: Array, up: Array, down: Array | None, treatment: Treatment, partials: Partials
) -> Slopes:
    """Likewise from differences: medians have kinks."""
    sides = [up] if down is None else [up, down]
    point = np.concatenate([nominal, *sides])
    # Of empty bins, the step is one event of average weight.
    filled = point[point > 0]
    steps = _RELATIVE * np.where(point != 0, np.abs(point), filled.mean() if filled.size else 1.0)

    def value(points: Array) -> Array:
        parts = np.split(points, len(sides) + 1, axis=-1)
        risen, fallen = treated(
            parts[0], parts[1], parts[2] if len(parts) > 2 else None, treatment, nominal
        )
        high, low, rise, fall = effects(parts[0], risen, fallen)
        yields = np.multiply.outer(partials.high, high) + np.multiply.outer(partials.low, low)
        changes: Array = partials.up @ rise.T + partials.down @ fall.T
        return yields + changes

    change = np.diag(steps)
    slopes = (value(point + change) - value(point - change)) / (2 * steps)
    parts = np.split(slopes, len(sides) + 1, axis=-1)
    return Slopes(parts[0], parts[1], None if down is None else parts[2])


def _response(sample: SampleContents, shift: ShiftContents, partials: Partials) -> _Response:
    nominal = np.array(sample.nominal.values)
    slopes = template_slopes(sample, shift, partials)
    common = np.zeros(len(nominal))
    factors: list[Array] = []
    sides: list[float] = []
    for slope, template in ((slopes.up, shift.up), (slopes.down, shift.down)):
        if template is None or slope is None:
            continue
        share = shares(shift.kind, sample.nominal, template)
        common += share @ slope
        rest = alone(share, sample.nominal, template)
        factors.append(np.sqrt(np.maximum(np.diag(rest), 0.0)) * slope)
        sides.append(max(float(slope @ rest @ slope), 0.0))
    if shift.kind == "weight" and len(factors) == 2:
        # A factor that is larger up is smaller down, in the same events.
        sides = [float(np.sum((factors[0] - factors[1]) ** 2))]
    return _Response(slopes.nominal, common, tuple(sides))


def shares(kind: Origin, nominal: Contents, varied: Contents) -> Array:
    """By how much the bins of a variation change with the nominal contents.

    Args:
        kind: of the systematic: whether the variation has the nominal events.
        nominal: template.
        varied: template.

    Returns:
        Nominal ``bins`` by varied ``bins``.
    """
    contents, variances = np.array(nominal.values), np.array(nominal.variances)
    none: Array = np.zeros((len(contents), len(contents)))
    match kind:
        case "weight" | "subset":
            filled = contents != 0
            return np.diag(np.divide(varied.values, contents, out=none[0], where=filled))
        case "object" if varied.shared is not None:
            rows = variances[:, np.newaxis]
            np.divide(varied.shared, rows, out=none, where=rows > 0)
            return none
        case "object":
            largest = np.divide(varied.variances, variances, out=none[0], where=variances > 0)
            return np.diag(np.minimum(largest, 1.0))
        case _:
            return none


def alone(share: Array, nominal: Contents, varied: Contents) -> Array:
    """Statistical covariance of what fluctuates in a variation alone, ``bins`` by ``bins``.

    Args:
        share: of ``shares``.
        nominal: template.
        varied: template.
    """
    common = share.T @ (np.array(nominal.variances)[:, np.newaxis] * share)
    covariance: Array = np.diag(varied.variances) - common
    return covariance


class _Responses:
    """Derivatives of the parameter of interest by contents of the model, at its best fit."""

    def __init__(
        self,
        model: "pyhf.Model",
        problem: Problem,
        best: Minimum,
        places: Places | None = None,
    ) -> None:
        self._likelihood = problem.likelihood
        self._gradients: dict[tuple[int | None, float], Gradient] = {}
        self._best = best.parameters
        self._places = places or Places(model, problem.likelihood)
        along = -best.covariance[problem.poi] / 2
        self._observed = moved(problem, best, along)
        rates = self._likelihood.rates(best.parameters)
        slope = along @ self._likelihood.slopes(best.parameters)
        # What the fit makes of one event more in a bin, where the model fits the data.
        self._weights = 2 * np.divide(slope, rates, out=np.zeros_like(rates), where=rates > 0)

    def place(self, sample: SampleContents) -> Place:
        """Where a sample is."""
        return self._places[sample.channel, sample.sample]

    def of_nominal(self, place: Place) -> Array:
        """Derivative by the nominal contents, with the differences of shifts as they are, (b)."""
        contents: Array = self._observed.contents[place.cells]
        return contents

    def observed(self, place: Place, parameter: str) -> Partials:
        """Derivatives for these data."""
        return partials(self._observed, place, parameter)

    def expected(self, place: Place, parameter: str, value: float) -> Partials:
        """Derivatives for data with a true value of the parameter, fitted by the model."""
        change = place.changes.get(parameter)
        key = None if change is None else change.parameter, value
        if key not in self._gradients:
            there = self._best.copy()
            if change is not None:
                there[change.parameter] = value
            nothing = np.zeros_like(there)
            self._gradients[key] = Gradient(
                self._likelihood, (Term(there, self._weights),), nothing, nothing
            )
        return partials(self._gradients[key], place, parameter)
