"""Dask clusters for the histogram stage: their start, their workers' code, and their failures."""

import logging
import shlex
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import dask
from aiohttp import ClientError
from distributed import Client, KilledWorker, LocalCluster, Security, performance_report
from distributed.comm import CommClosedError

from agc_pipeline.columnar.settings import (
    BatchDask,
    GatewayDask,
    HistogramSettings,
    LocalDask,
    SchedulerDask,
)
from agc_pipeline.declaration.folder import Archive, packed
from agc_pipeline.errors import ServiceError
from agc_pipeline.files import atomic_path, write_text

PLACE = "histograms.dask"
# Histograms are small: what fills a worker's memory is work, which neither waiting nor the disk
# makes smaller. The worker dies, and after a few of them the run, instead of waiting for ever.
# Looking at the stack every 10 ms, as is usual, costs a twelfth of the CPU time.
WORKERS: dict[str, bool | str] = {
    **{f"distributed.worker.memory.{part}": False for part in ("target", "spill", "pause")},
    "distributed.worker.profile.interval": "100ms",
}
# Web pages are for everyone who reaches their port: ours have none, and no port but the loopback's.
_NO_PAGES: dict[str, list[str]] = {
    f"distributed.{kind}.http.routes": [] for kind in ("scheduler", "worker")
}
_LOOPBACK = "127.0.0.1:0"

# Kept to the end of the process: dask-gateway 2026.3 fails when it deletes one that was closed.
_GATEWAYS: list[Any] = []


@contextmanager
def client(
    settings: HistogramSettings, report: Path | None, analysis: Archive | None, *, shared: Path
) -> Iterator[Client]:
    """Connect to the cluster that the settings name, or start it; it has at least one worker.

    A cluster that is started here speaks only to processes that have its certificate: whoever
    reaches a scheduler or a worker of Dask can have it run any code.

    Args:
        settings: of the stage.
        shared: folder that jobs on other machines see, for the certificate of this cluster.
        analysis: its files, for workers on other machines; None for an analysis of this package.
        report: where the performance report of what is done inside goes; None for none.

    Raises:
        ServiceError: if there is no scheduler or no worker in time, a worker dies again and again,
            or the scheduler is lost.
    """
    # It tells of every worker that comes and goes.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(WORKERS | _NO_PAGES))
        connected = _connected(settings, stack, shared)
        if not isinstance(settings.dask, LocalDask):
            _send(connected, analysis, to_scheduler=not isinstance(settings.dask, BatchDask))
        limit = settings.dask.limit if isinstance(settings.dask, SchedulerDask) else None
        try:
            connected.wait_for_workers(limit or 1, timeout=settings.dask.timeout)
        except TimeoutError as error:
            there = len(connected.scheduler_info()["workers"])
            few = f"{there} of {limit} Dask workers" if there else "no Dask worker"
            raise ServiceError(
                f"{few} within {settings.dask.timeout:g} s",
                place=PLACE,
                remedy="look at the workers' logs, ask for less memory or time for each of them, "
                "or wait longer with `histograms.dask.timeout`",
            ) from error
        if limit is not None:
            use_only(connected, limit)
        try:
            if report is None:
                yield connected
            else:
                with atomic_path(report) as unfinished:
                    measured = performance_report(filename=str(unfinished))
                    measured.__enter__()
                    yield connected
                    # Only if all is well: it asks the scheduler.
                    measured.__exit__(None, None, None)
        except Exception as error:
            # coffea wraps what happens in a bare Exception: find Dask's inside.
            raise _explained(error) from error


def _connected(settings: HistogramSettings, stack: ExitStack, shared: Path) -> Client:
    """A client of the cluster; both end with the stack."""
    match settings.dask:
        case SchedulerDask():
            return stack.enter_context(_scheduler(settings.dask))
        case LocalDask():
            cluster: Any = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                memory_limit=settings.dask.memory_limit,
                security=Security.temporary(),
                # With None it takes the default port, and warns if another job has it.
                dashboard_address=_LOOPBACK,
                scheduler_kwargs={"dashboard": False},
            )
        case BatchDask():
            shared.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(prefix=".tls-", dir=shared)
            cluster = batch_cluster(settings.dask, stack.enter_context(folder))
        case GatewayDask():
            cluster = _gateway(settings.dask)
        case _:
            assert_never(settings.dask)
    stack.enter_context(cluster)
    if settings.dask.adaptive:
        cluster.adapt(minimum=1, maximum=settings.workers)
    else:
        cluster.scale(settings.workers)
    return stack.enter_context(Client(cluster))


def use_only(connected: Client, number: int) -> None:
    """Let so many workers get all work from this client.

    Raises:
        ServiceError: if one of them does more than one task at a time: nobody could say which of
            them took the time of the process.
    """
    workers = connected.scheduler_info()["workers"]
    addresses = sorted(workers)[:number]
    for address in addresses:
        threads = workers[address]["nthreads"]
        if threads > 1:
            raise ServiceError(
                f"the Dask worker {address} runs {threads} tasks at a time, not one",
                place=PLACE,
                remedy="start the workers with `--nthreads 1`, and more of them (`--nworkers`)",
            )
    connected.map = partial(connected.map, workers=addresses)
    connected.submit = partial(connected.submit, workers=addresses)


