"""H to ZZ* to four leptons: the shipped configuration, from files of the real layout to reports."""

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import toy_mini
from agc_pipeline import analyses, histograms
from agc_pipeline.columnar import batch
from agc_pipeline.files import read_json
from conftest import ROOT, SAMPLES, read_config
from project import snakemake
from servers.web import WebThread

pytestmark = pytest.mark.workflow

ANALYSIS = analyses.load("atlas_hzz")
SHIPPED = read_config("atlas-hzz")
# Masses of the data, GeV: outside of the blinded windows, and in all of them.
SHOWN = (90.0, 92.0, 100.0, 112.0, 137.0, 160.0, 190.0, 200.0, 210.0)
HIDDEN = (118.0, 121.0, 123.0, 124.0, 125.0, 127.0)
# Templates of so few events need wide bins, of which one is the window.
EDGES = {
    "Signal_region": [80, 115, 130, 250],
    **{name: [80, 117.5, 132.5, 170] for name in ("4e", "2e2mu", "4mu")},
}
N_DATA = SHIPPED["input"]["datasets"]["data"]["files"].values()
# Events of each file of simulation, and for how many of the luminosity they stand.
N_SIMULATED = 300
EXPECTED = {
    "Zee": 60.0,
    "Zmumu": 60.0,
    "ttbar_lep": 120.0,
    "llll": 400.0,
    "ggH125_ZZ4lep": 60.0,
    "VBFH125_ZZ4lep": 5.0,
    "WH125_ZZ4lep": 4.0,
    "ZH125_ZZ4lep": 0.1,
}
# What a run asks for beside the shipped configuration.
CHANGES: dict[str, Any] = {
    "blinded": True,
    "fit": {
        "model": {"edges": EDGES},
        "minimiser": {"starts": 1},
        "compare": False,
        "scan": {"points": 3, "minos": "poi"},
        "toys": {"count": 2},
        "limit": {"points": 3, "toys": {"count": 60}},
    },
}
# Folders with the events themselves, and what is told of jobs.
OF_EVENTS = ("skims", "simulated", "data", "manifests", "file_metadata")
# What tells of a run.
UNBLINDED = ("provenance", "performance", "uuid")
OF_JOBS = ("logs", "benchmarks", "code", "performance")
# Figures with the times of jobs.
TIMED = ("stages", "timeline")


def with_masses(dataset: str, masses: Any, seed: int) -> dict[str, Any]:
    """Columns of four-lepton events of given masses, GeV, with others of the collection beside."""
    columns = toy_mini.columns(dataset, 2 * len(masses), seed)
    chosen = np.flatnonzero(np.asarray(ak.num(columns["lep"]) == 4))[: len(masses)]
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
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, len(masses))
    jets = rng.exponential(3e4, counts.sum()).astype(np.float32)
    return columns | {
        "lep": leptons,
        "channelNumber": np.full(len(masses), 300_000, np.int32),
        "met_et": rng.exponential(2e4, len(masses)).astype(np.float32),
        "jet_n": counts.astype(np.uint32),
        "jet": ak.zip({"pt": ak.unflatten(jets, counts), "MV2c10": ak.unflatten(0 * jets, counts)}),
    }


def write_data(folder: Path, *, hidden: bool) -> None:
    """Write the files of data; events in the windows pass only if they are there.

    Otherwise they have a charge: all other numbers of the files are the same.
    """
    for seed, (name, n_events) in enumerate(SHIPPED["input"]["datasets"]["data"]["files"].items()):
        masses = np.resize([*SHOWN, *HIDDEN], n_events)
        columns = with_masses("data", masses, seed)
        if not hidden:
            leptons, outside = columns["lep"], ~np.isin(masses, HIDDEN)
            charged = ak.values_astype(ak.ones_like(leptons.charge), np.int32)
            charge = ak.where(outside, leptons.charge, charged)
            columns["lep"] = ak.with_field(leptons, charge, "charge")
        with uproot.recreate(folder / name) as file:
            file.mktree("mini", columns)


