"""Delivery by ServiceX: the real client, over HTTP, and a service that does everything wrong."""

import asyncio
import logging
import pickle
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import awkward as ak
import botocore.loaders
import fsspec
import httpx_retries
import numpy as np
import pytest
import servicex.servicex_adapter
import uproot
import yaml
from coffea.nanoevents import BaseSchema, NanoEventsFactory
from servicex.minio_adapter import MinioAdapter
from servicex.query_core import Query as ClientQuery
from tenacity import wait_none

import toy
from agc_pipeline.declaration import query as queries
from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.servicex import request, transform
from agc_pipeline.delivery.servicex.addresses import presign
from agc_pipeline.delivery.servicex.transform import IncompleteDeliveryError, TransformedFile
from agc_pipeline.delivery.settings import ServiceXSettings
from agc_pipeline.errors import ConfigurationError, InputError, PipelineError, ServiceError
from agc_pipeline.readers import parquet
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.readers.settings import NETWORK, Format
from oracle.strategies import write_nanoaod
from processed import ANALYSIS, SELECTION, processing
from servers import servicex as service

N_EVENTS = (60, 40, 50)
URLS = tuple(f"root://cms.example//store/part{i}.root" for i in range(len(N_EVENTS)))
SECRETS = (service.ACCESS_KEY, service.SECRET_KEY, service.REFRESH_TOKEN, "Signature=", service.JWT)


@pytest.fixture(scope="module")
def store() -> Iterator[service.ObjectStore]:
    made = service.ObjectStore()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    paths = {url: folder / f"{i}.root" for i, url in enumerate(URLS)}
    for i, path in enumerate(paths.values()):
        write_nanoaod(path, toy.events(N_EVENTS[i], seed=i + 1))
    return paths


@pytest.fixture
def server(
    store: service.ObjectStore,
    inputs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[service.ServiceX]:
    """A server, and a working directory with the client's configuration for it.

    Whatever a test does, no secret may be in what is logged, printed or left on disk.
    """
    caplog.set_level(logging.INFO)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)
    with service.running(store, inputs) as made:
        configure(made)
        yield made
    told = {"log": caplog.text, "terminal": "".join(capfd.readouterr())}
    for path in work.rglob("*"):
        if path.is_file() and path.name != "servicex.yaml":
            told[str(path)] = path.read_bytes().decode(errors="replace")
    assert not [(place, secret) for place in told for secret in SECRETS if secret in told[place]]