def _scheduler(settings: SchedulerDask) -> Client:
    try:
        security = None
        if settings.tls is not None:
            security = Security(
                require_encryption=True,
                tls_ca_file=settings.tls.ca_file,
                tls_client_cert=settings.tls.cert,
                tls_client_key=settings.tls.key,
            )
        return Client(settings.address, timeout=settings.timeout, security=security)
    except (OSError, ValueError, TypeError) as error:
        raise ServiceError(
            f"the Dask scheduler {settings.address!r} does not answer: {error}",
            place=f"{PLACE}.address",
            remedy="start the scheduler, correct the address or the files for TLS, or use a "
            "cluster on this machine with `histograms.dask.cluster: local`",
        ) from error


def batch_cluster(settings: BatchDask, folder: str) -> Any:
    """A cluster of jobs.

    Args:
        settings: of the jobs.
        folder: only for this user, for the key with which jobs are known to belong to the cluster.
    """
    from dask_jobqueue import HTCondorCluster, SLURMCluster  # noqa: PLC0415

    common = {
        "cores": 1,
        "processes": 1,
        "memory": settings.memory,
        "interface": settings.interface,
        "security": _security_in_files(Path(folder).absolute()),
        "job_script_prologue": [*map(_exported, WORKERS | _NO_PAGES), *settings.prologue],
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", _LOOPBACK],
        "scheduler_options": {"dashboard_address": _LOOPBACK, "dashboard": False},
    }
    match settings.cluster:
        case "slurm":
            return SLURMCluster(
                **common, walltime=settings.walltime, job_extra_directives=list(settings.extra)
            )
        case "htcondor":
            lines = [line.partition("=") for line in settings.extra]
            extra = {key.strip(): value.strip() for key, _, value in lines}
            return HTCondorCluster(
                **common, disk=settings.disk, job_extra_directives={"getenv": "True", **extra}
            )
        case _:
            assert_never(settings.cluster)


def _security_in_files(folder: Path) -> Security:
    """A certificate that only this cluster has, in files for its jobs, which its user can read."""
    temporary = Security.temporary()
    files = {}
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        path = folder / f"{name}.pem"
        write_text(path, getattr(temporary, name), private=True)
        files[name] = str(path)
    roles = {
        f"tls_{role}_{part}": files[f"tls_worker_{part}"]
        for role in ("client", "scheduler")
        for part in ("cert", "key")
    }
    return Security(require_encryption=True, **files, **roles)


def _exported(key: str) -> str:
    """Shell command by which a worker's process takes over one of our settings of Dask."""
    value = shlex.quote(str((WORKERS | _NO_PAGES)[key]))
    return f"export DASK_{key.replace('.', '__').upper()}={value}"


def _gateway(settings: GatewayDask) -> Any:
    from dask_gateway import Gateway, GatewayClusterError, GatewayServerError  # noqa: PLC0415

    try:
        gateway = Gateway(address=settings.address)
        _GATEWAYS.append(gateway)
        # The cluster closes it, too.
        return gateway.new_cluster(**settings.options)
    except (OSError, ValueError, ClientError, GatewayClusterError, GatewayServerError) as error:
        raise ServiceError(
            f"no cluster from the Dask Gateway: {error}",
            place=PLACE,
            remedy="correct `histograms.dask.address` and `options`, or ask who runs the gateway",
        ) from error


def _send(connected: Client, analysis: Archive | None, *, to_scheduler: bool) -> None:
    """Give this package and the analysis, as they are here, to scheduler and workers.

    Workers that come later get them, too.

    Args:
        connected: to the cluster.
        analysis: its files.
        to_scheduler: whether the scheduler is another process, which may have another state of
            this package loaded.
    """
    source = Path(__file__).parents[1]
    code = {
        path.relative_to(source.parent).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*.py"))
    }
    package = packed(source.name, code)
    with tempfile.TemporaryDirectory() as folder:
        for archive in (package, analysis):
            if archive is not None:
                path = Path(folder) / archive.name
                path.write_bytes(archive.content)
                connected.upload_file(str(path), load=archive is package)

    root = source.name

    # Another state of this package may be loaded there: these functions are sent by value.
    def use(folder: str) -> None:
        archive = str(Path(folder) / package.name)
        others = [entry for entry in sys.path if not Path(entry).name.startswith(f"{root}_")]
        sys.path[:] = [archive, *others]
        for name, module in list(sys.modules.items()):
            file = str(getattr(module, "__file__", None))
            if f"{name}.".startswith(f"{root}.") and not file.startswith(archive):
                del sys.modules[name]

    def on_worker(dask_worker: Any) -> None:
        use(dask_worker.local_directory)

    def on_scheduler(dask_scheduler: Any) -> None:
        use(dask_scheduler.local_directory)

    connected.run(on_worker)
    if to_scheduler:
        connected.run_on_scheduler(on_scheduler)


def _explained(error: Exception) -> Exception:
    """The error to raise: one that says what happened to the cluster, or the same."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KilledWorker):
            return ServiceError(
                f"Dask workers died again and again: {cause}",
                place=PLACE,
                remedy="they are mostly killed for their memory: give each of them more, or make "
                "`histograms.chunk_size` smaller",
            )
        if isinstance(cause, CommClosedError | CancelledError):
            return ServiceError(
                f"the Dask scheduler was lost: {cause}",
                place=PLACE,
                remedy="start it anew and run again: finished jobs are kept",
            )
        cause = cause.__cause__ or cause.__context__
    return error
