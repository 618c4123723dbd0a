"""Which backend delivers a dataset, from configuration, input and what is configured here."""

from agc_pipeline.datasets import DatasetFiles
from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.delivery.settings import (
    Backend,
    DatasetDelivery,
    DeliverySettings,
    ServiceXSettings,
)
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.readers.settings import Format
from agc_pipeline.settings import Settings


class ServiceXJob(ServiceXSettings):
    """The service's settings, with its address: another service makes another delivery."""

    endpoint: str
    url: str


class DeliveryJob(Settings):
    """What a delivery job is given: how its files are delivered.

    Attributes:
        format: of the skims; None without skims.
        servicex: None with the other backends.
    """

    backend: Backend
    format: Format | None
    servicex: ServiceXJob | None

    def what(self) -> dict[str, object]:
        """The part that decides what the skims are, without how patiently they are asked for."""
        service = None
        if self.servicex is not None:
            service = self.servicex.model_dump(include={"url", "codegen", "transport"})
        return {"backend": self.backend, "format": self.format, "servicex": service}


def choose(
    dataset: DatasetFiles,
    settings: DeliverySettings,
    endpoint: Endpoint | None,
    *,
    weighted: bool = False,
    sum_known: bool = False,
) -> tuple[DeliveryJob, str]:
    """How a dataset is delivered, and why.

    Args:
        dataset: with its files.
        settings: for all datasets.
        endpoint: the service of the client's configuration; None if there is none.
        weighted: whether files state a sum of generator weights, to which it is normalised.
        sum_known: whether the configuration has this sum, too.

    Raises:
        ConfigurationError: if ServiceX is asked for and cannot deliver this dataset.
    """
    own = settings.datasets.get(dataset.name, DatasetDelivery())
    choice = settings.backend_of(dataset.name)
    here = any(not is_remote(file.source) for file in dataset.files)
    if choice != "auto":
        backend, reason = choice, "as configured"
    elif here:
        backend, reason = "local", "the files are on this machine"
    elif weighted:
        backend, reason = "local", "sums of generator weights are read from the files"
    elif endpoint is None:
        backend, reason = "local", "no configuration of a ServiceX client here"
    else:
        backend, reason = "servicex", "its client is configured here"
    job = None
    if backend == "servicex":
        if weighted and not sum_known:
            raise ConfigurationError(
                "ServiceX delivers events, not the sum of the generator weights of all events that "
                "a file stands for, to which the analysis normalises",
                place=f"delivery of {dataset.name}",
                remedy="give the sum of all files in `physics.sums_of_weights`, or choose the "
                "backend local or none for this dataset in `delivery.datasets`, or auto",
            )
        counts = (own.format or settings.format) != "parquet"
        job = _servicex(dataset, settings.servicex, endpoint, here=here, counts=counts)
    return (
        DeliveryJob(
            backend=backend,
            format=None if backend == "none" else own.format or settings.format,
            servicex=job,
        ),
        reason,
    )


def needs_endpoint(settings: DeliverySettings) -> bool:
    """Whether some dataset may be delivered by ServiceX."""
    choices = {settings.backend, *(own.backend for own in settings.datasets.values())}
    return bool(choices & {"auto", "servicex"})


def _servicex(
    dataset: DatasetFiles,
    settings: ServiceXSettings,
    endpoint: Endpoint | None,
    *,
    here: bool,
    counts: bool,
) -> ServiceXJob:
    if endpoint is None:
        raise ConfigurationError(
            "the backend is servicex, and its client is not configured",
            place="delivery.backend",
            remedy="put the servicex.yaml of your service into this folder, one above it or your "
            "home folder, or choose the backend local",
        )
    if here:
        raise ConfigurationError(
            f"ServiceX cannot read files of this machine: {dataset.files[0].source}",
            place=f"delivery of {dataset.name}",
            remedy="choose the backend local for this dataset in `delivery.datasets`, or auto",
        )
    unknown = [file.source for file in dataset.files if file.n_events is None]
    if unknown and not counts:
        raise ConfigurationError(
            f"ServiceX cannot tell in Parquet how many events a file has: {unknown[0]}",
            place=f"delivery of {dataset.name}",
            remedy="give the number of events of each file in the list of inputs, or choose "
            "another `delivery.format`",
        )
    return ServiceXJob(**settings.model_dump() | {"endpoint": endpoint.name, "url": endpoint.url})