@pytest.fixture(scope="module", autouse=True)
def shared() -> Iterator[None]:
    """What the client's libraries make anew for each call, at a tenth of a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        load = botocore.loaders.JSONFileLoader.load_file
        loaded = cache(lambda path: load(botocore.loaders.JSONFileLoader(), path))
        patch.setattr(botocore.loaders.JSONFileLoader, "load_file", lambda _, path: loaded(path))
        yield


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's pauses, shortened."""
    original = ClientQuery.__init__

    def init(self: ClientQuery, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.servicex_polling_interval = 0.05
        self.minio_polling_interval = 0.05

    async def no_sleep(self: Any, response: Any) -> None:
        pass

    monkeypatch.setattr(ClientQuery, "__init__", init)
    monkeypatch.setattr(httpx_retries.Retry, "asleep", no_sleep)
    monkeypatch.setattr(servicex.servicex_adapter, "wait_fixed", lambda _: wait_none())
    for method in (MinioAdapter.download_file, MinioAdapter.list_bucket):
        monkeypatch.setattr(method.retry, "wait", wait_none())
    monkeypatch.setattr(transform, "_PAUSE_SECONDS", 0.0)


def configure(*servers: service.ServiceX, token: str = service.REFRESH_TOKEN) -> None:
    endpoints = [
        {"endpoint": made.url, "name": f"test{i}", "token": token} for i, made in enumerate(servers)
    ]
    content = {"api_endpoints": endpoints, "cache_path": str(Path.cwd() / "client-cache")}
    Path("servicex.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes requests late once so many of their files are there; a time would depend on luck."""

    def after(n_files: int, downloads: int = 0) -> None:
        async def ended(delivery: Any, query: ClientQuery, _: float) -> None:
            while not delivery.done():
                status = query.current_status
                if status is not None and status.files_completed >= n_files:
                    names = [
                        getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()
                    ]
                    there = len(list(query.download_path.iterdir()))
                    # The library leaves files open when a download is ended.
                    if there >= downloads and "download_file" not in names:
                        return
                await asyncio.sleep(0.02)

        monkeypatch.setattr(request, "_ended", ended)

    return after


def settings(**changes: Any) -> ServiceXSettings:
    values = {
        "endpoint": None,
        "codegen": "uproot-raw",
        "transport": "LocalCache",
        "timeout": 120.0,
        "attempts": 2,
    }
    return ServiceXSettings.model_validate(values | changes)


def failed(
    call: Callable[..., Any], kind: type[PipelineError], /, *args: Any, **kwargs: Any
) -> Any:
    """The error that a call ends in; it holds no secret, whatever way it is shown."""
    with pytest.raises(PipelineError) as raised:
        call(*args, **kwargs)
    error = raised.value
    assert isinstance(error, kind), error
    shown = "".join(traceback.format_exception(error))
    assert not [secret for secret in SECRETS if secret in shown]
    return error


class Asked:
    """Runs ``transform``, and keeps what it told."""

    def __init__(self) -> None:
        dataset = ANALYSIS.dataset("ttbar__nominal")
        self.query: Query = queries.query(ANALYSIS, SELECTION, dataset, learned=True)
        self.received: list[TransformedFile] = []

    def __call__(
        self, *urls: str, kind: Format = "ttree", limits: Any = None, **changes: Any
    ) -> tuple[TransformedFile, ...]:
        return transform.transform(
            urls or URLS,
            self.query,
            kind,
            settings(**changes),
            cache=Path("cache"),
            received=self.received.append,
            limits=limits,
        )


@pytest.fixture
def asked() -> Asked:
    return Asked()


def read(location: str, kind: Format, query: Query) -> Any:
    """Branches as the histogram stage has them, if coffea reads for it."""
    if kind == "parquet":
        with parquet.opened(location, query.columns, query.layout, NETWORK) as file:
            events = NanoEventsFactory.from_parquet(file, schemaclass=BaseSchema).events()
            return ak.materialize(events)
    return NanoEventsFactory.from_root({location: "Events"}, schemaclass=BaseSchema).events()


def check_content(file: TransformedFile, kind: Format, source: Path, query: Query) -> None:
    """The delivered events are those of the source, and hold all that the preselection keeps."""
    delivered = read(file.location, kind, query)
    assert len(delivered) == file.events
    names = query.layout.branches(query.columns)
    with uproot.open(source) as opened:
        arrays = ak.zip({name: opened["Events"][name].array() for name in names}, depth_limit=1)
    mask = np.zeros(len(arrays), dtype=bool)
    mask[processing().preselect(ArrayColumns(arrays, query.layout))[0]] = True
    kept = np.isin(ak.to_numpy(arrays["event"]), ak.to_numpy(delivered.event))
    assert file.before == (None if kind == "parquet" else len(arrays))
    assert 0 < mask.sum() <= kept.sum() < len(arrays)
    assert not (mask & ~kept).any()
    for name in names:
        column = ak.materialize(delivered[name])
        assert ak.array_equal(column, arrays[name][kept], check_parameters=False), name


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_delivers_every_file_in_the_order_asked_for(
    server: service.ServiceX,
    asked: Asked,
    inputs: dict[str, Path],
    kind: Format,
) -> None:
    urls = [URLS[2], URLS[0], URLS[1]]
    files = asked(*urls, kind=kind, limits=dict(zip(URLS, N_EVENTS, strict=True)))
    assert [file.source for file in files] == urls
    assert {file.source: file for file in asked.received} == {file.source: file for file in files}
    for file in files:
        assert Path(file.location).stat().st_size == file.size
        check_content(file, kind, inputs[file.source], asked.query)
    made = files[0].transformer
    assert made.model_dump() == {
        "endpoint": "test0",
        "url": server.url,
        "request_id": next(iter(server.requests)),
        "app_version": service.VERSION,
        "codegen_image": "codegen:1",
        "image": "transformer:3",
        "client_version": "3.3.1",
    }
    assert len(server.submissions()) == 1


def test_delivers_real_events(
    sample: Callable[[str], Path], server: service.ServiceX, asked: Asked
) -> None:
    name = "ttbar2017_NanoAODv5_1000ev.root"
    server.files[name] = sample(name)
    (file,) = asked(name)
    check_content(file, "ttree", sample(name), asked.query)


def test_an_input_without_selected_events_has_a_file(
    server: service.ServiceX, asked: Asked, tmp_path: Path
) -> None:
    server.files["nothing.root"] = tmp_path / "nothing.root"
    write_nanoaod(tmp_path / "nothing.root", toy.events(10, selected=False))
    for kind in ("ttree", "rntuple", "parquet"):
        (file,) = asked("nothing.root", kind=kind)
        assert file.events == 0


def test_names_behind_a_cache_are_matched(server: service.ServiceX, asked: Asked) -> None:
    server.prefix = "root://cache.example//"
    assert [file.source for file in asked()] == list(URLS)


def test_names_are_matched_when_the_client_shortens_them(
    server: service.ServiceX, asked: Asked
) -> None:
    path = Path("servicex.yaml")
    path.write_text(path.read_text() + "shortened_downloaded_filename: true\n")
    long = f"{URLS[0]}?{'x' * 300}"
    server.files[long] = server.files[URLS[0]]
    files = asked(long, URLS[1])
    assert [file.source for file in files] == [long, URLS[1]]
    assert len(Path(files[0].location).name) == 60


def test_a_list_of_another_type_is_not_changed(server: service.ServiceX, asked: Asked) -> None:
    urls = [URLS[1], URLS[0]]
    transform.transform(
        urls,
        asked.query,
        "ttree",
        settings(),
        cache=Path("cache"),
        received=lambda _: None,
    )
    assert urls == [URLS[1], URLS[0]]


def test_a_second_call_makes_no_new_request(server: service.ServiceX, asked: Asked) -> None:
    first = asked(URLS[0])
    assert asked(URLS[0]) == first
    assert len(server.submissions()) == 1


def test_files_deleted_from_the_cache_are_requested_anew(
    server: service.ServiceX, asked: Asked
) -> None:
    (first,) = asked(URLS[0])
    Path(first.location).unlink()
    (second,) = asked(URLS[0])
    assert Path(second.location).exists()
    assert len(server.submissions()) == 2


def test_a_cached_result_that_the_service_has_forgotten_is_requested_anew(
    server: service.ServiceX, asked: Asked
) -> None:
    asked(URLS[0])
    server.requests.clear()
    asked(URLS[0])
    assert len(server.submissions()) == 2


def test_another_endpoint_does_not_give_the_files_of_the_first(
    server: service.ServiceX, store: service.ObjectStore, inputs: dict[str, Path], asked: Asked
) -> None:
    with service.running(store, inputs) as other:
        configure(server, other)
        (first,) = asked(URLS[0], endpoint="test0")
        (second,) = asked(URLS[0], endpoint="test1")
        assert len(server.submissions()) == len(other.submissions()) == 1
        assert (first.transformer.url, second.transformer.url) == (server.url, other.url)


def test_duplicates_are_refused_before_anything_is_asked(
    server: service.ServiceX, asked: Asked
) -> None:
    error = failed(asked, InputError, URLS[0], URLS[1], URLS[0])
    assert URLS[0] in error.problem
    assert URLS[1] not in error.problem
    assert server.calls == []


def test_files_that_fail_once_are_requested_again_alone(
    server: service.ServiceX, asked: Asked
) -> None:
    server.fail[URLS[1]] = 1
    files = asked()
    assert [file.source for file in files] == list(URLS)
    assert server.submissions() == [sorted(URLS), [URLS[1]]]
    assert len({file.transformer.request_id for file in files}) == 2
    assert len(asked.received) == 3


def test_files_that_always_fail_are_named_and_the_others_kept(
    server: service.ServiceX, asked: Asked
) -> None:
    server.fail[URLS[1]] = 9
    error = failed(asked, IncompleteDeliveryError)
    assert "1 of 3 files were not delivered" in error.problem
    assert URLS[1] in error.problem
    assert set(error.missing) == {URLS[1]}
    assert {file.source for file in error.delivered} == {URLS[0], URLS[2]}
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this line
    assert (str(again), again.delivered, again.missing) == (
        str(error),
        error.delivered,
        error.missing,
    )
    # A later run asks for what is missing only, and gets it.
    server.fail.clear()
    assert [file.source for file in asked(*error.missing)] == [URLS[1]]
    assert server.submissions() == [sorted(URLS), [URLS[1]], [URLS[1]]]


def test_all_files_failing_is_no_empty_success(server: service.ServiceX, asked: Asked) -> None:
    server.fail.update(dict.fromkeys(URLS, 9))
    error = failed(asked, IncompleteDeliveryError)
    assert set(error.missing) == set(URLS)
    assert error.delivered == ()


@pytest.mark.parametrize(
    ("end", "kind", "requests", "words"),
    [
        ("Fatal", ServiceError, 2, "fatal error"),
        ("Canceled", ServiceError, 1, "was cancelled"),
        ("Bad Dataset", InputError, 1, "cannot use the list of files"),
    ],
)
def test_a_request_that_ends_badly(
    server: service.ServiceX,
    asked: Asked,
    end: str,
    kind: type[PipelineError],
    requests: int,
    words: str,
) -> None:
    server.end = end
    error = failed(asked, kind, URLS[0])
    assert words in error.problem
    assert list(server.requests)[-1] in error.problem
    assert server.url in error.place
    assert len(server.submissions()) == requests


@pytest.mark.parametrize("transport", ["LocalCache", "URLs"])
def test_a_store_that_is_no_host(
    server: service.ServiceX, asked: Asked, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setattr(server.store, "address", "file:///etc")
    error = failed(asked, ServiceError, URLS[0], transport=transport)
    assert "hands out the object store 'file:///etc'" in error.problem


def test_a_token_that_the_service_does_not_take(server: service.ServiceX, asked: Asked) -> None:
    configure(server, token="another-token-0123456789")  # noqa: S106 - of nobody
    error = failed(asked, ServiceError, URLS[0])
    assert "refuses the credentials" in error.problem
    assert "servicex.yaml" in error.remedy
    assert "another-token" not in str(error)
    assert server.submissions() == []


def test_an_access_token_of_another_kind_is_not_told(
    server: service.ServiceX, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_jwt", lambda _: "opaque-access-token")
    monkeypatch.setattr(server, "_authorized", lambda _: True)
    error = failed(asked, ServiceError, URLS[0])
    assert "not a JSON Web Token" in error.problem
    assert "opaque-access-token" not in str(error)


def test_a_token_file_that_is_missing(
    server: service.ServiceX, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN_FILE", "/nowhere/token")
    error = failed(asked, ServiceError, URLS[0])
    assert "/nowhere/token" in error.problem
    assert "BEARER_TOKEN_FILE" in error.remedy


def test_short_lived_tokens_are_renewed(server: service.ServiceX, asked: Asked) -> None:
    # The client renews a token that is valid for less than a minute.
    server.token_seconds = 30.0
    asked(URLS[0])
    assert server.calls.count("POST /token/refresh") > 3


def test_rights_lost_in_the_middle(server: service.ServiceX, asked: Asked) -> None:
    server.unauthorized = "/results"
    error = failed(asked, ServiceError, URLS[0])
    assert "refuses the credentials" in error.problem
    # The second attempt took up the same request, and so does a later run.
    server.unauthorized = None
    asked(URLS[0])
    assert len(server.submissions()) == 1


def test_a_code_generator_that_the_service_lacks(server: service.ServiceX, asked: Asked) -> None:
    error = failed(asked, ConfigurationError, URLS[0], codegen="uproot-rare")
    assert error.problem == (
        "unknown code generator 'uproot-rare' in `delivery.servicex.codegen` "
        "(did you mean uproot-raw?)"
    )
    error = failed(asked, ConfigurationError, URLS[0], codegen="xaod")
    assert "(there are python, uproot-raw)" in error.problem
    assert server.submissions() == []


def test_a_request_that_the_service_does_not_take(server: service.ServiceX, asked: Asked) -> None:
    server.errors["POST /servicex/transformation"] = 9
    server.error_status = 400
    error = failed(asked, ServiceError, URLS[0])
    assert "does not take the request" in error.problem
    assert "out of order" in error.problem
    assert server.errors["POST /servicex/transformation"] == 8


@pytest.mark.parametrize(
    ("call", "status", "count"),
    [
        ("POST /servicex/transformation", 500, 1),
        ("GET /servicex/transformation", 500, 2),
        ("/results", 500, 1),
        ("GET /servicex", 503, 3),
        ("/token/refresh", 502, 2),
    ],
)
def test_some_answers_of_a_server_in_trouble(
    server: service.ServiceX, asked: Asked, call: str, status: int, count: int
) -> None:
    server.errors[call], server.error_status = count, status
    asked(URLS[0])
    assert server.errors[call] == 0
    assert len(server.submissions()) == 1


@pytest.mark.parametrize("call", ["POST /servicex/transformation", "GET /servicex/transformation"])
def test_a_server_in_trouble_for_good(server: service.ServiceX, asked: Asked, call: str) -> None:
    server.errors[call] = 10_000
    error = failed(asked, ServiceError, URLS[0])
    assert "the service fails" in error.problem
    assert "out of order" in error.problem
    assert len(server.submissions()) == call.startswith("GET")


def test_an_answer_that_is_no_answer(server: service.ServiceX, asked: Asked) -> None:
    server.errors["GET /servicex"], server.error_status = 10_000, 200
    assert "request failed" in failed(asked, ServiceError, URLS[0]).problem


@pytest.mark.parametrize(
    ("capabilities", "kind"), [(service.CAPABILITIES, "ttree"), ((), "ttree"), ((), "parquet")]
)
def test_an_upload_that_was_cut_off_is_requested_again_alone(
    store: service.ObjectStore,
    server: service.ServiceX,
    asked: Asked,
    capabilities: tuple[str, ...],
    kind: Format,
) -> None:
    # Without the capability the client lists the bucket, and takes the size there for right.
    server.capabilities = capabilities
    server.truncate[URLS[1]] = 1
    files = asked(kind=kind)
    assert [file.source for file in files] == list(URLS)
    assert server.submissions() == [sorted(URLS), [URLS[1]]]


def test_an_upload_that_is_always_cut_off(server: service.ServiceX, asked: Asked) -> None:
    server.truncate[URLS[1]] = 9
    error = failed(asked, IncompleteDeliveryError)
    assert set(error.missing) == {URLS[1]}
    assert "cut off" in error.missing[URLS[1]]


def test_polling_of_the_bucket(server: service.ServiceX, asked: Asked) -> None:
    server.capabilities = ()
    assert len(asked(*URLS[:2])) == 2
    assert not any("results" in call for call in server.calls)


def test_a_file_with_more_events_than_its_input_is_refused(
    server: service.ServiceX, asked: Asked
) -> None:
    # Where the file itself tells how many events its input has, that is compared later on.
    error = failed(
        asked, IncompleteDeliveryError, URLS[0], kind="parquet", limits={URLS[0]: 1}, attempts=1
    )
    assert "its input only 1" in error.problem


def test_a_column_that_the_input_lacks(
    server: service.ServiceX, asked: Asked, tmp_path: Path
) -> None:
    server.files["other.root"] = tmp_path / "other.root"
    arrays = toy.events(10)
    del arrays["Jet_qgl"]
    write_nanoaod(tmp_path / "other.root", arrays)
    for kind in ("ttree", "parquet"):
        error = failed(asked, IncompleteDeliveryError, "other.root", kind=kind, attempts=1)
        assert "missing: Jet_qgl" in error.problem


def test_a_request_that_is_late_is_taken_up_by_the_next_call(
    server: service.ServiceX, asked: Asked, late: Callable[..., None]
) -> None:
    server.hold.set()
    late(0)
    error = failed(asked, ServiceError, URLS[0])
    assert "not finished after 120 s: Running, 0 of 1 files" in error.problem
    assert "keep waiting for the same request" in error.remedy
    late(9)
    server.hold.clear()
    asked(URLS[0])
    assert len(server.submissions()) == 1


def test_a_request_that_the_service_has_forgotten_is_made_anew(
    server: service.ServiceX, asked: Asked, late: Callable[..., None]
) -> None:
    server.hold.set()
    late(0)
    failed(asked, ServiceError, URLS[0])
    server.requests.clear()
    server.hold.clear()
    late(9)
    asked(URLS[0])
    assert len(server.submissions()) == 2


def test_a_server_that_never_answers(server: service.ServiceX, asked: Asked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        Path("servicex.yaml").write_text(
            yaml.safe_dump({"api_endpoints": [{"endpoint": address, "name": "silent"}]})
        )
        error = failed(asked, ServiceError, URLS[0], timeout=0.5)
    assert "no answer within 0.5 s" in error.problem
    assert address in error.place


def test_a_server_that_goes_away_in_the_middle(
    store: service.ObjectStore, inputs: dict[str, Path], server: service.ServiceX, asked: Asked
) -> None:
    mortal = service.ServiceX(store)
    mortal.files.update(inputs)
    configure(mortal)
    mortal.hold.set()

    def end() -> None:
        while not any(call.startswith("GET /servicex/transformation") for call in mortal.calls):
            time.sleep(0.02)
        mortal.stop()

    ending = threading.Thread(target=end)
    ending.start()
    error = failed(asked, ServiceError, URLS[0])
    ending.join()
    assert "does not answer" in error.problem
    assert mortal.url in error.place


_KILLED = """
import sys
from pathlib import Path
from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.servicex.transform import transform
from agc_pipeline.delivery.settings import ServiceXSettings
query = Query.model_validate_json(sys.argv[1])
settings = ServiceXSettings.model_validate_json(sys.argv[2])
transform(sys.argv[3:], query, "ttree", settings, cache=Path("cache"), received=print)
"""


def test_a_request_survives_a_kill(server: service.ServiceX, asked: Asked) -> None:
    server.hold.set()
    arguments = [asked.query.model_dump_json(), settings().model_dump_json(), URLS[0]]
    with subprocess.Popen([sys.executable, "-c", _KILLED, *arguments]) as process:
        while not any(call.startswith("GET /servicex/transformation") for call in server.calls):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    server.hold.clear()
    assert len(asked(URLS[0])) == 1
    assert len(server.submissions()) == 1


def test_a_database_that_was_cut_off_is_no_obstacle(server: service.ServiceX, asked: Asked) -> None:
    asked(URLS[0])
    (database,) = Path("cache").rglob("db.json")
    database.write_text(database.read_text()[:30])
    asked(URLS[0])
    assert len(server.submissions()) == 2


def test_files_may_stay_in_the_object_store(
    server: service.ServiceX, asked: Asked, inputs: dict[str, Path]
) -> None:
    files = asked(transport="URLs")
    assert [file.source for file in files] == list(URLS)
    (request_id,) = server.requests
    assert all(file.location.startswith(f"servicex://test0/{request_id}/") for file in files)
    addresses = presign(file.location for file in files)
    assert list(addresses) == [file.location for file in files]
    for file in files[:1]:
        readable = file.model_copy(update={"location": addresses[file.location]})
        check_content(readable, "ttree", inputs[file.source], asked.query)
    # No address that gives access is left on disk: the check is part of the fixture.
    assert any(Path("cache").rglob("db.json"))


def test_parquet_may_stay_in_the_object_store(server: service.ServiceX, asked: Asked) -> None:
    server.truncate[URLS[0]] = 1
    (file,) = asked(URLS[0], kind="parquet", transport="URLs")
    assert len(server.submissions()) == 2
    (address,) = presign([file.location]).values()
    with fsspec.open(address) as opened:
        assert len(ak.from_parquet(opened)) == file.events


def test_files_that_are_gone_from_the_object_store(
    server: service.ServiceX, store: service.ObjectStore, asked: Asked
) -> None:
    (file,) = asked(URLS[0], transport="URLs")
    (request_id,) = server.requests
    store.client.delete_object(Bucket=request_id, Key=URLS[0].replace("/", ":"))
    assert "no longer in the object store" in failed(presign, InputError, [file.location]).problem
    store.client.delete_bucket(Bucket=request_id)
    assert "no longer in the object store" in failed(presign, InputError, [file.location]).problem
    server.requests.clear()
    error = failed(presign, InputError, [file.location])
    assert f"no longer has request {request_id}" in error.problem
    assert error.place == file.location
    assert "not the address" in failed(presign, InputError, ["https://elsewhere"]).problem


def test_progress_is_told(
    server: service.ServiceX,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request, "_SECONDS_BETWEEN_LINES", 0.02)
    server.fail[URLS[2]] = 1
    server.hold.set()

    def told_to_go_on() -> None:
        while "Running, 0 of 3 files" not in caplog.text:
            time.sleep(0.02)
        server.hold.clear()

    going_on = threading.Thread(target=told_to_go_on)
    going_on.start()
    asked()
    going_on.join()
    (request_id, _) = server.requests
    lines = [line for line in caplog.messages if f"ServiceX request {request_id}" in line]
    assert any("Running, 0 of 3 files, 0 B received" in line for line in lines)
    assert any("of 3 files, 1 failed" in line and " left" in line for line in lines)


def test_the_client_writes_nothing_to_our_logs(
    server: service.ServiceX,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server.fail[URLS[0]] = 1
    asked(URLS[0])
    ours = [record for record in caplog.records if record.name != "werkzeug"]
    assert {record.name.partition(".")[0] for record in ours} == {"agc_pipeline"}
    assert capfd.readouterr().out == ""
    # Its loggers are as before.
    assert logging.getLogger("servicex").level == logging.NOTSET
