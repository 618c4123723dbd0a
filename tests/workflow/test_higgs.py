"""H to ZZ* to four leptons from simulated events and files of data to its report."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

import toy_mini
from agc_pipeline import analyses, histograms
from agc_pipeline.columnar import batch
from agc_pipeline.files import read_json
from conftest import ROOT, SAMPLES
from project import snakemake

pytestmark = pytest.mark.workflow

ANALYSIS = analyses.load("atlas_hzz")
# Masses of the data, GeV: outside of the blinded windows, and in all of them.
SHOWN = (90.0, 92.0, 100.0, 112.0, 137.0, 160.0, 190.0, 200.0, 210.0)
HIDDEN = (118.0, 121.0, 123.0, 124.0, 125.0, 127.0)
# Templates of so few events need wide bins, of which one is the window.
EDGES = [80, 115, 130, 250]
RUN: dict[str, Any] = {
    "analysis": "atlas_hzz",
    "input": {
        "kind": "simulated",
        "mirrors": {"here": "data"},
        "mirror_order": ["here"],
        "datasets": {"data": {"files": {"data.root": None}}},
    },
    "blinded": True,
    "simulation": {"scale": 0.02},
    "fit": {
        "model": {"edges": {"Signal_region": EDGES}, "missing_datasets": "drop"},
        "minimiser": {"starts": 1},
        "compare": False,
        "scan": {"points": 3, "minos": "poi"},
        "toys": {"count": 2},
        "limit": {"points": 3, "toys": {"count": 4}},
    },
}
# Folders with the events themselves, and what is told of jobs.
OF_EVENTS = ("skims", "simulated", "data", "manifests", "file_metadata")
# What tells of a run, and of the skims: their number of events is that of the events themselves.
UNBLINDED = ("provenance", "performance", "uuid", "after", "processed")
OF_JOBS = ("logs", "benchmarks", "code", "performance")
# Figures with the times of jobs.
TIMED = ("stages", "timeline")


def write_data(path: Path, *, hidden: bool) -> None:
    """Write four-lepton events of given masses; those in the windows pass only if they are there.

    Otherwise they have a charge: all other numbers of the file are the same.
    """
    masses = np.array([*SHOWN, *HIDDEN] * 3)
    columns = toy_mini.columns("data", 3 * len(masses), seed=5)
    counts = ak.num(columns["lep"])
    chosen = np.flatnonzero(np.asarray(counts == 4))[: len(masses)]
    columns = {name: values[chosen] for name, values in columns.items()}
    leptons = columns["lep"]
    energy = leptons.pt * np.cosh(leptons.eta)
    momenta = [
        ak.sum(leptons.pt * f(leptons[angle]), axis=1)
        for f, angle in ((np.cos, "phi"), (np.sin, "phi"), (np.sinh, "eta"))
    ]
    actual = np.sqrt(ak.sum(energy, axis=1) ** 2 - sum(p**2 for p in momenta))
    factor = 1000.0 * masses / actual
    for name in ("pt", "E", "ptcone30", "etcone20"):
        values = ak.values_astype(leptons[name] * factor, np.float32)
        leptons = ak.with_field(leptons, values, name)
    if not hidden:
        outside = ~np.isin(masses, HIDDEN)
        charged = ak.values_astype(ak.ones_like(leptons.charge), np.int32)
        leptons = ak.with_field(leptons, ak.where(outside, leptons.charge, charged), "charge")
    path.parent.mkdir(exist_ok=True)
    with uproot.recreate(path) as file:
        file.mktree("mini", columns | {"lep": leptons})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a blinded run, and beside them those of data without events in the windows."""
    folder = tmp_path_factory.mktemp("higgs")
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    for name, hidden in (("without", False), ("results", True)):
        write_data(folder / "data/data.root", hidden=hidden)
        snakemake(folder, "run.yaml")
        if name != "results":
            shutil.copytree(folder / "results", folder / name)
    return folder


