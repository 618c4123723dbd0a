"""Files on web servers: each way of theirs gives the right events, or an error that helps."""

import os
import re
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from pyarrow import parquet
from test_deliver_histogram_merge import Chain, content
from test_remote_delivery import (
    N_EVENTS,
    NETWORK,
    Skimming,
    chain,
    expected,
    files,
    reference,
    skim,
)

import toy
from agc_pipeline.columnar.tasks import CoffeaTask, Network
from agc_pipeline.delivery import manifest
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.readers import http, remote
from agc_pipeline.readers.ahead import Ahead
from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.failures import Failure, Undelivered
from agc_pipeline.readers.remote import RemoteSource
from agc_pipeline.readers.settings import NetworkSettings
from oracle.strategies import as_collections, with_counts, write_nanoaod
from processed import processing
from servers import certificates
from servers.web import TOKEN, WebThread

__all__ = ["chain", "expected", "files", "reference", "skim"]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without tokens and certificates."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def web(files: Path) -> Iterator[WebThread]:
    with WebThread(files) as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of an authority and of a server."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder, "server")
    return folder


@pytest.fixture
def secure(files: Path, authority: Path) -> Iterator[WebThread]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    with WebThread(files, context) as made:
        yield made


@pytest.fixture
def trusting(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "authority.pem"))


def refused(skim: Skimming, url: str, **network: Any) -> tuple[Undelivered, Failure]:
    """The error of a file that one attempt shows not to be had."""
    with pytest.raises(Undelivered) as caught:
        skim(url, network=NETWORK | network)
    (failure,) = caught.value.failures
    assert failure.attempts == 1
    assert "Traceback" not in str(caught.value)
    return caught.value, failure


@pytest.mark.parametrize("folder", ["", "star/", "ticket/"])
def test_files_that_can_be_had(web: WebThread, skim: Skimming, expected: Any, folder: str) -> None:
    assert skim(web.url(f"{folder}good.root")) == ()
    assert skim.content() == expected


