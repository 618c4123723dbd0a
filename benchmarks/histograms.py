"""Speed of the histogram stage on your own NanoAOD files, split into its parts.

    python benchmarks/histograms.py FILE [FILE ...] [--process ttbar] [--repeat 3] [--json OUT]

For each part it takes the CPU time of one process, the median over the repetitions:

    read     decompress and interpret the needed columns
    select   the preselection, on all events
    physics  selection, observables and weights of all variations, on preselected events
    fill     filling of all histograms

Bytes are the compressed sizes of the needed columns. A file that fits into one chunk is read
once; the operating system may keep it in memory between repetitions.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uproot
import yaml

from agc_pipeline import analyses
from agc_pipeline.columnar import filling
from agc_pipeline.delivery.reading import open_tree, present_branches
from agc_pipeline.delivery.skim import collections
from agc_pipeline.errors import PipelineError

PHYSICS = Path(__file__).resolve().parent.parent / "config" / "cms_ttbar" / "physics.yaml"
PARTS = ("read", "select", "physics", "fill")


class Clock:
    """CPU seconds of named parts."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its CPU time added to a part."""

        def run(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return call(*arguments, **options)
            finally:
                self.seconds[part] += time.process_time() - start

        return run


def measure(path: str, process: str, chunk_size: int) -> tuple[int, int, dict[str, float]]:
    """Histogram one file in memory: its events, compressed bytes, and seconds of each part."""
    physics = yaml.safe_load(PHYSICS.read_text())["physics"]
    selection = analyses.load("cms_ttbar").selection(physics["selection"])
    preselection = analyses.load_preselection("cms_ttbar")
    processor = analyses.load_processor("cms_ttbar").processor(selection, process, "nominal")
    clock = Clock()
    with open_tree(path, preselection.COLUMNS) as tree:
        names = present_branches(tree, preselection.COLUMNS)
        n_bytes = sum(_compressed(tree[name]) for name in names)
        for start in range(0, tree.num_entries, chunk_size):
            arrays = clock.timed("read", tree.arrays)(
                names, entry_start=start, entry_stop=start + chunk_size
            )
            events = collections(arrays, preselection.COLUMNS)
            clock.timed("select", preselection.preselect)(selection, events)
            fill = filling.fill
            filling.fill = clock.timed("fill", fill)
            try:
                clock.timed("physics", processor.process)(events)
            finally:
                filling.fill = fill
        n_events = tree.num_entries
    # The processor preselects again and fills inside.
    clock.seconds["physics"] -= clock.seconds["select"] + clock.seconds["fill"]
    return n_events, n_bytes, clock.seconds


def _compressed(branch: Any) -> int:
    return int(branch.compressed_bytes) if isinstance(branch, uproot.TBranch) else 0


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+")
    parser.add_argument("--process", default="ttbar")
    parser.add_argument("--chunk-size", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'file':40}{'events':>9}{'MB':>8}{'events/s':>10}  " + " ".join(PARTS) + " [us/event]")
    for path in options.files:
        try:
            runs = [
                measure(path, options.process, options.chunk_size) for _ in range(options.repeat)
            ]
        except PipelineError as error:
            sys.exit(f"error: {error}")
        n_events, n_bytes, _ = runs[0]
        seconds = {part: statistics.median(run[2][part] for run in runs) for part in PARTS}
        rate = n_events / sum(seconds.values())
        parts = " ".join(f"{1e6 * seconds[part] / n_events:.2f}" for part in PARTS)
        print(f"{path[-40:]:40}{n_events:9d}{n_bytes / 1e6:8.1f}{rate:10.0f}  {parts}")
        rows.append(
            {
                "file": path,
                "events": n_events,
                "bytes": n_bytes,
                "events_per_cpu_second": rate,
                "cpu_seconds": seconds,
            }
        )
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
