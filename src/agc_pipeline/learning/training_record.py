"""The record of a training: performance of the models, for figures and tables."""

from pathlib import Path
from typing import Any

from agc_pipeline.files import read_record
from agc_pipeline.learning.examples import Wording
from agc_pipeline.learning.models import Parity
from agc_pipeline.settings import Settings

# Keys of ``ModelRecord.curves``: the parts of the examples, the loss that is minimised, and the
# fraction of events whose best candidate is wrong.
TRAINING, VALIDATION = "training", "validation"
LOSS, WRONG = "logloss", "wrong"


class Fraction(Settings):
    """A fraction of events that is right.

    Attributes:
        value: the fraction.
        uncertainty: of the finite number of events, one standard deviation.
    """

    value: float
    uncertainty: float


class Row(Settings):
    """Fractions of the events of one size.

    Attributes:
        size: number of objects of the events; None is all of them.
        n_events: of this size.
        whole: right candidates by the models.
        part: candidates that are right in the part that matters most, by the models.
        baseline: the same by the baseline method.
        gain: `part` less `baseline`, of the same events.
        random_whole: right candidates if they were chosen at random.
        random_part: likewise, right in that part.
    """

    size: int | None
    n_events: int
    whole: Fraction
    part: Fraction
    baseline: Fraction
    gain: Fraction
    random_whole: float
    random_part: float


class Scores(Settings):
    """Distribution of scores: number of candidates in each bin of ``TrainingRecord.edges``."""

    right: tuple[int, ...]
    wrong: tuple[int, ...]


class ModelRecord(Settings):
    """Performance of one model.

    Attributes:
        n_trees: in it.
        n_events: that it was trained on.
        n_events_validation: that decided when to stop.
        curves: part of the examples, then metric, to its value for each number of trees.
        training_scores: of the events that it was trained on, or that decided when to stop.
        test_scores: of the events of the other parity.
        importance: feature to its share of the total gain of all splits.
        metrics: by name, of events of the other parity.
    """

    n_trees: int
    n_events: int
    n_events_validation: int
    curves: dict[str, dict[str, tuple[float, ...]]]
    training_scores: Scores
    test_scores: Scores
    importance: dict[str, float]
    metrics: dict[str, float]


class TrainingRecord(Settings):
    """A training and its result.

    Attributes:
        wording: names of the quantities, for people.
        edges: of the distributions of scores.
        rows: fractions by size, all events first.
        even: the model trained on even event numbers.
        odd: the other one.
        models: digests of their files.
        provenance: of the training.
    """

    wording: Wording
    edges: tuple[float, ...]
    rows: tuple[Row, ...]
    even: ModelRecord
    odd: ModelRecord
    models: dict[Parity, str]
    provenance: dict[str, Any]

    def of(self, parity: Parity) -> ModelRecord:
        """The model that was trained on events of this parity."""
        return self.even if parity == "even" else self.odd


def read(path: Path) -> TrainingRecord:
    """Read the record of a training.

    Raises:
        InputError: if the file is missing or has other content.
    """
    return read_record(TrainingRecord, path, "the record of a training")
