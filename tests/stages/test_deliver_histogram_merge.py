"""From files to histograms through the command lines: the same bins, whatever the way."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from pyarrow.parquet import ParquetFile

import toy
from agc_pipeline import histograms
from agc_pipeline.columnar import batch, traces
from agc_pipeline.delivery import manifest
from agc_pipeline.files import read_json
from agc_pipeline.readers import metadata
from agc_pipeline.stages.deliver import DeliverStage
from conftest import read_config, run_command
from oracle import analysis as oracle
from oracle.events import events_from_arrays, read_events
from oracle.strategies import Arrays, nanoaod, write_nanoaod

Command = Callable[..., str | None]
VALUES = read_config()
EXECUTION = VALUES["histograms"]
N_EVENTS = (25, 1, 14)


def delivery_job(backend: str = "local", **changes: Any) -> dict[str, Any]:
    """Delivery as a job is given it."""
    kind = None if backend == "none" else VALUES["delivery"]["format"]
    return {"backend": backend, "format": kind, "servicex": None} | changes


class Chain:
    """Runs deliver, histogram and merge_dataset in a folder."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command = command
        self.folder = folder

    def deliver(self, files: list[Any], number: int = 0, **changes: Any) -> str | None:
        reading = {
            name: changes.pop(name, VALUES["delivery"][name]) for name in ("chunk_size", "network")
        }
        settings = {
            "analysis": "cms_ttbar",
            "dataset": changes.pop("dataset", "ttbar__nominal"),
            "files": [f if isinstance(f, dict) else {"urls": [str(f)]} for f in files],
            "selection": VALUES["physics"]["selection"],
            "learned": changes.pop("learned", True),
            "allow_partial": changes.pop("allow_partial", False),
            "delivery": delivery_job(**changes),
        }
        DeliverStage.model_validate(settings)
        return self.command(
            "deliver",
            settings,
            reading=reading,
            manifest=self.folder / f"{number}.manifest.json",
            failures=self.folder / f"{number}.failures.json",
            skims=self.folder / "skims",
        )

    def histogram(self, number: int = 0, **changes: Any) -> str | None:
        models = changes.pop("models", None)
        settings = {
            "analysis": "cms_ttbar",
            "selection": VALUES["physics"]["selection"],
            "learned": None if models is None else VALUES["physics"]["jet_assignment"],
            "allow_partial": changes.pop("allow_partial", False),
        }
        scoring = {"scorer": "xgboost", "triton": VALUES["learning"]["triton"]}
        network = changes.pop("network", VALUES["delivery"]["network"])
        return self.command(
            "histogram",
            settings,
            models=models or "",
            scoring=scoring,
            execution=EXECUTION | changes,
            network=network,
            performance=self.folder / f"{number}.html",
            manifest=self.folder / f"{number}.manifest.json",
            trace=self.folder / f"{number}.trace.json",
            output=self.folder / f"{number}.histograms.json",
        )

    def result(self, batches: int = 1) -> batch.Batch:
        paths = [self.folder / f"{number}.histograms.json" for number in range(batches)]
        output = self.folder / "dataset.json"
        assert self.command("merge_dataset", {}, batches=paths, output=output) is None
        return batch.read(output)

    def merge(self, n_files: int, **changes: Any) -> str | None:
        name = batch.read(self.folder / "dataset.json").dataset
        settings = {
            "analysis": "cms_ttbar",
            "datasets": {name: {"xsec_pb": 729.84, "luminosity_per_pb": 3378, "n_files": n_files}},
            "allow_partial": False,
        }
        return self.command(
            "merge",
            settings | changes,
            datasets=[self.folder / "dataset.json"],
            histograms=self.folder / "histograms.root",
            closure=self.folder / "closure.json",
        )


@pytest.fixture
def chain(command: Command, tmp_path: Path) -> Chain:
    return Chain(command, tmp_path)


def write_files(folder: Path, **options: Any) -> list[Path]:
    paths = [folder / f"{name}.root" for name in "abc"]
    for seed, (path, n) in enumerate(zip(paths, N_EVENTS, strict=True), 1):
        write_nanoaod(path, toy.events(n, seed=seed), events_per_piece=16, **options)
    return paths


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write_files(tmp_path)