def test_connections_are_made_while_the_first_ranges_come(
    files: Path, skim: Skimming, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_CONNECTION_BYTES", (files / "good.root").stat().st_size // 10)
    with WebThread(files) as own:
        # The second answer waits for them.
        assert skim(own.url("ready-9/good.root")) == ()
        assert skim.content() == expected


def test_no_connection_is_made_ready_where_none_lasts(
    files: Path, skim: Skimming, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_CONNECTION_BYTES", (files / "good.root").stat().st_size // 10)
    with WebThread(files) as own:
        assert skim(own.url("closing/good.root")) == ()
        assert own.behaviour.n_connections == len(own.seen)
    assert skim.content() == expected


def test_what_was_read_ahead_is_kept_until_the_next(
    web: WebThread, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_KEPT_BYTES", 1000)
    content = (files / "good.root").read_bytes()
    first = [(at, at + 500) for at in range(5000, 15000, 500)]
    later = [(at, at + 100) for at in range(20_000, 21_000, 100)]
    with RemoteSource(web.url("good.root"), network=NetworkSettings(**NETWORK)) as source:
        source.prefetch(first)
        received = source.received
        for span in first:
            assert bytes(source.chunk(*span).raw_data) == content[slice(*span)]
        assert source.received == received
        source.prefetch(later)
        received = source.received
        # The last ones are there, and of those before no more than what may be kept.
        for span in (*later, first[-1]):
            assert bytes(source.chunk(*span).raw_data) == content[slice(*span)]
        assert source.received == received
        assert bytes(source.chunk(*first[0]).raw_data) == content[slice(*first[0])]
        assert source.received > received


def test_arrays_of_a_fixed_size_are_read_ahead(
    web: WebThread, files: Path, skim: Skimming, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files / "fixed.root"
    events = toy.events(N_EVENTS)
    jets = {name: ak.to_numpy(values[:, :4]) for name, values in events.items() if "Jet_" in name}
    others = {name: values for name, values in events.items() if name not in jets}
    columns = as_collections(others) | jets | {"nJet": np.full(N_EVENTS, 4, np.uint32)}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {name: values[:40] for name, values in columns.items()})
        for start in range(40, N_EVENTS, 40):
            tree.extend({name: values[start : start + 40] for name, values in columns.items()})
    assert skim(str(path)) == ()
    local = skim.content()
    coming: list[Chunk] = []
    begin = Ahead.__init__

    def noted(ahead: Ahead, source: RemoteSource, chunks: Sequence[Chunk]) -> None:
        coming.extend(chunks)
        begin(ahead, source, chunks)

    monkeypatch.setattr(Ahead, "__init__", noted)
    assert skim(web.url(path.name)) == ()
    assert skim.content() == local
    assert 10 < len(local) < N_EVENTS
    assert [chunk.stop for chunk in coming] == [40, 80, 120]
    assert all(chunk.ranges for chunk in coming)


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("whole/large.root", "does not serve ranges of bytes", "copy the file"),
        ("zipped/good.root", "does not serve ranges of bytes", "copy the file"),
        ("sizeless/good.root", "does not tell the size", "copy the file"),
        ("empty/good.root", "the file is empty", "intact copy"),
        ("circle/good.root", "redirected more than 10 times", "browser"),
        ("login/good.root", "a web page (HTML), not a ROOT file", "https"),
        ("text.root", "a web page (HTML), not a ROOT file", "browser"),
        ("members/good.root", "status 401", "https"),
        ("secret/good.root", "status 403", "https"),
        ("absent.root", "file not found", "check the path"),
        ("absent?version=3", "file not found", "write `%3F`"),
        ("to/good.root?to=file:///etc/passwd", "redirects to what is no web address", "mirror"),
        ("to/good.root?to=ftp://127.0.0.1/good.root", "no web address (ftp:)", "mirror"),
    ],
)
def test_files_that_cannot_be_had(
    web: WebThread, skim: Skimming, files: Path, name: str, problem: str, remedy: str
) -> None:
    large = files / "large.root"
    if name.endswith(large.name) and not large.exists():
        large.write_bytes(b"root" + bytes(20_000_000))
    error, _ = refused(skim, web.url(name))
    assert problem in error.problem
    assert remedy in error.remedy
    assert "around-and-around" not in str(error)
    # Not more of it than what fits into the buffers on the way.
    assert web.behaviour.sent < 16_000_000


def test_a_server_that_sends_less_than_it_was_asked_for(web: WebThread, skim: Skimming) -> None:
    error, _ = refused(skim, web.url("short/good.root"), attempts=1)
    assert error.problem.startswith("the server sends less than it was asked for: ")
    assert "another mirror" in error.remedy


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("skewed-8", "other bytes than it was asked for: asked for those from 0 to 4096, it sends"),
        ("boasting", "other bytes than it was asked for"),
        ("replaced-1", 'the file changed while it was read: the ETag "1" instead of "0"'),
    ],
)
def test_a_server_that_contradicts_itself(
    web: WebThread, skim: Skimming, expected: Any, folder: str, problem: str
) -> None:
    url = web.url(f"{folder}/good.root")
    error, _ = refused(skim, url, attempts=1)
    assert problem in error.problem
    assert "use another mirror" in error.remedy
    # From the beginning, all is of the new file.
    failures = skim(url, web.url("good.root"))
    assert len(failures) == (0 if folder.startswith("replaced") else 1)
    assert skim.content() == expected


# Into the header, what lists the content, and the events; by little, and by more than they have.
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("by", [1, 4, 1000, 10**6])
@pytest.mark.parametrize("kind", ["ttree", "zipped", "rntuple"])
def test_a_server_that_sends_other_bytes_than_it_says(
    web: WebThread, files: Path, skim: Skimming, expected: Any, kind: str, by: int, first: int
) -> None:
    path = files / f"{kind}.shifted.root"
    if not path.exists():
        write_nanoaod(
            path,
            toy.events(N_EVENTS),
            kind="rntuple" if kind == "rntuple" else "ttree",
            events_per_piece=40,
            compression=uproot.ZLIB(1) if kind == "zipped" else None,
            checksums=True,
        )
    url = web.url(f"shifted-{by}-{first}-999999/{path.name}")
    error, _ = refused(skim, url)
    assert "does not answer" not in error.problem
    assert error.place == url
    assert "use another mirror" in error.remedy
    # What the first one sent is forgotten.
    assert [failure.url for failure in skim(url, web.url(path.name))] == [url]
    assert skim.content() == expected


