"""Speed of the histogram stage, against a plain coffea processor and against decompression alone.

    python benchmarks/histograms.py [--events 400000] [--repeat 3] [--json results/benchmark.json]
    python benchmarks/histograms.py FILE ... --process ttbar

Without files it makes its own, of two kinds: ttbar, and W+jets with twice as many events (see
``nanoaod.py``). It counts the CPU time of this process for each of

    plain       a textbook's coffea processor (see ``textbook.py``)
    coffea      the coffea processor of the package
    fast        its compiled processor, which reads baskets; headers of files are known
    skim        the same on skims, counted in events of the inputs
    decompress  nothing but decompressing, with libdeflate, the baskets that "fast" reads
    plain ML    the plain processor with assigned jets: xgboost's predict for every variation
    fast ML     "fast" with assigned jets
    skim ML     "skim" with assigned jets

in turn, several times, and keeps the best of each. All but the first give the same histograms to
the bit, and the first the same entries in the nominal ones: that is checked. Factors are over
"plain", and over "plain ML" for the ways with assigned jets.

Then, for "fast": the wall time of two processes over that of one (which needs a machine that does
nothing else), the CPU time of a Dask worker over that of a process, and the memory of processes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from coffea.processor import IterativeExecutor, Runner

import nanoaod
from agc_pipeline import analyses
from agc_pipeline.columnar import baskets, runner
from agc_pipeline.columnar.performance import Performance
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.columnar.tasks import NanoAOD
from agc_pipeline.datasets import TREE
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import PipelineError
from agc_pipeline.files import write_json
from agc_pipeline.learning.settings import ScoringSettings
from agc_pipeline.readers.chunks import Chunk, pieces
from agc_pipeline.readers.clock import PARTS
from agc_pipeline.readers.metadata import learn
from agc_pipeline.readers.opening import open_tree
from assignment import AssigningTextbookProcessor, boosters, write_models
from processes import dask_over_process, peak_mb, two_over_one
from textbook import TextbookProcessor

CONFIG = Path(__file__).resolve().parent.parent / "config"
ANALYSIS = "cms_ttbar"
PATHS = ("plain", "coffea", "fast", "skim", "decompress", "plain ML", "fast ML", "skim ML")
# Events that the reference implementation of the task processes at a time (CHUNKSIZE in its
# utils/config.py). coffea's own default, 100,000, takes half as long again.
PLAIN_CHUNK = 200_000


class Bench:
    """Files of one process, and the ways to histogram them.

    Args:
        process: name of the physics process.
        paths: NanoAOD files.
        folder: for skims and for what is known of files.
        settings: of the histogram stage.
    """

    def __init__(
        self, process: str, paths: Sequence[Path], folder: Path, settings: HistogramSettings
    ) -> None:
        write_models(folder / "models")
        physics = yaml.safe_load((CONFIG / ANALYSIS / "physics.yaml").read_text())["physics"]
        self.process = process
        self.selection = analyses.load(ANALYSIS).selection(physics["selection"])
        values = yaml.safe_load((CONFIG / ANALYSIS / "learning.yaml").read_text())["learning"]
        self.assignment = analyses.load_assignment(ANALYSIS).assignment(
            analyses.load(ANALYSIS).assignment(physics["jet_assignment"]),
            folder / "models",
            ScoringSettings(scorer="xgboost", triton=values["triton"]),
        )
        self.boosters = boosters(folder / "models")
        self.preselection = analyses.load_preselection(ANALYSIS)
        self.folder = folder
        self.settings = settings
        self.files = {"none": [], "local": []}
        for number, path in enumerate(paths):
            skim = folder / f"{process}.skim{number}.root"
            with open_tree(str(path), self.preselection.COLUMNS) as tree:
                before, after, _ = write_skim(
                    tree,
                    self.preselection.COLUMNS,
                    partial(self.preselection.preselect, self.selection),
                    skim,
                    url=str(path),
                    kind="ttree",
                    chunk_size=100_000,
                )
            self.files["none"].append(_delivered(path, before, before))
            self.files["local"].append(_delivered(skim, before, after))
        self.n_events = sum(file.before for file in self.files["none"])
        self.stored: list[tuple[Any, int, int]] = []

    def work(self, *, compiled: bool = True, assigned: bool = False) -> runner.Work:
        """What the histogram stage does."""
        assignment = self.assignment if assigned else None
        dataset = (self.selection, self.process, "nominal", assignment)
        fast = analyses.load_compiled(ANALYSIS)
        if fast is None:
            raise SystemExit(f"{ANALYSIS} has no compiled processor")
        return runner.Work(
            coffea=analyses.load_processor(ANALYSIS).processor(*dataset),
            columns=self.preselection.COLUMNS,
            compiled=fast.processor(*dataset) if compiled else None,
            chunk_size=self.settings.chunk_size,
            chunk_bytes=self.settings.chunk_bytes,
            kept=self.folder / "known",
        )

    def run(
        self, backend: str, *, compiled: bool = True, assigned: bool = False, made: Any = None
    ) -> runner.Done:
        """The histogram stage, without its start."""
        chosen = made or IterativeExecutor(status=False, retries=0)
        work = self.work(compiled=compiled, assigned=assigned)
        return runner.run(self.files[backend], work, chosen, allow_partial=False)

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
            {self.process: {"treename": TREE, "files": paths}},
            processor_instance=processor,
        )

    def keep_baskets(self) -> None:
        """Read the baskets that the compiled processor reads into memory, compressed."""
        inner = baskets.decompressed

        def keeping(data: bytes, *facts: int) -> Any:
            content = inner(data, *facts)
            self.stored.append((data, *facts))
            return content

        baskets.decompressed = keeping
        try:
            self.run("none")
        finally:
            baskets.decompressed = inner

    def decompress(self) -> None:
        """Decompress these baskets."""
        for basket in self.stored:
            baskets.decompressed(*basket)

    def ways(self) -> dict[str, Callable[[], Any]]:
        """What is measured, in the order of ``PATHS``."""
        return {
            "plain": lambda: self.plain(TextbookProcessor(self.process)),
            "coffea": lambda: self.run("none", compiled=False),
            "fast": lambda: self.run("none"),
            "skim": lambda: self.run("local"),
            "decompress": self.decompress,
            "plain ML": lambda: self.plain(AssigningTextbookProcessor(self.process, self.boosters)),
            "fast ML": lambda: self.run("none", assigned=True),
            "skim ML": lambda: self.run("local", assigned=True),
        }

    def check(self) -> None:
        """Check that all ways give the same."""
        done = {name: way() for name, way in self.ways().items() if name != "decompress"}
        histograms = done["coffea"].output["histograms"]
        for name in ("fast", "skim"):
            if done[name].output["histograms"] != histograms:
                sys.exit(f"error: {name} gives other histograms than coffea")
        assigned = done["fast ML"].output["histograms"]
        if done["skim ML"].output["histograms"] != assigned:
            sys.exit("error: skim ML gives other histograms than fast ML")
        if {region: assigned[region] for region in histograms} != histograms:
            sys.exit("error: fast ML gives other histograms than coffea")
        for name, given in (("plain", histograms), ("plain ML", assigned)):
            for region, histogram in given.items():
                expected = histogram[{"variation": "nominal"}].view(flow=True)["value"]
                found = done[name][region][{"variation": "nominal"}].view(flow=True)["value"]
                # Single and double precision differ at the edges of bins.
                if abs(found - expected).sum() > 2 + 1e-3 * expected.sum():
                    sys.exit(f"error: {name} gives other entries in {region}")

    def measure(self, repeat: int) -> tuple[list[dict[str, Any]], Performance]:
        """The rows of the result, and the parts of the best run of "fast"."""
        self.check()
        self.keep_baskets()
        best: dict[str, tuple[float, Any]] = {}
        for _ in range(repeat):
            for name, way in self.ways().items():
                start = time.process_time()
                done = way()
                seconds = time.process_time() - start
                if name not in best or seconds < best[name][0]:
                    best[name] = seconds, done
        rates = {name: self.n_events / seconds for name, (seconds, _) in best.items()}
        rows = [
            {
                "dataset": self.process,
                "path": name,
                "events_per_cpu_second": rates[name],
                "factor_over_plain": rates[name]
                / rates["plain ML" if name.endswith("ML") else "plain"],
            }
            for name in PATHS
        ]
        (cost,) = best["fast"][1].performance.values()
        return rows, cost

    def scaling(self) -> dict[str, float]:
        """Two processes against one, and a Dask worker against a process."""
        work = self.work()
        known = [learn(str(file.path), work.columns, work.names) for file in self.files["none"]]

        def cut(chunk_size: int) -> list[Chunk]:
            return [
                piece
                for file in known
                for piece in pieces(file, chunk_size=chunk_size, chunk_bytes=work.chunk_bytes)
            ]

        return {
            "two_processes_over_one": two_over_one(work.task, cut(self.n_events // 8)),
            "dask_worker_over_process": dask_over_process(
                lambda made: self.run("none", made=made),
                work.task,
                cut(work.chunk_size),
                self.settings,
                self.folder,
            ),
        }

    def memory(self) -> dict[str, float]:
        """Most memory of a process by each path, in MB."""
        return {
            "coffea": peak_mb(self.files["none"], self.work(compiled=False)),
            "fast": peak_mb(self.files["none"], self.work()),
            "skim": peak_mb(self.files["local"], self.work()),
            "fast ML": peak_mb(self.files["none"], self.work(assigned=True)),
        }


def _delivered(path: Path, before: int, after: int) -> Delivered:
    return Delivered(
        source=str(path),
        path=str(path),
        size=path.stat().st_size,
        expected=before,
        before=before,
        after=after,
        generated=before,
        cutflow={},
    )


def made_files(folder: Path, n_events: int) -> dict[str, list[Path]]:
    """The benchmark's own files by process; those of an earlier run are taken again."""
    files = {}
    for process, n in (("ttbar", n_events), ("wjets", 2 * n_events)):
        path = folder / f"{process}_{n}.root"
        if not path.exists():
            print(f"making {path}", file=sys.stderr)
            nanoaod.write(path, process, n)
        files[process] = [path]
    return files


