"""What processes cost, for ``histograms.py``: two at once, a Dask worker, and the memory of one."""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from coffea.processor import IterativeExecutor

from agc_pipeline.columnar import runner
from agc_pipeline.columnar.executors import executor
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.readers.chunks import Chunk

# How often a process goes through the pieces for one measurement, and measurements, of which the
# best counts.
ROUNDS = 4
REPEAT = 5

_SPAWN = get_context("spawn")


def two_over_one(task: Callable[[Chunk], Any], pieces: Sequence[Chunk]) -> float:
    """Speed of two processes over that of one, in wall time of the same pieces.

    It needs two cores that nothing else uses. Processes are started, and code is loaded, before.
    """
    work = [*pieces] * ROUNDS
    best: dict[int, float] = {}
    with ExitStack() as pools:
        started = {n: pools.enter_context(_ready(n, task, pieces[0])) for n in (1, 2)}
        for _ in range(REPEAT):
            for n, pool in started.items():
                start = time.perf_counter()
                list(pool.map(task, work))
                seconds = time.perf_counter() - start
                best[n] = min(best.get(n, seconds), seconds)
    return best[1] / best[2]


def _ready(n: int, task: Callable[[Chunk], Any], piece: Chunk) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(
        n, mp_context=_SPAWN, initializer=_first, initargs=(task, piece, _SPAWN.Barrier(n))
    )
    # Processes start when there is work for them; none gets any before all are ready.
    list(pool.map(abs, range(n)))
    return pool


def _first(task: Callable[[Chunk], Any], piece: Chunk, ready: Any) -> None:
    task(piece)
    ready.wait()


def dask_over_process(
    run: Callable[[Any], Any],
    task: Callable[[Chunk], Any],
    pieces: Sequence[Chunk],
    settings: HistogramSettings,
    folder: Path,
) -> float:
    """CPU time of a Dask worker, with all that it does, over that of a process for the same pieces.

    Args:
        run: the histogram stage with an executor, on files that make these pieces.
        task: what it does with each piece.
        pieces: of the files.
        settings: of the stage; the cluster is a local one.
        folder: for Dask's report.
    """
    chosen = settings.model_copy(update={"executor": "dask", "workers": 1})
    best: dict[str, float] = {}
    with executor(chosen, folder / "dask.html") as made:

        def in_worker() -> float:
            (seconds,) = made.client.run(time.process_time).values()
            return float(seconds)

        run(made)
        for _ in range(REPEAT):
            start = time.process_time()
            for piece in pieces:
                task(piece)
            spent = {"process": time.process_time() - start}
            start = in_worker()
            run(made)
            spent["dask"] = in_worker() - start
            best = {name: min(best.get(name, new), new) for name, new in spent.items()}
    return best["dask"] / best["process"]


def peak_mb(files: Sequence[Delivered], work: runner.Work) -> float:
    """Most memory, in MB, that a process held that did nothing but this work."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN) as pool:
        return pool.submit(_peak_mb, files, work).result()


def _peak_mb(files: Sequence[Delivered], work: runner.Work) -> float:
    runner.run(files, work, IterativeExecutor(status=False, retries=0), allow_partial=False)
    # The figure of getrusage begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kilobytes) * 1024 / 1e6
