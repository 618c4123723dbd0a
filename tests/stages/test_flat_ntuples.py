"""Flat ntuples with generator weights and collision data, from files to histograms."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import toy_mini
from agc_pipeline import analyses, config, histograms
from agc_pipeline.columnar import batch, closure, performance
from agc_pipeline.columnar.merge import templates as templates_of
from agc_pipeline.declaration import Free
from agc_pipeline.files import read_json, write_json
from agc_pipeline.layers import merged
from agc_pipeline.plan import Plan
from agc_pipeline.stages import deliver as deliver_stage
from conftest import read_config, run_command
from oracle import mini
from servers.web import WebServer
from servers.xrootd import XRootDServer

VALUES = read_config("atlas-hzz")
ANALYSIS = analyses.load("atlas_hzz")
N_EVENTS = {"llll": 30, "ttbar_lep": 10, "data": 30}
XSEC, LUMINOSITY = 1.2578, 10_000.0
COMMON = {
    "analysis": "atlas_hzz",
    "selection": VALUES["physics"]["selection"],
    "allow_partial": False,
}


def deliver(folder: Path, dataset: str) -> None:
    error = run_command(
        "deliver",
        COMMON
        | {
            "dataset": dataset,
            "files": [{"urls": [str(folder / f"{dataset}.root")]}],
            "learned": False,
            "delivery": {
                "backend": "local",
                "format": VALUES["delivery"]["format"],
                "servicex": None,
            },
        },
        reading={name: VALUES["delivery"][name] for name in ("chunk_size", "network")},
        manifest=folder / f"{dataset}.manifest.json",
        failures=folder / f"{dataset}.failures.json",
        skims=folder / "skims",
    )
    assert error is None


def fill(folder: Path, dataset: str, output: Path, **changes: Any) -> None:
    filled = output.with_suffix(".batch")
    error = run_command(
        "histogram",
        COMMON | {"learned": None} | changes,
        execution=VALUES["histograms"],
        network=VALUES["delivery"]["network"],
        performance=output.with_suffix(".html"),
        manifest=folder / f"{dataset}.manifest.json",
        output=filled,
    )
    assert error is None
    assert run_command("merge_dataset", {}, batches=[filled], output=output) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three datasets: with weights of either sign, without a selected event, and of data."""
    folder = tmp_path_factory.mktemp("flat")
    for seed, (dataset, n_events) in enumerate(N_EVENTS.items()):
        columns = toy_mini.columns(dataset, n_events, seed)
        if dataset == "ttbar_lep":
            columns["lep"] = ak.with_field(columns["lep"], abs(columns["lep"].charge), "charge")
        with uproot.recreate(folder / f"{dataset}.root") as file:
            file.mktree("mini", columns)
        deliver(folder, dataset)
        fill(folder, dataset, folder / f"{dataset}.json")
    return folder


@pytest.mark.parametrize(("dataset", "left_out"), [("llll", True), ("data", False)])
def test_only_simulated_events_are_left_out(
    dataset: str, left_out: bool, folder: Path, tmp_path: Path
) -> None:
    manifest = read_json(folder / f"{dataset}.manifest.json")
    for file in manifest["files"]:
        file["path"] = str(tmp_path / "lost.root")
    write_json(tmp_path / "manifest.json", manifest)
    error = run_command(
        "histogram",
        COMMON | {"learned": None, "allow_partial": True},
        execution=VALUES["histograms"],
        network=VALUES["delivery"]["network"],
        performance=tmp_path / "performance.html",
        manifest=tmp_path / "manifest.json",
        output=tmp_path / "filled.json",
    )
    assert (tmp_path / "filled.json").exists() == left_out
    assert (error is None) == left_out
    assert left_out or "lost.root" in str(error)


def merge(folder: Path, target: Path, *, blinded: bool = False, **sums: float) -> str | None:
    datasets = {
        name: {
            "xsec_pb": None if name == "data" else XSEC,
            "luminosity_per_pb": LUMINOSITY,
            "n_files": 1,
            "sum_of_weights": sums.get(name),
        }
        for name in N_EVENTS
    }
    return run_command(
        "merge",
        {
            "analysis": "atlas_hzz",
            "blinded": blinded,
            "datasets": datasets,
            "allow_partial": False,
        },
        datasets=[folder / f"{name}.json" for name in N_EVENTS],
        histograms=target / "histograms.root",
        closure=target / "closure.json",
        performance=target / "performance.json",
    )