def write_simulation(folder: Path) -> dict[str, float]:
    """Write the files of simulation; gives the sums of weights that they state, by dataset."""
    sums = {}
    for seed, (name, expected) in enumerate(EXPECTED.items()):
        rng = np.random.default_rng(seed)
        resonant = name.endswith("ZZ4lep")
        masses = rng.normal(124, 3, N_SIMULATED) if resonant else rng.uniform(80, 250, N_SIMULATED)
        columns = with_masses(name, masses, seed)
        total = SHIPPED["physics"]["cross_sections_pb"][name] * columns["mcWeight"].sum()
        total = np.float32(total * SHIPPED["physics"]["luminosity_per_pb"] / expected)
        columns["SumWeights"] = np.full(N_SIMULATED, total)
        sums[name] = float(total)
        (base,) = SHIPPED["input"]["datasets"][name]["files"]
        with uproot.recreate(folder / base) as file:
            file.mktree("mini", columns)
    return sums


def run(folder: Path, *options: str, **changes: Any) -> str:
    """Run the shipped configuration in a folder, with changes on the command line alone."""
    values = [f"{key}={json.dumps(value)}" for key, value in (CHANGES | changes).items()]
    shipped = str(ROOT / "config/atlas-hzz.yaml")
    return snakemake(folder, shipped, "--config", *values, *options)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files of simulation, and of data, which a test replaces, with the names of the collection."""
    files = tmp_path_factory.mktemp("4lep")
    sums = write_simulation(files)
    with WebThread(files) as server:
        CHANGES["input"] = {"mirrors": {"cern": server.url("").rstrip("/")}}
        CHANGES["physics"] = {"sums_of_weights": sums}
        yield files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """Results of a blinded run, and beside them those of data without events in the windows."""
    folder = tmp_path_factory.mktemp("higgs")
    for name, hidden in (("without", False), ("results", True)):
        write_data(source, hidden=hidden)
        told = run(folder, results="results")
        (folder / "results/terminal.txt").write_text(told)
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
            case ".txt":
                found[str(name)] = re.findall(r"^  .*", path.read_text(), re.MULTILINE)
            case ".json":
                found[str(name)] = without_provenance(read_json(path))
            case ".root":
                found[str(name)] = contents(path)
            case ".html":
                found[str(name)] = words(path.read_text())
            case ".gz":
                with tarfile.open(path) as archive:
                    for member in archive.getnames():
                        if member.endswith(".yaml") and (file := archive.extractfile(member)):
                            found[f"{name}/{member}"] = file.read()
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
    assert {"fit.json", "report.html", "histograms.root", "terminal.txt"} <= set(hidden)
    assert hidden["limit.json"]["toys"]["limit"]["error"] > 0
    assert any("signal strength" in line for line in hidden["terminal.txt"])
    assert any(name.startswith("hepdata.tar.gz/") for name in hidden)
    assert shown.keys() == hidden.keys()
    assert [name for name in shown if shown[name] != hidden[name]] == []
    # Data outside of the window are there, and the expectation stands in it; with underflow, bins 8
    # to 10 are those from 115 to 130 GeV.
    merged = hidden["histograms.root"]
    window, data = slice(8, 11), merged["Signal_region_data"]
    masses = np.concatenate([np.resize([*SHOWN, *HIDDEN], n) for n in N_DATA])
    assert sum(data[:8]) + sum(data[11:]) == np.isin(masses, SHOWN).sum()
    samples = [merged[f"Signal_region_{process.name}"][window] for process in ANALYSIS.processes]
    assert data[window] == pytest.approx(np.sum(samples, axis=0))


def test_all_files_count_as_the_task_says(folder: Path) -> None:
    """Several datasets fill a process, each normalised to the sum of its weights."""
    closure = read_json(folder / "results/closure.json")
    assert closure["datasets"]["data"]["events_processed"] == 832
    for name, expected in EXPECTED.items():
        account = closure["datasets"][name]
        assert account["sum_of_weights"] == CHANGES["physics"]["sums_of_weights"][name]
        assert account["events_processed"] == N_SIMULATED
        record = batch.read(folder / f"results/histograms/{name}.json")
        (process,) = record.histograms
        made = histograms.from_json(record.histograms[process]["Signal_region"])
        yields = account["weight"] * made.values(flow=True)[0].sum()
        assert yields == pytest.approx(expected, rel=0.15)


def test_the_tight_selection_is_fitted_to_the_same_histograms(folder: Path) -> None:
    told = run(folder, "--dry-run", results="results", selection="tight")
    assert re.search(r"^ +fit +1 ", told, re.MULTILINE), told
    assert not re.search(r"^ +(deliver|histogram|merge\w*) +\d", told, re.MULTILINE)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the run without any file, of few simulated events, for the tight selection."""
    folder = tmp_path_factory.mktemp("embedded")
    run_embedded(folder, selection="tight")
    return folder / "results"


