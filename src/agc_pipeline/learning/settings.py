"""The ``learning:`` part of the configuration: training of models, and servers that score."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import AtMost, Attempts, Seconds, Seed, Settings, Tls

# What computes the scores of the models of an analysis; "off" uses no models.
Scorer = Literal["off", "xgboost", "triton"]


_HYPERPARAMETER_MAX = 1e9
# Parameters of xgboost that the training itself sets: others would change the kind of model, or
# its bytes.
_FIXED = {
    "base_score",
    "booster",
    "device",
    "eval_metric",
    "nthread",
    "n_jobs",
    "num_class",
    "objective",
    "random_state",
    "seed",
    "tree_method",
}


class TrainingSettings(Settings):
    """How the two models are trained.

    Attributes:
        n_files_max: input files that are read at most.
        n_events_max: matched events that are used at most, of each parity.
        n_events_min: matched events of each parity that are needed.
        seed: of everything that is random.
        n_trees_max: trees at most.
        early_stopping: trees without an improvement after which training stops.
        validation_fraction: of the events of a model, those that only decide when to stop.
        hyperparameters: of xgboost, passed on as they are.
    """

    n_files_max: Annotated[PositiveInt, AtMost(1e6, "one job reads them all")]
    n_events_max: Annotated[PositiveInt, AtMost(1e8, "a million need 0.6 GB of memory")]
    n_events_min: Annotated[int, Field(ge=2), AtMost(1e8, "no training has more")]
    seed: Seed
    n_trees_max: Annotated[PositiveInt, AtMost(1e5, "every event is scored by all of them")]
    early_stopping: Annotated[PositiveInt, AtMost(1e5, "there are no more trees")]
    validation_fraction: float = Field(gt=0, lt=1)
    hyperparameters: dict[str, float | int | str]

    @field_validator("hyperparameters")
    @classmethod
    def _of_training(cls, value: dict[str, float | int | str]) -> dict[str, float | int | str]:
        for name, number in value.items():
            if isinstance(number, int | float) and abs(number) > _HYPERPARAMETER_MAX:
                raise ValueError(f"{name} cannot be {number:g}")
        fixed = sorted(_FIXED & set(value))
        if fixed:
            raise ValueError(f"{', '.join(fixed)} cannot be set")
        return value

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.n_events_min > self.n_events_max:
            raise ValueError(
                f"`n_events_min` {self.n_events_min} are more than `n_events_max` "
                f"{self.n_events_max}: no training has enough"
            )
        return self


class TrackedTraining(TrainingSettings):
    """How the two models are trained, and where trainings are recorded.

    Attributes:
        tracking: address of an MLflow server or store that records trainings; None records none.
    """

    tracking: str | None = Field(min_length=1)

    @field_validator("tracking")
    @classmethod
    def _no_credentials(cls, value: str | None) -> str | None:
        if value is not None and without_secrets(value) != value:
            raise ValueError(
                "an address with credentials would appear in every result; MLflow reads them from "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        return value


class Versions(Settings):
    """Versions of the served model, by the parity of the events that it was trained on.

    Triton's are numbers from 1 on.

    Attributes:
        even: of the model that was trained on even events.
        odd: of the model that was trained on odd events.
    """

    even: str = Field(pattern=r"^[1-9][0-9]*$")
    odd: str = Field(pattern=r"^[1-9][0-9]*$")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.even == self.odd:
            raise ValueError(f"{self.even} cannot be the version of both models")
        return self

    def of(self, parity: Literal["even", "odd"]) -> str:
        """Version of the model that was trained on events of this parity."""
        return self.even if parity == "even" else self.odd


class ServedModel(Settings):
    """A model on a server.

    Attributes:
        model: name of the served model.
        versions: its versions.
        batch_size: rows of one request at most.
    """

    model: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
    versions: Versions
    batch_size: Annotated[PositiveInt, AtMost(1e7, "gRPC has messages of 2 GB at most")]


class TritonSettings(ServedModel):
    """A server that scores, by the KServe protocol, version 2, over gRPC. No bin depends on it.

    Attributes:
        url: host and port.
        timeout: seconds that one request may take.
        attempts: requests in total for a batch that fails.
        backoff: seconds before the second request for a batch; doubled before each further one,
            with jitter.
        tls: files for an encrypted connection; None does not encrypt.
    """

    url: str = Field(pattern=r"^[^\s/@]+:[0-9]+$")
    timeout: Seconds
    attempts: Attempts
    backoff: Seconds
    tls: Tls | None


class ScoringSettings(Settings):
    """What computes the scores of a histogram job; no bin depends on it.

    Attributes:
        scorer: "xgboost" scores in the job, "triton" has a server score.
        triton: the server.
    """

    scorer: Literal["xgboost", "triton"]
    triton: TritonSettings


class LearningSettings(Settings):
    """How models are trained, and where they are scored.

    Attributes:
        models: folder of trained models; None trains them in this run.
        training: how.
        triton: the server, where one is to score.
    """

    models: str | None
    training: TrackedTraining
    triton: TritonSettings
