"""Speed of the histogram stage, against a plain coffea processor and against decompression alone.

    python benchmarks/histograms.py [--events 400000] [--repeat 3] [--json results/benchmark.json]
    python benchmarks/histograms.py --common [--json results/benchmark.json]
    python benchmarks/histograms.py FILE ... --process ttbar

Without files it makes its own, of two kinds: ttbar, and W+jets with twice as many events (see
``agc_pipeline.facility.sample``), or of the one that ``--process`` names. It counts the CPU time of
this process for each of

    plain       a textbook's coffea processor (see ``textbook.py``)
    coffea      the package with its reader "coffea", which makes NanoEvents
    auto        the package with its reader "auto", which reads baskets; metadata are cached
    ntuple      the same on an RNTuple of the same content, with ZLIB as the TTree
    skim        the same on skims, counted in events of the inputs
    decompress  nothing but decompressing, with libdeflate, the baskets that "auto" reads
    plain ML    the plain processor with assigned jets: xgboost's predict for every variation
    auto ML     "auto" with assigned jets
    skim ML     "skim" with assigned jets

    auto first, ntuple first    the same two without cached metadata

    RDataFrame, RDataFrame ntuple       the same analysis in C++ with ROOT (see ``rdataframe.h``),
                                        in an environment of its own, compiled before

and with ``--common``, which anyone can repeat (each file has a digest of what it holds), for

    auto zstd, auto lz4, ntuple zstd    the same content in other compressions, likewise with ROOT

in turn, several times, and keeps the best of each. Those of the package give the same histograms to
the bit, RDataFrame the same entries, and with weights the same sums to a millionth, the first the
same entries in the nominal ones: that is checked. Factors are over "plain", and over "plain ML" for
the ways with assigned jets. Of your own files there are no others. Where there is no ROOT, or
``--no-root`` leaves it out, the result says why.

Then, for "auto": the wall time of two processes over that of one (which needs a machine that does
nothing else), the CPU time of a Dask worker over that of a process, and the memory of processes.
"""

import argparse
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import awkward as ak
import numpy as np
import uproot
import yaml
from coffea.processor import IterativeExecutor, Runner

import command_line
from agc_pipeline import analyses
from agc_pipeline.analyses.cms_ttbar.jet_assignment import JET_ASSIGNMENT
from agc_pipeline.columnar import runner
from agc_pipeline.columnar.executors import InThisProcess
from agc_pipeline.columnar.filling import complete
from agc_pipeline.columnar.performance import Performance
from agc_pipeline.columnar.processing import Processing, skim_content
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.columnar.tasks import Network
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import InputError
from agc_pipeline.facility import point, sample
from agc_pipeline.files import write_json
from agc_pipeline.learning.settings import ScoringSettings
from agc_pipeline.readers import baskets, metadata
from agc_pipeline.readers.chunks import Chunk, chunks
from agc_pipeline.readers.clock import PARTS
from agc_pipeline.readers.nano_events import NanoAOD
from agc_pipeline.readers.opening import open_tree
from agc_pipeline.readers.root_format import decompressed
from agc_pipeline.stages.command import errors_told
from assignment import AssigningTextbookProcessor, boosters, write_models
from processes import dask_over_process, peak_mb, two_over_one
from rdataframe import Filled, InRoot, interpreter
from textbook import TextbookProcessor

CONFIG = Path(__file__).resolve().parent.parent / "config"
ANALYSIS = "cms_ttbar"
# Events that the reference implementation of the task processes at a time (CHUNKSIZE in its
# utils/config.py). coffea's own default, 100,000, takes half as long again.
PLAIN_CHUNK = 200_000


