"""A discriminant: the score of a pair of models as the observable of regions.

The models are pairs as ``models`` has them, of features that an analysis declares: no event is
scored by a model that was trained on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline.columnar import features
from agc_pipeline.declaration import Analysis
from agc_pipeline.declaration.analysis import EventFunction
from agc_pipeline.declaration.features import REGION, columns_of_model, of_regions
from agc_pipeline.errors import InputError
from agc_pipeline.learning import forest, models
from agc_pipeline.learning.forest import Forest
from agc_pipeline.learning.models import PARITIES, Parity
from agc_pipeline.learning.scoring import SCORED_BY, by_parity
from agc_pipeline.learning.trees import Array
from agc_pipeline.settings import unknown

# Scores are below the last edge of the histograms.
_LARGEST = 1 - 2.0**-24
_REMEDY = "run `snakemake optimise` again, or correct `discriminant`"


def convention(regions: Sequence[str]) -> str:
    """What the names of the columns do not say: the regions that a model is for, in order."""
    return f"the discriminant of {', '.join(regions)}"


@dataclass(frozen=True)
class Discriminant:
    """Computes the scores of a pair of models.

    Attributes:
        regions: names of those whose observable it is, in the order of their numbers.
        features: names.
        forests: the models, by the parity of the events that they were trained on.
        digest: of the models.
        files: of the models.
    """

    regions: tuple[str, ...]
    features: tuple[str, ...]
    forests: Mapping[Parity, Forest]
    digest: str = ""
    files: tuple[Path, ...] = ()

    def of(self, analysis: Analysis, region: str) -> EventFunction:
        """The observable of a region: function of events and ``physics.selection``."""
        return partial(self._of_events, analysis, region)

    def _of_events(self, analysis: Analysis, region: str, events: Any, selection: Any) -> Array:
        functions = of_regions(analysis.features, self.regions, self.features)
        columns = features.matrix(functions, events, selection)
        return self.scores(region, columns, features.numbers(analysis, events))

    def scores(self, region: str, columns: Array, numbers: Array) -> Array:
        """Scores of events: ``events * float64``, from 0 to below 1.

        Args:
            region: that they are in.
            columns: features of the events, single precision.
            numbers: of the events, whose parity says which model scores them.
        """
        rows = with_region(columns, self.regions.index(region), len(self.regions))
        result = np.empty(len(rows))
        for parity, events in by_parity(numbers).items():
            result[events] = forest.scores(self.forests[SCORED_BY[parity]], rows[events])
        return np.minimum(result, _LARGEST)


def with_region(columns: Array, number: int, n_regions: int) -> Array:
    """Features with the number of the region behind them, if there are several."""
    if n_regions == 1:
        return np.ascontiguousarray(columns)
    place = np.full((len(columns), 1), number, np.float32)
    return np.ascontiguousarray(np.concatenate([columns, place], axis=1))


def read(folder: Path, analysis: Analysis, regions: Sequence[str]) -> Discriminant:
    """Read a discriminant.

    Args:
        folder: of the models.
        analysis: the declaration, which has the features.
        regions: names of those whose observable it is.

    Raises:
        InputError: if a file is missing, or the models are of other features or regions.
    """
    card = models.read_card(folder, remedy=_REMEDY)
    names = tuple(name for name in card.features if name != REGION)
    there = {feature.name for feature in analysis.features if feature.exists(regions)}
    if problem := unknown("feature", names, there):
        raise InputError(
            f"the models have an {problem}", place=str(folder / models.CARD), remedy=_REMEDY
        )
    pair = models.read(
        folder,
        features=columns_of_model(names, regions),
        convention=convention(regions),
        remedy=_REMEDY,
    )
    return Discriminant(
        tuple(regions),
        names,
        {
            parity: forest.parse(pair.contents[parity], place=str(pair.paths[parity]))
            for parity in PARITIES
        },
        pair.digest,
        (folder / models.CARD, *pair.paths.values()),
    )