def run_embedded(folder: Path, *options: str, **changes: Any) -> str:
    """Run the configuration that simulates all of its input, with changes on the command line."""
    told = {
        "results": "results",
        "simulation": {"scale": 0.04},
        "fit": CHANGES["fit"] | {"limit": {"points": 3, "toys": {"count": 0}}},
    } | changes
    values = [f"{key}={json.dumps(value)}" for key, value in told.items()]
    shipped = str(ROOT / "config/atlas-hzz-simulated.yaml")
    return snakemake(folder, shipped, "--config", *values, *options)


def strength(fit: dict[str, Any]) -> tuple[float, float]:
    """Best fit of the normalisation of the signal, and its uncertainty."""
    number = fit["labels"].index("Signal_norm")
    return fit["bestfit"][number], fit["uncertainty"][number]


def test_the_embedded_run(embedded: Path) -> None:
    """All events are simulated, and the fit to pseudodata has the signal that is in them."""
    accounts = read_json(embedded / "closure.json")["datasets"]
    assert accounts.keys() == {dataset.name for dataset in ANALYSIS.datasets}
    for name, account in accounts.items():
        with uproot.open(embedded / f"simulated/{name}/0000.root") as file:
            n_events = file["mini"].num_entries
        assert account["events_processed"] == account["events_expected"] == n_events > 0
    # Published yields from 80 to 250 GeV, which the simulation is scaled to.
    merged = histograms.read_root(embedded / "histograms.root")
    for name, published in {"Z_tt": 112.9, "ZZ": 168.8, "signal": 9.5}.items():
        total = merged[f"Signal_region_{name}"].sum()
        assert abs(total.value - published) < 4 * np.sqrt(total.variance)
    observed = merged["Signal_region_data"].sum().value
    assert abs(observed - 291.2) < 4 * np.sqrt(291.2)
    fit = read_json(embedded / "fit.json")
    assert list(fit["channels"]) == ["4e", "2e2mu", "4mu"]
    for name, channel in fit["channels"].items():
        data = merged[f"{name}_data"].values()
        assert channel["observed"] == [sum(data[:10]), sum(data[10:14]), sum(data[14:])]
    systematics = {"Electron efficiency", "Lepton momentum scale", "Luminosity"}
    assert systematics < set(fit["labels"])
    assert "Scalefactor_variation" not in fit["labels"]
    value, uncertainty = strength(fit)
    assert uncertainty < 1
    # Of one seed, and few simulated events: within two standard deviations.
    assert abs(value - 1) < 2 * uncertainty
    page = (embedded / "report.html").read_text()
    assert "The regions of the selection <i>tight</i> are fitted: 4e, 2e2mu, 4mu." in page
    assert "The fit uses pseudodata, simulated events of all processes in Poisson numbers" in page


def test_the_embedded_run_is_blinded(embedded: Path) -> None:
    """Pseudodata are left out of the window, and of the counts, and nothing is simulated again."""
    target = "histograms/data.json"
    shown = batch.read(embedded / target)
    told = run_embedded(embedded.parent, "--", f"results/{target}", selection="tight", blinded=True)
    started = re.findall(r"started +(?!code)(\w+) +(\S+)", told)
    assert started == [("histogram", "data"), ("merge_dataset", "data")]
    hidden = batch.read(embedded / target)
    for region in ("Signal_region", "4e", "2e2mu", "4mu"):
        before, after = (
            histograms.from_json(record.histograms["data"][region]) for record in (shown, hidden)
        )
        low, high = next(r.blinded for r in ANALYSIS.regions if r.name == region) or (0, 0)
        inside = (before.axes[-1].centers > low) & (before.axes[-1].centers < high)
        expected = np.where(inside, 0.0, before.values()[0])
        np.testing.assert_array_equal(after.values()[0], expected)
        left_out = shown.cutflow[region] - hidden.cutflow[region]
        assert left_out == before.values()[0][inside].sum()
        assert left_out > 0 or region != "Signal_region"


def test_bits_of_data_do_not_depend_on_how_they_are_read(folder: Path) -> None:
    target = "histograms/data.json"
    run(
        folder,
        "--",
        f"other/{target}",
        results="other",
        delivery={"backend": "none"},
        histograms={"executor": "futures", "workers": 2, "chunk_size": 60},
    )
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