class Bench:
    """Files of one process, and the ways to histogram them.

    Args:
        process: name of the physics process.
        paths: NanoAOD files.
        folder: for skims, models and the metadata of files.
        settings: of the histogram stage.
        others: files of the same content in other formats, by name.
        root: a process that has ROOT; None without.
    """

    def __init__(
        self,
        process: str,
        paths: Sequence[Path],
        folder: Path,
        settings: HistogramSettings,
        *,
        others: Mapping[str, Sequence[Path]],
        root: InRoot | None,
    ) -> None:
        self.root = root
        write_models(folder / "models")
        self.boosters = boosters(folder / "models")
        physics = yaml.safe_load((CONFIG / ANALYSIS / "physics.yaml").read_text())["physics"]
        values = yaml.safe_load((CONFIG / ANALYSIS / "learning.yaml").read_text())["learning"]
        self.process = process
        self.analysis = analyses.load(ANALYSIS)
        self.selection = self.analysis.selection(physics["selection"])
        names = {name for dataset in self.analysis.datasets for name in dataset.processes}
        if process not in names:
            raise InputError(
                f"{ANALYSIS} has no process {process}",
                place="--process",
                remedy=f"take one of {', '.join(sorted(names))}",
            )
        self.dataset = self.analysis.dataset(f"{process}__nominal")
        self.scoring = JET_ASSIGNMENT.scorer(
            self.analysis.learned_settings(physics[JET_ASSIGNMENT.name]),
            folder / "models",
            ScoringSettings(scorer="xgboost", triton=values["triton"]),
        )
        self.folder = folder
        self.settings = settings
        self.files: dict[str, list[Delivered]] = {"none": [], "local": []}
        content = skim_content(self.analysis, self.selection, self.dataset, learned=True)
        for number, path in enumerate(paths):
            skim = folder / f"{process}.skim{number}.root"
            with open_tree(str(path), content.columns, content.layout) as tree:
                if not isinstance(tree, uproot.TTree):
                    raise InputError(
                        "the events are no TTree",
                        place=str(path),
                        remedy="take files with a TTree, which the plain processor can read",
                    )
                counts = write_skim(
                    tree, content, skim, url=str(path), kind="ttree", chunk_size=100_000
                )
            self.files["none"].append(_delivered(path, counts.before, counts.before))
            self.files["local"].append(_delivered(skim, counts.before, counts.after))
        self.n_events = sum(file.before for file in self.files["none"])
        if self.n_events == 0:
            raise InputError(
                "no events to measure with",
                place=", ".join(map(str, paths)),
                remedy="take other files",
            )
        for name, copies in others.items():
            self.files[name] = [
                _delivered(path, file.before, file.before)
                for path, file in zip(copies, self.files["none"], strict=True)
            ]
        self.stored: list[Any] = []

    def specification(
        self,
        reader: Literal["auto", "coffea"] = "auto",
        *,
        assigned: bool = False,
        cached: bool = True,
    ) -> runner.Specification:
        """What the histogram stage does."""
        scoring = self.scoring if assigned else None
        return runner.Specification(
            Processing(self.analysis, self.selection, self.dataset, scoring),
            reader=reader,
            chunk_size=self.settings.chunk_size,
            chunk_bytes=self.settings.chunk_bytes,
            cache=self.folder / "metadata" if cached else None,
        )

    def run(
        self, backend: str, specification: runner.Specification, executor: Any = None
    ) -> runner.Result:
        """The histogram stage, without its start."""
        executor = executor or InThisProcess()
        return runner.run(self.files[backend], specification, executor, allow_partial=False)

    def plain(self, processor: TextbookProcessor) -> Any:
        """A textbook's processor with coffea's runner."""
        plain = Runner(
            executor=IterativeExecutor(status=False, retries=0),
            schema=NanoAOD,
            chunksize=PLAIN_CHUNK,
            metadata_cache={},
        )
        paths = [file.path for file in self.files["none"]]
        return plain(
            {self.process: {"treename": self.analysis.layout.tree, "files": paths}},
            processor_instance=processor,
        )

    def with_root(self, root: InRoot, backend: str) -> Filled:
        """ROOT's RDataFrame."""
        return root.fill(self.analysis.layout.tree, self.process, self._paths(backend))

    def keep_baskets(self) -> None:
        """Read the baskets that "auto" reads into memory, compressed."""
        with mock.patch.object(baskets, "decompressed", wraps=decompressed) as kept:
            self.run("none", self.specification())
        self.stored = list(kept.call_args_list)
        if not self.stored:
            sys.exit("error: auto has read no baskets by itself, there is nothing to decompress")

    def decompress(self) -> None:
        """Decompress these baskets."""
        for basket in self.stored:
            decompressed(*basket.args, **basket.kwargs)

    def ways(self) -> dict[str, Callable[[], Any]]:
        """What is measured, in order."""
        auto, assigned = self.specification(), self.specification(assigned=True)
        first = self.specification(cached=False)
        others: dict[str, Callable[[], Any]] = {
            name if name.startswith("ntuple") else f"auto {name}": partial(self.run, name, auto)
            for name in self.files
            if name not in ("none", "local")
        }
        if self.root is not None:
            for name in self.files:
                if name != "local":
                    title = "RDataFrame" if name == "none" else f"RDataFrame {name}"
                    others[title] = partial(self.with_root, self.root, name)
        if "ntuple" in self.files:
            others["auto first"] = lambda: self.run("none", first)
            others["ntuple first"] = lambda: self.run("ntuple", first)
        return {
            "plain": lambda: self.plain(TextbookProcessor(self.process)),
            "coffea": lambda: self.run("none", self.specification("coffea")),
            "auto": lambda: self.run("none", auto),
            **others,
            "skim": lambda: self.run("local", auto),
            "decompress": self.decompress,
            "plain ML": lambda: self.plain(AssigningTextbookProcessor(self.process, self.boosters)),
            "auto ML": lambda: self.run("none", assigned),
            "skim ML": lambda: self.run("local", assigned),
        }

    def _paths(self, name: str) -> list[str]:
        return [str(file.path) for file in self.files[name]]

    def check(self) -> None:
        """Check that all ways give the same."""
        results = {name: way() for name, way in self.ways().items() if name != "decompress"}
        filled = {
            name: complete(result.output)["histograms"][self.process]
            for name, result in results.items()
            if isinstance(result, runner.Result)
        }
        for name, histograms in filled.items():
            if not name.endswith("ML") and histograms != filled["coffea"]:
                sys.exit(f"error: {name} gives other histograms than coffea")
        if filled["skim ML"] != filled["auto ML"]:
            sys.exit("error: skim ML gives other histograms than auto ML")
        if {region: filled["auto ML"][region] for region in filled["coffea"]} != filled["coffea"]:
            sys.exit("error: auto ML gives other histograms than coffea")
        for name, result in results.items():
            if isinstance(result, Filled):
                differences = result.differences(filled["coffea"])
                if differences:
                    sys.exit(f"error: {name} gives other histograms: {', '.join(differences)}")
        for name, reference in (("plain", filled["auto"]), ("plain ML", filled["auto ML"])):
            for region, histogram in reference.items():
                expected = histogram[{"variation": "nominal"}].view(flow=True)["value"]
                entries = np.zeros_like(expected)
                # Of few events of W+jets, none is selected.
                if "nominal" in results[name][region].axes["variation"]:
                    filled_by = results[name][region][{"variation": "nominal"}]
                    entries = filled_by.view(flow=True)["value"]
                # Single and double precision differ at the edges of bins.
                if abs(entries - expected).sum() > 2 + 1e-3 * expected.sum():
                    sys.exit(f"error: {name} gives other entries in {region}")

    def contents(self) -> list[dict[str, Any]]:
        """Size and digest of each file; all formats of one must hold the same."""
        columns = self.specification().processing.columns
        branches = self.analysis.layout.branches(columns)
        rows = [
            {
                "file": Path(path).name,
                "bytes": Path(path).stat().st_size,
                "sha256_of_content": content_digest(Path(path), branches),
            }
            for name in self.files
            if name != "local"
            for path in self._paths(name)
        ]
        n_files = len(self.files["none"])
        for number, row in enumerate(rows):
            if row["sha256_of_content"] != rows[number % n_files]["sha256_of_content"]:
                sys.exit(f"error: {row['file']} holds something else than {rows[0]['file']}")
        return rows

    def measure(self, repeat: int) -> tuple[list[dict[str, Any]], Performance]:
        """The rows of the result, and the parts of the best run of "auto"."""
        self.check()
        self.keep_baskets()
        best: dict[str, tuple[float, Any]] = {}
        for _ in range(repeat):
            for name, way in self.ways().items():
                start = time.process_time()
                result = way()
                seconds = time.process_time() - start
                if isinstance(result, Filled):
                    seconds = result.seconds
                if name not in best or seconds < best[name][0]:
                    best[name] = seconds, result
        rates = {name: self.n_events / seconds for name, (seconds, _) in best.items()}
        rows = [
            {
                "dataset": self.process,
                "path": name,
                "events_per_cpu_second": rates[name],
                "factor_over_plain": rates[name]
                / rates["plain ML" if name.endswith("ML") else "plain"],
            }
            for name in best
        ]
        (cost,) = best["auto"][1].performance.values()
        return rows, cost

    def scaling(self) -> dict[str, float]:
        """Two processes against one, and a Dask worker against a process."""
        specification = self.specification()
        task = specification.task(Network())
        layout, columns = self.analysis.layout, specification.processing.columns
        files = [metadata.read(path, columns, layout) for path in self._paths("none")]

        def split(chunk_size: int) -> list[Chunk]:
            chunk_bytes = specification.chunk_bytes
            return [
                chunk
                for file in files
                for chunk in chunks(file, chunk_size=chunk_size, chunk_bytes=chunk_bytes)
            ]

        return {
            "two_processes_over_one": two_over_one(task, split(-(-self.n_events // 8))),
            "dask_worker_over_process": dask_over_process(
                lambda executor: self.run("none", specification, executor),
                task,
                split(specification.chunk_size),
                self.settings,
                self.folder,
            ),
        }

    def memory(self) -> dict[str, float]:
        """Most memory of a process by each path, in MB."""
        auto = self.specification()
        return {
            "coffea": peak_mb(self.files["none"], self.specification("coffea")),
            "auto": peak_mb(self.files["none"], auto),
            "skim": peak_mb(self.files["local"], auto),
            "auto ML": peak_mb(self.files["none"], self.specification(assigned=True)),
        }


def _delivered(path: Path, before: int, after: int) -> Delivered:
    file = InputFile(urls=(str(path),), n_events=before)
    size = path.stat().st_size
    return entry(file, before=before, after=after, path=str(path), size=size)


def own_files(
    folder: Path,
    events: Mapping[str, int],
    container: sample.Container,
    compression: sample.Compression = "zlib",
) -> dict[str, list[Path]]:
    """The benchmark's own files by process; those of an earlier run are taken again.

    Args:
        folder: of the files.
        events: number of events by process.
        container: of the events.
        compression: of the files.
    """
    files = {}
    for process, n in events.items():
        kind = "" if compression == "zlib" else f"{compression}."
        kind += "root" if container == "ttree" else "rntuple.root"
        path = folder / f"{process}_{n}.{kind}"
        if not path.exists():
            print(f"writing {path}", file=sys.stderr)
            sample.write(path, process, n, container=container, compression=compression)
        files[process] = [path]
    return files


def content_digest(path: Path, branches: Sequence[str]) -> str:
    """SHA-256 of what branches of a file hold, whatever its format and compression."""
    digest = hashlib.sha256()
    with uproot.open({str(path): "Events"}) as tree:
        for name in sorted(branches):
            column = tree[name].array()
            digest.update(name.encode())
            if column.ndim == 2:
                digest.update(ak.to_numpy(ak.num(column)).astype("<i4").tobytes())
                column = ak.flatten(column)
            values = ak.to_numpy(column)
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def main() -> None:
    """Measure, print tables, and write JSON if asked."""
    arguments = command_line.parser(__doc__)
    arguments.add_argument(
        "files", nargs="*", type=command_line.file, help="your own, of one process"
    )
    arguments.add_argument(
        "--process", help="of your own files (ttbar unless told), or the only one without files"
    )
    arguments.add_argument("--events", type=command_line.count, default=400_000)
    arguments.add_argument("--repeat", type=command_line.count, default=3)
    arguments.add_argument("--folder", type=command_line.folder, default="results/benchmark")
    arguments.add_argument("--json", type=command_line.output)
    root = arguments.add_mutually_exclusive_group()
    root.add_argument(
        "--root", type=command_line.file, help="a Python that has ROOT; else one is installed"
    )
    root.add_argument("--no-root", action="store_true", help="leave RDataFrame out")
    arguments.add_argument("--common", action="store_true", help="all formats, with digests")
    options = arguments.parse_args()
    events = {"ttbar": options.events, "wjets": 2 * options.events}
    if options.process is not None and not options.files:
        if options.process not in events:
            arguments.error(f"without files, --process is one of {', '.join(events)}")
        events = {options.process: events[options.process]}
    with errors_told(output="the command line"):
        # What stages tell of their progress is no part of what is measured.
        logging.disable(logging.INFO)
        measured = measure(events, options)
        print("\n".join(lines(measured)))
        if options.json is not None:
            write_json(options.json, measured)


def measure(events: Mapping[str, int], options: argparse.Namespace) -> dict[str, Any]:
    """Measure all processes.

    Args:
        events: number of events of the benchmark's own files, by process.
        options: of the command line.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    # Files of the same content in other formats, by format, then by process.
    others: dict[str, dict[str, list[Path]]] = {}
    if options.files:
        files = {options.process or "ttbar": options.files}
    else:
        files = own_files(options.folder, events, "ttree")
        others["ntuple"] = own_files(options.folder, events, "rntuple")
        compressions: tuple[sample.Compression, ...] = ("zstd", "lz4") if options.common else ()
        for compression in compressions:
            others[compression] = own_files(options.folder, events, "ttree", compression)
        if options.common:
            others["ntuple zstd"] = own_files(options.folder, events, "rntuple", "zstd")
    measured: dict[str, Any] = {
        "rows": [],
        "auto_ns_per_event": {},
        "peak_mb": {},
        "machine": point.machine().model_dump(),
        "files": [],
        "skipped": {},
    }
    settings = HistogramSettings(
        **yaml.safe_load((CONFIG / "default.yaml").read_text())["histograms"]
    )
    root = "--no-root" if options.no_root else options.root or interpreter(options.folder)
    with ExitStack() as stack:
        with_root = None
        if isinstance(root, Path):
            with_root = stack.enter_context(InRoot(root))
            measured["machine"]["software"]["root"] = with_root.version
        else:
            measured["skipped"]["RDataFrame"] = root
        for process, paths in files.items():
            copies = {name: by_process[process] for name, by_process in others.items()}
            bench = Bench(process, paths, options.folder, settings, others=copies, root=with_root)
            if options.common:
                measured["files"] += bench.contents()
            rows, cost = bench.measure(options.repeat)
            measured["peak_mb"][process] = bench.memory()
            if process == next(iter(files)):
                measured["scaling"] = bench.scaling()
            measured["rows"] += rows
            measured["auto_ns_per_event"][process] = {
                part: 1e9 * cost.seconds[part].cpu / cost.events for part in PARTS
            }
    return measured


def lines(measured: dict[str, Any]) -> Iterator[str]:
    """What was measured, as tables in Markdown."""
    yield "| dataset | path | events per CPU second | factor over plain |"
    yield "| --- | --- | --- | --- |"
    for row in measured["rows"]:
        rate, factor = row["events_per_cpu_second"], row["factor_over_plain"]
        yield f"| {row['dataset']} | {row['path']} | {rate:,.0f} | {factor:.1f} |"
    rates = {
        (row["dataset"], row["path"]): row["events_per_cpu_second"] for row in measured["rows"]
    }
    yield ""
    yield "| measure | value |"
    yield "| --- | --- |"
    for process, peaks in measured["peak_mb"].items():
        share = rates[process, "auto"] / rates[process, "decompress"]
        yield f"| {process}, auto over decompress | {share:.2f} |"
        gain = rates[process, "skim"] / rates[process, "auto"]
        yield f"| {process}, skim over auto | {gain:.1f} |"
        for first in ("", " first"):
            if (process, f"ntuple{first}") in rates:
                times = rates[process, f"auto{first}"] / rates[process, f"ntuple{first}"]
                yield f"| {process}, CPU time of ntuple{first} over auto{first} | {times:.2f} |"
        for path, peak in peaks.items():
            yield f"| {process}, {path}, peak memory of a process | {peak:.0f} MB |"
    for name, value in measured["scaling"].items():
        yield f"| {name.replace('_', ' ')} | {value:.2f} |"
    yield ""
    yield f"processor: {measured['machine']['processor']}"
    software = measured["machine"]["software"]
    yield "software: " + ", ".join(f"{name} {version}" for name, version in software.items())
    for name, reason in measured["skipped"].items():
        yield f"without {name}: {reason}"
    yield "parts of auto, CPU ns per event:"
    for process, times in measured["auto_ns_per_event"].items():
        yield f"  {process}: " + ", ".join(f"{part} {time:.0f}" for part, time in times.items())


if __name__ == "__main__":
    main()
