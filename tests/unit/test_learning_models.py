"""Pairs of trained models are read only if they are what their card says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agc_pipeline.errors import InputError
from agc_pipeline.learning import models

FEATURES = ("pt", "eta")


def _model(parity: str, *, n_features: int = 2, names: tuple[str, ...] = FEATURES) -> bytes:
    """What xgboost writes of a model, as far as it is checked."""
    learner = {
        "learner_model_param": {"num_feature": str(n_features)},
        "feature_names": list(names),
        "attributes": {models.TRAINED_ON: parity},
    }
    return json.dumps({"learner": learner}).encode()


def _describe(parity: str, content: bytes) -> dict[str, Any]:
    return {
        "trained_on": parity,
        "sha256": models.sha256(content),
        "n_trees": 3,
        "best_iteration": 2,
        "n_events": 10,
        "n_events_validation": 2,
        "metrics": {"auc": 0.9},
    }


def _write(folder: Path, even: bytes, odd: bytes, /, **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "even.json").write_bytes(even)
    (folder / "odd.json").write_bytes(odd)
    card = {
        "features": FEATURES,
        "even": _describe("even", even),
        "odd": _describe("odd", odd),
        "configuration": {},
        "data": [],
        "provenance": {},
    } | changes
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


EVEN, ODD = _model("even"), _model("odd")


def test_models_are_read_with_their_card(tmp_path: Path) -> None:
    _write(tmp_path, EVEN, ODD)
    # Cards from before there were conventions have none.
    with pytest.raises(InputError, match="another convention, ''; those that are computed: 'new'"):
        models.read(tmp_path, features=FEATURES, convention="new")
    found = models.read(tmp_path, features=FEATURES)
    assert found.contents == {"even": EVEN, "odd": ODD}
    assert found.card.of("odd").trained_on == "odd"
    assert found.paths == {"even": tmp_path / "even.json", "odd": tmp_path / "odd.json"}


def test_the_digest_follows_what_is_computed(tmp_path: Path) -> None:
    _write(tmp_path / "one", EVEN, ODD)
    _write(tmp_path / "copy", EVEN, ODD, configuration={"seed": 3})
    _write(tmp_path / "other", EVEN + b" ", ODD)
    digests = [
        models.read(tmp_path / name, features=FEATURES).digest for name in ("one", "copy", "other")
    ]
    assert digests[0] == digests[1] != digests[2]


def _missing(folder: Path) -> None:
    _write(folder, EVEN, ODD)
    (folder / "odd.json").unlink()


def _no_card(folder: Path) -> None:
    _write(folder, EVEN, ODD)
    (folder / "card.json").unlink()


def _damaged_card(folder: Path) -> None:
    _write(folder, EVEN, ODD, even={"trained_on": "even"})


def _edited(folder: Path) -> None:
    _write(folder, EVEN, ODD)
    (folder / "even.json").write_bytes(EVEN + b" ")


def _swapped_files(folder: Path) -> None:
    _write(folder, EVEN, ODD)
    (folder / "even.json").write_bytes(ODD)
    (folder / "odd.json").write_bytes(EVEN)


def _swapped_in_card(folder: Path) -> None:
    _write(folder, EVEN, ODD, even=_describe("odd", EVEN))


def _swapped_with_digest(folder: Path) -> None:
    _write(folder, ODD, EVEN)


def _not_xgboost(folder: Path) -> None:
    _write(folder, b"[]", ODD)


def _features_of_model(folder: Path) -> None:
    _write(folder, EVEN, _model("odd", n_features=3))


def _names_of_model(folder: Path) -> None:
    _write(folder, EVEN, _model("odd", names=("eta", "pt")))


def _fewer_in_card(folder: Path) -> None:
    _write(folder, EVEN, ODD, features=("pt",))


def _renamed_in_card(folder: Path) -> None:
    _write(folder, EVEN, ODD, features=("pt", "phi"))


def _other_convention(folder: Path) -> None:
    _write(folder, EVEN, ODD, convention="eta of the beam")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: folder.rmdir(), "no folder of models"),
        (_no_card, "no model card"),
        (_damaged_card, "`even.sha256`"),
        (_missing, "the odd model is missing"),
        (_edited, "not the one of the card"),
        (_swapped_files, "not the one of the card"),
        (_swapped_in_card, "the even model was trained on odd events"),
        (_swapped_with_digest, "holds one that was trained on odd events"),
        (_not_xgboost, "not a model in xgboost's JSON"),
        (_features_of_model, "takes 3 features, not 2"),
        (_names_of_model, "feature 0 is eta, but pt is computed"),
        (_fewer_in_card, "the models have 1 features, but 2 are computed"),
        (
            _other_convention,
            "follow another convention, 'eta of the beam'",
        ),
        (_renamed_in_card, "feature 1 is phi, but eta is computed"),
    ],
)
def test_what_is_wrong_is_refused(
    tmp_path: Path, break_it: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    break_it(folder)
    with pytest.raises(InputError, match=message) as refused:
        models.read(folder, features=FEATURES)
    assert str(folder) in refused.value.place
