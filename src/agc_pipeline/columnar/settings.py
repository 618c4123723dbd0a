"""The ``histograms:`` part of the configuration."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from agc_pipeline.settings import Settings


class HistogramSettings(Settings):
    """How the histogram stage runs; none of these changes a bin.

    Attributes:
        executor: coffea's executor: "iterative" (one process), "futures" (processes on this
            machine) or "dask".
        workers: processes of a job, for "futures" and for Dask's local cluster.
        scheduler: address of a running Dask scheduler; None starts a local cluster.
        scheduler_timeout: seconds to wait for the scheduler to answer.
        chunk_size: events that are processed at a time.
    """

    executor: Literal["iterative", "futures", "dask"]
    workers: PositiveInt
    scheduler: str | None
    scheduler_timeout: PositiveFloat
    chunk_size: PositiveInt

    @property
    def threads(self) -> int:
        """Cores that a job uses on its machine."""
        return 1 if self.executor == "iterative" else self.workers
