"""The assignment of jets by a pair of models, and its observables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline.learning import models as pairs
from agc_pipeline.learning.scoring import ForestScorer, Scorer
from agc_pipeline.learning.settings import ScoringSettings

from ..settings import JetAssignment, Selection
from .features import CONVENTION, FEATURES, GROUPS, Array, considered_jets, features, the_leptons

# Events whose features are in memory at a time: up to 30 MB.
_EVENTS = 2000


@dataclass(frozen=True)
class ModelAssignment:
    """Assigns jets to partons by a model.

    Attributes:
        settings: which jets are considered, and how.
        scorer: of all assignments.
        digest: of the models.
        files: of the models.
    """

    settings: JetAssignment
    scorer: Scorer
    digest: str
    files: tuple[Path, ...]

    def observables(self, events: Any, _: Selection) -> Array:
        """The features of the assignment with the highest score: ``20 * events``, float64.

        Args:
            events: of the signal region, with one lepton and four or more jets each.
        """
        leptons, numbers = the_leptons(events), events.event
        jets = considered_jets(events)
        leading = jets.leading(self.settings.n_jets_max)
        wrapped = self.settings.azimuth == "wrapped"
        values = np.empty((len(numbers), len(FEATURES)), np.float32)
        for start in range(0, len(numbers), _EVENTS):
            stop = min(start + _EVENTS, len(numbers))
            rows, offsets = features(
                leading.events(start, stop), leptons.events(start, stop), wrapped=wrapped
            )
            values[start:stop] = rows[self.scorer.best(rows, offsets, numbers[start:stop])]
        return np.ascontiguousarray(values.T, np.float64)


def assignment(settings: JetAssignment, models: Path, scoring: ScoringSettings) -> ModelAssignment:
    """The assignment by a pair of models.

    Args:
        settings: which jets are considered, and how.
        models: folder of the models.
        scoring: what computes the scores.

    Raises:
        InputError: if a model is missing, or not the right one.
        ServiceError: if a server that is to score does not answer, or does not have the models.
        PipelineError: if it has other models under their names.
    """
    pair = pairs.read(models, features=FEATURES, convention=CONVENTION)
    here = ForestScorer(pair, GROUPS)
    return ModelAssignment(
        settings, _scorer(pair, here, scoring), pair.digest, tuple(pair.paths.values())
    )


def _scorer(pair: pairs.Models, here: ForestScorer, scoring: ScoringSettings) -> Scorer:
    if scoring.scorer == "xgboost":
        return here
    # Its client takes long to import, and need not be installed otherwise.
    from agc_pipeline.learning.triton import TritonScorer  # noqa: PLC0415

    scorer = TritonScorer(pair, here, scoring.triton)
    scorer.check()
    return scorer