def masses(path: Path) -> tuple[list[float], list[float]]:
    """Observable and weight of the events that the plain loops select."""
    observed, weights = [], []
    for event in mini.events(path):
        if (mass := mini.task(event)) is not None:
            observed.append(mass)
            factors = ("scaleFactor_ELE", "scaleFactor_MUON", "scaleFactor_LepTRIGGER")
            names = ("mcWeight", *factors, "scaleFactor_PILEUP")
            weights.append(math.prod(float(event.get(name, 1.0)) for name in names))
    return observed, weights


def test_weights_of_either_sign_and_data_without_any(folder: Path, tmp_path: Path) -> None:
    stated = 1000.0 * float(np.float32(toy_mini.WEIGHTS["llll"]))
    assert merge(folder, tmp_path, llll=stated) is None
    merged = histograms.read_root(tmp_path / "histograms.root")
    edges = [-np.inf, *ANALYSIS.region("Signal_region").edges, np.inf]

    observed, weights = masses(folder / "llll.root")
    assert min(weights) < 0 < max(weights)
    scale = XSEC * LUMINOSITY / stated
    expected = np.histogram(observed, edges, weights=scale * np.array(weights))[0]
    squares = np.histogram(observed, edges, weights=(scale * np.array(weights)) ** 2)[0]
    ours: Any = merged["Signal_region_ZZ"].view(flow=True)
    np.testing.assert_allclose(ours["value"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours["variance"], squares, rtol=1e-5, atol=1e-5)

    observed, weights = masses(folder / "data.root")
    assert set(weights) == {1.0}
    counts = merged[ANALYSIS.data_name("Signal_region")].values(flow=True)
    np.testing.assert_array_equal(counts, np.histogram(observed, edges)[0])


def test_a_dataset_without_selected_events(folder: Path, tmp_path: Path) -> None:
    assert merge(folder, tmp_path) is None
    closure = read_json(tmp_path / "closure.json")
    record = closure["datasets"]["ttbar_lep"]
    assert record["events_processed"] == N_EVENTS["ttbar_lep"]
    assert record["cutflow"]["all"] == N_EVENTS["ttbar_lep"]
    assert [record["cutflow"][region.name] for region in ANALYSIS.regions] == [0, 0, 0, 0]
    for made in batch.read(folder / "ttbar_lep.json").histograms["Z_tt"].values():
        assert not histograms.from_json(made).view(flow=True)["value"].any()


def test_variations_fill_the_regions_in_which_they_have_templates(folder: Path) -> None:
    for region, made in batch.read(folder / "llll.json").histograms["ZZ"].items():
        histogram = histograms.from_json(made)
        rows = histogram.view(flow=True)["value"][: len(histogram.axes["variation"])]
        for variation, row in zip(histogram.axes["variation"], rows, strict=True):
            assert row.any() == ANALYSIS.acts_on(variation, "ZZ", region), (region, variation)


def test_another_sum_of_weights_than_declared(folder: Path, tmp_path: Path) -> None:
    error = merge(folder, tmp_path, llll=500.0)
    assert error is not None
    assert "the files state 420, and `physics.sums_of_weights` has 500" in error
    assert "dataset llll" in error
    assert not list(tmp_path.iterdir())


def test_blinded_data_are_in_no_histogram_and_no_count(folder: Path, tmp_path: Path) -> None:
    fill(folder, "data", tmp_path / "data.json", blinded=True)
    shown, hidden = (batch.read(path / "data.json") for path in (folder, tmp_path))
    n_hidden = {}
    for region in ANALYSIS.regions:
        assert region.blinded is not None
        everything, outside = (
            histograms.from_json(made.histograms["data"][region.name]) for made in (shown, hidden)
        )
        centres = everything.axes["observable"].centers
        window = (centres > region.blinded[0]) & (centres < region.blinded[1])
        values, rest = everything.values()[0], outside.values()[0]
        assert not rest[window].any()
        np.testing.assert_array_equal(rest[~window], values[~window])
        n_hidden[region.name] = values[window].sum()
        assert hidden.cutflow[region.name] == shown.cutflow[region.name] - n_hidden[region.name]
    assert n_hidden["Signal_region"] > 0


@pytest.mark.parametrize("dataset", ["data", "llll"])
def test_events_that_count_twice(dataset: str, folder: Path, tmp_path: Path) -> None:
    """The same events in another file; data of simulated files do not count."""
    paths = [folder / f"{dataset}.json", tmp_path / "more.json"]
    shown = batch.read(paths[0])
    again = shown.files[0].model_copy(update={"source": "written-anew.root", "uuid": "0" * 32})
    batch.write(paths[1], shown.model_copy(update={"files": (again,)}))
    n_selected = sum(shown.cutflow[region.name] for region in ANALYSIS.regions)
    assert n_selected > 0
    both = tmp_path / f"{dataset}.json"
    assert run_command("merge_dataset", {}, batches=paths, output=both) is None
    for simulated in (False, True):
        error = run_command(
            "merge",
            {
                "analysis": "atlas_hzz",
                "datasets": {
                    dataset: {
                        "xsec_pb": None if dataset == "data" else XSEC,
                        "luminosity_per_pb": LUMINOSITY,
                        "n_files": 2,
                        "simulated": simulated,
                    }
                },
                "allow_partial": False,
            },
            datasets=[both],
            histograms=tmp_path / "histograms.root",
            closure=tmp_path / "closure.json",
        )
        assert error is None
        record = closure.read(tmp_path / "closure.json")
        twice = (2 * n_selected, n_selected)
        account = record.datasets[dataset]
        assert (account.compared, account.repeated) == twice
        counts = dataset == "data" and not simulated
        assert (record.compared, record.repeated) == (twice if counts else (0, 0))


def test_the_number_of_blinded_data_does_not_follow_from_others(
    folder: Path, tmp_path: Path
) -> None:
    """Between the events of the files and those outside of the windows, there is no number."""
    for name in N_EVENTS:
        (tmp_path / f"{name}.json").write_bytes((folder / f"{name}.json").read_bytes())
    fill(folder, "data", tmp_path / "data.json", blinded=True)
    (tmp_path / "merged").mkdir()
    assert merge(tmp_path, tmp_path / "merged", blinded=True) is None
    accounts = closure.read(tmp_path / "merged/closure.json").datasets
    data = accounts["data"]
    shown = batch.read(tmp_path / "data.json").cutflow
    regions = [region.name for region in ANALYSIS.regions]
    assert data.cutflow == {name: shown[name] for name in ("all", *regions)}
    assert data.cutflow.keys() < shown.keys()
    assert [(file.before, file.after, file.processed) for file in data.files] == [(30, None, None)]
    assert data.events_delivered is None
    assert data.complete
    # Of simulation, all numbers are there.
    assert accounts["llll"].cutflow == batch.read(folder / "llll.json").cutflow
    assert accounts["llll"].events_delivered is not None
    costs = performance.read(tmp_path / "merged/performance.json").datasets
    assert costs.keys() == {"llll", "ttbar_lep"}


def test_blinded_data_are_no_fewer_than_none(folder: Path, tmp_path: Path) -> None:
    """Where weights of either sign expect fewer, which was no histogram that can be read again."""
    factors = {"data": 1.0, "llll": -1.0}
    batches = {name: (batch.read(folder / f"{name}.json"), f) for name, f in factors.items()}
    templates = templates_of(ANALYSIS, batches, blinded=True)
    histograms.write_root(tmp_path / "histograms.root", templates)
    read = histograms.read_root(tmp_path / "histograms.root")
    window = slice(7, 10)
    assert read["Signal_region_ZZ"].values()[window].min() < 0
    data = read["Signal_region_data"]
    assert not data.values()[window].any()
    assert not data.variances()[window].any()
    assert data.values().sum() > 0


def test_blinded_data_are_what_the_model_expects_before_the_fit(folder: Path) -> None:
    """Free normalisations whose nominal value is not 1 count, all that a process has."""
    free = (Free("a", ("ZZ", "signal"), nominal=1.5), Free("b", ("ZZ",), nominal=2.0))
    batches = {name: (batch.read(folder / f"{name}.json"), 1.0) for name in ("data", "llll")}
    made, plain = (
        templates_of(declared, batches, blinded=True)
        for declared in (replace(ANALYSIS, free=free), replace(ANALYSIS, free=()))
    )
    window = slice(7, 10)
    template = plain["Signal_region_ZZ"].values()
    assert made["Signal_region_ZZ"].values().tolist() == template.tolist()
    assert template[window].any()
    hidden = made["Signal_region_data"].view()[window]
    assert hidden["value"] == pytest.approx(np.maximum(3.0 * template[window], 0.0))
    assert hidden["variance"].tolist() == hidden["value"].tolist()
    assert plain["Signal_region_data"].values()[window] == pytest.approx(
        np.maximum(template[window], 0.0)
    )


# Source: the task's list, analyses/atlas-open-data-hzz of the AGC.
CERN = "https://atlas-opendata.web.cern.ch/atlas-opendata/samples/2020/4lep"
EOS = "root://eospublic.cern.ch//eos/opendata/atlas/OutreachDatasets/2020-01-22/4lep"
SIMULATED = {
    "Zee": 361106,
    "Zmumu": 361107,
    "ttbar_lep": 410000,
    "llll": 363490,
    "ggH125_ZZ4lep": 345060,
    "VBFH125_ZZ4lep": 344235,
    "WH125_ZZ4lep": 341964,
    "ZH125_ZZ4lep": 341947,
}


def real_task(**source: Any) -> Plan:
    return Plan(config.load(merged(VALUES, {"input": source})))


def test_the_real_task_lists_its_files_at_cern() -> None:
    made = real_task(mirror_order=["cern", "eos"])
    files = {name: dataset.files for name, dataset in made.datasets.items()}
    names = {name: [f"MC/mc_{number}.{name}.4lep.root"] for name, number in SIMULATED.items()}
    names["data"] = [f"Data/data_{letter}.4lep.root" for letter in "ABCD"]
    assert {name: [file.urls for file in listed] for name, listed in files.items()} == {
        name: [(f"{CERN}/{path}", f"{EOS}/{path}") for path in paths]
        for name, paths in names.items()
    }
    # All events of the collection's data.
    assert sum(file.n_events or 0 for file in files["data"]) == 832
    made.check()


@pytest.fixture
def served() -> Iterator[Path]:
    """A folder that every user can read, as xrootd asks for, with one folder for each mirror."""
    with tempfile.TemporaryDirectory() as name:
        for folder in ("cern/files", "eos/files/Data", "eos/files/MC"):
            (Path(name) / folder).mkdir(parents=True)
        for folder in (name, f"{name}/cern", f"{name}/eos"):
            Path(folder).chmod(0o755)
        yield Path(name)


def test_the_real_task_takes_files_from_its_mirrors(served: Path, tmp_path: Path) -> None:
    """What the first, by http, does not have comes from the second, by root://."""
    if XRootDServer.program() is None:
        pytest.skip("no `xrootd` here: install Debian's xrootd-server")
    listed = real_task().datasets
    for seed, name in enumerate(("data", "llll")):
        for number, file in enumerate(listed[name].files):
            *_, folder, base = file.urls[0].split("/")
            # The web server of the tests has no folders.
            place = f"eos/files/{folder}/{base}" if number % 2 else f"cern/files/{base}"
            toy_mini.write(served / place, name, file.n_events or 30, seed)
    with ExitStack() as stack:
        mirrors = {}
        for name, kind in (("cern", WebServer), ("eos", XRootDServer)):
            server = kind(served / name / "files").start()
            stack.callback(server.kill)
            mirrors[name] = server.url("").rstrip("/")
        made = real_task(mirrors=mirrors, mirror_order=["cern", "eos"])
        for name, n_events in (("data", 832), ("llll", 30)):
            (batch_name,) = made.batches(name)
            manifest = tmp_path / f"{name}.json"
            network = VALUES["delivery"]["network"] | {"attempts": 2, "backoff": 0.05}
            error = run_command(
                "deliver",
                deliver_stage.configure(made, name, batch_name).model_dump(),
                reading={"chunk_size": 1000, "network": network},
                manifest=manifest,
                failures=tmp_path / f"{name}.failures.json",
                skims=tmp_path / name,
            )
            assert error is None
            delivered = read_json(manifest)["files"]
            assert sum(file["before"] for file in delivered) == n_events
            schemes = [file["url"].partition(":")[0] for file in delivered]
            assert schemes == ["http", "root"] * (len(schemes) // 2) + ["http"] * (len(schemes) % 2)