def test_a_server_that_sends_other_bytes_of_a_parquet_file(web: WebThread, files: Path) -> None:
    path = files / "a.parquet"
    columns = with_counts(toy.events(N_EVENTS))
    table = ak.to_arrow_table(ak.zip(columns, depth_limit=1), list_to32=True)
    parquet.write_table(table, path, write_page_checksum=True)
    task = CoffeaTask(processing(), "parquet", Network(NetworkSettings(**NETWORK)))
    good = task(Chunk(web.url(path.name), (0, N_EVENTS), None, None))
    assert good["processed"] == {web.url(path.name): N_EVENTS}
    # It is all of it from its beginning that pyarrow reads at first.
    for by in (1, 4, 100):
        bad = web.url(f"shifted-{by}-1-999999/{path.name}")
        with pytest.raises(Undelivered) as caught:
            task(Chunk(bad, (0, N_EVENTS), None, None))
        assert caught.value.problem.startswith(
            "what the server sends is damaged, or no part of the file, where the events 0 to 120 "
        )
        assert "another mirror" in caught.value.remedy
    with pytest.raises(Undelivered, match="sends less than it was asked for"):
        task(Chunk(web.url(f"halves/{path.name}"), (0, N_EVENTS), None, None))


def test_what_is_damaged_is_told_with_its_place(
    web: WebThread, files: Path, skim: Skimming
) -> None:
    with uproot.open(files / "good.root") as file:
        header, branch = file.key("Events").fSeekKey, file["Events"]["run"]
        seek, size = (int(branch.member(name)[0]) for name in ("fBasketSeek", "fBasketBytes"))
    assert seek < header
    error, failure = refused(skim, web.url(f"shifted-4-1-{header}/good.root"))
    assert error.problem.startswith(
        "what the server sends is damaged, or no part of the file: "
        f"a basket of the branch run, bytes {seek} to {seek + size}: a basket of "
    )
    assert failure.events == (0, 40)


@pytest.mark.parametrize("reader", ["auto", "coffea"])
def test_a_server_that_sends_the_baskets_of_other_events(
    chain: Chain, web: WebThread, files: Path, reader: str
) -> None:
    path = files / "alike.root"
    if not path.exists():
        # Three clusters alike, but of other events.
        first = toy.events(40)
        write_nanoaod(
            path,
            {name: ak.concatenate([values] * 3) for name, values in first.items()}
            | {"event": np.arange(120, dtype=np.uint64)},
            events_per_piece=40,
        )
    with uproot.open({path: "Events"}) as tree:
        seeks = np.array([branch.member("fBasketSeek")[:3] for branch in tree.branches])
    # The header lies behind the first.
    second, third = seeks[:, 1:].min(axis=0).tolist()
    assert set(seeks[:, 2] - seeks[:, 1]) == {third - second}
    assert chain.deliver([web.url(path.name)], backend="none", network=NETWORK) is None
    made = manifest.read(chain.folder / "0.manifest.json")
    bad = web.url(f"shifted-{third - second}-{second}-{third}/{path.name}")
    manifest.write(
        chain.folder / "0.manifest.json",
        made.model_copy(update={"files": (made.files[0].model_copy(update={"path": bad}),)}),
    )
    message = chain.histogram(network=NETWORK, reader=reader, chunk_size=40)
    assert message is not None
    assert "what the server sends is damaged, or no part of the file" in message
    assert re.search(r"says to be at byte \d+", message)


@pytest.mark.parametrize("folder", ["later-3-0", "later-1-1", "later-1-date", "often-3-0"])
def test_a_server_that_asks_to_wait(
    web: WebThread, skim: Skimming, expected: Any, folder: str
) -> None:
    started = time.monotonic()
    failures = skim(web.url(f"{folder}/good.root"), network=NETWORK | {"attempts": 1})
    if not folder.endswith("-0"):
        # A date has no fractions of a second.
        assert time.monotonic() - started > (1 if folder.endswith("-1") else 0)
    assert all("429" in failure.error for failure in failures)
    assert skim.content() == expected


def test_a_server_that_asks_for_too_much(web: WebThread, skim: Skimming, expected: Any) -> None:
    url = web.url("later-1000-3600/good.root")
    error, _ = refused(skim, url)
    assert "the server asks to wait 3600 s" in error.problem
    assert "delivery.network.patience" in error.remedy
    # Another mirror need not be waited for.
    assert [failure.url for failure in skim(url, web.url("good.root"))] == [url]
    # Nor is the patience without end.
    with pytest.raises(Undelivered, match="asks to wait"):
        skim(web.url("later-9999-0/good.root"), network=NETWORK | {"patience": 0.2})


def test_certificates(
    secure: WebThread,
    skim: Skimming,
    expected: Any,
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error, _ = refused(skim, secure.url("good.root"))
    place = f"127.0.0.1:{secure.port}"
    assert f"the certificate of {place} is not accepted: " in error.problem
    assert "SSL_CERT_FILE" in error.remedy
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "authority.pem"))
    error, _ = refused(skim, secure.url("good.root", host="localhost"))
    assert "certificate of localhost" in error.problem
    assert "ismatch" in error.problem
    for scheme in ("https", "davs"):
        assert skim(secure.url("good.root", scheme=scheme)) == ()
        assert skim.content() == expected


