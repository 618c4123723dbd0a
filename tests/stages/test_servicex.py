"""Delivery by ServiceX: the real client, over HTTP, and a service that does everything wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import httpx_retries
import numpy as np
import pytest
import servicex.servicex_adapter
import uproot
import yaml
from coffea.nanoevents import NanoEventsFactory
from servicex.minio_adapter import MinioAdapter
from servicex.query_core import Query as ClientQuery
from tenacity import wait_none

import toy
from agc_pipeline import analyses
from agc_pipeline.analyses.base import Query
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.columnar.runner import NanoAOD
from agc_pipeline.delivery.servicex import transform
from agc_pipeline.delivery.servicex.checks import Format
from agc_pipeline.delivery.servicex.transform import TransformedFile
from agc_pipeline.delivery.settings import ServiceXSettings
from agc_pipeline.delivery.skim import collections
from oracle.strategies import write_nanoaod
from servers import servicex as service

N_EVENTS = (60, 40, 50)
URLS = tuple(f"root://cms.example//store/part{i}.root" for i in range(len(N_EVENTS)))
SECRETS = (service.ACCESS_KEY, service.SECRET_KEY, service.REFRESH_TOKEN, "Signature=", "eyJ")


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
) -> Iterator[service.ServiceX]:
    """A server, and a working directory with the client's configuration for it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)
    with service.running(store, inputs) as made:
        configure(made)
        yield made


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


def settings(**changes: Any) -> ServiceXSettings:
    values = {
        "endpoint": None,
        "codegen": "uproot-raw",
        "transport": "LocalCache",
        "timeout": 30.0,
        "attempts": 2,
    }
    return ServiceXSettings.model_validate(values | changes)


class Asked:
    """Runs ``transform``, and keeps what it told."""

    def __init__(self, selection: Selection) -> None:
        self.query: Query = analyses.load_query("cms_ttbar").query(selection)
        self.advanced: list[tuple[int, int]] = []

    def __call__(
        self, *urls: str, kind: Format = "ttree", limits: Any = None, **changes: Any
    ) -> tuple[TransformedFile, ...]:
        return transform.transform(
            urls or URLS,
            self.query,
            kind,
            settings(**changes),
            cache=Path("cache"),
            advance=lambda events, n_bytes: self.advanced.append((events, n_bytes)),
            limits=limits,
        )


@pytest.fixture
def asked(selection: Selection) -> Asked:
    return Asked(selection)


def read(location: str, kind: Format) -> Any:
    """Events as the histogram stage has them."""
    if kind == "parquet":
        return NanoEventsFactory.from_parquet(location, schemaclass=NanoAOD).events()
    return NanoEventsFactory.from_root({location: "Events"}, schemaclass=NanoAOD).events()


def check_content(
    file: TransformedFile, kind: Format, source: Path, query: Query, selection: Selection
) -> None:
    """The delivered events are those of the source, and hold all that the preselection keeps."""
    delivered = read(file.location, kind)
    assert len(delivered) == file.events
    names = [f"{c}_{f}" if c else f for c, fields in query.columns.items() for f in fields]
    with uproot.open(source) as opened:
        arrays = ak.zip({name: opened["Events"][name].array() for name in names}, depth_limit=1)
    mask, _ = analyses.load_preselection("cms_ttbar").preselect(
        selection, collections(arrays, query.columns)
    )
    kept = np.isin(ak.to_numpy(arrays["event"]), ak.to_numpy(delivered.event))
    assert 0 < mask.sum() <= kept.sum() < len(arrays)
    assert not (mask & ~kept).any()
    for collection, fields in query.columns.items():
        for name in fields:
            column = delivered[collection][name] if collection else delivered[name]
            original = arrays[f"{collection}_{name}" if collection else name][kept]
            assert ak.array_equal(ak.materialize(column), original, check_parameters=False), name


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_delivers_every_file_in_the_order_asked_for(
    server: service.ServiceX,
    asked: Asked,
    selection: Selection,
    inputs: dict[str, Path],
    kind: Format,
) -> None:
    urls = [URLS[2], URLS[0], URLS[1]]
    files = asked(*urls, kind=kind, limits=dict(zip(URLS, N_EVENTS, strict=True)))
    assert [file.source for file in files] == urls
    assert asked.advanced == [(file.events, file.size) for file in files] or len(files) == 3
    assert sorted(asked.advanced) == sorted((file.events, file.size) for file in files)
    for file in files:
        assert Path(file.location).stat().st_size == file.size
        check_content(file, kind, inputs[file.source], asked.query, selection)
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


def test_the_query_is_exact_on_real_events(
    sample: Callable[[str], Path], server: service.ServiceX, asked: Asked, selection: Selection
) -> None:
    for name in ("ttbar2017_NanoAODv5_1000ev.root",):
        server.files[name] = sample(name)
        (file,) = asked(name)
        check_content(file, "ttree", sample(name), asked.query, selection)
