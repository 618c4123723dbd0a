"""The expected uncertainty of a model with any bins, in closed form.

Of Asimov data, with statistical factors of the bins that have Gaussian constraints, the expected
variance of the parameter of interest is

    V = [(sum_b J_b J_b^T / (r_b + s_b) + C)^-1]_(mu mu),

with the expected events r_b, sums of squared weights s_b, slopes J_b of the events by the
parameters at their nominal values, and the information C of the auxiliary measurements: the factors
are profiled out. The best fit is then the sum of the data with weights

    e_b = (F^-1 J_b)_mu / (r_b + s_b),

with the matrix F in brackets. The expected statistics of varied templates (``template_noise``)
follow from them, and so does the scatter in a truth with other templates. All of it agrees with the
fit, and takes a millisecond: bins can be optimised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import hist
import numpy as np

from agc_pipeline.declaration import NOMINAL, Analysis, Template
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import templates
from agc_pipeline.inference.edges import Edges, drawn, fitted_regions
from agc_pipeline.inference.interpolation import Array, factor_slopes
from agc_pipeline.inference.settings import ModelSettings
from agc_pipeline.inference.template_noise import Contents, SampleContents, contents
from agc_pipeline.inference.workspace import nuisances

# Of rates.
_SMALLEST = 1e-12
# Of Newton's method: steps at most, and relative change of the statistic that is none.
_STEPS, _STILL = 50, 1e-13

# Which fine bins are in which bins of the fit, by region: shares, (fine, bins).
Bins = Mapping[str, Array]


class Shifts(NamedTuple):
    """The systematics of a region with templates, one for each sample that they act on.

    Attributes:
        parameter: positions, (t).
        sample: numbers of the samples, (t).
        kind: "sample", "subset", "weight" or "object", (t).
        mirrored: whether there is no template down, (t).
        up: contents, (t, fine).
        down: contents; those up where they are mirrored, (t, fine).
        up_variances: statistical, (t, fine).
        down_variances: likewise.
        moved: numbers of the shifts whose statistical covariances with the nominal contents are
            known, (k).
        up_shared: these covariances, nominal by varied bins, (k, fine, fine).
        down_shared: likewise.
    """

    parameter: np.ndarray
    sample: np.ndarray
    kind: np.ndarray
    mirrored: np.ndarray
    up: Array
    down: Array
    up_variances: Array
    down_variances: Array
    moved: np.ndarray
    up_shared: Array
    down_shared: Array


@dataclass(frozen=True)
class RegionTemplates:
    """The templates of a region in the bins of its histograms.

    Attributes:
        edges: of the bins, (fine + 1); infinite where the first and the last bin have what is
            beyond the histogram.
        nominal: contents, (samples, fine).
        variances: statistical, of them.
        slopes: relative change of the samples by normalisations, (p, samples).
        shifts: systematics with templates.
        processes: names of those of the samples.
        variations: of each shift: process, variation up, and down if it is not mirrored.
    """

    edges: Array
    nominal: Array
    variances: Array
    slopes: Array
    shifts: Shifts
    processes: tuple[str, ...] = ()
    variations: tuple[tuple[str, str, str | None], ...] = ()

    @cached_property
    def drawn(self) -> Array:
        """The edges, finite: bins beyond the histogram are as wide as their neighbours."""
        return np.array(drawn(self.edges.tolist(), self.edges[np.isfinite(self.edges)].tolist()))


class Estimate(NamedTuple):
    """The expected uncertainty with some bins.

    Attributes:
        fit: variance by the fit.
        noise: variance by the statistics of varied templates.
        weights: of the data of each bin in the best fit, by region, (bins).
    """

    fit: float
    noise: float
    weights: dict[str, Array]

    @property
    def variance(self) -> float:
        """Of both."""
        return self.fit + self.noise


class Merged(NamedTuple):
    """A region in the bins of the fit.

    Attributes:
        rates: expected events, (bins).
        squares: sums of squared weights, (bins).
        slopes: of the events by the parameters, (p, bins).
        nominal, variances: of the samples of the shifts, (t, bins).
        up, down, up_variances, down_variances: of the shifts, (t, bins).
        high, low: their factors on the yields, (t).
        up_shared, down_shared: covariances of those that are known, (k, bins, bins).
        usable: whether the templates of a shift have an effect; others are the nominal one, (t).
    """

    rates: Array
    squares: Array
    slopes: Array
    nominal: Array
    variances: Array
    up: Array
    down: Array
    up_variances: Array
    down_variances: Array
    high: Array
    low: Array
    up_shared: Array
    down_shared: Array
    usable: np.ndarray


class Solved(NamedTuple):
    """What the best fit of Asimov data follows from.

    Attributes:
        information: of all bins and auxiliary measurements, (p, p).
        inverse: one over the variances of the bins, by region, (bins).
        along: covariances of the parameter of interest with all, (p).
    """

    information: Array
    inverse: dict[str, Array]
    along: Array


@dataclass(frozen=True)
class ClosedForm:
    """The expected uncertainty of an analysis as a function of its bins.

    Attributes:
        regions: templates by name.
        parameters: names, that of interest first.
        free: whether each has no auxiliary measurement, (p).
    """

    regions: Mapping[str, RegionTemplates]
    parameters: tuple[str, ...]
    free: np.ndarray

    def merged(self, region: str, shares: Array) -> Merged:
        """A region in other bins."""
        of = self.regions[region]
        shifts = of.shifts
        samples, variances = of.nominal @ shares, of.variances @ shares
        nominal = samples[shifts.sample]
        up, down = shifts.up @ shares, shifts.down @ shares
        # What no event passes has no systematics, and no more do templates that a model leaves out.
        total = nominal.sum(axis=1)
        higher, lower = up.sum(axis=1), down.sum(axis=1)
        usable = (total > 0) & (higher > 0) & (lower > 0)
        usable &= ~shifts.mirrored | (higher < 2 * total)
        high = np.divide(higher, total, out=np.ones_like(total), where=usable)
        low = np.divide(lower, total, out=np.ones_like(total), where=usable)
        low = np.where(shifts.mirrored, 2 - high, low)
        up, down = (np.where(usable[:, np.newaxis], contents, nominal) for contents in (up, down))
        rise = up / high[:, np.newaxis] - nominal
        fall = down / np.where(shifts.mirrored, high, low)[:, np.newaxis] - nominal
        change = np.where(shifts.mirrored[:, np.newaxis], rise, (rise - fall) / 2)
        slopes = of.slopes @ samples
        np.add.at(
            slopes, shifts.parameter, factor_slopes(high, low)[:, np.newaxis] * nominal + change
        )
        return Merged(
            samples.sum(axis=0),
            variances.sum(axis=0),
            slopes,
            nominal,
            variances[shifts.sample],
            up,
            down,
            shifts.up_variances @ shares,
            shifts.down_variances @ shares,
            high,
            low,
            _in_bins(shifts.up_shared, shares),
            _in_bins(shifts.down_shared, shares),
            usable,
        )

    def solved(self, merged: Mapping[str, Merged]) -> Solved:
        """The fit of Asimov data.

        Args:
            merged: all regions in the bins of the fit.

        Raises:
            numpy.linalg.LinAlgError: if the parameter of interest is not determined.
        """
        information = np.diag(np.where(self.free, 0.0, 1.0))
        inverse = {}
        for name, of in merged.items():
            total = of.rates + of.squares
            inverse[name] = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
            information = information + (of.slopes * inverse[name]) @ of.slopes.T
        along = np.linalg.solve(information, np.eye(len(self.parameters))[0])
        return Solved(information, inverse, along)

    def estimate(self, bins: Bins) -> Estimate:
        """The expected uncertainty with some bins.

        With negative weights, less than nothing may be expected in a bin: no fit has such a model,
        and the uncertainty is infinite.
        """
        merged = {name: self.merged(name, shares) for name, shares in bins.items()}
        if any(np.any(of.rates < 0) for of in merged.values()):
            return Estimate(np.inf, np.inf, {})
        try:
            _, inverse, along = self.solved(merged)
        except np.linalg.LinAlgError:
            return Estimate(np.inf, np.inf, {})
        weights = {name: (along @ of.slopes) * inverse[name] for name, of in merged.items()}
        noise = sum(self._noise(name, of, weights[name]) for name, of in merged.items())
        return Estimate(float(along[0]), float(noise), weights)

    def scatter(self, bins: Bins, weights: Mapping[str, Array]) -> float:
        """Scatter of an estimator in this model as the truth.

        Args:
            bins: that the estimator has.
            weights: of the data in these bins, by region, from other templates.

        Returns:
            Standard deviation in units of the parameter of interest: statistics of the data and of
            the simulation, and systematics at one standard deviation.
        """
        variance = 0.0
        moved = np.zeros(len(self.parameters))
        for name, shares in bins.items():
            of = self.merged(name, shares)
            variance += float(weights[name] ** 2 @ (of.rates + of.squares))
            moved += of.slopes @ weights[name]
        variance += float(np.sum(np.where(self.free, 0.0, moved)[1:] ** 2))
        return float(np.sqrt(variance) / abs(moved[0]))

    def significance(self, bins: Bins) -> float:
        """Expected significance of what the parameter of interest multiplies.

        The square is the statistic q_0 of Asimov data (arXiv:1007.1727, equation 52), with yields
        that are linear in the parameters, and statistical factors profiled out in closed form. It
        is zero with a bin that has nothing but signal: simulation does not tell what is expected
        there without it, and no fit of that hypothesis begins.
        """
        merged = [self.merged(name, shares) for name, shares in bins.items()]
        data = np.concatenate([of.rates for of in merged])
        squares = np.concatenate([of.squares for of in merged])
        slopes = np.concatenate([of.slopes for of in merged], axis=1)
        filled = data > 0
        data, squares, slopes = data[filled], squares[filled], slopes[:, filled]
        without = data - slopes[0]
        if np.any(without <= 0):
            return 0.0
        others, constrained = slopes[1:], np.where(self.free[1:], 0.0, 1.0)

        def statistic(at: Array) -> tuple[float, Array, Array]:
            # With rate b and sum of squares s, the best rate solves x^2 + x (s - b) = n s.
            rates = without + at @ others
            half = (rates - squares) / 2
            root = np.maximum(np.sqrt(half**2 + data * squares), _SMALLEST)
            profiled = np.maximum(half + root, _SMALLEST)
            ratio = data / profiled
            moved = np.divide(
                (profiled - rates) ** 2, squares, out=np.zeros_like(data), where=squares > 0
            )
            value = 2 * np.sum(profiled - data + data * np.log(ratio)) + moved.sum()
            slope = others @ (2 * (1 - ratio)) + 2 * constrained * at
            curvature = (others * (ratio / root)) @ others.T + 2 * np.diag(constrained)
            return float(value + constrained @ at**2), slope, curvature

        at = np.zeros(len(others))
        value, slope, curvature = statistic(at)
        for _ in range(_STEPS):
            step = np.linalg.lstsq(curvature, -slope, rcond=None)[0]
            reduced = -float(slope @ step)
            if reduced < _STILL * max(value, 1.0):
                break
            size = 1.0
            while size > _STILL:
                there = statistic(at + size * step)
                if there[0] < value:
                    break
                size /= 2
            else:
                break
            at, (value, slope, curvature) = at + size * step, there
        return float(np.sqrt(max(value, 0.0)))

    def thrown(
        self, random: np.random.Generator, within: "ClosedForm | None" = None, own: Any = None
    ) -> "ClosedForm":
        """The same with other simulated events, as far as their statistics are known.

        Args:
            random: of the normal numbers of each content.
            within: a model that has all events of this one, and is thrown with the same numbers.
                None is this one.
            own: random numbers of the events that are not all of that model's, for a tighter one.
        """
        regions = {}
        for name, of in self.regions.items():
            with_more = of if within is None else within.regions[name]
            shifts, others = of.shifts, with_more.shifts
            # Another observable has the same events in other bins.
            alike = (
                others.up.shape == shifts.up.shape
                and of.nominal.shape == with_more.nominal.shape
                and np.array_equal(of.edges, with_more.edges)
            )

            def normal(
                ours: Array, theirs: Array, *, alike: bool = alike, n: int = len(of.edges)
            ) -> Array:
                # The numbers are drawn for the larger model, whatever this one has.
                common = random.normal(size=theirs.shape)
                if within is None:
                    return common
                alone: Array = own.normal(size=(len(ours), n - 1))
                if not alike:
                    return alone
                share = np.divide(ours, theirs, out=np.zeros_like(ours), where=theirs > 0)
                share = np.clip(share, 0.0, 1.0)
                mixed: Array = np.sqrt(share) * common + np.sqrt(1 - share) * alone
                return mixed

            drawn = normal(of.variances, with_more.variances)
            nominal = of.nominal + np.sqrt(of.variances) * drawn
            nominal = np.where(of.nominal > 0, np.maximum(nominal, 0.0), of.nominal)
            ratio = np.divide(nominal, of.nominal, out=np.ones_like(nominal), where=of.nominal > 0)
            apart = np.isin(shifts.kind, ("sample", "subset"))[:, np.newaxis]
            sides = []
            for values, variances, theirs in (
                (shifts.up, shifts.up_variances, others.up_variances),
                (shifts.down, shifts.down_variances, others.down_variances),
            ):
                alone = values + np.sqrt(variances) * normal(variances, theirs)
                with_nominal = values * ratio[shifts.sample]
                sides.append(np.where(apart, np.maximum(alone, 0.0), with_nominal))
            down = np.where(shifts.mirrored[:, np.newaxis], sides[0], sides[1])
            regions[name] = replace(
                of, nominal=nominal, shifts=shifts._replace(up=sides[0], down=down)
            )
        return replace(self, regions=regions)

    def _noise(self, name: str, of: Merged, weights: Array) -> float:
        """Expected variance by the statistics of the varied templates of a region."""
        shifts = self.regions[name].shifts
        sides = noise_sides(shifts, of, weights)
        return sum(noise_parts(shifts, of, side).variance for side in sides)


class NoiseSide(NamedTuple):
    """Varied templates at plus or at minus one standard deviation, and what depends on them.

    Attributes:
        values: contents of the templates, (t, bins).
        variances: statistical, of them.
        shared: covariances with nominal contents that are known, (k, bins, bins).
        slope: of the parameter of interest by the contents of the varied templates, (t, bins).
        nominal: by those of the nominal ones, as far as they are not in the varied ones.
    """

    values: Array
    variances: Array
    shared: Array
    slope: Array
    nominal: Array


class NoiseParts(NamedTuple):
    """The variance by varied templates on one side.

    Attributes:
        share: by how much bins of variations change with nominal ones, (t, nominal, varied).
        follows: shift of the parameter of interest by varied contents that follow nominal ones,
            (t, nominal).
        common: the same by all that nominal contents move.
        alone: variance by what varied templates have of their own, (t).
        variance: half of that by this side.
    """

    share: Array
    follows: Array
    common: Array
    alone: Array
    variance: float


def reflection(of: Merged, weights: Array) -> tuple[Array, Array, Array]:
    """What mirrored templates depend on at minus one standard deviation.

    A template is (2 n - u / h) (2 - h) there, with a factor h on the yield.

    Returns:
        The templates without that factor, (t, bins), the shift of the parameter of interest by
        those up, and how the factor moves it, (t, 1).
    """
    high = of.high[:, np.newaxis]
    total = of.nominal.sum(axis=1, keepdims=True)
    reflected = 2 * of.nominal - of.up / high
    varied = (weights * of.up).sum(axis=1, keepdims=True)
    bend = (
        varied * (2 - high) / high**2 - (weights * reflected).sum(axis=1, keepdims=True)
    ) / np.where(total > 0, total, 1.0)
    return reflected, varied, bend


def noise_sides(shifts: Shifts, of: Merged, weights: Array) -> tuple[NoiseSide, NoiseSide]:
    """Varied templates of a region up and down, and what the parameter of interest does with them.

    Args:
        shifts: of the region.
        of: the region in the bins of the fit.
        weights: of the data in these, (bins).
    """
    mirrored = shifts.mirrored[:, np.newaxis]
    high, low = of.high[:, np.newaxis], of.low[:, np.newaxis]
    event = np.broadcast_to(weights, of.up.shape)
    _, _, bend = reflection(of, weights)
    by_up = -event * (2 - high) / high + bend
    by_nominal = event * (2 - high) - high * bend
    return (
        NoiseSide(of.up, of.up_variances, of.up_shared, event, -event * high),
        NoiseSide(
            np.where(mirrored, of.up, of.down),
            np.where(mirrored, of.up_variances, of.down_variances),
            np.where(mirrored[shifts.moved, :, np.newaxis], of.up_shared, of.down_shared),
            np.where(mirrored, by_up, event),
            np.where(mirrored, by_nominal, -event * low),
        ),
    )


def noise_parts(shifts: Shifts, of: Merged, side: NoiseSide) -> NoiseParts:
    """The variance by varied templates of a region on one side, and what it is made of."""
    share = _covariance_shares(shifts, of, side)
    follows = np.einsum("tnv,tv->tn", share, side.slope)
    common = side.nominal + follows
    alone = np.sum(side.variances * side.slope**2, axis=1) - np.sum(
        of.variances * follows**2, axis=1
    )
    variance = float(np.sum(of.variances * common**2) + np.maximum(alone, 0.0).sum()) / 2
    return NoiseParts(share, follows, common, alone, variance)


def _covariance_shares(shifts: Shifts, of: Merged, side: NoiseSide) -> Array:
    share = _shares(shifts.kind, of.nominal, side.values, of.variances, side.variances)
    filled = of.variances[shifts.moved][:, :, np.newaxis]
    share[shifts.moved] = np.divide(
        side.shared, filled, out=np.zeros_like(side.shared), where=filled > 0
    )
    return share


def _in_bins(shared: Array, shares: Array) -> Array:
    """Covariances of fine bins, (k, fine, fine), in others."""
    if not len(shared):
        return np.zeros((0, shares.shape[1], shares.shape[1]))
    result: Array = shares.T @ shared @ shares
    return result


def _shares(kind: np.ndarray, nominal: Array, varied: Array, ours: Array, theirs: Array) -> Array:
    """By how much bins of variations change with nominal ones, as ``template_noise.shares``.

    Returns:
        Nominal by varied bins of each shift, (t, bins, bins).
    """
    ratio = np.divide(varied, nominal, out=np.zeros_like(nominal), where=nominal != 0)
    largest = np.divide(theirs, ours, out=np.zeros_like(nominal), where=ours > 0)
    of_kind = kind[:, np.newaxis]
    diagonal = np.where((of_kind == "weight") | (of_kind == "subset"), ratio, 0.0)
    diagonal = np.where(of_kind == "object", np.minimum(largest, 1.0), diagonal)
    shares: Array = diagonal[:, :, np.newaxis] * np.eye(nominal.shape[1])
    return shares


def filled_edges(analysis: Analysis, histograms: Mapping[str, hist.Hist]) -> dict[str, Edges]:
    """Edges of the histograms of the regions of the fit, infinite where events are beyond them.

    Args:
        analysis: the declaration.
        histograms: of a run, by name.
    """
    result = {}
    for name, region in fitted_regions(analysis).items():
        below = above = False
        for process in analysis.processes:
            histogram = histograms.get(Template(name, process.name, NOMINAL).name)
            # Those of others may have no flow.
            if histogram is not None and histogram.axes[0].extent == len(region.edges) + 1:
                contents = histogram.values(flow=True)
                below, above = below or contents[0] != 0, above or contents[-1] != 0
        result[name] = (
            *((-np.inf,) if below else ()),
            *map(float, region.edges),
            *((np.inf,) if above else ()),
        )
    return result


def closed_form(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    settings: ModelSettings,
    subsets: Mapping[str, str],
    fine: Mapping[str, Edges] | None = None,
) -> ClosedForm:
    """The expected uncertainty of an analysis, for any bins of its histograms.

    Args:
        analysis: the declaration.
        histograms: of a run, by name.
        settings: of its model.
        subsets: datasets of which all events are in another one, which is named.
        fine: edges of bins that others are made of; None are those of the histograms.

    Raises:
        ModelError: if templates are missing, or are smoothed.
    """
    if not all(treatment.nothing for treatment in settings.treatments.values()):
        raise ModelError(
            "smoothed templates change with the bins",
            place="fit.model.treatments",
            remedy="optimise without them",
        )
    regions = fitted_regions(analysis)
    if fine is None:
        fine = {name: tuple(map(float, region.edges)) for name, region in regions.items()}
    selection = templates.select(
        analysis, histograms, settings.model_copy(update={"edges": dict(fine), "data": "asimov"})
    )
    samples = contents(analysis, selection, {}, subsets)
    free = [free.name for free in analysis.free]
    names = list(dict.fromkeys([*free, *(nuisance.name for nuisance in nuisances(analysis))]))
    titles = {region.title: name for name, region in regions.items()}
    processes = {process.title: process.name for process in analysis.processes}
    grouped: dict[str, list[SampleContents]] = {}
    for sample in samples:
        grouped.setdefault(titles[sample.channel], []).append(sample)
    return ClosedForm(
        {
            name: _region(analysis, name, of, processes, names, edges=np.array(fine[name]))
            for name, of in grouped.items()
        },
        tuple(names),
        np.isin(names, free),
    )


def _region(
    analysis: Analysis,
    region: str,
    samples: list[SampleContents],
    processes: Mapping[str, str],
    names: list[str],
    *,
    edges: Array,
) -> RegionTemplates:
    slopes = np.zeros((len(names), len(samples)))
    numbers = {processes[sample.sample]: number for number, sample in enumerate(samples)}
    for free in analysis.free:
        for process in free.processes:
            if process in numbers:
                slopes[names.index(free.name), numbers[process]] = 1.0
    for nuisance in nuisances(analysis):
        process = nuisance.process.name
        if nuisance.region.name == region and nuisance.systematic.up is None and process in numbers:
            down, up = nuisance.systematic.effect(process)
            (slope,) = factor_slopes(np.array([1 + up]), np.array([1 + down]))
            slopes[names.index(nuisance.name), numbers[process]] = slope
    rows = [(number, shift) for number, sample in enumerate(samples) for shift in sample.shifts]
    systematics = {nuisance.name: nuisance.systematic for nuisance in nuisances(analysis)}
    names_of = [systematics[shift.parameter].variations for _, shift in rows]
    downs = [shift.up if shift.down is None else shift.down for _, shift in rows]
    n = len(edges) - 1

    moved = [t for t, (_, shift) in enumerate(rows) if shift.up.shared is not None]

    def covariances(sides: list[Contents]) -> Array:
        return np.array([sides[t].shared for t in moved], dtype=np.float64).reshape(-1, n, n)

    def stacked(values: list[tuple[float, ...]]) -> Array:
        return np.array(values, dtype=np.float64).reshape(-1, n)

    return RegionTemplates(
        edges,
        stacked([sample.nominal.values for sample in samples]),
        stacked([sample.nominal.variances for sample in samples]),
        slopes,
        Shifts(
            np.array([names.index(shift.parameter) for _, shift in rows], dtype=np.int_),
            np.array([number for number, _ in rows], dtype=np.int_),
            np.array([shift.kind for _, shift in rows], dtype=np.str_),
            np.array([shift.down is None for _, shift in rows], dtype=np.bool_),
            stacked([shift.up.values for _, shift in rows]),
            stacked([down.values for down in downs]),
            stacked([shift.up.variances for _, shift in rows]),
            stacked([down.variances for down in downs]),
            np.array(moved, dtype=np.int_),
            covariances([shift.up for _, shift in rows]),
            covariances(downs),
        ),
        tuple(numbers),
        tuple(
            (processes[samples[number].sample], pair[0], None if shift.down is None else pair[1])
            for (number, shift), pair in zip(rows, names_of, strict=True)
        ),
    )
