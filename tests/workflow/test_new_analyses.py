"""Analyses outside the package, run to their report."""

import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
import yaml

import weighted_analysis
from agc_pipeline import histograms
from agc_pipeline.analyses import load
from agc_pipeline.files import read_json
from conftest import ROOT
from project import SHORT, run, snakemake

pytestmark = pytest.mark.workflow


def bestfit(fit: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Parameter to its value and uncertainty."""
    return {
        label: (value, size)
        for label, value, size in zip(
            fit["labels"], fit["bestfit"], fit["uncertainty"], strict=True
        )
    }


@pytest.fixture(scope="module")
def dimuon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new analysis and its results."""
    folder = tmp_path_factory.mktemp("new")
    told = run("agc_pipeline.cli", "new", "my_dimuon", folder=folder)
    assert f"snakemake --cores 2 -s {ROOT / 'Snakefile'} --configfile my_dimuon/run.yaml" in told
    snakemake(folder, "my_dimuon/run.yaml", "--config", f"fit={json.dumps(SHORT)}")
    return folder


def invariant_masses(path: Path) -> list[float]:
    """Masses of the pairs that pass, one event after the other."""
    masses = []
    with uproot.open({path: "Events"}) as tree:
        names = ("pt", "eta", "phi", "charge")
        arrays = [tree[f"Muon_{name}"].array().tolist() for name in names]
    for pts, etas, phis, charges in zip(*arrays, strict=True):
        good = [i for i in range(len(pts)) if pts[i] > 20 and abs(etas[i]) < 2.4]
        if len(good) == 2 and sum(charges[i] for i in good) == 0:
            i, j = good
            angles = np.cosh(etas[i] - etas[j]) - np.cos(phis[i] - phis[j])
            masses.append(float(np.sqrt(2 * pts[i] * pts[j] * angles)))
    return masses


def test_a_new_analysis_runs_to_its_report(dimuon: Path) -> None:
    results = dimuon / "results/my_dimuon"
    report = (results / "report.html").read_text()
    assert "Z bosons in pairs of muons" in report
    for word in ("ttbar", "top-quark", "top quark", "b-tag", "4j1b", "trijet"):
        assert word not in report.lower()
    closure = read_json(results / "closure.json")
    generated = {"zmumu": 20_000, "continuum": 20_000, "data": 6_000}
    weights = {"zmumu": 36 * 100 / 20_000, "continuum": 24 * 100 / 20_000, "data": 1}
    for name, account in closure["datasets"].items():
        assert account["events_expected"] == account["events_processed"] == generated[name]
        assert account["weight"] == pytest.approx(weights[name])
    observed = histograms.read_root(results / "histograms.root")
    for name, weight in weights.items():
        masses = invariant_masses(dimuon / f"my_dimuon/input/{name}.root")
        counts, _ = np.histogram(masses, bins=np.arange(60, 121, 5))
        view = observed[f"2mu_{name}"].view()
        # Masses at edges of bins may round either way.
        assert view["value"] == pytest.approx(counts * weight, abs=2 * weight)
        assert view["value"].sum() > 500
    # The toy data are drawn with 60 % of Z bosons, as many as the cross section predicts.
    fit = read_json(results / "fit.json")
    value, uncertainty = bestfit(fit)["zmumu_norm"]
    assert 0.01 < uncertainty < 0.06
    assert abs(value - 1) < 3 * uncertainty


def test_a_new_analysis_is_finished_and_passes_its_test(dimuon: Path) -> None:
    options = ("--config", f"fit={json.dumps(SHORT)}", "--dry-run")
    assert "Nothing to be done" in snakemake(dimuon, "my_dimuon/run.yaml", *options)
    # What people read is no reason to run anything again, the physics is.
    readme = dimuon / "my_dimuon/README.md"
    readme.write_text(readme.read_text() + "\nMine.\n")
    assert "Nothing to be done" in snakemake(dimuon, "my_dimuon/run.yaml", *options)
    events = dimuon / "my_dimuon/events.py"
    before = events.read_text()
    events.write_text(before + "\n# A change.\n")
    todo = snakemake(dimuon, "my_dimuon/run.yaml", *options)
    assert re.search(r"^ +histogram +3 ", todo, re.MULTILINE), todo
    events.write_text(before)
    assert "1 passed" in run("pytest", "-q", "-p", "no:cacheprovider", "my_dimuon", folder=dimuon)


def test_a_module_beside_the_analysis_reruns_its_jobs(tmp_path: Path) -> None:
    """It, and corrections, decide which events are in skims: these are made anew, too."""
    run("agc_pipeline.cli", "new", "my_dimuon", folder=tmp_path)
    beside, corrections = tmp_path / "cuts_beside.py", tmp_path / "my_dimuon/cut.txt"
    events = tmp_path / "my_dimuon/events.py"
    mask = "(ak.num(muons) == 2)"
    text = events.read_text().replace(mask, f"{mask} & ak.all(abs(muons.eta) < cut(), axis=1)")
    first = "    muons = good_muons("
    events.write_text(text.replace(first, f"    from cuts_beside import cut\n{first}"))
    # Another one is imported when the analysis is loaded, also for the plan.
    (tmp_path / "edges_beside.py").write_text("EDGES = tuple(map(float, range(60, 121, 5)))\n")
    declaration = tmp_path / "my_dimuon/__init__.py"
    edges = "tuple(float(edge) for edge in range(60, 121, 5))"
    text = declaration.read_text()
    assert edges in text
    first = "from functools import partial\n"
    declaration.write_text(
        text.replace(edges, "EDGES").replace(first, f"{first}\nfrom edges_beside import EDGES\n")
    )

    def selected(module: str, cut: float) -> float:
        beside.write_text(module)
        corrections.write_text(str(cut))
        for path in (beside, corrections):
            # Older than everything that was made of the one before.
            os.utime(path, (0, 0))
        target = "results/my_dimuon/histograms.root"
        snakemake(tmp_path, "my_dimuon/run.yaml", "--", target)
        return float(histograms.read_root(tmp_path / target)["2mu_zmumu"].view()["value"].sum())

    reads = "from pathlib import Path\ndef cut():\n"
    reads += "    return float(Path('my_dimuon/cut.txt').read_text())\n"
    tight = selected(reads, 0.5)
    assert 0 < tight < selected(reads, 1.2)
    loose = selected(reads.replace("return", "return 2 *"), 1.2)
    masses = invariant_masses(tmp_path / "my_dimuon/input/zmumu.root")
    assert loose == pytest.approx(sum(60 <= mass < 120 for mass in masses) * 0.18, rel=1e-3)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Results of the weighted analysis, and its files."""
    folder = tmp_path_factory.mktemp("search")
    files = weighted_analysis.write(folder)
    listed = {
        name: {"files": {file.path.name: len(file.arrays["event"]) for file in entries}}
        for name, entries in files.items()
    }
    content = {
        "analysis": f"./{weighted_analysis.NAME}",
        "input": {
            "kind": "files",
            "mirrors": {"disk": "data"},
            "mirror_order": ["disk"],
            "datasets": listed,
        },
        "files_per_job": 2,
        "histograms": {"chunk_size": 1000},
        "fit": SHORT,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    snakemake(folder, "run.yaml")
    return folder, files


def sums(
    edges: Iterable[float], entries: Iterable[weighted_analysis.Entry]
) -> tuple[list[float], list[float]]:
    """Weights and squared weights in bins with under- and overflow."""
    bounds = list(edges)
    values, variances = [0.0] * (len(bounds) + 1), [0.0] * (len(bounds) + 1)
    for entry in entries:
        number = sum(bound <= entry.value for bound in bounds)
        values[number] += entry.weight
        variances[number] += entry.weight**2
    return values, variances


def expected(files: Any) -> dict[str, Any]:
    """All histograms by plain loops: name to contents and variances."""
    analysis = load(str(next(iter(files.values()))[0].path.parents[1] / weighted_analysis.NAME))
    regions = {region.name: region.edges for region in analysis.regions}
    totals: dict[str, Any] = {}
    for dataset, entries in files.items():
        factor = weighted_analysis.factor(dataset, entries)
        rows: dict[tuple[str, str], list[weighted_analysis.Entry]] = {}
        for file in entries:
            for entry in weighted_analysis.entries(dataset, file):
                suffix = "" if entry.variation == "nominal" else f"_{entry.variation}"
                name = f"{entry.region}_{entry.process}{suffix}"
                rows.setdefault((name, entry.region), []).append(entry)
        for (name, region), row in rows.items():
            values, variances = np.array(sums(regions[region], row))
            before = totals.get(name, (0.0, 0.0))
            totals[name] = (before[0] + values * factor, before[1] + variances * factor**2)
    return totals


def test_every_histogram_is_that_of_plain_loops(search: tuple[Path, Any]) -> None:
    folder, files = search
    observed = histograms.read_root(folder / "results/histograms.root")
    loops = expected(files)
    moved = {f"{name}_migration" for name in loops if name.endswith(("_met_up", "_met_down"))}
    assert set(observed) == set(loops) | moved
    for name, (values, variances) in loops.items():
        view = observed[name].view(flow=True)
        if name == "high_data":
            # In the blinded window there is the expectation: one bin.
            hidden = [float(edge) for edge in range(80, 581, 25)].index(180) + 1
            nominal = [loops[f"high_{p}"][0] for p in ("dy", "wlight", "wheavy", "signal")]
            assert view["value"][hidden] == pytest.approx(sum(nominal)[hidden], rel=1e-5)
            assert view["value"][hidden] != values[hidden]
            others = np.arange(len(values)) != hidden
            assert view["value"][others].tolist() == values[others].tolist()
            continue
        scale = np.abs(values).max()
        assert view["value"] == pytest.approx(values, rel=1e-5, abs=1e-6 * scale)
        # Weights of any size keep their squares.
        assert view["variance"] == pytest.approx(variances, rel=1e-4, abs=1e-6 * variances.max())
        assert variances.max() > 0


def test_blinded_data_are_shown_nowhere(search: tuple[Path, Any]) -> None:
    folder, files = search
    results = folder / "results"
    window, n = "blinded from 180 to 205 GeV", 0
    shown = {"a": 0, "b": 0}
    for era in shown:
        for entry in weighted_analysis.entries(f"data_{era}", files[f"data_{era}"][0]):
            if entry.region == "high" and not 180 <= entry.value < 205:
                shown[era] += 1
                # Of the bins of the fit, that from 155 to 230 GeV is hidden.
                if 80 <= entry.value < 155 or 230 <= entry.value < 580:
                    n += 1
    closure = read_json(results / "closure.json")["datasets"]
    assert {era: closure[f"data_{era}"]["cutflow"]["high"] for era in shown} == shown
    (channel,) = [c for c in read_json(results / "fit.json")["channels"].items() if c[1]["blinded"]]
    assert channel[0] == "many jets"
    findings = read_json(results / "checks.json")["findings"]
    (finding,) = [f for f in findings if "blinded" in f["message"]]
    assert finding["severity"] == "warning"
    assert finding["where"] == "many jets"
    assert f"{window}: the expectation" in finding["message"]
    for name, hidden in (("high_prefit", [1]), ("high_postfit", [1]), ("high_propagated", [4])):
        numbers = read_json(results / f"figures/{name}.json")["data"]
        assert [i for i, value in enumerate(numbers) if value is None] == hidden
    page = " ".join((results / "report.html").read_text().split())
    assert f"the expectation before the fit stands in their place: many jets {window}." in page
    assert f"Collision data in high are {window}: events in there are not counted." in page
    assert f'<th scope="row">Data, {window}</th><td class="n"><data value="{n}">' in page
    assert page.count(f"Data are {window}.") >= 3
    with tarfile.open(results / "hepdata.tar.gz") as archive:
        texts = {
            Path(member.name).name: archive.extractfile(member).read().decode()
            for member in archive.getmembers()
            if member.name.endswith(".yaml")
        }
    (table,) = [yaml.safe_load(text) for name, text in texts.items() if "many" in name]
    data = next(c for c in table["dependent_variables"] if c["header"]["name"] == "Data")
    assert [value["value"] for value in data["values"]][1] == "-"
    assert f"Data are {window}" in " ".join(texts["submission.yaml"].split())


def test_sums_of_weights_and_events_are_accounted_for(search: tuple[Path, Any]) -> None:
    folder, files = search
    closure = read_json(folder / "results/closure.json")
    for name, account in closure["datasets"].items():
        entries = files[name]
        assert account["events_processed"] == sum(len(file.arrays["event"]) for file in entries)
        assert account["weight"] == pytest.approx(weighted_analysis.factor(name, entries))
        weights = [file.generated for file in entries if file.generated is not None]
        if weights:
            assert account["sum_of_weights"] == pytest.approx(sum(weights))
            # Near the largest mean of a file: the second has weights eight times as large.
            mean = max(
                file.generated / len(file.arrays["event"])
                for file in entries
                if file.generated is not None
            )
            if name == "dy_high":
                mean = mean / 2
            assert 0.5 < account["unit"] / mean < 2.5
            assert np.frexp(account["unit"])[0] == 0.5
        else:
            assert account["sum_of_weights"] is None
            assert account["unit"] is None


def test_the_model_is_the_declared_one(search: tuple[Path, Any]) -> None:
    folder, _ = search
    workspace = read_json(folder / "results/workspace.json")
    samples = {
        (channel["name"], sample["name"]): {
            (modifier["name"], modifier["type"]): modifier["data"]
            for modifier in sample["modifiers"]
        }
        for channel in workspace["channels"]
        for sample in channel["samples"]
    }
    bins = {
        channel["name"]: len(channel["samples"][0]["data"]) for channel in workspace["channels"]
    }
    assert bins == {"two jets": 4, "many jets": 4, "large MET": 2}
    for (channel, sample), modifiers in samples.items():
        free = {name for name, kind in modifiers if kind == "normfactor"}
        assert free == {"signal": {"mu"}, "Drell-Yan": {"dy_norm"}}.get(sample, set())
        assert modifiers["Luminosity", "normsys"] == pytest.approx({"hi": 1.03, "lo": 0.98})
        assert ("MET scale", "histosys") in modifiers
        pileup = sample != "signal" and channel != "large MET"
        assert (("Pileup", "histosys") in modifiers) is pileup
        trigger = {name for name, _ in modifiers if name.startswith("Trigger")}
        region = {"two jets": "low", "large MET": "met"}.get(channel)
        acts = region is not None and sample in ("Drell-Yan", "signal")
        assert trigger == ({f"Trigger {region}"} if acts else set())
        own = {name for name, _ in modifiers if name.startswith("W cross section")}
        process = {"W+light": "wlight", "W+heavy": "wheavy"}.get(sample)
        assert own == ({f"W cross section {process}"} if process else set())
    heavy = samples["two jets", "W+heavy"]["W cross section wheavy", "normsys"]
    assert heavy == pytest.approx({"hi": 1.2, "lo": 0.85})


def test_the_fit_finds_both_normalisations(search: tuple[Path, Any]) -> None:
    folder, _ = search
    fit = read_json(folder / "results/fit.json")
    assert fit["poi"]["name"] == "mu"
    for name in ("mu", "dy_norm"):
        value, uncertainty = bestfit(fit)[name]
        assert 0 < uncertainty < 0.3
        assert abs(value - 1) < 4 * uncertainty
    report = (folder / "results/report.html").read_text()
    assert "A search in MET" in report
    assert "ttbar" not in report
    assert (folder / "results/hepdata.tar.gz").stat().st_size > 0
