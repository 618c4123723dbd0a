"""An analysis in a folder outside the package that uses what a declaration can say, on toy events.

Generator weights between 1e-9 and 1e9 with their sum from another tree, slices of a process, a
dataset that fills two processes, single records, data of two eras, several free normalisations.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import uproot
import yaml

NAME = "met_search"
_DECLARATION = '''
"""A search in MET and jets."""

from functools import partial

import awkward as ak
import numpy as np

from agc_pipeline.declaration import (
    Analysis, Count, Cut, Dataset, EventCut, Fill, Free, Objects, Physics, Process, Region,
    Systematic, Variation,
)
from agc_pipeline.settings import Settings


class Selection(Settings):
    jet_min: float
    met_min: float
    met_scale: float


class SearchPhysics(Physics):
    selection: Selection


def requirements(selection, dataset):
    jets = Objects("jets", "Jet", (Cut("pt", ">", selection.jet_min),))
    return (
        EventCut("MET", Cut("pt", ">", selection.met_min), "MET"),
        Count((jets,), ">=", 2, "two jets"),
    )


def jets(events, selection):
    return ak.values_astype(events.Jet.pt[events.Jet.pt > selection.jet_min], np.float64)


def low(events, selection):
    return (ak.num(jets(events, selection)) == 2) & (events.MET.pt <= 100)


def high(events, selection):
    return (ak.num(jets(events, selection)) > 2) & (events.MET.pt <= 100)


def large_met(events, selection):
    return events.MET.pt > 100


def ht(events, selection):
    return ak.sum(jets(events, selection), axis=1)


def met(events, selection):
    return events.MET.pt


def scaled_met(sign, events, selection):
    pt = ak.values_astype(events.MET.pt, np.float64) * (1.0 + sign * selection.met_scale)
    return ak.with_field(events, ak.with_field(events.MET, pt, "pt"), "MET")


def vertices(sign, events, selection):
    return 1.0 + sign * 0.01 * (events.PV.npvs - 20)


def heavy(events, selection):
    return events.flavour == 5


def light(events, selection):
    return events.flavour != 5


def heavy_weight(events, selection):
    return 1.25


def weight(events, selection):
    return events.genWeight


def generated(file):
    return float(np.sum(file["Runs"]["genEventSumw"].array(library="np")))


def reads(dataset):
    columns = {"MET": ("pt",), "Jet": ("pt",)}
    if dataset.kind == "simulation":
        columns["PV"] = ("npvs",)
    if dataset.name == "wjets":
        columns[""] = ("flavour",)
    return columns


def edges(first, last, step):
    return tuple(float(edge) for edge in range(first, last + 1, step))


ALL = ("dy", "wlight", "wheavy", "signal")
ANALYSIS = Analysis(
    name="met_search",
    settings=SearchPhysics,
    regions=(
        Region("low", "two jets", "ht", "HT [GeV]", edges(60, 460, 20), low, ht,
               fit_edges=(60.0, 100.0, 140.0, 200.0, 460.0)),
        Region("high", "many jets", "ht", "HT [GeV]", edges(80, 580, 25), high, ht,
               fit_edges=(80.0, 155.0, 230.0, 330.0, 580.0), blinded=(180.0, 205.0)),
        Region("met", "large MET", "met", "MET [GeV]", edges(100, 400, 50), large_met, met,
               fit_edges=(100.0, 150.0, 400.0)),
    ),
    processes=(
        Process("dy", "Drell-Yan"), Process("wlight", "W+light"), Process("wheavy", "W+heavy"),
        Process("signal", "signal"),
    ),
    datasets=(
        Dataset("dy_low", ("dy",), cross_section="dy_low"),
        Dataset("dy_high", ("dy",), cross_section="dy_high"),
        Dataset("wjets", (Fill("wlight", light), Fill("wheavy", heavy, heavy_weight)),
                cross_section="wjets"),
        Dataset("signal_a", ("signal",), era="a"),
        Dataset("signal_b", ("signal",), era="b"),
        Dataset("data_a", kind="data", era="a"),
        Dataset("data_b", kind="data", era="b"),
    ),
    systematics=(
        Systematic("MET scale", ALL, up=Variation("met_up", records=partial(scaled_met, 1.0)),
                   down=Variation("met_down", records=partial(scaled_met, -1.0))),
        Systematic("Pileup", ("dy", "wlight", "wheavy"),
                   up=Variation("pileup_up", weight=partial(vertices, 1.0)),
                   down=Variation("pileup_down", weight=partial(vertices, -1.0)),
                   regions=("low", "high")),
        Systematic("Luminosity", effects={name: (-0.02, 0.03) for name in ALL}),
        Systematic("W cross section", effects={"wlight": 0.05, "wheavy": (-0.15, 0.2)},
                   correlated="processes"),
        Systematic("Trigger", effects={"dy": 0.02, "signal": 0.01}, regions=("low", "met"),
                   correlated="regions"),
    ),
    free=(Free("mu", ("signal",)), Free("dy_norm", ("dy",), bounds=(0.0, 5.0))),
    requirements=requirements,
    reads=reads,
    weight=weight,
    weight_reads={"": ("genWeight",)},
    generated=generated,
)
'''
LUMINOSITY = {"a": 20.0, "b": 10.0}
CROSS_SECTIONS = {"dy_low": 200.0, "dy_high": 60.0, "wjets": 120.0, "signal": 40.0}
SELECTION = {"jet_min": 30.0, "met_min": 40.0, "met_scale": 0.05}
# Jets per event, GeV of a jet and of MET, above thresholds, on average.
_SHAPES = {
    "dy_low": (2.0, 25.0, 30.0),
    "dy_high": (2.5, 50.0, 40.0),
    "wjets": (2.5, 35.0, 50.0),
    "signal": (3.5, 60.0, 90.0),
}
# Of generator weights.
_SIZES = {"dy_low": 1.7e-9, "dy_high": 1.7e-5, "wjets": 2.0e8, "signal": 1.0}
_N = 3000
# Events of dy_high that its files stand for, to those in the files.
_FILTER = 2.0
_HEAVY = 0.2
HEAVY_WEIGHT = 1.25


class File(NamedTuple):
    """A toy file.

    Attributes:
        path: of the file.
        arrays: columns of its tree.
        generated: sum of generator weights that it stands for; None for data.
    """

    path: Path
    arrays: dict[str, Any]
    generated: float | None


def write(folder: Path) -> dict[str, list[File]]:
    """Write the analysis and its input; gives the files by dataset."""
    analysis = folder / NAME
    (analysis / "config").mkdir(parents=True)
    (analysis / "__init__.py").write_text(_DECLARATION)
    files = _files(folder / "data")
    (analysis / "config" / "all.yaml").write_text(
        yaml.safe_dump(
            {
                "physics": {
                    "luminosity_per_pb": LUMINOSITY,
                    "cross_sections_pb": CROSS_SECTIONS,
                    "selection": SELECTION,
                },
                "report": {
                    "title": "A search in MET",
                    "description": "Toys.",
                    "quantity": "cross section of the signal",
                    "energy": "13 TeV",
                    "correlation_min": 0.4,
                    "ranked": 20,
                    "keywords": {"observables": ["SIG"]},
                },
            }
        )
    )
    return files


def _files(folder: Path) -> dict[str, list[File]]:
    folder.mkdir()
    rng = np.random.default_rng(1)
    files: dict[str, list[File]] = {}
    for name, shape in _SHAPES.items():
        for dataset in ("signal_a", "signal_b") if name == "signal" else (name,):
            # Files of a dataset may have weights of another size.
            for number, scale in enumerate((1.0, 8.0)):
                arrays = _events(rng, shape, _N)
                sign = np.where(rng.random(_N) < 0.1, -1.0, 1.0)
                sizes = _SIZES[name] * scale * rng.uniform(0.8, 1.2, _N)
                arrays["genWeight"] = (sign * sizes).astype(np.float32)
                arrays["flavour"] = np.where(rng.random(_N) < _HEAVY, 5, 0).astype(np.int32)
                stands_for = _FILTER if name == "dy_high" else 1.0
                generated = stands_for * math.fsum(arrays["genWeight"].tolist())
                path = folder / f"{dataset}_{number}.root"
                files.setdefault(dataset, []).append(File(path, arrays, generated))
    for run, (era, luminosity) in enumerate(LUMINOSITY.items(), 1):
        parts = []
        for name, shape in _SHAPES.items():
            factor = {"dy_high": 1 / _FILTER, "wjets": 1 + _HEAVY * (HEAVY_WEIGHT - 1)}
            n = rng.poisson(CROSS_SECTIONS[name] * luminosity * factor.get(name, 1.0))
            parts.append(_events(rng, shape, n))
        arrays = {name: ak.concatenate([part[name] for part in parts]) for name in parts[0]}
        arrays["event"] = np.arange(len(arrays["MET_pt"]), dtype=np.uint64)
        arrays["run"] = np.full(len(arrays["MET_pt"]), run, np.uint32)
        files[f"data_{era}"] = [File(folder / f"data_{era}.root", arrays, None)]
    for entries in files.values():
        for file in entries:
            _write(file)
    return files


def _events(rng: np.random.Generator, shape: tuple[float, ...], n: int) -> dict[str, Any]:
    counts = rng.poisson(shape[0], n)
    total = int(counts.sum())

    def lists(values: Any) -> ak.Array:
        return ak.unflatten(values.astype(np.float32), counts)

    return {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": np.arange(n, dtype=np.uint64),
        "MET_pt": (20 + rng.exponential(shape[2], n)).astype(np.float32),
        "MET_phi": rng.uniform(-3, 3, n).astype(np.float32),
        "PV_npvs": rng.poisson(20, n).astype(np.int32),
        **{f"PV_{axis}": rng.normal(0, 1, n).astype(np.float32) for axis in "xyz"},
        "Jet_pt": lists(25 + rng.exponential(shape[1], total)),
        "Jet_eta": lists(rng.normal(0, 1, total)),
        "Jet_phi": lists(rng.uniform(-3, 3, total)),
        "Jet_mass": lists(rng.uniform(5, 15, total)),
    }


def _write(file: File) -> None:
    columns = {name: array for name, array in file.arrays.items() if not name.startswith("Jet_")}
    fields = ("pt", "eta", "phi", "mass")
    columns["Jet"] = ak.zip({field: file.arrays[f"Jet_{field}"] for field in fields})
    with uproot.recreate(file.path) as root:
        root.mktree("Events", columns)
        if file.generated is not None:
            # Two runs.
            halves = np.array([0.25, 0.75]) * file.generated
            root.mktree("Runs", {"genEventSumw": halves})


class Entry(NamedTuple):
    """An entry of a histogram."""

    region: str
    process: str
    variation: str
    value: float
    weight: float


def entries(dataset: str, file: File) -> Iterator[Entry]:
    """What the events of a file fill, one event after the other; relative weights."""
    data = file.generated is None
    arrays = {name: ak.to_list(array) for name, array in file.arrays.items()}
    for i in range(len(arrays["event"])):
        jets = [pt for pt in arrays["Jet_pt"][i] if pt > SELECTION["jet_min"]]
        if len(jets) < 2:
            continue
        weight = 1.0 if data else arrays["genWeight"][i]
        if data:
            process = "data"
        elif dataset == "wjets":
            process = "wheavy" if arrays["flavour"][i] == 5 else "wlight"
            weight *= HEAVY_WEIGHT if process == "wheavy" else 1.0
        else:
            process = dataset.partition("_")[0]
        for variation, factor in {"nominal": 1.0, "met_up": 1.05, "met_down": 0.95}.items():
            met = arrays["MET_pt"][i] * factor
            if met <= SELECTION["met_min"] or (data and variation != "nominal"):
                continue
            if met > 100:
                region, value = "met", met
            else:
                region, value = "low" if len(jets) == 2 else "high", math.fsum(jets)
            yield Entry(region, process, variation, value, weight)
            if variation == "nominal" and process in ("dy", "wlight", "wheavy"):
                slope = 0.01 * (arrays["PV_npvs"][i] - 20)
                if region != "met":
                    yield Entry(region, process, "pileup_up", value, weight * (1 + slope))
                    yield Entry(region, process, "pileup_down", value, weight * (1 - slope))


def factor(dataset: str, files: list[File]) -> float:
    """Cross section times luminosity over the sum of generator weights; 1 for data."""
    sums = [file.generated for file in files if file.generated is not None]
    if not sums:
        return 1.0
    name, _, era = dataset.partition("_")
    luminosity = LUMINOSITY.get(era, sum(LUMINOSITY.values()))
    cross_section = CROSS_SECTIONS[name if era in LUMINOSITY else dataset]
    return cross_section * luminosity / math.fsum(sums)