def test_tls_where_none_is_spoken(web: WebThread, skim: Skimming) -> None:
    error, _ = refused(skim, web.url("good.root", scheme="https"))
    assert "no TLS connection" in error.problem


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("place", ["BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR"])
def test_a_token_goes_to_its_host_alone(
    secure: WebThread,
    web: WebThread,
    skim: Skimming,
    expected: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    file = tmp_path / f"bt_u{os.getuid()}"
    if place == "BEARER_TOKEN":
        monkeypatch.setenv(place, TOKEN)
    else:
        file.write_text(f"{TOKEN}\n")
    if place == "BEARER_TOKEN_FILE":
        monkeypatch.setenv(place, str(file))
    # Nobody gets it who is not named.
    error, _ = refused(skim, secure.url("members/good.root"), token_hosts=["127.0.0.1"])
    assert f"127.0.0.1:{secure.port}" in error.remedy
    assert "delivery.network.token_hosts" in error.remedy
    assert set(secure.tokens()) == {None}
    named = NETWORK | {"token_hosts": [f"127.0.0.1:{secure.port}"]}
    for folder in ("members", "login"):
        assert skim(secure.url(f"{folder}/good.root"), network=named) == ()
        assert skim.content() == expected
    assert f"Bearer {TOKEN}" in secure.tokens()
    # Not even if it is named does it go in the clear, or on to where a redirect leads.
    named = NETWORK | {"token_hosts": [f"127.0.0.1:{server.port}" for server in (web, secure)]}
    web.seen.clear()
    assert skim(secure.url(f"to/good.root?to={web.url('good.root')}"), network=named) == ()
    assert set(web.tokens()) == {None}
    elsewhere = secure.url("good.root", host="localhost")
    secure.seen.clear()
    with pytest.raises(Undelivered, match="localhost"):
        skim(secure.url(f"to/good.root?to={elsewhere}"), network=named)
    assert {request for request, _ in secure.seen} == {f"GET /to/good.root?to={elsewhere}"}


@pytest.mark.usefixtures("trusting")
def test_what_is_no_token(
    secure: WebThread, skim: Skimming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, named = secure.url("members/good.root"), [f"127.0.0.1:{secure.port}"]
    error, _ = refused(skim, url, token_hosts=named)
    assert "BEARER_TOKEN" in error.remedy
    monkeypatch.setenv("BEARER_TOKEN", "expired-token-41c2")
    error, _ = refused(skim, url, token_hosts=named)
    assert "renew the token of BEARER_TOKEN" in error.remedy
    assert "expired-token" not in str(error)
    network = NETWORK | {"token_hosts": named}
    monkeypatch.setenv("BEARER_TOKEN", "secret-4711\r\nHost: elsewhere")
    with pytest.raises(ConfigurationError, match="not a bearer token") as caught:
        skim(url, network=network)
    assert "secret-4711" not in str(caught.value)
    monkeypatch.delenv("BEARER_TOKEN")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="cannot be read: FileNotFoundError"):
        skim(url, network=network)


@pytest.mark.parametrize("reader", ["auto", "coffea"])
def test_files_read_where_they_are_from_another_mirror(
    chain: Chain, web: WebThread, files: Path, reference: dict[str, Any], reader: str
) -> None:
    with WebThread(files) as other:
        inputs = [
            {"urls": [other.url(f"{name}.root"), web.url(f"often-4-0/{name}.root")]}
            for name in "abc"
        ]
        assert chain.deliver(inputs, backend="none", network=NETWORK) is None
    # It is gone by the time the events are read.
    assert chain.histogram(network=NETWORK, reader=reader) is None
    assert content(chain.result()) == reference
    made = manifest.read(chain.folder / "0.manifest.json")
    wrong = made.files[0].model_copy(update={"mirrors": (web.url("b.root"),)})
    manifest.write(
        chain.folder / "0.manifest.json",
        made.model_copy(update={"files": (wrong, *made.files[1:])}),
    )
    message = chain.histogram(network=NETWORK, reader=reader)
    assert message is not None
    assert "events, " in message or "another file" in message


@pytest.mark.parametrize("host", ["https://a.example", "A.example", "a.example/x", "", "*.ch"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Skimming(Path())("https://a.example/x.root", network=NETWORK | {"token_hosts": [host]})