def content(made: batch.Batch) -> dict[str, Any]:
    """Everything that must not depend on the way: histograms and cutflow."""
    return {"histograms": made.histograms, "cutflow": made.cutflow}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    chain = Chain(run_command, tmp_path_factory.mktemp("reference"))
    files = write_files(chain.folder)
    assert chain.deliver(files, backend="none") is None
    assert chain.histogram() is None
    assert not (chain.folder / "0.trace.json").exists()
    made = chain.result()
    assert min(made.cutflow["4j1b"], made.cutflow["4j2b"]) >= 4
    return content(made)


@pytest.mark.parametrize("backend", ["none", "local"])
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_sizes(
    chain: Chain,
    files: list[Path],
    reference: dict[str, Any],
    backend: str,
    chunk_size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert chain.deliver(files, backend=backend, chunk_size=chunk_size) is None
    caplog.clear()
    with caplog.at_level("INFO"):
        assert chain.histogram(chunk_size=chunk_size) is None
    assert content(chain.result()) == reference
    # The log says how far it is, file by file.
    entries = manifest.read(chain.folder / "0.manifest.json").files
    n_events = sum(entry.after for entry in entries)
    n_files = sum(entry.after > 0 for entry in entries)
    assert re.findall(r"(\d) of \d files", caplog.text) == ["1", "2", "3"][:n_files]
    assert f"{n_files} of {n_files} files, {n_events} of {n_events} events, " in caplog.text


@pytest.mark.parametrize("executor", ["iterative", "futures"])
@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_skim_formats(
    chain: Chain, files: list[Path], reference: dict[str, Any], kind: str, executor: str
) -> None:
    assert chain.deliver(files, format=kind, chunk_size=11) is None
    assert chain.histogram(executor=executor, chunk_size=6) is None
    assert content(chain.result()) == reference
    made = manifest.read(chain.folder / "0.manifest.json")
    assert made.format == kind
    skim = made.files[0].path
    if kind == "parquet":
        assert "Jet_qgl" in ParquetFile(skim).schema_arrow.names
    else:
        with uproot.open({skim: "Events"}) as tree:
            assert isinstance(tree, uproot.TTree) == (kind == "ttree")


@pytest.mark.parametrize("backend", ["none", "local"])
def test_rntuple_input(
    chain: Chain, tmp_path: Path, reference: dict[str, Any], backend: str
) -> None:
    files = write_files(tmp_path, kind="rntuple")
    assert chain.deliver(files, backend=backend, chunk_size=13) is None
    assert chain.histogram(chunk_size=13) is None
    assert content(chain.result()) == reference


def test_what_is_there_is_not_delivered_again(
    chain: Chain, files: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert chain.deliver(files[:2]) is None
    first = {path: path.stat().st_mtime_ns for path in (chain.folder / "skims").iterdir()}
    with caplog.at_level("INFO"):
        assert chain.deliver(files) is None
    assert "2 of 3 files are there from earlier" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in first} == first
    entries = manifest.read(chain.folder / "0.manifest.json").files
    assert [entry.source for entry in entries] == [str(path) for path in files]


def test_a_file_that_fails_stops_no_other_and_alone_is_delivered_again(
    chain: Chain, files: list[Path], reference: dict[str, Any]
) -> None:
    good = files[1].read_bytes()
    files[1].write_bytes(good[:2000])
    message = chain.deliver(files)
    assert message is not None
    assert str(files[1]) in message
    assert not (chain.folder / "0.manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in (chain.folder / "skims").iterdir()}
    assert len(kept) == 4
    (failed,) = read_json(chain.folder / "0.failures.json")["files"]
    assert (failed["source"], failed["delivered"]) == (str(files[1]), False)
    (failure,) = failed["failures"]
    assert (failure["url"], failure["attempts"]) == (str(files[1]), 1)
    assert failure["error"]

    files[1].write_bytes(good)
    assert chain.deliver(files) is None
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert read_json(chain.folder / "0.failures.json")["files"] == []
    assert chain.histogram() is None
    assert content(chain.result()) == reference


def test_all_files_that_fail_are_named(chain: Chain, files: list[Path]) -> None:
    for path in files[:2]:
        path.unlink()
    message = chain.deliver(files)
    assert message is not None
    assert "2 of 3 files are not delivered" in message
    assert all(f"{path}: file not found" in message for path in files[:2])
    # What helps is the same for both.
    assert "remedy: check the path or the mirror, and run again: the others are kept;" in message


def test_batches_of_any_size(chain: Chain, files: list[Path], reference: dict[str, Any]) -> None:
    for number, path in enumerate(reversed(files)):
        assert chain.deliver([path], number) is None
        assert chain.histogram(number) is None
    made = chain.result(batches=3)
    assert content(made) == reference
    assert {file.source for file in made.files} == {str(path) for path in files}


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_executors(
    chain: Chain,
    files: list[Path],
    reference: dict[str, Any],
    executor: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("headers are read by the process that only waits")

    monkeypatch.setattr(metadata, "read", refuse)
    assert chain.deliver(files) is None
    start = time.time()
    assert chain.histogram(executor=executor, workers=2, chunk_size=9, trace=True) is None
    made = chain.result()
    assert content(made) == reference
    job = traces.read(chain.folder / "0.trace.json")
    assert (job.dataset, job.executor, job.workers) == ("ttbar__nominal", executor, 2)
    assert job.launched < start < job.stopped < time.time()
    headers = [task for task in job.tasks if task.kind == "header"]
    chunks = [task for task in job.tasks if task.kind == "events"]
    skims = {
        entry.path: entry.after for entry in manifest.read(chain.folder / "0.manifest.json").files
    }
    assert {task.path: 1 for task in headers} == dict.fromkeys(skims, 1)
    assert len(headers) == len(skims)
    assert {task.path for task in chunks} == {path for path, n in skims.items() if n}
    # The sum of the tasks is the account of the job.
    (cost,) = made.performance.values()
    assert sum(task.events for task in chunks) == cost.events
    assert sum(task.bytes for task in chunks) == cost.bytes > 0
    for task in job.tasks:
        assert task.url == task.path
        assert task.host == job.host
        assert task.process != job.process
        assert start < task.started < task.stopped < job.stopped
        assert 1 < task.peak_mb < 10_000
        assert task.seconds.cpu <= task.process_cpu
    for task in chunks:
        assert sum(part.wall for part in task.parts.values()) <= task.seconds.wall


@pytest.mark.parametrize(
    ("backend", "reader"), [("local", "auto"), ("none", "auto"), ("none", "coffea")]
)
def test_columns_of_learned_observables_need_not_be_there(
    chain: Chain, tmp_path: Path, backend: str, reader: str
) -> None:
    arrays = toy.events(30)
    learned = {f"{lepton}_{field}" for lepton in ("Electron", "Muon") for field in ("phi", "mass")}
    lacking = {name: arrays[name] for name in arrays if name not in {*learned, "Jet_qgl"}}
    assert len(arrays) - len(lacking) == 5
    made = []
    for number, events in enumerate((arrays, lacking)):
        path = tmp_path / f"{number}.root"
        write_nanoaod(path, events)
        assert chain.deliver([path], number, backend=backend, learned=False) is None
        assert chain.histogram(number, reader=reader) is None
        made.append(batch.read(tmp_path / f"{number}.histograms.json"))
    assert content(made[0]) == content(made[1])
    assert made[1].cutflow["4j2b"] >= 3


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_nothing_selected_goes_through(chain: Chain, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(30, selected=False))
    assert chain.deliver([path], format=kind, dataset="wjets__nominal", chunk_size=8) is None
    (entry,) = manifest.read(tmp_path / "0.manifest.json").files
    assert (entry.before, entry.after) == (30, 0)
    assert entry.path is not None
    if kind == "parquet":
        with ParquetFile(entry.path) as file:
            names, n_events = set(file.schema_arrow.names), file.metadata.num_rows
    else:
        with uproot.open({entry.path: "Events"}) as tree:
            names, n_events = set(tree.keys()), tree.num_entries
    assert n_events == 0
    assert {"nJet", "Jet_qgl", "Muon_tightId", "event"} <= names
    assert chain.histogram() is None
    made = chain.result()
    assert made.cutflow == {"all": 30, "one lepton": 0, "four jets": 0, "4j1b": 0, "4j2b": 0}
    assert chain.merge(1) is None
    named = histograms.read_root(tmp_path / "histograms.root")
    assert "4j2b_wjets_scale_var_up" in named
    assert all(np.all(histograms.contents(h)[0] == 0) for h in named.values())


def test_real_sample_local_and_none_agree_with_the_oracle(
    chain: Chain, sample: Callable[[str], Path]
) -> None:
    paths = [sample("ttbar2017_NanoAODv5_1000ev.root"), sample("cms2015_wjets_200ev.root")]
    made = {}
    for backend in ("none", "local"):
        assert chain.deliver(paths, backend=backend) is None
        assert chain.histogram() is None
        made[backend] = content(chain.result())
    assert made["local"] == made["none"]
    expected = oracle.cutflow(event for path in paths for event in read_events(path))
    assert made["local"]["cutflow"] == expected


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nanoaod(max_events=8))
def test_skim_then_selection_equals_selection(chain: Chain, arrays: Arrays) -> None:
    if not len(arrays["event"]):
        return
    path = chain.folder / "random.root"
    write_nanoaod(path, arrays)
    made = []
    for backend in ("none", "local"):
        assert chain.deliver([path], backend=backend, chunk_size=3) is None
        assert chain.histogram(chunk_size=5) is None
        made.append(content(chain.result()))
    assert made[0] == made[1]
    assert made[0]["cutflow"] == oracle.cutflow(events_from_arrays(arrays))


def test_merge_normalises_and_closes(chain: Chain, files: list[Path]) -> None:
    inputs = [{"urls": [str(path)], "n_events": n} for path, n in zip(files, N_EVENTS, strict=True)]
    assert chain.deliver(inputs) is None
    assert chain.histogram() is None
    made = chain.result()
    assert chain.merge(3) is None
    closure = read_json(chain.folder / "closure.json")
    record = closure["datasets"]["ttbar__nominal"]
    assert closure["partial"] is False
    assert record["weight"] == pytest.approx(729.84 * 3378 / sum(N_EVENTS), rel=1e-15)
    assert (record["events_expected"], record["events_processed"]) == (40, 40)
    named = histograms.read_root(chain.folder / "histograms.root")
    moved = {name for name in named if name.endswith("_migration")}
    assert moved == {
        f"{region}_ttbar_{shift}_migration"
        for region in ("4j1b", "4j2b")
        for shift in ("pt_scale_up", "pt_res_up")
    }
    assert len(named) == 2 * 11 + len(moved)
    for region in ("4j1b", "4j2b"):
        movements = histograms.from_json(made.migrations["ttbar"][region])
        for row, shift in enumerate(movements.axes["variation"]):
            products = named[f"{region}_ttbar_{shift}_migration"].view(flow=True)
            counts = movements.view(flow=True)[row]
            np.testing.assert_allclose(products, counts * record["weight"] ** 2)
            # No more than there are without the variation.
            nominal = named[f"{region}_ttbar"].variances(flow=True)
            assert np.all(products.sum(axis=1) <= nominal * (1 + 1e-12))
            assert products.sum() > 0
        raw = histograms.from_json(made.histograms["ttbar"][region])
        for row, shift in enumerate(raw.axes["variation"]):
            suffix = "" if shift == "nominal" else f"_{shift}"
            normalised: hist.Hist = named[f"{region}_ttbar{suffix}"]
            view, cells = normalised.view(flow=True), raw.view(flow=True)[row]
            np.testing.assert_allclose(view["value"], cells["value"] * record["weight"])
            np.testing.assert_allclose(view["variance"], cells["variance"] * record["weight"] ** 2)
    with uproot.open(chain.folder / "histograms.root") as file:
        made_by = json.loads(str(file["provenance"]))
        assert json.loads(str(file["closure"])) == closure
    assert made_by["software"]["coffea"]
    assert str(chain.folder / "dataset.json") in made_by["inputs"]
