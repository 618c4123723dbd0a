"""A pair of trained models with their card: files, and checks on reading.

A folder holds ``even.json`` and ``odd.json``, in xgboost's JSON, and ``card.json``. The even model
was trained on events with even numbers and scores those with odd numbers, the odd one vice versa,
so that no event is scored by a model that was trained on it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from agc_pipeline.errors import InputError
from agc_pipeline.files import read_record
from agc_pipeline.provenance import digest
from agc_pipeline.readers.file_header import Identity
from agc_pipeline.settings import Settings

# Of the numbers of the events that a model was trained on.
Parity = Literal["even", "odd"]
PARITIES: tuple[Parity, ...] = get_args(Parity)

CARD = "card.json"
# Attribute of xgboost's model that holds the parity, beside the card.
TRAINED_ON = "trained_on"

_REMEDY = (
    "correct `learning.models`, train with `learning: {models: null}`, or copy the whole folder of "
    "a training"
)


class DataFile(Settings):
    """An input file of a training.

    Attributes:
        name: of the input, as configured.
        identity: distinguishes this version of the file from others.
        n_events: in the file.
        n_matched: events among them that the models are trained or tested on.
    """

    name: str
    identity: Identity
    n_events: int
    n_matched: int


class TrainedModel(Settings):
    """One of the two models.

    Attributes:
        trained_on: parity of its events.
        sha256: of its file.
        n_trees: in its file, all of them used.
        best_iteration: the tree, counted from 0, after which the validation part was scored best.
        n_events: events that it was trained on, without those of the validation part.
        n_events_validation: events that decided when to stop.
        metrics: by name, of events of the other parity.
    """

    trained_on: Parity
    sha256: str
    n_trees: int
    best_iteration: int
    n_events: int
    n_events_validation: int
    metrics: dict[str, float]


class ModelCard(Settings):
    """Description of a pair of models.

    Attributes:
        features: names of the columns, in order.
        convention: what the names do not say of how the features are computed.
        even: the model trained on even event numbers.
        odd: the other one.
        configuration: settings of the training.
        data: the files that it read.
        provenance: of the training.
    """

    features: tuple[str, ...]
    convention: str = ""
    even: TrainedModel
    odd: TrainedModel
    configuration: dict[str, Any]
    data: tuple[DataFile, ...]
    provenance: dict[str, Any]

    def of(self, parity: Parity) -> TrainedModel:
        """The model that was trained on events of this parity."""
        return self.even if parity == "even" else self.odd


@dataclass(frozen=True)
class Models:
    """A pair of models that passed all checks.

    Attributes:
        folder: where they were read.
        card: their card.
        contents: bytes of each model's file, by the parity that it was trained on.
        digest: SHA-256 of both files and the names of the features.
    """

    folder: Path
    card: ModelCard
    contents: Mapping[Parity, bytes]
    digest: str

    @property
    def paths(self) -> dict[Parity, Path]:
        """File of each model."""
        return {parity: path(self.folder, parity) for parity in PARITIES}


def path(folder: Path, parity: Parity) -> Path:
    """File of the model that was trained on events of this parity."""
    return folder / f"{parity}.json"


def sha256(content: bytes) -> str:
    """Digest of a model's file, as in its card."""
    return hashlib.sha256(content).hexdigest()


def read_card(folder: Path, *, remedy: str = _REMEDY) -> ModelCard:
    """Read the card of a pair of models.

    Args:
        folder: with ``card.json``.
        remedy: what helps where it is not the right one.

    Raises:
        InputError: if it is missing or damaged.
    """
    path = folder / CARD
    if not path.is_file():
        problem = "no model card" if folder.is_dir() else "no folder of models"
        raise InputError(f"{problem}: {CARD} is missing", place=str(path), remedy=remedy)
    return read_record(ModelCard, path, "the card of a pair of models")


def read(
    folder: Path, *, features: Sequence[str], convention: str = "", remedy: str = _REMEDY
) -> Models:
    """Read a pair of models, and check them against their card and the computed features.

    Args:
        folder: with ``even.json``, ``odd.json`` and ``card.json``.
        features: names of the columns that are computed for the models, in order.
        convention: how they are computed, where their names do not say.
        remedy: what helps where they are not the right ones.

    Raises:
        InputError: if a file is missing or not what the card says, or if a model has other
            features, follows another convention or was trained on events of the other parity.
    """
    card = read_card(folder, remedy=remedy)
    place = str(folder / CARD)
    _check_features(card.features, features, place=place, remedy=remedy)
    if card.convention != convention:
        raise InputError(
            f"the features of the models follow another convention, {card.convention!r}; those "
            f"that are computed: {convention!r}",
            place=place,
            remedy=remedy,
        )
    contents = {parity: _content(folder, card, parity, remedy) for parity in PARITIES}
    summary = {parity: card.of(parity).sha256 for parity in PARITIES}
    return Models(
        folder=folder,
        card=card,
        contents=contents,
        digest=digest({**summary, "features": list(card.features)}),
    )


def _content(folder: Path, card: ModelCard, parity: Parity, remedy: str) -> bytes:
    """Bytes of one model, checked."""
    place = path(folder, parity)
    model = card.of(parity)
    if model.trained_on != parity:
        raise InputError(
            f"the card says that the {parity} model was trained on {model.trained_on} events",
            place=str(folder / CARD),
            remedy=remedy,
        )
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"the {parity} model is missing", place=str(place), remedy=remedy
        ) from None
    if sha256(content) != model.sha256:
        raise InputError(
            f"the {parity} model is not the one of the card: its SHA-256 is {sha256(content)}, "
            f"the card has {model.sha256}",
            place=str(place),
            remedy=remedy,
        )
    _check_model(content, card.features, parity, place=str(place), remedy=remedy)
    return content


def _check_model(
    content: bytes, features: Sequence[str], parity: Parity, *, place: str, remedy: str
) -> None:
    """Check features and parity in the file of xgboost."""
    try:
        learner = json.loads(content)["learner"]
        n_features = int(learner["learner_model_param"]["num_feature"])
        names = learner.get("feature_names") or features
        trained_on = learner.get("attributes", {}).get(TRAINED_ON, parity)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a model in xgboost's JSON: {type(error).__name__} {error}",
            place=place,
            remedy=remedy,
        ) from error
    if n_features != len(features):
        raise InputError(
            f"the model takes {n_features} features, not {len(features)}",
            place=place,
            remedy=remedy,
        )
    _check_features(names, features, place=place, remedy=remedy)
    if trained_on != parity:
        raise InputError(
            f"the file of the {parity} model holds one that was trained on {trained_on} events",
            place=place,
            remedy=remedy,
        )


def _check_features(
    names: Sequence[str], features: Sequence[str], *, place: str, remedy: str
) -> None:
    if len(names) != len(features):
        raise InputError(
            f"the models have {len(names)} features, but {len(features)} are computed",
            place=place,
            remedy=remedy,
        )
    for number, (one, other) in enumerate(zip(names, features, strict=True)):
        if one != other:
            raise InputError(
                f"feature {number} is {one}, but {other} is computed", place=place, remedy=remedy
            )
