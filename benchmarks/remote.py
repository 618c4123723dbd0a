"""Wall time of a skim from a web server far away, against the same file on this machine.

    python benchmarks/remote.py [FILE] [--events 1200000] [--round-trips 0.05 0.4] [--repeat 3]
        [--parallel 96]

Without a file it makes one of ttbar (``agc_pipeline.facility.sample``). A server in a process of
its own gives ranges of it; a proxy in front of it holds back all that goes either way for half of a
round trip, and each new connection for one more. Bandwidth is not limited, but for what the proxy
can pass on. Both ways alternate; the best of each is kept.
The bytes that the server sends are told over those of the baskets that are needed.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from agc_pipeline import analyses
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.delivery.preselected import SkimContent, open_input
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.facility import sample
from agc_pipeline.readers.opening import needed_bytes
from agc_pipeline.readers.settings import NETWORK, NetworkSettings

CONFIG = Path(__file__).resolve().parent.parent / "config"
ANALYSIS = "cms_ttbar"
# Bytes that the proxy passes on at a time.
_PIECE = 2**20


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, call: Coroutine[Any, Any, int]) -> int:
        """The port on which a coroutine lets something listen."""
        return asyncio.run_coroutine_threadsafe(call, self.loop).result()


async def serve(folder: Path) -> int:
    """Serve a folder; gives the port."""
    application = web.Application()
    application.router.add_static("/", folder)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


class FarAway:
    """A proxy in front of a port of this machine.

    Args:
        port: of the server.
        round_trip: in seconds.

    Attributes:
        sent: bytes that the server sent.
    """

    def __init__(self, port: int, round_trip: float) -> None:
        self._port = port
        self._one_way = round_trip / 2
        self.sent = 0

    async def listen(self) -> int:
        """Start; gives the port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_PIECE)
        return int(server.sockets[0].getsockname()[1])

    async def _connected(self, reader: Any, writer: Any) -> None:
        await asyncio.sleep(2 * self._one_way)
        there, back = await asyncio.open_connection("127.0.0.1", self._port, limit=_PIECE)
        await asyncio.gather(
            self._pass_on(reader, back), self._pass_on(there, writer, counted=True)
        )

    async def _pass_on(self, reader: Any, writer: Any, *, counted: bool = False) -> None:
        clock = asyncio.get_running_loop().time
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - clock()))
                if not data:
                    return
                writer.write(data)

        arriving = asyncio.create_task(arrive())
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                self.sent += counted * len(data)
                waiting.put_nowait((clock() + self._one_way, data))
        waiting.put_nowait((clock() + self._one_way, b""))
        await arriving
        writer.close()


def _serve(folder: Path, round_trips: Sequence[float], pipe: Any) -> None:
    """Serve a folder from far away until nobody asks any more for what was sent."""
    loop = Loop()
    port = loop.run(serve(folder))
    near = FarAway(port, 0.0)
    proxies = [near, *(FarAway(port, round_trip) for round_trip in round_trips)]
    pipe.send([loop.run(proxy.listen()) for proxy in proxies])
    with suppress(EOFError):
        while True:
            pipe.recv()
            pipe.send([proxy.sent for proxy in proxies])


@contextmanager
def servers(folder: Path, round_trips: Sequence[float]) -> Iterator[tuple[list[int], Any]]:
    """Ports of a server without and with round trips, and what gives the bytes that each sent."""
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe()
    process = processes.Process(target=_serve, args=(folder, round_trips, there), daemon=True)
    process.start()
    there.close()

    def sent() -> list[int]:
        here.send(None)
        return here.recv()

    try:
        yield here.recv(), sent
    finally:
        here.close()
        process.join()


def content() -> SkimContent:
    """What the stage writes of each file."""
    physics = yaml.safe_load((CONFIG / ANALYSIS / "physics.yaml").read_text())["physics"]
    analysis = analyses.load(ANALYSIS)
    selection = analysis.selection(physics["selection"])
    return skim_content(analysis, selection, analysis.datasets[0], learned=True)


def skim(url: str, full: SkimContent, network: NetworkSettings, folder: Path) -> float:
    """Seconds of wall time for the skim of a file."""
    start = time.monotonic()
    with open_input(url, full, network) as tree:
        write_skim(tree, full, folder / "skim.root", url=url, kind="ttree", chunk_size=100_000)
    return time.monotonic() - start


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--events", type=int, default=1_200_000)
    parser.add_argument("--round-trips", nargs="+", type=float, default=(0.05, 0.4))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=NETWORK.parallel)
    options = parser.parse_args()
    network = NETWORK.model_copy(update={"parallel": options.parallel})
    full = content()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = options.file or folder / "ttbar.root"
        if options.file is None:
            sample.write(path, "ttbar", options.events)
        with open_input(str(path), full) as tree:
            needed = needed_bytes(tree, full.columns, full.layout) or 1
        with servers(path.parent, options.round_trips) as (ports, sent):
            urls = [f"http://127.0.0.1:{port}/{path.name}" for port in ports]
            # What is made once in a process.
            skim(urls[0], full, network, folder)
            before = sent()
            ways = [str(path), *urls[1:]]
            seconds = [
                [skim(way, full, network, folder) for way in ways] for _ in range(options.repeat)
            ]
            n_bytes = [after - other for after, other in zip(sent(), before, strict=True)]
    local, *others = map(min, zip(*seconds, strict=True))
    print("| round trip in ms | seconds | over local | bytes over needed |")
    print("| --- | --- | --- | --- |")
    print(f"| local | {local:.2f} | 1.00 | 1.00 |")
    for round_trip, best, total in zip(options.round_trips, others, n_bytes[1:], strict=True):
        over = total / options.repeat / needed
        print(f"| {1000 * round_trip:.0f} | {best:.2f} | {best / local:.2f} | {over:.2f} |")


if __name__ == "__main__":
    main()