def main() -> None:
    """Measure, print tables, and write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="your own, of one process")
    parser.add_argument("--process", default="ttbar", help="process of your own files")
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmark"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    values = yaml.safe_load((CONFIG / "default.yaml").read_text())
    settings = HistogramSettings(**values["histograms"])
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.files:
        files = {options.process: options.files}
    else:
        files = made_files(options.folder, options.events)
    found: dict[str, Any] = {"rows": [], "fast_ns_per_event": {}, "peak_mb": {}}
    for process, paths in files.items():
        try:
            bench = Bench(process, paths, options.folder, settings)
            rows, cost = bench.measure(options.repeat)
            found["peak_mb"][process] = bench.memory()
            if process == next(iter(files)):
                found["scaling"] = bench.scaling()
        except PipelineError as error:
            sys.exit(f"error: {error}")
        found["rows"] += rows
        found["fast_ns_per_event"][process] = {
            part: 1e9 * cost.seconds[part].cpu / cost.events for part in PARTS
        }
    print("\n".join(lines(found)))
    if options.json is not None:
        write_json(options.json, found)


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What was found, as tables in Markdown."""
    yield "| dataset | path | events per CPU second | factor over plain |"
    yield "| --- | --- | --- | --- |"
    for row in found["rows"]:
        rate, factor = row["events_per_cpu_second"], row["factor_over_plain"]
        yield f"| {row['dataset']} | {row['path']} | {rate:,.0f} | {factor:.1f} |"
    rates = {(row["dataset"], row["path"]): row["events_per_cpu_second"] for row in found["rows"]}
    yield ""
    yield "| measure | found |"
    yield "| --- | --- |"
    for process, peaks in found["peak_mb"].items():
        share = rates[process, "fast"] / rates[process, "decompress"]
        yield f"| {process}, fast over decompress | {share:.2f} |"
        gain = rates[process, "skim"] / rates[process, "fast"]
        yield f"| {process}, skim over fast | {gain:.1f} |"
        for path, peak in peaks.items():
            yield f"| {process}, {path}, peak memory of a process | {peak:.0f} MB |"
    for name, value in found["scaling"].items():
        yield f"| {name.replace('_', ' ')} | {value:.2f} |"
    yield ""
    yield "parts of fast, CPU ns per event:"
    for process, times in found["fast_ns_per_event"].items():
        yield f"  {process}: " + ", ".join(f"{part} {time:.0f}" for part, time in times.items())


if __name__ == "__main__":
    main()
