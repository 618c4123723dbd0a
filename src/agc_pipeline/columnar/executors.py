"""This process or coffea's executors, chosen by configuration.

Their own retries are off: they hide what failed, and the workflow retries whole jobs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, Protocol, assert_never

from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.declaration.folder import Archive

Output = dict[str, Any]


class Executor(Protocol):
    """What coffea's executors are, for those who use them."""

    def __call__(
        self, items: Iterable[Any], function: Callable[[Any], Output], accumulator: None
    ) -> tuple[Output, Any]:
        """The sum of what a function gives for all items, and something else."""
        ...


class InThisProcess:
    """An executor without workers.

    coffea's takes longer to import than a small file to process, and shows its progress.
    """

    def __call__(
        self,
        items: Iterable[Any],
        function: Callable[[Any], Output],
        accumulator: None = None,  # noqa: ARG002 - as coffea calls executors
    ) -> tuple[Output, int]:
        """The sum of what a function gives for all items, of which there are some."""
        return reduce(added, map(function, items)), 0


def added(one: Any, other: Any) -> Any:
    """Outputs together: mappings by key, all else as its type says."""
    if not isinstance(one, Mapping):
        return one + other
    together = {
        key: added(value, other[key]) if key in other else value for key, value in one.items()
    }
    return together | {key: value for key, value in other.items() if key not in one}


@contextmanager
def executor(
    settings: HistogramSettings, performance: Path, analysis: Archive | None = None
) -> Iterator[Executor]:
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
            yield InThisProcess()
        case "futures":
            from coffea.processor import FuturesExecutor  # noqa: PLC0415 - takes long
            from loky import ProcessPoolExecutor  # noqa: PLC0415

            # Given as a class it would be started anew for headers and for events.
            with ProcessPoolExecutor(max_workers=settings.workers) as pool:
                yield FuturesExecutor(pool=pool, status=False, retries=0)
        case "dask":
            # Importing distributed takes longer than everything else in the stage.
            from coffea.processor import DaskExecutor  # noqa: PLC0415

            from agc_pipeline.columnar import dask_clusters  # noqa: PLC0415

            report = performance if settings.dask.performance_report else None
            shared = performance.parent
            with dask_clusters.client(settings, report, analysis, shared=shared) as connected:
                yield DaskExecutor(client=connected, status=False, retries=0)
        case _:
            assert_never(settings.executor)
