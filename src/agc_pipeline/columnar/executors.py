"""coffea's executors, chosen by configuration.

Their own retries are off: they hide what failed, and the workflow retries whole jobs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

from coffea import processor
from loky import ProcessPoolExecutor

from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.declaration.folder import Archive


@contextmanager
def executor(
    settings: HistogramSettings, performance: Path, analysis: Archive | None = None
) -> Iterator[processor.executor.ExecutorBase]:
    """Give the executor that the settings name, with its workers or its connection.

    Args:
        settings: of the stage.
        performance: where Dask's performance report goes.
        analysis: its files, for Dask's workers on other machines; None for an analysis of this
            package.

    Raises:
        ServiceError: if the Dask cluster does not answer in time, or breaks down.
    """
    match settings.executor:
        case "iterative":
            yield processor.IterativeExecutor(status=False, retries=0)
        case "futures":
            # Given as a class it would be started anew for headers and for events.
            with ProcessPoolExecutor(max_workers=settings.workers) as pool:
                yield processor.FuturesExecutor(pool=pool, status=False, retries=0)
        case "dask":
            # Importing distributed takes longer than everything else in the stage.
            from agc_pipeline.columnar import dask_clusters  # noqa: PLC0415

            report = performance if settings.dask.performance_report else None
            shared = performance.parent
            with dask_clusters.client(settings, report, analysis, shared=shared) as connected:
                yield processor.DaskExecutor(client=connected, status=False, retries=0)
        case _:
            assert_never(settings.executor)
