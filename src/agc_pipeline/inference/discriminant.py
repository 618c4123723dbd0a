"""Discriminants that are trained on the expected uncertainty, or by cross entropy.

Every row of features is in a bin of its score, which a sigmoid around each edge makes soft, with
its weights in all templates that it is part of: nominal, varied, their variances, and the
covariances of bins between which a variation moves events. The derivative of the expected variance
by a score follows from those by the templates (``variance_slopes``), and trees are boosted downhill
(``learning.boosting``). What events of one half (even numbers or odd ones) teach, those of the
other half judge, with hard bins: they decide after which tree to stop, and are scored by that
model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import scipy.special

from agc_pipeline.columnar.features import RegionRows, Rows
from agc_pipeline.columnar.filling import bins_of
from agc_pipeline.columnar.thresholds import Scan, Scans
from agc_pipeline.declaration import Analysis, Template
from agc_pipeline.declaration.features import EDGES, columns_of_model
from agc_pipeline.errors import InputError
from agc_pipeline.inference.closed_form import Bins, ClosedForm, RegionTemplates
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.optimisation_record import Edges
from agc_pipeline.inference.settings import DiscriminantSettings
from agc_pipeline.inference.variance_slopes import TemplateSlopes, variance_slopes
from agc_pipeline.learning import boosting, forest
from agc_pipeline.learning.boosting import Boosted, Budget, Loss, Matrices, Step
from agc_pipeline.learning.discriminant import Discriminant, with_region
from agc_pipeline.learning.models import PARITIES, Parity

# Loss where the parameter of interest is not determined.
_IMPOSSIBLE = 1e6


class Pairs(NamedTuple):
    """Events in a region without and with a variation: what moves from bin to bin.

    Attributes:
        unvaried: places among the rows of the region.
        varied: likewise.
        products: of both weights.
    """

    unvaried: Any
    varied: Any
    products: Array


@dataclass(frozen=True)
class RegionSample:
    """All rows of a region, with their weights in its templates.

    Attributes:
        columns: features, ``rows * features``.
        numbers: of the events.
        weights: sparse, in the templates: those of the samples, of the shifts up, and of them down,
            (samples + 2 t, rows).
        up: events that are in both, for each of the shifts that move some, (k).
        down: likewise.
        events: weight of each row where it is an event of its own; 0 for others.
    """

    columns: Array
    numbers: Any
    weights: Any
    up: tuple[Pairs, ...]
    down: tuple[Pairs, ...]
    events: Array

    def select(self, mask: Array, scale: float) -> "RegionSample":
        """Some of the rows, all of an event or none, in the place of all.

        Args:
            mask: of the rows.
            scale: factor on sums of weights and of their squares.
        """
        places = np.cumsum(mask) - 1

        def part(pairs: Pairs) -> Pairs:
            inside = mask[pairs.unvaried]
            return Pairs(
                places[pairs.unvaried[inside]],
                places[pairs.varied[inside]],
                scale * pairs.products[inside],
            )

        return RegionSample(
            self.columns[mask],
            self.numbers[mask],
            scipy.sparse.csr_array(self.weights[:, np.flatnonzero(mask)] * scale),
            tuple(map(part, self.up)),
            tuple(map(part, self.down)),
            self.events[mask] * scale,
        )


@dataclass(frozen=True)
class Sample:
    """The rows of all regions of the fit, and the model whose templates they make.

    Attributes:
        model: closed form, with whatever bins.
        regions: rows by name, in the order of their numbers.
        scale: by which sums of squared weights are smaller than those of the rows.
    """

    model: ClosedForm
    regions: Mapping[str, RegionSample]
    scale: float = 1.0

    @property
    def columns(self) -> Array:
        """Features of all rows, with the number of the region."""
        parts = [
            with_region(of.columns, number, len(self.regions))
            for number, of in enumerate(self.regions.values())
        ]
        return np.concatenate(parts)

    @property
    def events(self) -> Array:
        """Weight of each row where it is an event of its own; 0 for others."""
        return np.concatenate([of.events for of in self.regions.values()])

    def half(self, parity: Parity) -> "Sample":
        """The events with even or with odd numbers, in the place of all.

        Raises:
            InputError: if there are none.
        """
        masks = {
            name: of.numbers % 2 == PARITIES.index(parity) for name, of in self.regions.items()
        }
        n_rows = sum(int(mask.sum()) for mask in masks.values())
        if n_rows == 0:
            raise InputError(
                f"no events with {parity} numbers in the regions of the fit",
                place="optimise.methods",
                remedy="use more events, or leave out discriminants",
            )
        scale = sum(map(len, masks.values())) / n_rows
        return Sample(
            self.model,
            {name: of.select(masks[name], scale) for name, of in self.regions.items()},
            self.scale * scale,
        )

    def signal(self, processes: Sequence[str]) -> tuple[Array, Array]:
        """Labels of the rows, 1 for some processes, and their nominal weights.

        Both classes have the same sum of weights, and the mean weight of the rows that have one
        is 1.

        Args:
            processes: names.
        """
        labels, weights = [], []
        for name, of in self.regions.items():
            names = self.model.regions[name].processes
            nominal = of.weights[: len(names)].toarray()
            mask = np.isin(names, processes)
            weights.append(nominal.sum(axis=0))
            labels.append(np.any(nominal[mask] != 0, axis=0))
        label, weight = np.concatenate(labels), np.concatenate(weights)
        for kind in (label, ~label):
            total = weight[kind].sum()
            if total > 0:
                weight[kind] *= np.count_nonzero(weight) / 2 / total
        return label.astype(np.float64), weight

    def by_region(self, values: Array) -> dict[str, Array]:
        """Values of all rows, by region."""
        ends = np.cumsum([len(of.numbers) for of in self.regions.values()])[:-1]
        return dict(zip(self.regions, np.split(values, ends), strict=True))

    def binned(self, shares: Bins) -> ClosedForm:
        """The model with bins that rows have shares in.

        Args:
            shares: of the rows, by region, (rows, bins).
        """
        regions = {}
        for name, of in self.regions.items():
            part, template = shares[name], self.model.regions[name]
            contents = of.weights @ part
            # Of rows that stand for more of their kind, weights are those of all of them.
            variances = (of.weights.power(2) @ part) / self.scale
            n_samples, n_shifts = len(template.nominal), len(template.shifts.kind)
            up, down = slice(n_samples, n_samples + n_shifts), slice(n_samples + n_shifts, None)
            ups = [_moved(pairs, part) for pairs in of.up]
            # What is mirrored has no template down, and stands for itself.
            mirrored = template.shifts.mirrored[template.shifts.moved]
            downs = [
                same if alike else _moved(pairs, part)
                for same, pairs, alike in zip(ups, of.down, mirrored, strict=True)
            ]
            shape = (-1, part.shape[1], part.shape[1])
            regions[name] = replace(
                template,
                edges=np.arange(part.shape[1] + 1.0),
                nominal=contents[:n_samples],
                variances=variances[:n_samples],
                shifts=template.shifts._replace(
                    up=contents[up],
                    down=contents[down],
                    up_variances=variances[up],
                    down_variances=variances[down],
                    up_shared=np.array(ups).reshape(shape),
                    down_shared=np.array(downs).reshape(shape),
                ),
            )
        return replace(self.model, regions=regions)

    def slopes(self, shares: Bins, by_templates: Mapping[str, TemplateSlopes]) -> dict[str, Array]:
        """Derivatives by the shares of the rows, (rows, bins), from those by the templates."""
        result = {}
        for name, of in self.regions.items():
            part, slopes = shares[name], by_templates[name]
            contents = np.concatenate([slopes.nominal, slopes.up, slopes.down])
            variances = np.concatenate(
                [slopes.variances, slopes.up_variances, slopes.down_variances]
            )
            total = of.weights.T @ contents + of.weights.power(2).T @ (variances / self.scale)
            for sides, matrices in ((of.up, slopes.up_shared), (of.down, slopes.down_shared)):
                for pairs, matrix in zip(sides, matrices, strict=True):
                    if not matrix.any():
                        continue
                    products = pairs.products[:, np.newaxis]
                    np.add.at(total, pairs.unvaried, products * (part[pairs.varied] @ matrix.T))
                    np.add.at(total, pairs.varied, products * (part[pairs.unvaried] @ matrix))
            result[name] = total
        return result


def _moved(pairs: Pairs, shares: Array) -> Array:
    """Covariances of bins, (unvaried, varied)."""
    weighted = shares[pairs.unvaried] * pairs.products[:, np.newaxis]
    # The sums of a product of matrices have another order with another number of threads.
    matrix: Array = np.einsum("ru,rv->uv", weighted, shares[pairs.varied])
    return matrix


def sample(
    analysis: Analysis,
    model: ClosedForm,
    rows: Mapping[str, Rows],
    weights: Mapping[str, float],
) -> Sample:
    """The rows of all datasets.

    Args:
        analysis: the declaration, with the regions of the fit.
        model: closed form with whatever bins.
        rows: of each dataset.
        weights: of the datasets' events.
    """
    return Sample(
        model,
        {
            name: _region_sample(analysis, name, of, rows, weights)
            for name, of in model.regions.items()
        },
    )


class _Places:
    """Where the rows of datasets stand among those of a region.

    Args:
        region: its name.
        rows: of each dataset.
    """

    def __init__(self, region: str, rows: Mapping[str, Rows]) -> None:
        self.parts: dict[tuple[str, str], RegionRows] = {}
        self.first: dict[tuple[str, str], int] = {}
        self.size = 0
        for dataset, of in rows.items():
            for (process, where), part in of.parts.items():
                if where == region:
                    self.parts[dataset, process] = part
                    self.first[dataset, process] = self.size
                    self.size += len(part.numbers)

    def joined(self, name: str) -> Array:
        """A column of all rows."""
        columns: Array = np.concatenate([getattr(part, name) for part in self.parts.values()])
        return columns

    def of(self, rows: Rows, key: tuple[str, str], variation: str) -> tuple[Any, Array]:
        """Places of the rows of a template, and their weights."""
        part = self.parts[key]
        shift, column = 0, 0
        if variation in rows.shifts:
            shift = rows.shifts.index(variation)
        else:
            column = 1 + rows.weights.index(variation)
        inside = np.flatnonzero(part.shifts == shift)
        return self.first[key] + inside, part.weights[inside, column]

    def pairs(self, rows: Rows, key: tuple[str, str], variation: str, weight: float) -> Pairs:
        """Events without and with a variation; the same where it moves nothing."""
        places, weights = self.of(rows, key, variation)
        if variation not in rows.shifts[1:]:
            return Pairs(places, places, (weight * weights) ** 2)
        partners = self.parts[key].partners[places - self.first[key]]
        both = partners >= 0
        unvaried = self.parts[key].weights[partners[both], 0]
        return Pairs(
            self.first[key] + partners[both],
            places[both],
            weight**2 * unvaried * weights[both],
        )


def _region_sample(
    analysis: Analysis,
    region: str,
    of: RegionTemplates,
    rows: Mapping[str, Rows],
    weights: Mapping[str, float],
) -> RegionSample:
    places = _Places(region, rows)

    def sources(process: str, variation: str) -> Iterator[tuple[str, str]]:
        for dataset, name in analysis.sources(Template(region, process, variation)):
            if dataset.name in rows:
                yield dataset.name, name

    ups = [(process, up) for process, up, _ in of.variations]
    downs = [(process, down or up) for process, up, down in of.variations]
    templates = [*((process, "nominal") for process in of.processes), *ups, *downs]
    at, columns, values = [], [], []
    for number, (process, variation) in enumerate(templates):
        for dataset, name in sources(process, variation):
            inside, weight = places.of(rows[dataset], (dataset, process), name)
            at.append(np.full(len(inside), number))
            columns.append(inside)
            values.append(weight * weights[dataset])

    def moving(process: str, variation: str) -> Pairs:
        parts = [
            places.pairs(rows[dataset], (dataset, process), name, weights[dataset])
            for dataset, name in sources(process, variation)
        ]
        return Pairs(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    moved = of.shifts.moved.tolist()
    matrix = scipy.sparse.csr_array(
        (np.concatenate(values), (np.concatenate(at), np.concatenate(columns))),
        shape=(len(templates), places.size),
    )
    own = np.concatenate(
        [
            np.where(part.shifts == 0, np.abs(part.weights[:, 0]) * weights[dataset], 0.0)
            for (dataset, _), part in places.parts.items()
        ]
    )
    return RegionSample(
        places.joined("features"),
        places.joined("numbers"),
        matrix,
        tuple(moving(*ups[number]) for number in moved),
        tuple(moving(*downs[number]) for number in moved),
        own,
    )


def shares(scores: Array, edges: Sequence[float], width: float) -> tuple[Array, Array]:
    """Shares of rows in soft bins, and their derivatives by the scores, (rows, bins).

    Args:
        scores: of the rows.
        edges: of the bins; what is beyond the first and the last is in the bins there.
        width: of the sigmoids around the edges; zero is a step, without derivatives.
    """
    inner = np.array(edges[1:-1])
    ones, zeros = np.ones((len(scores), 1)), np.zeros((len(scores), 1))
    if width == 0:
        above = (scores[:, np.newaxis] >= inner).astype(np.float64)
        slopes = np.zeros_like(above)
    else:
        above = scipy.special.expit((scores[:, np.newaxis] - inner) / width)
        slopes = above * (1 - above) / width
    above, slopes = np.hstack([ones, above, zeros]), np.hstack([zeros, slopes, zeros])
    return above[:, :-1] - above[:, 1:], slopes[:, :-1] - slopes[:, 1:]


def uncertainty_loss(
    training: Sample,
    others: Sample,
    edges: Mapping[str, Sequence[float]],
    width: float,
    *,
    noise: bool,
) -> Loss:
    """The expected variance, of soft bins for training and of hard ones for the other rows.

    Args:
        training: rows.
        others: that decide when to stop.
        edges: of the bins of the scores, by region.
        width: of the sigmoids around them.
        noise: whether the statistics of varied templates are in it.
    """
    weights = training.events
    filled = weights > 0
    weights = weights / weights[filled].mean() if filled.any() else weights

    def step(scores: Array) -> Step:
        probability = scipy.special.expit(scores)
        parts, slopes = {}, {}
        for name, values in training.by_region(probability).items():
            parts[name], slopes[name] = shares(values, edges[name], width)
        model = training.binned(parts)
        try:
            result = variance_slopes(model, _identity(model), noise=noise)
        except np.linalg.LinAlgError:
            return Step(_IMPOSSIBLE, np.zeros(len(scores)), weights)
        by_shares = training.slopes(parts, result.regions)
        by_score = np.concatenate([np.sum(by_shares[n] * slopes[n], axis=1) for n in parts])
        loss = result.fit + (result.noise if noise else 0.0)
        return Step(loss, by_score * probability * (1 - probability), weights)

    def judge(scores: Array) -> float:
        return expected_variance(others, scipy.special.expit(scores), edges, noise=noise)

    return Loss(step, judge)


def _identity(model: ClosedForm) -> Bins:
    return {name: np.eye(len(of.edges) - 1) for name, of in model.regions.items()}


def expected_variance(
    of: Sample, scores: Array, edges: Mapping[str, Sequence[float]], *, noise: bool = True
) -> float:
    """The expected variance with hard bins.

    Args:
        of: rows.
        scores: of these.
        edges: of the bins of the scores, by region.
        noise: whether the statistics of varied templates are in it.
    """
    parts = {
        name: shares(values, edges[name], 0.0)[0] for name, values in of.by_region(scores).items()
    }
    model = of.binned(parts)
    estimate = model.estimate(_identity(model))
    loss = estimate.variance if noise else estimate.fit
    return loss if np.isfinite(loss) and loss > 0 else _IMPOSSIBLE


@dataclass(frozen=True)
class Trained:
    """A pair of models.

    Attributes:
        models: by the parity of the events that they were trained on.
        n_events: rows of the dataset's own variation that they were trained on, likewise.
    """

    models: Mapping[Parity, Boosted]
    n_events: Mapping[Parity, int]

    def discriminant(self, regions: Sequence[str], features: Sequence[str]) -> Discriminant:
        """What scores events with them.

        Args:
            regions: names.
            features: names.
        """
        forests = {
            parity: forest.parse(model.content(parity), place=f"the {parity} model")
            for parity, model in self.models.items()
        }
        return Discriminant(tuple(regions), tuple(features), forests)


class Training:
    """Trains pairs of models on the same rows.

    Args:
        whole: all rows.
        features: names of their columns.
        signal: names of the processes that cross entropy tells from all others.
        settings: of the configuration.
        seed: of everything that is random.
        noise: whether the statistics of varied templates are in the loss.
    """

    def __init__(
        self,
        whole: Sample,
        features: Sequence[str],
        signal: Sequence[str],
        settings: DiscriminantSettings,
        *,
        seed: int,
        noise: bool,
    ) -> None:
        self.regions = tuple(whole.regions)
        self._halves = {parity: whole.half(parity) for parity in PARITIES}
        self._signal, self._settings, self._seed, self._noise = signal, settings, seed, noise
        names = columns_of_model(features, self.regions)
        columns = {parity: half.columns for parity, half in self._halves.items()}
        self._matrices = {
            parity: Matrices(columns[parity], columns[_other(parity)], names) for parity in PARITIES
        }

    def by_cross_entropy(self) -> Trained:
        """The pair that tells signal from background."""
        return self._trained(
            {parity: self._entropy(parity, self._settings.trees) for parity in PARITIES}
        )

    def by_uncertainty(self, start: Trained, edges: Edges) -> Trained:
        """The pair with the smallest expected variance, with as many trees at most.

        Args:
            start: that cross entropy gave, whose first trees come first, half of all at most.
            edges: of the bins of the scores, by region.
        """
        result = {}
        for parity in PARITIES:
            first = start.models[parity].booster
            first = first[: min(first.num_boosted_rounds(), max(self._settings.trees // 2, 1))]
            budget = self._budget(self._settings.trees - first.num_boosted_rounds())
            losses = [
                uncertainty_loss(
                    self._halves[parity],
                    self._halves[_other(parity)],
                    edges,
                    width,
                    noise=self._noise,
                )
                for width in self._settings.widths
            ]
            result[parity] = boosting.boost(self._matrices[parity], first, losses, budget)
        return self._trained(result)

    def _entropy(self, parity: Parity, trees: int) -> Boosted:
        labels, weights = self._halves[parity].signal(self._signal)
        others = self._halves[_other(parity)].signal(self._signal)
        loss = boosting.cross_entropy(labels, weights, *others)
        matrices, budget = self._matrices[parity], self._budget(trees)
        return boosting.boost(matrices, matrices.booster(budget), [loss], budget)

    def _budget(self, trees: int) -> Budget:
        settings = self._settings
        return Budget(
            trees=trees,
            depth=settings.depth,
            step=settings.step,
            leaf=settings.leaf,
            patience=settings.patience,
            seed=self._seed,
        )

    def _trained(self, models: Mapping[Parity, Boosted]) -> Trained:
        n_events = {
            parity: int(np.count_nonzero(half.events)) for parity, half in self._halves.items()
        }
        return Trained(models, n_events)


def _other(parity: Parity) -> Parity:
    return PARITIES[1 - PARITIES.index(parity)]


def scans(rows: Rows, discriminant: Discriminant | None) -> Scans:
    """The histograms of a dataset's scores, in the bins that a run has.

    Args:
        rows: of the dataset.
        discriminant: that scores them; None gives all the same.
    """
    result = {}
    # With flow, where no score is.
    n_bins = len(EDGES) + 1
    edges = np.array(EDGES)
    own, *moving = rows.shifts
    for (process, region), part in rows.parts.items():
        scores = np.full(len(part.numbers), 0.5)
        if discriminant is not None:
            scores = discriminant.scores(region, part.features, part.numbers)
        bins = bins_of(edges, scores)
        contents, variances = [], []
        for number, column in (
            *((shift, 0) for shift in range(len(rows.shifts))),
            *((0, 1 + weight) for weight in range(len(rows.weights))),
        ):
            inside = part.shifts == number
            weights = part.weights[inside, column]
            contents.append(np.bincount(bins[inside], weights, minlength=n_bins))
            variances.append(np.bincount(bins[inside], weights**2, minlength=n_bins))
        migrations = np.zeros((len(moving), n_bins, n_bins))
        for number in range(len(moving)):
            inside = np.flatnonzero((part.shifts == number + 1) & (part.partners >= 0))
            partners = part.partners[inside]
            products = part.weights[partners, 0] * part.weights[inside, 0]
            cells = bins[partners] * n_bins + bins[inside]
            sums = np.bincount(cells, products, minlength=n_bins**2)
            migrations[number] = sums.reshape(n_bins, n_bins)
        result[process, region] = Scan(
            (own, *moving, *rows.weights),
            np.array(contents),
            np.array(variances),
            tuple(moving),
            migrations,
        )
    return result
