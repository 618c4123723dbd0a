"""Training of a model by gradient-boosted trees: the same bytes from the same examples and seed."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.learning.examples import Array, Examples
from agc_pipeline.learning.models import PARITIES, TRAINED_ON, Parity
from agc_pipeline.learning.settings import TrainingSettings
from agc_pipeline.learning.training_record import LOSS, TRAINING, VALIDATION, WRONG
from agc_pipeline.provenance import distribution

log = logging.getLogger(__name__)

_TREES_BETWEEN_LINES = 50


@dataclass(frozen=True)
class TrainingResult:
    """A trained model with its learning curves.

    Attributes:
        content: in xgboost's JSON.
        n_trees: in it.
        curves: part of the examples, then metric, to its value for each number of trees, also of
            those behind the best.
        n_events: that it was trained on.
        n_events_validation: that decided when to stop.
    """

    content: bytes
    n_trees: int
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    n_events: int
    n_events_validation: int


def xgboost_distribution(learned: str) -> str:
    """Name of the installed distribution of xgboost.

    Args:
        learned: configuration key that says what scores the models of the analysis.

    Raises:
        ConfigurationError: if none is installed.
    """
    name = distribution("xgboost")
    if name is None:
        raise ConfigurationError(
            "xgboost is not installed: models cannot be trained",
            place=learned,
            remedy="install it (`pip install 'agc-pipeline[learning]'`), set "
            f"`learning.models` to the folder of an earlier training, or set `{learned}: off`",
        )
    return name


def check_hyperparameters(settings: TrainingSettings) -> None:
    """Check that xgboost accepts the hyperparameters, on two candidates.

    For the main thread: xgboost warns only in the thread that imported it.

    Raises:
        ConfigurationError: if a hyperparameter is unknown or has a wrong value.
    """
    import xgboost  # noqa: PLC0415 - an optional dependency, and slow to import

    toy = xgboost.QuantileDMatrix(np.eye(2, dtype=np.float32), [0.0, 1.0], nthread=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            xgboost.train(_parameters(settings), toy, num_boost_round=1)
        except xgboost.core.XGBoostError as error:
            problem = str(error).partition("Stack trace")[0].strip()
        else:
            problem = "; ".join(
                str(warning.message) for warning in caught if "not used" in str(warning.message)
            )
    if problem:
        raise ConfigurationError(
            f"xgboost refuses a hyperparameter: {' '.join(problem.split())}",
            place="learning.training.hyperparameters",
            remedy="correct it: https://xgboost.readthedocs.io/en/stable/parameter.html",
        )


def _parameters(settings: TrainingSettings) -> dict[str, Any]:
    return {
        **settings.hyperparameters,
        "objective": "binary:logistic",
        "eval_metric": LOSS,
        "tree_method": "hist",
        "seed": settings.seed,
        # The order of sums, and so the last bits, would depend on the number of threads.
        "nthread": 1,
    }


def check_enough(examples: Examples, n_events_min: int) -> None:
    """Check that there are enough examples.

    Raises:
        InputError: if there are too few events of a parity.
    """
    for parity in PARITIES:
        n_events = len(examples.of(parity))
        if n_events < n_events_min:
            raise InputError(
                f"{n_events} matched events with {parity} numbers, {n_events_min} are needed",
                place="learning.training.n_events_min",
                remedy="use more input or raise `learning.training.n_files_max`, set "
                "`learning.models` to the folder of another training, or lower the bound",
            )


def train_both(
    examples: Examples, features: Sequence[str], settings: TrainingSettings, *, threads: int
) -> dict[Parity, TrainingResult]:
    """Train one model on the events with even numbers and one on those with odd numbers.

    Args:
        examples: of both parities.
        features: names of the columns.
        settings: how to train.
        threads: 2 or more train both models at a time; each is trained by one thread, whose sums
            have one order.
    """
    with ThreadPoolExecutor(min(threads, len(PARITIES))) as pool:
        jobs = {
            parity: pool.submit(train, examples.of(parity), features, settings, parity)
            for parity in PARITIES
        }
        return {parity: job.result() for parity, job in jobs.items()}


def train(
    examples: Examples, features: Sequence[str], settings: TrainingSettings, parity: Parity
) -> TrainingResult:
    """Train a model.

    Args:
        examples: of this parity only.
        features: names of the columns.
        settings: how to train.
        parity: of the numbers of the events.
    """
    import xgboost  # noqa: PLC0415 - an optional dependency, and slow to import

    odd = PARITIES.index(parity)
    if np.any(examples.numbers % 2 != odd):
        raise ValueError(f"the {parity} model must be trained on {parity} events only")
    order = np.random.default_rng([settings.seed, odd]).permutation(len(examples))
    n_validation = max(1, round(settings.validation_fraction * len(examples)))
    validation = np.zeros(len(examples), np.bool_)
    validation[order[:n_validation]] = True
    parts = {TRAINING: examples.select(~validation), VALIDATION: examples.select(validation)}
    matrices: dict[str, Any] = {}
    for name, part in parts.items():
        matrices[name] = xgboost.QuantileDMatrix(
            part.features,
            part.right.astype(np.float32),
            feature_names=list(features),
            nthread=1,
            ref=matrices.get(TRAINING),
        )

    def wrong(scores: Array, matrix: Any) -> tuple[str, float]:
        part = next(parts[name] for name, own in matrices.items() if own is matrix)
        return WRONG, 1.0 - float(np.mean(part.right[part.best(scores)]))

    curves: dict[str, dict[str, list[Any]]] = {}
    booster = xgboost.train(
        _parameters(settings),
        matrices[TRAINING],
        num_boost_round=settings.n_trees_max,
        evals=[(matrix, name) for name, matrix in matrices.items()],
        custom_metric=wrong,
        evals_result=curves,
        verbose_eval=False,
        callbacks=[
            xgboost.callback.EarlyStopping(
                rounds=settings.early_stopping,
                metric_name=LOSS,
                data_name=VALIDATION,
                save_best=True,
            ),
            _progress(parity),
        ],
    )
    n_trees = booster.num_boosted_rounds()
    booster.set_attr(**{TRAINED_ON: parity})
    log.info("%s events: %d trees are best", parity, n_trees)
    return TrainingResult(
        content=bytes(booster.save_raw("json")),
        n_trees=n_trees,
        curves=curves,
        n_events=len(parts[TRAINING]),
        n_events_validation=len(parts[VALIDATION]),
    )


def scores(content: bytes, features: Array) -> Array:
    """Scores of candidates by a model: ``rows * float32``.

    Args:
        content: of the model's file.
        features: of the candidates.
    """
    predictions: Array = booster_of(content).inplace_predict(features)
    return predictions


def booster_of(content: bytes) -> Any:
    """The model of a file as a booster of xgboost, for one thread."""
    import xgboost  # noqa: PLC0415 - an optional dependency, and slow to import

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    return booster


def _progress(parity: Parity) -> Any:
    """A line in the log now and then."""
    import xgboost  # noqa: PLC0415 - an optional dependency, and slow to import

    class Progress(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            if (epoch + 1) % _TREES_BETWEEN_LINES == 0:
                log.info(
                    "%s events: %d trees, validation: %s %.4f, %.1f %% right",
                    *(parity, epoch + 1, LOSS, evals_log[VALIDATION][LOSS][-1]),
                    100 * (1 - evals_log[VALIDATION][WRONG][-1]),
                )
            return False

    return Progress()
