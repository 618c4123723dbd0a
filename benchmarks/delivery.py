"""Speed of the local skim, against plain uproot that reads the same columns and writes nothing.

    python benchmarks/delivery.py [FILE ...] [--events 200000] [--repeat 5] [--json OUT]

Without files it makes two in a temporary folder: 947 branches as in the NanoAOD of CMS, ZLIB,
clusters of 10,000 events, objects like those of ttbar (6.8 jets an event) and of W+jets (2.7).
Both ways read the same chunks; CPU time of one process, the median over the repetitions, which
alternate between the two. Both open the file each time; what of it is only that for plain uproot is
told, since the ratio of files with few events says how fast they are opened and not read.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
import yaml

import command_line
from agc_pipeline import analyses
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.delivery.preselected import SkimContent, open_input
from agc_pipeline.delivery.skim import SkimCounts, write_skim
from agc_pipeline.errors import InputError
from agc_pipeline.files import write_json
from agc_pipeline.simulation.nanoaod import PRECISION, reduce_mantissa
from agc_pipeline.stages.command import errors_told

CONFIG = Path(__file__).resolve().parent.parent / "config"
ANALYSIS = "cms_ttbar"
CLUSTER = 10_000
# Share of the opening above which a ratio says more of it than of reading.
_OPENING = 0.5
# Mean objects in an event; for W+jets those of the real slice in config/real-slice.yaml.
MULTIPLICITY = {
    "ttbar": {"Jet": 6.8, "Electron": 1.05, "Muon": 0.45},
    "wjets": {"Jet": 2.7, "Electron": 0.35, "Muon": 0.2},
}


def objects(name: str, mean: float, n_events: int, rng: np.random.Generator) -> ak.Array:
    """A collection with the fields that the analysis reads, rounded as in NanoAOD."""
    counts = rng.poisson(mean, n_events)
    n = int(counts.sum())
    # Half of the leptons are found inside jets.
    inside = rng.random(n) < 0.5
    columns: dict[str, np.ndarray] = {
        "pt": 15 + rng.exponential(35, n) if name == "Jet" else 5 + rng.exponential(25, n),
        "eta": rng.normal(0, 1.5, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "mass": rng.exponential(9, n) if name == "Jet" else np.full(n, 0.1),
    }
    if name == "Jet":
        columns["btagCSVV2"] = np.where(rng.random(n) < 0.2, 0.5, 0) + rng.uniform(0, 0.5, n)
        columns["qgl"] = rng.uniform(0, 1, n)
        columns["jetId"] = rng.choice([6, 6, 6, 6, 6, 6, 6, 6, 6, 2, 0], n).astype(np.int32)
    else:
        columns["charge"] = rng.choice([-1, 1], n).astype(np.int32)
        columns["sip3d"] = rng.exponential(np.where(inside, 8.0, 1.2))
    if name == "Electron":
        columns["cutBased"] = np.where(inside, rng.integers(0, 4, n), 4).astype(np.int32)
    if name == "Muon":
        columns["tightId"] = rng.random(n) < 0.7
        columns["pfRelIso04_all"] = rng.exponential(np.where(inside, 1.0, 0.05))
    rounded = {
        field: reduce_mantissa(values, PRECISION[name].get(field, 10))
        if values.dtype == np.float64
        else values
        for field, values in columns.items()
    }
    return ak.zip({field: ak.unflatten(values, counts) for field, values in rounded.items()})


def needed(process: str, numbers: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """The branches of one cluster that the analysis reads."""
    n_events = len(numbers)
    return {
        "run": np.ones(n_events, np.uint32),
        "luminosityBlock": (1 + numbers // 1000).astype(np.uint32),
        "event": numbers.astype(np.uint64),
        **{
            name: objects(name, mean, n_events, rng) for name, mean in MULTIPLICITY[process].items()
        },
    }


def others(rng: np.random.Generator) -> dict[str, Any]:
    """The 919 branches of one cluster that nobody reads: flags, and collections of 11 fields."""
    content: dict[str, Any] = {f"HLT_Path{i}": rng.random(CLUSTER) < 0.01 for i in range(559)}
    for number in range(30):
        counts = rng.poisson(1, CLUSTER)
        values = ak.unflatten(reduce_mantissa(rng.exponential(30, counts.sum()), 10), counts)
        content[f"Other{number}"] = ak.zip({f"field{i}": values for i in range(11)})
    return content


def make_file(path: Path, process: str, n_events: int) -> None:
    """Write a file; the branches that nobody reads are the same in all clusters."""
    rng = np.random.default_rng(1)
    unused = others(rng)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree: Any = None
        for first in range(0, n_events, CLUSTER):
            numbers = np.arange(first, min(first + CLUSTER, n_events))
            content = needed(process, numbers, rng)
            content |= {name: values[: len(numbers)] for name, values in unused.items()}
            if tree is None:
                tree = file.mktree(
                    "Events",
                    {
                        name: values.dtype
                        if isinstance(values, np.ndarray)
                        else values.type.content
                        for name, values in content.items()
                    },
                )
            tree.extend(content)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returns."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def content() -> SkimContent:
    """What the stage writes of each file: the skim of all datasets is the same."""
    physics = yaml.safe_load((CONFIG / ANALYSIS / "physics.yaml").read_text())["physics"]
    analysis = analyses.load(ANALYSIS)
    selection = analysis.selection(physics["selection"])
    return skim_content(analysis, selection, analysis.datasets[0], learned=True)


def read_only(path: str, names: Sequence[str], chunk_size: int) -> int:
    """Read branches with plain uproot; gives the number of events."""
    read = 0
    with uproot.open(path, array_cache=None, object_cache=None) as file:
        for arrays in file["Events"].iterate(names, step_size=chunk_size):
            read += len(arrays)
    return read


def open_only(path: str) -> int:
    """Open a file with plain uproot, and read nothing; gives the number of events."""
    with uproot.open(path, array_cache=None, object_cache=None) as file:
        return int(file["Events"].num_entries)


def skim(path: str, full: SkimContent, output: Path, chunk_size: int, kind: Any) -> SkimCounts:
    """Skim a file as the stage does."""
    with open_input(path, full) as tree:
        return write_skim(tree, full, output, url=path, kind=kind, chunk_size=chunk_size)


def measure(file: Path, folder: Path, repeat: int) -> dict[str, Any]:
    """Both ways on one file."""
    path = str(file)
    delivery = yaml.safe_load((CONFIG / "default.yaml").read_text())["delivery"]
    chunk_size, kind = delivery["chunk_size"], delivery["format"]
    full = content()
    names = full.layout.all_branches(full.columns)
    output = folder / "skim.root"
    reading, skimming, opening = [], [], []
    # The first time compiles and imports.
    for warm in range(-1, repeat):
        skim_seconds, counts = timed(lambda: skim(path, full, output, chunk_size, kind))
        if counts.before == 0:
            raise InputError("no events to measure with", place=path, remedy="take another file")
        seconds, _ = timed(lambda: read_only(path, names, chunk_size))
        open_seconds, _ = timed(lambda: open_only(path))
        if warm >= 0:
            opening.append(open_seconds)
            reading.append(seconds)
            skimming.append(skim_seconds)
    read, skimmed = statistics.median(reading), statistics.median(skimming)
    return {
        "file": file.name,
        "events": counts.before,
        "kept": counts.after,
        "bytes": file.stat().st_size,
        "read_cpu_seconds": read,
        "open_cpu_seconds": statistics.median(opening),
        "skim_cpu_seconds": skimmed,
        "events_per_cpu_second": counts.before / skimmed,
        "ratio": skimmed / read,
    }


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    arguments = command_line.parser(__doc__)
    arguments.add_argument("files", nargs="*", type=command_line.file)
    arguments.add_argument("--events", type=command_line.count, default=200_000)
    arguments.add_argument("--repeat", type=command_line.count, default=5)
    arguments.add_argument("--json", type=command_line.output)
    options = arguments.parse_args()
    rows = []
    print(
        "| file | events | kept | MB | read [us/event] | of it opening [%] | skim [us/event] "
        "| events/s | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with errors_told(output="the command line"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = options.files or [folder / f"{process}.root" for process in MULTIPLICITY]
        for path in files:
            if not options.files:
                make_file(path, path.stem, options.events)
            row = measure(path, folder, options.repeat)
            rows.append(row)
            opening = row["open_cpu_seconds"] / row["read_cpu_seconds"]
            print(
                f"| `{row['file']}` | {row['events']} | {row['kept']} | {row['bytes'] / 1e6:.1f} "
                f"| {1e6 * row['read_cpu_seconds'] / row['events']:.2f} | {100 * opening:.0f} "
                f"| {1e6 * row['skim_cpu_seconds'] / row['events']:.2f} "
                f"| {row['events_per_cpu_second']:.0f} | {row['ratio']:.2f} |"
            )
        few = [row for row in rows if row["open_cpu_seconds"] > _OPENING * row["read_cpu_seconds"]]
        for row in few:
            print(
                f"{row['file']} has so few events that more than {_OPENING:.0%} of `read` is the "
                "opening: its ratio is not that of large files"
            )
        if options.json is not None:
            write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
