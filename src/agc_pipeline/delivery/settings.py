"""The ``delivery:`` part of the configuration."""

from typing import Literal

from agc_pipeline.readers.settings import Format, NetworkSettings, ReadingSettings
from agc_pipeline.settings import Attempts, ChunkSize, Seconds, Settings

Backend = Literal["local", "servicex", "none"]
BackendChoice = Literal["auto", "local", "servicex", "none"]


class ServiceXSettings(Settings):
    """What is asked of ServiceX, and how long to wait for it.

    Attributes:
        endpoint: name of the service in the client's configuration file; None is its default.
        codegen: code generator of the service.
        transport: "LocalCache" downloads the skims, "URLs" leaves them in the object store and
            has the histogram stage read them there.
        timeout: seconds that one request may take, from submission to the last file.
        attempts: requests in total, each for the files that are still missing.
        late_runs: runs in which one request may exceed ``timeout``; the next one gives it up, and
            makes another for the files that are still missing.
    """

    endpoint: str | None
    codegen: str
    transport: Literal["LocalCache", "URLs"]
    timeout: Seconds
    attempts: Attempts
    late_runs: Attempts = 3


class DatasetDelivery(Settings):
    """What is different for one dataset.

    Attributes:
        backend: as ``delivery.backend``; None is as for the others.
        format: as ``delivery.format``; None is as for the others.
    """

    backend: BackendChoice | None = None
    format: Format | None = None


class DeliverySettings(Settings):
    """How events get from the input files to the histogram stage.

    Attributes:
        backend: "local" writes skims with uproot, "servicex" asks ServiceX for them, "none" reads
            the input files directly; "auto" is ServiceX where its client is configured and the
            files are not on this machine, else local.
        format: what the skims are written as.
        chunk_size: events that are read at a time.
        network: for the backends "local" and "none".
        servicex: for the backend "servicex".
        datasets: dataset to what is different for it.
    """

    backend: BackendChoice
    format: Format
    chunk_size: ChunkSize
    network: NetworkSettings
    servicex: ServiceXSettings
    datasets: dict[str, DatasetDelivery]

    @property
    def reading(self) -> ReadingSettings:
        """The part that changes nothing of what is delivered."""
        return ReadingSettings(chunk_size=self.chunk_size, network=self.network)

    def backend_of(self, dataset: str) -> BackendChoice:
        """The backend that is asked for, for a dataset."""
        own = self.datasets.get(dataset)
        return own.backend if own is not None and own.backend is not None else self.backend
