"""What processes cost, for ``histograms.py``: two at once, a Dask worker, and the memory of one."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

from agc_pipeline.columnar import runner
from agc_pipeline.columnar.executors import Executor, InThisProcess, executor
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.measuring import process
from agc_pipeline.readers.chunks import Chunk

# How often a process goes through the chunks for one measurement, and measurements, of which the
# best counts.
ROUNDS = 4
REPEAT = 5

_SPAWN = get_context("spawn")


def two_over_one(task: Callable[[Chunk], Any], chunks: Sequence[Chunk]) -> float:
    """Speed of two processes over that of one, in wall time of the same chunks.

    It needs two cores that nothing else uses. Processes are started, and code is loaded, before.
    """
    repeated = [*chunks] * ROUNDS
    best: dict[int, float] = {}
    with ExitStack() as pools:
        started = {n: pools.enter_context(_ready(n, task, chunks[0])) for n in (1, 2)}
        for _ in range(REPEAT):
            for n, pool in started.items():
                start = time.perf_counter()
                list(pool.map(task, repeated))
                seconds = time.perf_counter() - start
                best[n] = min(best.get(n, seconds), seconds)
    return best[1] / best[2]


def _ready(n: int, task: Callable[[Chunk], Any], chunk: Chunk) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(
        n, mp_context=_SPAWN, initializer=_first, initargs=(task, chunk, _SPAWN.Barrier(n))
    )
    # Processes start when there is work for them; none gets any before all are ready.
    list(pool.map(abs, range(n)))
    return pool


def _first(task: Callable[[Chunk], Any], chunk: Chunk, ready: Any) -> None:
    task(chunk)
    ready.wait()


def dask_over_process(
    run: Callable[[Executor], Any],
    task: Callable[[Chunk], Any],
    chunks: Sequence[Chunk],
    settings: HistogramSettings,
    folder: Path,
) -> float:
    """CPU time of a Dask worker, with all that it does, over that of a process for the same chunks.

    Args:
        run: the histogram stage with an executor, on files that are split into these chunks.
        task: what it does with each chunk.
        chunks: of the files.
        settings: of the stage; the cluster is a local one.
        folder: for Dask's report.
    """
    one_worker = settings.model_copy(update={"executor": "dask", "workers": 1})
    best: dict[str, float] = {}
    with executor(one_worker, folder / "dask.html") as pool:

        def in_worker() -> float:
            # The protocol of executors does not know what coffea's have.
            (seconds,) = cast(Any, pool).client.run(time.process_time).values()
            return float(seconds)

        run(pool)
        for _ in range(REPEAT):
            start = time.process_time()
            for chunk in chunks:
                task(chunk)
            spent = {"process": time.process_time() - start}
            start = in_worker()
            run(pool)
            spent["dask"] = in_worker() - start
            best = {name: min(best.get(name, new), new) for name, new in spent.items()}
    return best["dask"] / best["process"]


def peak_mb(files: Sequence[Delivered], specification: runner.Specification) -> float:
    """Most memory, in MB, that a process held that did nothing but this."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN) as pool:
        return pool.submit(_peak_mb, files, specification).result()


def _peak_mb(files: Sequence[Delivered], specification: runner.Specification) -> float:
    runner.run(files, specification, InThisProcess(), allow_partial=False)
    return process.peak_mb()
