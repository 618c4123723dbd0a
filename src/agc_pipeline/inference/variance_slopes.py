"""Derivatives of the expected variance in closed form by every number that it is made of.

They go through the steps of ``closed_form`` in reverse order (adjoints), so that all of them
together cost little more than the variance: the bins of a template can be filled from scores of
events, and a model that gives the scores can be trained on the uncertainty.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agc_pipeline.inference.closed_form import (
    Bins,
    ClosedForm,
    Merged,
    NoiseSide,
    RegionTemplates,
    Shifts,
    noise_parts,
    noise_sides,
    reflection,
)
from agc_pipeline.inference.interpolation import Array, factor_slopes, factor_slopes_by_ends


class TemplateSlopes(NamedTuple):
    """Derivatives by what a region has in the bins of the fit; shapes as in ``RegionTemplates``.

    Attributes:
        nominal: by contents of the samples, (samples, bins).
        variances: by statistical variances of these.
        up: by contents of the shifts, (t, bins).
        down: likewise; zero where they are mirrored.
        up_variances: by statistical variances.
        down_variances: likewise.
        up_shared: by covariances, (k, bins, bins).
        down_shared: likewise.
    """

    nominal: Array
    variances: Array
    up: Array
    down: Array
    up_variances: Array
    down_variances: Array
    up_shared: Array
    down_shared: Array


class Slopes(NamedTuple):
    """The expected variance and its derivatives.

    Attributes:
        fit: variance by the fit.
        noise: variance by the statistics of varied templates.
        regions: derivatives by the templates of each region.
    """

    fit: float
    noise: float
    regions: dict[str, TemplateSlopes]


@dataclass
class _Adjoint:
    """Derivatives by the intermediate results of a region, which are added up.

    Attributes:
        nominal, variances, up, down, up_variances, down_variances: as in ``Merged``, (t, bins).
        high, low: by the factors on the yields, (t).
        up_shared, down_shared: (k, bins, bins).
        weights: by the weights of the data, (bins).
    """

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
    weights: Array

    @classmethod
    def zero(cls, of: Merged) -> "_Adjoint":
        """Nothing yet."""
        names = [name for name in cls.__dataclass_fields__ if name != "weights"]
        arrays = {name: np.zeros_like(getattr(of, name)) for name in names}
        return cls(**arrays, weights=np.zeros_like(of.rates))


def variance_slopes(model: ClosedForm, bins: Bins, *, noise: bool = True) -> Slopes:
    """The expected variance with some bins, and its derivatives by the templates in these bins.

    Args:
        model: the closed form.
        bins: shares of its fine bins.
        noise: whether the variance by the statistics of varied templates is part of what is
            differentiated.

    Raises:
        numpy.linalg.LinAlgError: if the parameter of interest is not determined.
    """
    merged = {name: model.merged(name, shares) for name, shares in bins.items()}
    information, inverse, along = model.solved(merged)
    moved = {name: along @ of.slopes for name, of in merged.items()}
    # By the statistics of varied templates, directly and through the weights of the data.
    adjoints = {name: _Adjoint.zero(of) for name, of in merged.items()}
    noises = {}
    back = np.zeros_like(along)
    for name, of in merged.items():
        weights = moved[name] * inverse[name]
        noises[name] = _noise(model.regions[name], of, weights, adjoints[name] if noise else None)
        back += of.slopes @ (adjoints[name].weights * inverse[name])
    around = np.linalg.solve(information, back)
    regions = {}
    for name, of in merged.items():
        u, inv, by_weights = moved[name], inverse[name], adjoints[name].weights
        y = around @ of.slopes
        # Of the fit: -v dF v. Of the weights: u / (r + s), with u = v J and v = F^-1 e.
        by_total = (u**2 - by_weights * u + y * u) * inv**2
        by_slopes = np.outer(along, (by_weights - 2 * u - y) * inv) - np.outer(around, u * inv)
        regions[name] = _of_templates(
            model.regions[name],
            of,
            adjoints[name],
            by_slopes=by_slopes,
            by_total=by_total,
        )
    return Slopes(float(along[0]), float(sum(noises.values())), regions)


def _noise(region: RegionTemplates, of: Merged, weights: Array, into: _Adjoint | None) -> float:
    """The variance by varied templates of a region; adds its derivatives.

    Args:
        region: the templates.
        of: these in the bins of the fit.
        weights: of the data in these.
        into: what derivatives are added to; None is without.
    """
    shifts = region.shifts
    mirrored, known = shifts.mirrored[:, np.newaxis], shifts.moved
    high, low = of.high[:, np.newaxis], of.low[:, np.newaxis]
    noise = 0.0
    for second, side in enumerate(noise_sides(shifts, of, weights)):
        share, follows, common, alone, variance = noise_parts(shifts, of, side)
        noise += variance
        if into is None:
            continue
        counts = (alone > 0)[:, np.newaxis]
        by_nominal = of.variances * common
        by_follows = by_nominal - counts * of.variances * follows
        by_slope = counts * side.variances * side.slope
        by_slope = by_slope + np.einsum("tnv,tn->tv", share, by_follows)
        into.variances += common**2 / 2 - counts * follows**2 / 2
        by_share = by_follows[:, :, np.newaxis] * side.slope[:, np.newaxis, :]
        by_values, by_variances, by_shared = _of_shares(
            shifts, of, side, share=share, by_share=by_share, into=into
        )
        by_variances = by_variances + counts * side.slope**2 / 2
        # On the second side, what is mirrored is made of what is up.
        of_up = mirrored if second else np.ones_like(mirrored)
        into.up += np.where(of_up, by_values, 0.0)
        into.down += np.where(of_up, 0.0, by_values)
        into.up_variances += np.where(of_up, by_variances, 0.0)
        into.down_variances += np.where(of_up, 0.0, by_variances)
        into.up_shared += np.where(of_up[known, :, np.newaxis], by_shared, 0.0)
        into.down_shared += np.where(of_up[known, :, np.newaxis], 0.0, by_shared)
        if second:
            alike = np.where(mirrored, 0.0, by_slope - low * by_nominal)
            into.weights += np.sum(alike, axis=0)
            into.low -= np.sum(np.where(mirrored, 0.0, weights * by_nominal), axis=1)
            slope, nominal = (np.where(mirrored, each, 0.0) for each in (by_slope, by_nominal))
            _of_reflection(of, weights, slope, nominal, into)
        else:
            into.weights += np.sum(by_slope - high * by_nominal, axis=0)
            into.high -= np.sum(weights * by_nominal, axis=1)
    return noise


def _of_reflection(
    of: Merged, weights: Array, by_slope: Array, by_nominal: Array, into: _Adjoint
) -> None:
    """Through what mirrored templates do at minus one standard deviation.

    Args:
        of: the region in the bins of the fit.
        weights: of the data in these.
        by_slope: derivatives by the slopes by varied contents, (t, bins); zero for all others.
        by_nominal: likewise, by nominal ones.
        into: what derivatives are added to.
    """
    high = of.high[:, np.newaxis]
    total = of.nominal.sum(axis=1, keepdims=True)
    reflected, varied, bend = reflection(of, weights)
    by_bend = np.sum(by_slope - high * by_nominal, axis=1, keepdims=True)
    by_bend = by_bend / np.where(total > 0, total, 1.0)
    by_weights = (2 - high) * (by_nominal - by_slope / high)
    by_weights += by_bend * (of.up * (2 - high) / high**2 - reflected)
    into.weights += np.sum(by_weights, axis=0)
    into.up += by_bend * weights * ((2 - high) / high**2 + 1 / high)
    into.nominal -= by_bend * (2 * weights + bend)
    into.high += np.sum(2 * weights * by_slope / high**2 - (weights + bend) * by_nominal, axis=1)
    into.high -= (4 * by_bend * varied / high**3)[:, 0]


def _of_shares(
    shifts: Shifts, of: Merged, side: NoiseSide, *, share: Array, by_share: Array, into: _Adjoint
) -> tuple[Array, Array, Array]:
    """Through the shares: derivatives by contents, by their variances, and by known covariances."""
    known, kind = shifts.moved, shifts.kind[:, np.newaxis]
    diagonal = np.einsum("tnn->tn", by_share).copy()
    diagonal[known] = 0.0
    filled = (of.nominal != 0) & ((kind == "weight") | (kind == "subset"))
    nominal = np.where(filled, of.nominal, 1.0)
    by_values = np.where(filled, diagonal / nominal, 0.0)
    into.nominal -= by_values * side.values / nominal
    # What moves from bin to bin, where it is not known which events these are.
    statistics = (kind == "object") & (of.variances > 0) & (side.variances < of.variances)
    variances = np.where(statistics, of.variances, 1.0)
    by_variances = np.where(statistics, diagonal / variances, 0.0)
    into.variances -= by_variances * side.variances / variances
    ours = of.variances[known][:, :, np.newaxis]
    there = ours > 0
    by_shared = np.where(there, by_share[known] / np.where(there, ours, 1.0), 0.0)
    into.variances[known] -= np.sum(by_shared * share[known], axis=2)
    return by_values, by_variances, by_shared


def _of_templates(
    region: RegionTemplates,
    of: Merged,
    into: _Adjoint,
    *,
    by_slopes: Array,
    by_total: Array,
) -> TemplateSlopes:
    """Through factors and shapes to the templates, in the bins of the fit."""
    shifts, nominal, usable = region.shifts, of.nominal, of.usable
    total = nominal.sum(axis=1)
    mirrored = shifts.mirrored[:, np.newaxis]
    high, low = of.high[:, np.newaxis], of.low[:, np.newaxis]
    by_change = by_slopes[shifts.parameter]
    by_high, by_low = factor_slopes_by_ends(of.high, of.low)
    by_factor = np.sum(by_change * nominal, axis=1)
    into.high += by_factor * by_high
    into.low += by_factor * by_low
    into.nominal += factor_slopes(of.high, of.low)[:, np.newaxis] * by_change
    rise = np.where(mirrored, by_change, by_change / 2)
    fall = np.where(mirrored, 0.0, -by_change / 2)
    into.up += rise / high
    into.high -= np.sum(rise * of.up / high**2, axis=1)
    into.down += fall / low
    into.low -= np.sum(fall * of.down / low**2, axis=1)
    into.nominal -= rise + fall
    # The factors are ratios of yields; of a mirrored template there is one.
    by_high = into.high - np.where(shifts.mirrored, into.low, 0.0)
    by_low = np.where(shifts.mirrored, 0.0, into.low)
    by_high, by_low = (np.where(usable, each, 0.0) for each in (by_high, by_low))
    number = np.where(total > 0, total, 1.0)
    use = usable[:, np.newaxis]
    by_nominal = into.nominal + np.where(use, 0.0, into.up + into.down)
    by_nominal -= ((by_high * of.high + by_low * of.low) / number)[:, np.newaxis]
    by_samples = by_total + region.slopes.T @ by_slopes
    by_variances = np.broadcast_to(by_total, by_samples.shape).copy()
    np.add.at(by_samples, shifts.sample, by_nominal)
    np.add.at(by_variances, shifts.sample, into.variances)
    return TemplateSlopes(
        nominal=by_samples,
        variances=by_variances,
        up=np.where(use, into.up, 0.0) + (by_high / number)[:, np.newaxis],
        down=np.where(use & ~mirrored, into.down, 0.0) + (by_low / number)[:, np.newaxis],
        up_variances=into.up_variances,
        down_variances=into.down_variances,
        up_shared=into.up_shared,
        down_shared=into.down_shared,
    )
