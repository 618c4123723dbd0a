"""Trainings kept by MLflow: on a server, in a database, or in a folder."""

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
from agc_pipeline.learning.records import TrainingRecord
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)

# Where MLflow keeps runs of this package; its own variable MLFLOW_EXPERIMENT_NAME wins.
EXPERIMENT = "agc_pipeline"
# Tag of a run with the digest of its models, by which it is found again.
_MODELS = "models"

# Of its REST interface.
_METRICS_AT_A_TIME = 1000
# MLflow's own defaults try for a quarter of an hour. What the environment says wins.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # It would tell its makers of every use.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class TrackRecord(Settings):
    """Where a training is kept.

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
    """Keep a training, unless it is kept already.

    Args:
        address: http(s)://, a URI of a database, or a folder.
        models: the models with their card.
        record: what they can do.
        files: more of the training, to be kept with models and card.

    Returns:
        Name of the experiment, and identifier of the run.

    Raises:
        ConfigurationError: if MLflow, or what it needs for such an address, is not installed.
        ServiceError: if the server or store does not take the training.
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
            log.info("kept already: run %s of %s", run.info.run_id, name)
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
            f"trainings cannot be kept at {address}: packages are missing",
            place="learning.training.tracking",
            remedy=f"pip install {' '.join(missing)}, or set it to null",
        )


@contextmanager
def _environment() -> Iterator[None]:
    """MLflow with patience that suits a job, and with folders as stores."""
    before = dict(os.environ)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # It refuses folders, which it no longer develops; whoever configures one wants it.
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _failures(address: str) -> Iterator[str]:
    """Gives the address as MLflow wants it; what fails there becomes one error."""
    import requests  # noqa: PLC0415 - comes with MLflow
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an optional dependency

    place = address if "://" in address else Path(address).absolute().as_uri()
    try:
        yield place
    except (MlflowException, requests.RequestException, OSError) as error:
        raise ServiceError(
            f"the training could not be kept: {' '.join(str(error).split())[:500]}",
            place=f"learning.training.tracking: {address}",
            remedy="models and report are there; when the server answers, run again, and only this "
            "is done; or set `learning.training.tracking` to null",
        ) from error


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


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
    everything = record.rows[0]
    for name in ("whole", "part", "baseline", "gain"):
        fraction = getattr(everything, name)
        values += [(name, fraction.value, 0), (f"{name}_uncertainty", fraction.uncertainty, 0)]
    for parity in PARITIES:
        described = record.of(parity)
        values.append((f"{parity}/n_trees", described.n_trees, 0))
        values += [(f"{parity}/{name}", value, 0) for name, value in described.metrics.items()]
        values += [
            (f"{parity}/{part}/{name}", value, step)
            for part, curves in described.curves.items()
            for name, curve in curves.items()
            for step, value in enumerate(curve, 1)
        ]
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
    now = int(1000 * time.time())
    for start in range(0, len(values), _METRICS_AT_A_TIME):
        some = values[start : start + _METRICS_AT_A_TIME]
        client.log_batch(
            run_id, metrics=[Metric(name, value, now, step) for name, value, step in some]
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with their full names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
