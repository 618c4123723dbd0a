"""The ``histograms:`` part of the configuration."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, field_validator

from agc_pipeline.settings import AtMost, ChunkSize, Seconds, Sensitive, Settings, Tls

# Of one job.
MOST_WORKERS = 4096
_Processes = Annotated[PositiveInt, AtMost(MOST_WORKERS, "one scheduler does not serve more")]
# As Dask reads them: it takes long to import, and is an optional package.
_NUMBER = r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)"
_PLAIN = re.compile(_NUMBER, re.IGNORECASE)
_BYTES = re.compile(rf"{_NUMBER} *([kmgtp]i?b?|b)", re.IGNORECASE)
_ADDRESS = re.compile(
    r"((tcp|tls|ws|wss|ucx)://)?([^/:@\[\]\s]+|\[[0-9a-f:.]+\]):([0-9]{1,5})", re.I
)
# Minutes, or hours, minutes and seconds, after days or not.
_WALLTIME = re.compile(r"([0-9]+-)?[0-9]+(:[0-9]{1,2}){0,2}")
_PORTS = 65535


def _bytes(value: str) -> str:
    match = _BYTES.fullmatch(value)
    if match is None or not float(match[1]):
        raise ValueError("it is a number of bytes with its unit, such as 2 GB or 500 MiB")
    return value


def _limit(value: str) -> str:
    # Dask takes a number of at most one for a share of the machine's memory, and 0 for no limit.
    return value if value == "auto" or _PLAIN.fullmatch(value) else _bytes(value)


def _address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match[4]) <= _PORTS:
        raise ValueError("it is tcp://HOST:PORT or tls://HOST:PORT, such as tcp://10.0.0.1:8786")
    return value


def _walltime(value: str) -> str:
    if not _WALLTIME.fullmatch(value):
        raise ValueError("it is hours:minutes:seconds, such as 04:00:00")
    return value


# A size that a job asks for.
Bytes = Annotated[str, AfterValidator(_bytes)]


class _Dask(Settings):
    """What all ways to Dask have in common.

    Attributes:
        timeout: seconds to wait for the scheduler, and then for the first worker.
        adaptive: have as many workers as there is work for, ``workers`` at most.
        performance_report: keep Dask's report of each job; its scheduler needs bokeh.
    """

    timeout: Seconds = 60
    adaptive: bool = False
    performance_report: bool = True


class LocalDask(_Dask):
    """Workers on the machine of the job.

    Attributes:
        memory_limit: of each worker, for example "2 GB"; "auto" shares out the machine's.
    """

    cluster: Literal["local"]
    memory_limit: Annotated[str, AfterValidator(_limit)] = "auto"


class SchedulerDask(_Dask):
    """A scheduler that runs already, with its workers.

    Attributes:
        address: for example ``tcp://10.0.0.1:8786`` or ``tls://localhost:8786``.
        tls: files for an address with ``tls://``, all three; None takes what Dask is configured
            for.
        limit: how many of its workers to use, of one thread each; they must be there within
            ``timeout``. None uses all.
        adaptive: not for us to say here: must be false.
    """

    cluster: Literal["scheduler"]
    address: Annotated[str, AfterValidator(_address)]
    tls: Tls | None = None
    limit: _Processes | None = None
    adaptive: Literal[False] = False

    @field_validator("tls")
    @classmethod
    def _complete(cls, value: Tls | None) -> Tls | None:
        if value is not None and (value.ca_file is None or value.cert is None):
            raise ValueError("Dask needs `ca_file`, `cert` and `key`")
        return value


class BatchDask(_Dask):
    """Workers as jobs of a batch system, with a shared file system.

    Attributes:
        memory: of each worker.
        disk: of each worker; HTCondor only.
        walltime: of each worker, ``hours:minutes:seconds``; Slurm only.
        interface: network interface by which workers reach the scheduler, for example "eth0";
            None lets Dask choose.
        extra: what else a job's description has: lines for Slurm (``--partition=long``), and keys
            with their values for HTCondor (``+JobFlavour = "longlunch"``).
        prologue: commands before each worker.
    """

    cluster: Literal["slurm", "htcondor"]
    memory: Bytes = "2 GB"
    disk: Bytes = "1 GB"
    walltime: Annotated[str, AfterValidator(_walltime)] = "04:00:00"
    interface: str | None = None
    extra: Sensitive[tuple[str, ...]] = ()
    prologue: Sensitive[tuple[str, ...]] = ()


class GatewayDask(_Dask):
    """A new cluster of a Dask Gateway.

    Attributes:
        address: of the gateway; None takes the one that Dask is configured for.
        options: of the cluster, as the gateway names them.
    """

    cluster: Literal["gateway"]
    address: str | None = None
    options: Sensitive[dict[str, Any]] = Field(default_factory=dict)


DaskSettings = Annotated[
    LocalDask | SchedulerDask | BatchDask | GatewayDask, Field(discriminator="cluster")
]


class HistogramSettings(Settings):
    """How the histogram stage runs; none of these changes a bin.

    Attributes:
        executor: coffea's executor: "iterative" (one process), "futures" (processes on this
            machine) or "dask".
        workers: processes of a job, for "futures" and "dask".
        dask: where the workers of "dask" are.
        reader: "auto" reads single baskets, or ranges of events, where the analysis takes columns;
            "coffea" always makes coffea's NanoEvents.
        chunk_size: most events that are processed at a time.
        chunk_bytes: most bytes of columns, decompressed, that are processed at a time.
        trace: keep, for each job, what each of its tasks took: ``traces/DATASET/BATCH.json``.
    """

    executor: Literal["iterative", "futures", "dask"]
    workers: _Processes
    dask: DaskSettings
    reader: Literal["auto", "coffea"]
    chunk_size: ChunkSize
    chunk_bytes: Annotated[PositiveInt, AtMost(1e12, "no node has as much memory")]
    trace: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether the work is done by a Dask cluster that a job only connects to."""
        return self.executor == "dask" and not isinstance(self.dask, LocalDask)

    @property
    def threads(self) -> int:
        """Cores that a job uses on its machine."""
        return 1 if self.executor == "iterative" or self.elsewhere else self.workers
