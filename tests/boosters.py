"""Small models, trained within a second on rows of nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from agc_pipeline.analyses.cms_ttbar.jet_assignment.observables import CONVENTION
from agc_pipeline.files import write_json
from agc_pipeline.learning import models

Array = npt.NDArray[Any]


def rows(n: int, n_features: int, *, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, n_features)).astype(np.float32)


def pair(
    folder: Path, features: Sequence[str], *, seed: int = 0, n_trees: int = 30
) -> models.Models:
    """A pair of models with its card, written to a folder and read from there."""
    folder.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = {
        "features": list(features),
        "convention": CONVENTION,
        "configuration": {"seed": seed},
        "data": [],
        "provenance": {},
    }
    for number, parity in enumerate(models.PARITIES):
        x = rows(2000, len(features), seed=2 * seed + number)
        y = x[:, 0] + x[:, 1] * x[:, 2] + x[:, 3] > 0
        data = xgboost.DMatrix(x, label=y, feature_names=list(features))
        options = {"objective": "binary:logistic", "max_depth": 4, "seed": seed, "nthread": 1}
        model = xgboost.train(options, data, n_trees)
        model.set_attr(**{models.TRAINED_ON: parity})
        path = models.path(folder, parity)
        model.save_model(path)
        card[parity] = {
            "trained_on": parity,
            "sha256": models.sha256(path.read_bytes()),
            "n_trees": n_trees,
            "best_iteration": n_trees - 1,
            "n_events": 2000,
            "n_events_validation": 0,
            "metrics": {},
        }
    write_json(folder / models.CARD, card)
    return models.read(folder, features=features, convention=CONVENTION)


def booster(given: models.Models, parity: models.Parity) -> xgboost.Booster:
    return xgboost.Booster({"nthread": 1}, model_file=bytearray(given.contents[parity]))


def predicted(given: models.Models, parity: models.Parity, x: Array) -> Array:
    """Scores by xgboost."""
    scores: Array = booster(given, parity).inplace_predict(x, validate_features=False)
    return scores
