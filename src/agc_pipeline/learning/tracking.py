"""Trainings recorded by MLflow: on a server, in a database, or in a folder."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agc_pipeline.errors import ConfigurationError, ServiceError
from agc_pipeline.learning.models import CARD, PARITIES, Models
from agc_pipeline.learning.training_record import TrainingRecord
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)

# Experiment of the runs of this package; MLflow's variable MLFLOW_EXPERIMENT_NAME takes precedence.
EXPERIMENT = "agc_pipeline"
# Tag of a run: the digest of its models, to search for it.
_MODELS = "models"

# Limit of its REST interface.
_METRICS_AT_A_TIME = 1000
# MLflow retries for a quarter of an hour by default. Variables of the environment take precedence.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # It would report every use to its developers.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class TrackRecord(Settings):
    """Where a training is recorded.

    Attributes:
        address: of the server or store.
        experiment: name of the experiment there.
        run_id: of the run.
        models: digest of the models.
        provenance: of this record.
    """

    address: str
    experiment: str
    run_id: str
    models: str
    provenance: dict[str, Any]


def track(
    address: str, models: Models, record: TrainingRecord, files: Sequence[Path]
) -> tuple[str, str]:
    """Record a training, unless it is recorded already.

    Args:
        address: http(s)://, a URI of a database, or a folder.
        models: the models with their card.
        record: their performance.
        files: further files to be stored with models and card.

    Returns:
        Name of the experiment, and identifier of the run.

    Raises:
        ConfigurationError: if MLflow, or a package that such an address needs, is not installed.
        ServiceError: if the server or store does not accept the training.
    """
    _check_installed(address)
    with _environment(), _failures(address) as place:
        from mlflow import MlflowClient  # noqa: PLC0415 - an optional dependency, slow to import

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        client = MlflowClient(tracking_uri=place)
        experiment = _experiment(client, name)
        for run in client.search_runs(
            [experiment], f"tags.{_MODELS} = '{models.digest}' and attributes.status = 'FINISHED'"
        ):
            log.info("recorded already: run %s of %s", run.info.run_id, name)
            return name, str(run.info.run_id)
        run = client.create_run(
            experiment, run_name=models.digest[:12], tags={_MODELS: models.digest}
        )
        run_id = str(run.info.run_id)
        status = "FAILED"
        try:
            _log(client, run_id, models, record)
            for path in (*models.paths.values(), models.folder / CARD, *files):
                client.log_artifact(run_id, str(path))
            status = "FINISHED"
        finally:
            client.set_terminated(run_id, status)
    log.info("run %s of %s at %s", run_id, name, address)
    return name, run_id


def _check_installed(address: str) -> None:
    needed = {"mlflow": "'agc-pipeline[tracking]'"}
    scheme = address.partition("://")[0].partition("+")[0]
    if scheme in ("sqlite", "postgresql", "mysql", "mssql"):
        needed |= {"sqlalchemy": "sqlalchemy", "alembic": "alembic"}
    missing = [package for module, package in needed.items() if find_spec(module) is None]
    if missing:
        raise ConfigurationError(
            f"trainings cannot be recorded at {address}: packages are missing",
            place="learning.training.tracking",
            remedy=f"pip install {' '.join(missing)}, or set it to null",
        )


@contextmanager
def _environment() -> Iterator[None]:
    """Environment of MLflow with time-outs that suit a job, and with folders as stores."""
    before = dict(os.environ)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # It refuses folders, which it no longer develops, unless this is set.
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _failures(address: str) -> Iterator[str]:
    """The address in the form of MLflow; its failures become one error."""
    import requests  # noqa: PLC0415 - comes with MLflow
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an optional dependency

    place = address if "://" in address else Path(address).absolute().as_uri()
    try:
        yield place
    except (MlflowException, requests.RequestException, OSError) as error:
        raise ServiceError(
            f"the training could not be recorded: {' '.join(str(error).split())[:500]}",
            place=f"learning.training.tracking: {address}",
            remedy="models and report are complete; run again when the server answers, and only "
            "this step is repeated; or set `learning.training.tracking` to null",
        ) from error


def _experiment(client: Any, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if experiment is None else experiment.experiment_id)


def _log(client: Any, run_id: str, models: Models, record: TrainingRecord) -> None:
    """Parameters, and metrics with the learning curves."""
    from mlflow.entities import Metric, Param  # noqa: PLC0415 - an optional dependency

    card = models.card
    parameters = {
        **_flat(card.configuration),
        "n_files": len(card.data),
        "n_events": sum(file.n_events for file in card.data),
        "n_matched": sum(file.n_matched for file in card.data),
    }
    values: list[tuple[str, float, int]] = []
    all_events = record.rows[0]
    for name in ("whole", "part", "baseline", "gain"):
        fraction = getattr(all_events, name)
        values += [(name, fraction.value, 0), (f"{name}_uncertainty", fraction.uncertainty, 0)]
    for parity in PARITIES:
        model = record.of(parity)
        values.append((f"{parity}/n_trees", model.n_trees, 0))
        values += [(f"{parity}/{name}", value, 0) for name, value in model.metrics.items()]
        values += [
            (f"{parity}/{part}/{name}", value, step)
            for part, curves in model.curves.items()
            for name, curve in curves.items()
            for step, value in enumerate(curve, 1)
        ]
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
    now = int(1000 * time.time())
    for start in range(0, len(values), _METRICS_AT_A_TIME):
        batch = values[start : start + _METRICS_AT_A_TIME]
        client.log_batch(
            run_id, metrics=[Metric(name, value, now, step) for name, value, step in batch]
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with their full names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
