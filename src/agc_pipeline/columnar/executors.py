"""coffea's executors, chosen by configuration.

Their own retries are off: they hide what failed, and the workflow retries whole jobs.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from coffea import processor

from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.errors import ServiceError


@contextmanager
def executor(settings: HistogramSettings) -> Iterator[processor.executor.ExecutorBase]:
    """Give the executor that the settings name, with its workers or its connection.

    Raises:
        ServiceError: if the Dask scheduler does not answer in time.
    """
    match settings.executor:
        case "iterative":
            yield processor.IterativeExecutor(status=False, retries=0)
        case "futures":
            yield processor.FuturesExecutor(workers=settings.workers, status=False, retries=0)
        case "dask":
            with _dask(settings) as made:
                yield made
        case _:
            assert_never(settings.executor)


@contextmanager
def _dask(settings: HistogramSettings) -> Iterator[processor.DaskExecutor]:
    # Importing distributed takes longer than everything else in the stage.
    from distributed import Client, LocalCluster  # noqa: PLC0415

    # It tells of every worker that comes and goes.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    if settings.scheduler is None:
        with (
            LocalCluster(
                n_workers=settings.workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            yield processor.DaskExecutor(client=client, status=False)
        return
    try:
        client = Client(settings.scheduler, timeout=settings.scheduler_timeout)
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"the Dask scheduler {settings.scheduler!r} does not answer: {error}",
            place="histograms.scheduler",
            remedy="start the scheduler, correct the address, or set `histograms.scheduler: null` "
            "for a cluster on this machine",
        ) from error
    with client:
        yield processor.DaskExecutor(client=client, status=False)
