"""Delivery from real servers: the same bins, whatever they do, and every failure told."""

import logging
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from test_deliver_histogram_merge import Chain, content, write_files

import toy
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.mirrors import from_mirrors
from agc_pipeline.delivery.preselected import open_input
from agc_pipeline.delivery.skim import SkimCounts, write_skim
from agc_pipeline.readers import ahead, remote
from agc_pipeline.readers.failures import Failure, Undelivered
from agc_pipeline.readers.ntuple_format import Structure
from agc_pipeline.readers.opening import (
    bytes_read,
    check_entries,
    count_events,
    identity,
    open_tree,
    present_branches,
)
from agc_pipeline.readers.remote import RemoteSource
from agc_pipeline.readers.settings import NetworkSettings
from conftest import run_command
from oracle.strategies import write_nanoaod
from processed import ANALYSIS, SELECTION
from servers.counting import CountingProxy
from servers.process import ServerProcess, free_port
from servers.web import WebServer
from servers.xrootd import XRootDServer

Command = Callable[..., str | None]
CONTENT = skim_content(ANALYSIS, SELECTION, ANALYSIS.dataset("ttbar__nominal"), learned=True)
N_EVENTS = 120
SERVERS = {"http": WebServer, "root": XRootDServer}
# Two rounds: the servers are near.
NETWORK = {
    "attempts": 2,
    "backoff": 0.05,
    "backoff_max": 0.2,
    "request_timeout": 5,
    "file_timeout": 60,
}
# On a busy machine a server that is well may be late, too: it is asked again.
IMPATIENT = NETWORK | {"request_timeout": 1, "attempts": 20}


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """A folder with inputs, below one that every user can read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "files"
        folder.mkdir()
        folder.parent.chmod(0o755)
        write_nanoaod(folder / "good.root", toy.events(N_EVENTS), events_per_piece=40)
        good = (folder / "good.root").read_bytes()
        (folder / "truncated.root").write_bytes(good[: len(good) * 2 // 3])
        # Before the list of what is in the file, as files that ROOT writes have it at their end.
        (folder / "stump.root").write_bytes(good[:500])
        (folder / "text.root").write_text("<html>please log in</html>\n" * 100)
        (folder / "short.root").write_text("hello\n")
        write_nanoaod(folder / "other.root", toy.events(N_EVENTS - 1))
        lacking = toy.events(N_EVENTS)
        del lacking["Jet_qgl"]
        write_nanoaod(folder / "lacking.root", lacking)
        write_files(folder)
        yield folder


def started(scheme: str, files: Path) -> ServerProcess:
    if scheme == "root" and XRootDServer.program() is None:
        pytest.skip("no `xrootd` here: install Debian's xrootd-server")
    return SERVERS[scheme](files).start()


@pytest.fixture(scope="module", params=["http", "root"])
def server(request: pytest.FixtureRequest, files: Path) -> Iterator[ServerProcess]:
    made = started(request.param, files)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def web(files: Path) -> Iterator[ServerProcess]:
    made = started("http", files)
    yield made
    made.kill()


@pytest.fixture
def chain(command: Command, tmp_path: Path) -> Chain:
    return Chain(command, tmp_path)


class Skimming:
    """Skims files from mirrors, with short time-outs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def attempt(self, url: str, network: NetworkSettings, **options: Any) -> SkimCounts:
        with open_input(url, CONTENT, network) as tree:
            check_entries(count_events(tree), N_EVENTS, url=url)
            return write_skim(
                tree,
                CONTENT,
                self.path,
                url=url,
                kind="ttree",
                chunk_size=options.pop("chunk_size", 50),
                **options,
            )

    def __call__(
        self, *urls: str, network: dict[str, Any] = NETWORK, **options: Any
    ) -> tuple[Failure, ...]:
        """Failures before the success; the skim must be right."""
        settings = NetworkSettings(**network)
        file = InputFile(urls=urls, n_events=N_EVENTS)
        before = options.pop("before", lambda _: None)
        numbers = count(1)

        def attempt(url: str) -> SkimCounts:
            before(next(numbers))
            return self.attempt(url, settings, **options)

        counts, failures = from_mirrors(file, attempt, settings)
        assert counts.before == N_EVENTS
        return failures

    def content(self) -> Any:
        with uproot.open({self.path: "Events"}) as tree:
            return tree.arrays().to_list()


@pytest.fixture
def skim(tmp_path: Path) -> Skimming:
    return Skimming(tmp_path / "skim.root")


