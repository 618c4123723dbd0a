"""What limits, with workers and servers that are slow on purpose."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coffea.processor import FuturesExecutor
from loky import ProcessPoolExecutor

import toy
from agc_pipeline.columnar import runner, traces
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.facility import limits, measures, point
from agc_pipeline.facility.records import PointRecord
from agc_pipeline.readers.settings import NetworkSettings
from conftest import read_config
from oracle.strategies import write_nanoaod
from processed import processing
from servers.counting import CountingProxy
from servers.web import WebThread

N_FILES, N_EVENTS = 2, 2000
NETWORK = NetworkSettings.model_validate(read_config()["delivery"]["network"] | {"backoff": 0.01})
Take = Callable[..., PointRecord]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{number}.root" for number in range(N_FILES)]
    for number, path in enumerate(paths, 1):
        write_nanoaod(path, toy.events(N_EVENTS, seed=number), events_per_piece=500)
    return paths


@pytest.fixture(scope="module")
def take(files: list[Path]) -> Iterator[Take]:
    """Takes points with workers that run already."""
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(2) as two:

        def taken(
            addresses: list[str], workers: int, chunk_size: int = 500, mirrors: tuple[str, ...] = ()
        ) -> PointRecord:
            pool = FuturesExecutor(pool={1: one, 2: two}[workers], status=False, retries=0)
            specification = runner.Specification(
                processing(),
                reader="auto",
                chunk_size=chunk_size,
                chunk_bytes=10**9,
                cache=None,
                network=NETWORK,
                traced=True,
            )
            delivered = [
                entry(
                    InputFile(urls=(address, *mirrors)),
                    before=N_EVENTS,
                    after=N_EVENTS,
                    path=address,
                    size=None,
                ).model_copy(update={"mirrors": mirrors})
                for address in addresses
            ]
            launched = time.time()
            result = runner.run(delivered, specification, pool, allow_partial=False)
            job = traces.of_job("ttbar__nominal", "futures", workers, result.tasks)
            return PointRecord(
                name=f"{workers}",
                site="here",
                executor="processes",
                input="local",
                mode="strong",
                workers=workers,
                repeat=0,
                split=False,
                kind="work",
                datasets=("ttbar__nominal",),
                n_files=len(addresses),
                input_events=N_EVENTS * len(addresses),
                launched=launched,
                stopped=job.stopped,
                elsewhere="workers",
                machine=point.machine(),
                jobs=(job.model_copy(update={"launched": launched}),),
                attempts=1,
                log="",
            )

        # Code is loaded and compiled.
        with WebThread(files[0].parent) as server:
            for workers in (1, 2):
                taken([str(path) for path in files], workers, 100)
                taken([server.url(path.name) for path in files], workers, 1000)
        yield taken


@contextmanager
def stopped_most_of_the_time(process: int) -> Iterator[None]:
    """A process that gets a quarter of its core, as on a node that others use."""
    done = threading.Event()

    def share() -> None:
        while not done.is_set():
            os.kill(process, signal.SIGSTOP)
            done.wait(0.03)
            os.kill(process, signal.SIGCONT)
            done.wait(0.01)

    thread = threading.Thread(target=share)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        os.kill(process, signal.SIGCONT)


def test_a_slow_worker(take: Take, files: list[Path]) -> None:
    addresses = [str(path) for path in files]
    usual = take(addresses, 2, 100)
    slow, _ = sorted({task.process for task in measures.tasks_of([usual])})
    with stopped_most_of_the_time(slow):
        # So often that chance is no explanation, however the chunks were shared out.
        points = [take(addresses, 2, 50) for _ in range(2)]
    found = limits.verdict(points, None)
    (worker,) = [item for item in found.slow if item.kind == "worker"]
    assert worker.name == f"{points[0].machine.host}:{slow}"
    assert worker.ratio > 1.5
    assert worker.chance < 0.01
    assert found.lasting == "worker"
    assert f"The worker {worker.name} is " in found.text


@pytest.mark.parametrize(
    ("door", "expected"), [({"delay": 0.06}, "latency"), ({"rate": 6e5}, "rate")]
)
def test_a_slow_door(take: Take, files: list[Path], door: dict[str, float], expected: str) -> None:
    with WebThread(files[0].parent) as server, CountingProxy(server.port, **door) as proxy:
        place = f"http://127.0.0.1:{proxy.port}"
        addresses = [f"{place}/{path.name}" for path in files]
        points = [take(addresses, workers, N_EVENTS) for workers in (1, 2)]
        print([p.wall for p in points], proxy.sent)
        found = limits.verdict(points, None)
        assert found.lasting == "data"
        assert found.data == expected
        assert f"aiting for data from the network ({place})" in found.text
        (facts,) = measures.grouped(measures.tasks_of(points), measures.door)
        assert (facts.name, facts.events) == (place, 2 * N_FILES * N_EVENTS)
        assert facts.waiting_seconds > facts.seconds / 2


def test_the_mirror_that_gave_a_file_and_attempts_before(take: Take, files: list[Path]) -> None:
    with WebThread(files[0].parent) as server:
        name = files[0].name
        good = server.url(name)
        record = take([server.url(f"secret/{name}")], 1, mirrors=(good,))
    assert {task.url for task in measures.tasks_of([record])} == {good}
    found = measures.of(record)
    assert found.failed_attempts == len(measures.tasks_of([record])) == 1 + N_EVENTS // 500
    for task in measures.tasks_of([record]):
        assert 0 < task.failed.wall < task.seconds.wall
        # It has a part of its own, so that the others are those of the attempt that gave the file.
        assert measures.parts_of(task)["retry"] == task.failed.wall
        assert sum(measures.parts_of(task).values()) == pytest.approx(task.seconds.wall)
