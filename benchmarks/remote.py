"""Wall time of a skim from a web server far away, against the same file on this machine.

    python benchmarks/remote.py [FILE] [--events 1200000] [--round-trips 0.05 0.4] [--repeat 3]
        [--parallel 128]

Without a file it makes one of ttbar (``agc_pipeline.facility.sample``). A server in a process of
its own gives ranges of it, each a round trip later, and the first on a connection two. Bandwidth is
not limited, but for what two processes on this machine can pass on. Both ways alternate; the best
of each is kept.
The bytes that the server sends are told over those of the baskets that are needed.
"""

import asyncio
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from aiohttp import web

import command_line
from agc_pipeline import analyses
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.delivery.preselected import SkimContent, open_input
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import InputError
from agc_pipeline.facility import sample
from agc_pipeline.readers.opening import needed_bytes
from agc_pipeline.readers.settings import NETWORK, NetworkSettings
from agc_pipeline.stages.command import errors_told

CONFIG = Path(__file__).resolve().parent.parent / "config"
ANALYSIS = "cms_ttbar"


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, call: Coroutine[Any, Any, int]) -> int:
        """The port on which a coroutine lets something listen."""
        return asyncio.run_coroutine_threadsafe(call, self.loop).result()


class FarAway:
    """A web server for a folder that is far away.

    Who asks has the answer one round trip later, and one more on a new connection, which that of
    the system would take: the server waits in their place before it sends. What it sends then
    costs next to nothing here, as the system copies it.

    Args:
        folder: whose files it sends.
        round_trip: in seconds.

    Attributes:
        sent: bytes of files that it sent.
    """

    def __init__(self, folder: Path, round_trip: float) -> None:
        self._folder = folder
        self._round_trip = round_trip
        # When connections began.
        self._begun: dict[Any, float] = {}
        self.sent = 0

    async def listen(self) -> int:
        """Start; gives the port."""
        clock = asyncio.get_running_loop().time

        @web.middleware
        async def late(request: web.Request, handler: Any) -> web.StreamResponse:
            connected = self._begun[request.protocol] + self._round_trip
            await asyncio.sleep(max(connected, clock()) + self._round_trip - clock())
            response: web.StreamResponse = await handler(request)
            return response

        application = web.Application(middlewares=[late])
        application.router.add_static("/", self._folder)
        application.on_response_prepare.append(self._count)
        runner = web.AppRunner(application)
        await runner.setup()
        # It is none before.
        new_protocol: Any = runner.server

        def connect() -> Any:
            protocol = new_protocol()
            self._begun[protocol] = clock()
            return protocol

        server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _count(self, _request: web.Request, response: web.StreamResponse) -> None:
        self.sent += response.content_length or 0


def _serve(folder: Path, round_trips: Sequence[float], pipe: Any) -> None:
    """Serve a folder from far away until nobody asks any more for what was sent."""
    loop = Loop()
    places = [FarAway(folder, round_trip) for round_trip in (0.0, *round_trips)]
    pipe.send([loop.run(place.listen()) for place in places])
    with suppress(EOFError):
        while True:
            pipe.recv()
            pipe.send([place.sent for place in places])


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
        totals: list[int] = here.recv()
        return totals

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
    arguments = command_line.parser(__doc__)
    arguments.add_argument("file", nargs="?", type=command_line.file)
    arguments.add_argument("--events", type=command_line.count, default=1_200_000)
    arguments.add_argument(
        "--round-trips", nargs="+", type=command_line.seconds, default=(0.05, 0.4)
    )
    arguments.add_argument("--repeat", type=command_line.count, default=3)
    arguments.add_argument("--parallel", type=command_line.count, default=NETWORK.parallel)
    options = arguments.parse_args()
    network = NETWORK.model_copy(update={"parallel": options.parallel})
    with errors_told(output="the command line"), tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = options.file or folder / "ttbar.root"
        if options.file is None:
            sample.write(path, "ttbar", options.events)
        measure(path, folder, network, options.round_trips, options.repeat)


def measure(
    path: Path,
    folder: Path,
    network: NetworkSettings,
    round_trips: Sequence[float],
    repeat: int,
) -> None:
    """Print the times of both ways for each round trip."""
    full = content()
    with open_input(str(path), full) as tree:
        needed = needed_bytes(tree, full.columns, full.layout)
    if not needed:
        raise InputError(
            "no baskets that bytes can be compared with",
            place=str(path),
            remedy="take a file whose events are a TTree",
        )
    with servers(path.parent, round_trips) as (ports, sent):
        urls = [f"http://127.0.0.1:{port}/{quote(path.name)}" for port in ports]
        # What is made once in a process.
        skim(urls[0], full, network, folder)
        before = sent()
        ways = [str(path), *urls[1:]]
        times = [[skim(way, full, network, folder) for way in ways] for _ in range(repeat)]
        n_bytes = [after - other for after, other in zip(sent(), before, strict=True)]
    local, *others = map(min, zip(*times, strict=True))
    print("| round trip in ms | seconds | over local | bytes over needed |")
    print("| --- | --- | --- | --- |")
    print(f"| local | {local:.3g} | 1.00 | 1.00 |")
    for round_trip, best, total in zip(round_trips, others, n_bytes[1:], strict=True):
        over = total / repeat / needed
        print(f"| {1000 * round_trip:.0f} | {best:.3g} | {best / local:.2f} | {over:.2f} |")


if __name__ == "__main__":
    main()