@pytest.fixture
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of events come one after the other: all of the small files come before the first."""
    monkeypatch.setattr(ahead, "_CHUNKS", 1)


@pytest.fixture(scope="module")
def expected(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Content of the skim of the file on disk."""
    local = Skimming(tmp_path_factory.mktemp("expected") / "local.root")
    assert local(str(files / "good.root")) == ()
    made = local.content()
    assert 10 < len(made) < N_EVENTS - 10
    return made


@pytest.fixture(scope="module")
def reference(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    chain = Chain(run_command, tmp_path_factory.mktemp("reference"))
    assert chain.deliver([files / f"{name}.root" for name in "abc"], network=NETWORK) is None
    assert chain.histogram() is None
    return content(chain.result())


@pytest.mark.parametrize("backend", ["local", "none"])
def test_whole_chain(
    chain: Chain, server: ServerProcess, reference: dict[str, Any], backend: str
) -> None:
    urls = [server.url(f"{name}.root") for name in "abc"]
    assert chain.deliver(urls, backend=backend, network=NETWORK) is None
    assert chain.histogram() is None
    assert content(chain.result()) == reference


def test_pages_of_an_rntuple_are_compared_with_their_checksums(
    chain: Chain, server: ServerProcess, files: Path, skim: Skimming, expected: Any
) -> None:
    good, damaged = (files / f"{name}.ntuple.root" for name in ("good", "damaged"))
    if not damaged.exists():
        write_nanoaod(
            good, toy.events(N_EVENTS), kind="rntuple", events_per_piece=40, checksums=True
        )
        with uproot.open(good) as file:
            stored = Structure(file["Events"]).fields(("Jet_eta",))
        assert stored is not None
        pages = stored[1]["Jet_eta"].values
        assert pages is not None
        data = bytearray(good.read_bytes())
        data[pages.seeks[1] + 2] ^= 1
        damaged.write_bytes(data)
    # The checksum of a page comes with it, and nothing is asked for twice.
    received: list[int] = []
    assert skim(server.url(good.name), advance=lambda _, n_bytes: received.append(n_bytes)) == ()
    assert sum(received) <= good.stat().st_size
    assert skim.content() == expected
    problem = "a page differs from its checksum"
    with pytest.raises(Undelivered, match=problem) as caught:
        skim(server.url(damaged.name))
    assert caught.value.failures[0].attempts == 1
    assert chain.deliver([server.url(damaged.name)], backend="none", network=NETWORK) is None
    for reader in ("auto", "coffea"):
        error = chain.histogram(reader=reader)
        assert error is not None
        assert problem in error
        assert server.url(damaged.name) in error


def test_pages_of_an_rntuple_come_together(
    server: ServerProcess, files: Path, skim: Skimming, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of each column there is a page for every 20 events.
    path = files / "pages.ntuple.root"
    write_nanoaod(path, toy.events(N_EVENTS), kind="rntuple", events_per_piece=20)
    asked: list[Sequence[tuple[int, int]]] = []
    fetch = RemoteSource._fetch

    def noted(source: RemoteSource, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        asked.append(ranges)
        return fetch(source, ranges)

    monkeypatch.setattr(RemoteSource, "_fetch", noted)
    assert skim(server.url(path.name)) == ()
    with open_tree(str(path), CONTENT.columns, CONTENT.layout) as tree:
        located = Structure(tree).fields(present_branches(tree, CONTENT.columns, CONTENT.layout))
    assert located is not None
    needed = sum(field.stored_bytes for field in located[1].values())
    n_pages = sum(
        len(column.sizes)
        for field in located[1].values()
        for column in (field.offsets, field.values)
        if column is not None
    )
    assert len(asked) < n_pages / 10
    # Header, footer and lists of pages come in addition.
    n_bytes = sum(stop - start for ranges in asked for start, stop in ranges)
    assert n_bytes < 1.2 * needed + 18_000


@pytest.mark.usefixtures("one_after_the_other")
@pytest.mark.parametrize("scheme", ["http", "root"])
def test_server_is_killed_in_the_middle_and_comes_back(
    scheme: str, files: Path, skim: Skimming, expected: Any
) -> None:
    server = started(scheme, files)
    read: list[int] = []

    def kill_once(events: int, n_bytes: int) -> None:
        read.append(events)
        if len(read) == 1:
            server.kill()

    def come_back(attempt: int) -> None:
        if attempt == 3:
            server.start()

    try:
        url = server.url("good.root")
        network = NETWORK | {"attempts": 9}
        failures = skim(url, network=network, advance=kill_once, before=come_back)
        # Baskets have 40 events. The second range was read ahead, or was about to be, when the
        # server was killed; then nobody listened.
        before = failures[0].events
        assert before in ((40, 80), (80, 120))
        assert [failure.url for failure in failures[:2]] == [url, url]
        assert failures[1].events is None
        assert skim.content() == expected
        assert sum(read) == N_EVENTS
        assert read[: before[0] // 40 + 1] == [*[40] * (before[0] // 40), -before[0]]
    finally:
        server.kill()


@pytest.mark.usefixtures("one_after_the_other")
@pytest.mark.parametrize("scheme", ["http", "root"])
def test_server_hangs_in_the_middle(
    scheme: str, files: Path, web: ServerProcess, skim: Skimming, expected: Any
) -> None:
    server = started(scheme, files)
    read: list[int] = []

    def hang(events: int, n_bytes: int) -> None:
        read.append(events)
        if len(read) == 1:
            frozen.__enter__()

    frozen = server.frozen()
    try:
        failures = skim(
            server.url("good.root"), web.url("good.root"), network=IMPATIENT, advance=hang
        )
        # The second range may have been read ahead.
        assert failures[0].url == server.url("good.root")
        assert failures[0].events in ((40, 80), (80, 120))
        assert "TimeoutError" in failures[0].error or "Operation expired" in failures[0].error
        assert skim.content() == expected
    finally:
        frozen.__exit__(None, None, None)
        server.kill()


def test_mirror_refuses(
    server: ServerProcess,
    skim: Skimming,
    expected: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nobody = server.url("good.root", port=free_port())
    caplog.set_level(logging.WARNING)
    (failure,) = skim(nobody, server.url("good.root"))
    assert (failure.url, failure.events, failure.attempts) == (nobody, None, 1)
    assert "Connect" in failure.error
    assert skim.content() == expected
    (line,) = caplog.messages
    assert line == f"{nobody}: {failure.error}; now trying {server.url('good.root')}"


def test_mirror_hangs_from_the_beginning(
    server: ServerProcess, web: ServerProcess, files: Path, skim: Skimming, expected: Any
) -> None:
    other = started(server.scheme, files)
    try:
        with other.frozen():
            failures = skim(other.url("good.root"), web.url("good.root"), network=IMPATIENT)
    finally:
        other.kill()
    assert (failures[0].url, failures[0].events) == (other.url("good.root"), None)
    assert skim.content() == expected


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("truncated.root", "the file is cut off"),
        ("stump.root", "it has 500 bytes, and refers to byte"),
        ("other.root", "the file has 119 events, the configuration says 120"),
        ("lacking.root", "branches missing: Jet_qgl"),
        ("text.root", "not a ROOT file"),
        ("short.root", "not a ROOT file: first four bytes are b'hell'"),
        ("absent.root", ""),
    ],
)
def test_mirror_has_the_wrong_file(
    server: ServerProcess, skim: Skimming, expected: Any, name: str, error: str
) -> None:
    (failure,) = skim(server.url(name), server.url("good.root"))
    assert failure.url == server.url(name)
    assert error in failure.error
    assert skim.content() == expected
    # None of this becomes better: one attempt, however many are allowed.
    with pytest.raises(Undelivered) as caught:
        skim(server.url(name))
    assert [failure.attempts for failure in caught.value.failures] == [1]


@pytest.mark.parametrize(
    ("folder", "error", "attempts"),
    [
        ("busy-1000", "503", 2),
        ("halves", "ClientPayloadError", 2),
        ("whole", "the server does not serve ranges of bytes", 1),
        ("secret", "403", 1),
    ],
)
def test_web_server_misbehaves(
    web: ServerProcess, skim: Skimming, expected: Any, folder: str, error: str, attempts: int
) -> None:
    bad = web.url(f"{folder}/good.root")
    (failure,) = skim(bad, web.url("good.root"))
    assert error in failure.error
    assert skim.content() == expected
    with pytest.raises(Undelivered) as caught:
        skim(bad)
    assert [failure.attempts for failure in caught.value.failures] == [attempts]


def test_web_server_is_busy_for_a_while(web: ServerProcess, skim: Skimming, expected: Any) -> None:
    # Size and content are asked for in three requests of an attempt that fails.
    failures = skim(web.url("busy-5/good.root"), network=NETWORK | {"attempts": 6})
    assert failures
    assert all("503" in failure.error for failure in failures)
    assert skim.content() == expected


def test_no_mirror_gives_the_file(
    server: ServerProcess, skim: Skimming, caplog: pytest.LogCaptureFixture
) -> None:
    nobody, text = server.url("good.root", port=free_port()), server.url("text.root")
    with pytest.raises(Undelivered) as caught:
        skim(nobody, text)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made here
    refused, wrong = error.failures
    assert (refused.url, refused.attempts) == (nobody, 2)
    assert (wrong.url, wrong.attempts) == (text, 1)
    assert nobody in error.problem
    assert "not a ROOT file" in error.problem
    assert str(error) == str(caught.value)
    assert "round 2 of 2 in" in caplog.text
    assert "no attempt is left" in caplog.text
    assert list(skim.path.parent.iterdir()) == []


def test_no_mirror_fails_the_stage(chain: Chain, server: ServerProcess) -> None:
    urls = [server.url("text.root"), server.url("truncated.root")]
    error = chain.deliver([{"urls": urls}], network=NETWORK)
    assert error is not None
    assert "no mirror gives the file" in error
    assert "the file is cut off" in error
    assert not (chain.folder / "0.manifest.json").exists()


@pytest.mark.usefixtures("one_after_the_other")
def test_time_for_a_file(
    server: ServerProcess, skim: Skimming, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the reader alone: to a loop that waits for the next range, a request would be late.
    later = {"monotonic": lambda: time.monotonic() + NETWORK["file_timeout"]}

    def jump(events: int, n_bytes: int) -> None:
        monkeypatch.setattr(remote, "time", SimpleNamespace(**vars(time) | later))

    with pytest.raises(Undelivered, match="file_timeout") as caught:
        skim(server.url("good.root"), network=NETWORK | {"attempts": 1}, advance=jump)
    monkeypatch.undo()
    assert caught.value.failures[0].events is not None


def test_identity(server: ServerProcess, files: Path) -> None:
    network = NetworkSettings(**NETWORK)
    path = files / "good.root"
    with open_input(server.url("good.root"), CONTENT, network) as tree:
        found = identity(tree)
    with open_input(str(path), CONTENT, network) as tree:
        local = identity(tree)
    assert (found.size, found.uuid) == (local.size, local.uuid)
    assert found.size == path.stat().st_size
    assert local.checksum is None
    assert found.checksum is not None
    if server.scheme == "root":
        import zlib  # noqa: PLC0415

        assert found.checksum == f"adler32:{zlib.adler32(path.read_bytes()):08x}"


def many_branches(path: Path, n_events: int) -> None:
    """A file of which little is needed, in clusters whose borders the baskets of jets ignore."""
    arrays = toy.events(n_events)
    rng = np.random.default_rng(7)
    for number in range(60):
        counts = rng.integers(0, 4, n_events)
        arrays[f"Other{number}_pt"] = ak.unflatten(
            rng.normal(size=counts.sum()).astype(np.float32), counts
        )
    write_nanoaod(path, arrays, events_per_piece=2000, compression=uproot.ZLIB(1))


@pytest.mark.parametrize("chunk_size", [5000, 1500])
def test_only_the_needed_bytes_are_transferred(
    server: ServerProcess, files: Path, tmp_path: Path, chunk_size: int
) -> None:
    path = files / "large.root"
    n_events = 12_000
    if not path.exists():
        many_branches(path, n_events)
    network = NetworkSettings(**NETWORK)
    progress: list[tuple[int, int]] = []
    with CountingProxy(server.port) as proxy:
        url = server.url("large.root", port=proxy.port)
        with open_input(url, CONTENT, network) as tree:
            names = {name for name in tree.keys() if not name.startswith(("Other", "nOther"))}  # noqa: SIM118
            needed = sum(tree[name].compressed_bytes for name in names)
            write_skim(
                tree,
                CONTENT,
                tmp_path / "skim.root",
                url=url,
                kind="ttree",
                chunk_size=chunk_size,
                advance=lambda *read: progress.append(read),
            )
            counted = bytes_read(tree)
        sent = proxy.sent
    assert needed < sent <= 1.3 * needed
    assert path.stat().st_size > 1.4 * needed
    assert sum(events for events, _ in progress) == n_events
    assert sum(n_bytes for _, n_bytes in progress) == counted <= sent


def test_histograms_count_what_a_server_sends(
    chain: Chain, server: ServerProcess, files: Path
) -> None:
    path = files / "histogrammed.root"
    if not path.exists():
        many_branches(path, 4000)
    with CountingProxy(server.port) as proxy:
        url = server.url(path.name, port=proxy.port)
        assert chain.deliver([url], backend="none", network=NETWORK) is None
        before = proxy.sent
        assert chain.histogram() is None
        sent = proxy.sent - before
    (cost,) = chain.result().performance.values()
    # The answers of the protocol, and what tells where the baskets are, come on top.
    assert 0.5 * sent < cost.bytes < sent