def outputs(results: Path) -> dict[str, Any]:
    """What is made of events, by name of the file, without what is told of the run itself."""
    found: dict[str, Any] = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if path.is_dir() or name.parts[0].startswith((*OF_EVENTS, *OF_JOBS, ".")):
            continue
        if path.parent.name == "figures" and path.stem in TIMED:
            continue
        match path.suffix:
            case ".json":
                found[str(name)] = without_provenance(read_json(path))
            case ".root":
                found[str(name)] = contents(path)
            case ".html":
                found[str(name)] = words(path.read_text())
            case ".svg" | ".pdf" | ".xml" | ".yaml":
                found[str(name)] = path.read_bytes()
    return found


def without_provenance(value: Any) -> Any:
    """A record without digests, versions and times."""
    if isinstance(value, dict):
        return {
            key: without_provenance(item) for key, item in value.items() if key not in UNBLINDED
        }
    return [without_provenance(item) for item in value] if isinstance(value, list) else value


def contents(path: Path) -> dict[str, list[float]]:
    """All histograms of a file, in the order of their bins."""
    with uproot.open(path) as file:
        keys = file.keys(cycle=False, filter_classname="TH1*")
        return {key: file[key].values(flow=True).tolist() for key in keys}


def words(page: str) -> list[str]:
    """Words and numbers of a page, with those of its figures, without times and memory of jobs."""
    page = re.sub(
        r'<h2 id="(?:run|speed|provenance)".*?(?=<h2 |</main>)', "", page, flags=re.DOTALL
    )
    return re.findall(r"[^\s<>]+", page)


def test_no_output_depends_on_what_is_blinded(folder: Path) -> None:
    """Everything is the same, whether there are data in the windows or not."""
    shown, hidden = outputs(folder / "without"), outputs(folder / "results")
    assert {"fit.json", "limit.json", "report.html", "histograms.root"} <= set(hidden)
    assert any(name.startswith("hepdata/") for name in hidden)
    assert shown.keys() == hidden.keys()
    assert [name for name in shown if shown[name] != hidden[name]] == []
    # Data outside of the window are there, and the expectation stands in it; with underflow, bins 8
    # to 10 are those from 115 to 130 GeV.
    merged = hidden["histograms.root"]
    window, data = slice(8, 11), merged["Signal_region_data"]
    assert sum(data[:8]) + sum(data[11:]) == 3 * len(SHOWN)
    samples = [merged[f"Signal_region_{process.name}"][window] for process in ANALYSIS.processes]
    assert data[window] == pytest.approx(np.sum(samples, axis=0))


def test_bits_of_data_do_not_depend_on_how_they_are_read(folder: Path) -> None:
    target = "histograms/data.json"
    other = {
        "results": "other",
        "delivery": {"backend": "none"},
        "histograms": {"executor": "futures", "workers": 2, "chunk_size": 7},
    }
    options = [f"{key}={json.dumps(value)}" for key, value in other.items()]
    snakemake(folder, "run.yaml", "--config", *options, "--", f"other/{target}")
    made, again = (read_json(folder / name / target) for name in ("results", "other"))
    assert made["histograms"] == again["histograms"]
    assert made["cutflow"] == again["cutflow"]


def test_real_data(tmp_path: Path) -> None:
    """The configuration of the documents, on the four files of collision data."""
    source = SAMPLES / "atlas_4lep"
    if len(list(source.glob("data_*.root"))) != 4:
        pytest.skip("the ATLAS data are not at hand (looked in ../shared/samples/atlas_4lep)")
    shutil.copy(ROOT / "config/atlas-hzz-local.yaml", tmp_path / "run.yaml")
    mirrors = json.dumps({"mirrors": {"local": str(source)}})
    snakemake(
        tmp_path,
        "run.yaml",
        "--config",
        "results=real",
        f"input={mirrors}",
        "--",
        "real/histograms/data.json",
    )
    record = batch.read(tmp_path / "real/histograms/data.json")
    counts = {region: record.cutflow[region] for region in ("Signal_region", "4e", "2e2mu", "4mu")}
    assert counts.pop("Signal_region") == 506
    assert sum(counts.values()) == 321
    made = histograms.from_json(record.histograms["data"]["Signal_region"])
    assert made.values()[0].sum() == 371
