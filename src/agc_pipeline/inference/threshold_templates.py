"""The closed form as a function of thresholds.

All that it is made of are sums over events: templates, their variances, and covariances of bins.
For a soft cut, each event counts with a sigmoid of its distance to the threshold. Of sums at some
values, that is their average with weights that follow from the same sigmoid: soft is hard, blurred
in the threshold, also for cuts on objects that move events between regions and bins.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import hist
import numpy as np
import scipy.special

from agc_pipeline.columnar.thresholds import Scans
from agc_pipeline.declaration import Analysis, Template
from agc_pipeline.declaration.thresholds import Trial
from agc_pipeline.inference.closed_form import ClosedForm, RegionTemplates
from agc_pipeline.inference.edges import beyond
from agc_pipeline.inference.interpolation import Array

# Weight of a value that is not looked at.
_NEGLIGIBLE = 1e-9
# Share of all combinations that are picked out.
_FEW = 0.3
# What depends on thresholds in shifts, and what stands for it where it is the same.
_LIKE = {
    "up": "up",
    "down": "down",
    "up_variances": "up_variances",
    "down_variances": "down_variances",
    "up_shared": "up_shared",
    "down_shared": "up_shared",
}


class Row(NamedTuple):
    """A template for all combinations of values.

    Attributes:
        contents: (combinations, bins), with flow.
        variances: likewise.
    """

    contents: Array
    variances: Array


class Scanned:
    """Templates of a run for all combinations of thresholds.

    Args:
        analysis: the declaration.
        trials: thresholds with their values, in the order of the axes of the scans.
        scans: of each dataset.
        weights: of the datasets' events.
    """

    def __init__(
        self,
        analysis: Analysis,
        trials: Sequence[Trial],
        scans: Mapping[str, Scans],
        weights: Mapping[str, float],
    ) -> None:
        self.trials = tuple(trials)
        self._analysis, self._scans, self._weights = analysis, scans, weights
        self.sizes = tuple(len(trial.values) for trial in trials)

    def row(self, template: Template) -> Row | None:
        """A template; None if a dataset of it is not there."""
        parts = []
        for dataset, variation in self._analysis.sources(template):
            scan = self._scans.get(dataset.name, {}).get((template.process, template.region))
            if scan is None or variation not in scan.variations:
                return None
            weight, at = self._weights[dataset.name], scan.variations.index(variation)
            parts.append(
                (scan.contents[..., at, :] * weight, scan.variances[..., at, :] * weight**2)
            )
        if not parts:
            return None
        return Row(*(np.sum([part[kind] for part in parts], axis=0) for kind in (0, 1)))

    def migrations(self, template: Template) -> Array | None:
        """What has moved from which bin to which; None for variations that move nothing."""
        total: Any = None
        moves = False
        for dataset, variation in self._analysis.sources(template):
            scan = self._scans[dataset.name][template.process, template.region]
            weight = self._weights[dataset.name]
            if variation in scan.moving:
                moves = True
                part = scan.migrations[..., scan.moving.index(variation), :, :] * weight**2
            else:
                at = scan.variations.index(variation)
                part = _diagonal(scan.variances[..., at, :] * weight**2)
            total = part if total is None else total + part
        return total if moves else None

    def histograms(self, place: Sequence[int]) -> dict[str, hist.Hist]:
        """The histograms of a run with some values, without data.

        Args:
            place: number of the value of each threshold.
        """
        at = tuple(place)
        edges = {region.name: region.edges for region in self._analysis.regions}
        result = {}
        for template in self._analysis.templates():
            row = self.row(template)
            if row is None:
                continue
            axis = hist.axis.Variable(edges[template.region], name="observable")
            histogram = hist.Hist(axis, storage=hist.storage.Weight())
            view = histogram.view(flow=True)
            view["value"], view["variance"] = row.contents[at], row.variances[at]
            result[template.name] = histogram
            moved = self.migrations(template)
            if moved is not None:
                axes = [hist.axis.Variable(edges[template.region], name=n) for n in ("x", "y")]
                matrix = hist.Hist(*axes, storage=hist.storage.Double())
                matrix.view(flow=True)[...] = moved[at]
                result[template.migration] = matrix
        return result


def _diagonal(values: Array) -> Array:
    result: Array = values[..., np.newaxis] * np.eye(values.shape[-1])
    return result


class _Part(NamedTuple):
    """Where an array of a region stands among the numbers of a combination."""

    region: str
    name: str
    numbers: slice
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ThresholdTemplates:
    """The expected uncertainty of an analysis as a function of its bins and thresholds.

    Attributes:
        model: with the values of the run, whose structure all others have.
        sizes: number of values of each threshold; none without thresholds.
        numbers: all that depends on them, (combinations, numbers).
        parts: what these are.
    """

    model: ClosedForm
    sizes: tuple[int, ...]
    numbers: Array
    parts: tuple[_Part, ...]

    def at(self, place: Sequence[int]) -> ClosedForm:
        """With hard cuts.

        Args:
            place: number of the value of each threshold.
        """
        if not self.sizes:
            return self.model
        return self.of(self.numbers[np.ravel_multi_index(tuple(place), self.sizes)])

    def soft(self, places: Iterable[float], width: float) -> tuple[Array, Array]:
        """The numbers with sigmoids, and their derivatives by the thresholds.

        Args:
            places: of the thresholds, in steps from value to value.
            width: of the sigmoids, likewise.

        Returns:
            (numbers) and (thresholds, numbers).
        """
        pairs = [
            averages(place, size, width) for place, size in zip(places, self.sizes, strict=True)
        ]
        weights = [_outer([pair[0] for pair in pairs])]
        for axis in range(len(pairs)):
            weights.append(_outer([pair[int(n == axis)] for n, pair in enumerate(pairs)]))
        combined = np.stack(weights)
        near = np.flatnonzero(np.any(np.abs(combined) > _NEGLIGIBLE, axis=0))
        # Without a copy of most of them.
        some = len(near) < _FEW * combined.shape[1]
        sums: Array = combined[:, near] @ self.numbers[near] if some else combined @ self.numbers
        return sums[0], sums[1:]

    def of(self, numbers: Array) -> ClosedForm:
        """The model of a combination, or of an average of some."""
        if not self.sizes:
            return self.model
        arrays: dict[str, dict[str, Array]] = {}
        for part in self.parts:
            arrays.setdefault(part.region, {})[part.name] = numbers[part.numbers].reshape(
                part.shape
            )
        regions = {}
        for name, of in self.model.regions.items():
            own = arrays[name]
            shifts = of.shifts._replace(**{key: own.get(key, own[_LIKE[key]]) for key in _LIKE})
            regions[name] = replace(
                of, nominal=own["nominal"], variances=own["variances"], shifts=shifts
            )
        return replace(self.model, regions=regions)


def _outer(weights: Sequence[Array]) -> Array:
    """Products of the weights of all combinations."""
    product = np.ones(1)
    for each in weights:
        product = np.multiply.outer(product, each).ravel()
    return product


def averages(place: float, size: int, width: float) -> tuple[Array, Array]:
    """Weights of the values of a threshold in a soft cut, and their derivatives by its place.

    Each event passes with a sigmoid around the threshold; between values, yields are linear.

    Args:
        place: of the threshold, in steps from value to value.
        size: number of values.
        width: of the sigmoid in steps.

    Returns:
        Weights, whose sum is 1, and derivatives, (size).
    """
    at = (np.arange(size) - place) / width
    passed = np.concatenate([[0.0], np.diff(width * np.logaddexp(0.0, at)), [1.0]])
    moved = np.concatenate([[0.0], -np.diff(scipy.special.expit(at)), [0.0]])
    return np.diff(passed), np.diff(moved)


def without_thresholds(model: ClosedForm) -> ThresholdTemplates:
    """Where only bins are looked for."""
    return ThresholdTemplates(model, (), np.zeros((1, 0)), ())


def threshold_templates(model: ClosedForm, scanned: Scanned) -> ThresholdTemplates:
    """The closed form for all combinations.

    Args:
        model: with the values of the run.
        scanned: templates.
    """
    n = math.prod(scanned.sizes)
    parts, blocks, first = [], [], 0
    for region, of in model.regions.items():
        for name, values in _arrays(region, of, scanned).items():
            shape = values.shape[len(scanned.sizes) :]
            size = math.prod(shape)
            parts.append(_Part(region, name, slice(first, first + size), shape))
            blocks.append(values.reshape(n, size))
            first += size
    return ThresholdTemplates(model, scanned.sizes, np.concatenate(blocks, axis=1), tuple(parts))


def _arrays(region: str, of: RegionTemplates, scanned: Scanned) -> dict[str, Array]:
    def row(process: str, variation: str) -> Row:
        found = scanned.row(Template(region, process, variation))
        if found is None:
            raise KeyError(f"{region} {process} {variation}")
        return found

    below, above = beyond(of.edges.tolist())
    fine = slice(0 if below else 1, None if above else -1)

    def stacked(rows: Sequence[Array], like: Array) -> Array:
        if not rows:
            return np.zeros((*scanned.sizes, *like.shape))
        return np.stack([values[..., fine] for values in rows], axis=len(scanned.sizes))

    shifts = of.shifts
    nominal = [row(process, "nominal") for process in of.processes]
    ups = [row(process, up) for process, up, _ in of.variations]
    downs = [row(process, down or up) for process, up, down in of.variations]
    shared: dict[str, list[Array]] = {"up_shared": [], "down_shared": []}
    for number in shifts.moved.tolist():
        process, up, down = of.variations[number]
        for key, variation in (("up_shared", up), ("down_shared", down or up)):
            moved = scanned.migrations(Template(region, process, variation))
            if moved is None:
                raise KeyError(f"{region} {process} {variation}")
            shared[key].append(moved[..., fine, :])
    arrays = {
        "nominal": stacked([each.contents for each in nominal], of.nominal),
        "variances": stacked([each.variances for each in nominal], of.variances),
        "up": stacked([each.contents for each in ups], shifts.up),
        "down": stacked([each.contents for each in downs], shifts.down),
        "up_variances": stacked([each.variances for each in ups], shifts.up_variances),
        "down_variances": stacked([each.variances for each in downs], shifts.down_variances),
        **{key: stacked(rows, getattr(shifts, key)) for key, rows in shared.items()},
    }
    # They are large, and of what is mirrored the same.
    if shifts.mirrored[shifts.moved].all():
        del arrays["down_shared"]
    return arrays
