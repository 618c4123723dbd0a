"""Events through the processing of the ttbar analysis, by each reader, for tests of the output."""

from pathlib import Path
from typing import Any

import awkward as ak

from agc_pipeline import analyses
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.columnar import runner
from agc_pipeline.columnar.executors import InThisProcess
from agc_pipeline.columnar.filling import complete
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration import NANOAOD
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.readers.arrays import ArrayColumns
from conftest import read_config

ANALYSIS = analyses.load("cms_ttbar")
EXECUTOR = InThisProcess()


def selection() -> Selection:
    values = ANALYSIS.selection(read_config()["physics"]["selection"])
    assert isinstance(values, Selection)
    return values


SELECTION = selection()
COLUMNS = ANALYSIS.columns(ANALYSIS.datasets[0], SELECTION, learned=True)
NAMES = NANOAOD.branches(COLUMNS)


def processing(dataset: tuple[str, str] = ("ttbar", "nominal"), scoring: Any = None) -> Processing:
    """The processing of a dataset, by process and variation."""
    return Processing(ANALYSIS, SELECTION, ANALYSIS.dataset("__".join(dataset)), scoring)


def in_memory(arrays: Any) -> ArrayColumns:
    """Columns of events in memory."""
    return ArrayColumns(ak.zip(dict(arrays), depth_limit=1), NANOAOD)


def delivered(path: Path | str, before: int, after: int) -> Delivered:
    """The entry of a file that is read where it is."""
    file = InputFile(urls=(str(path),))
    return entry(file, before=before, after=after, path=str(path), size=None)


def run(
    path: Path | str,
    n_events: int,
    reader: Any,
    *,
    dataset: tuple[str, str] = ("ttbar", "nominal"),
    chunk_size: int = 1000,
    cache: Path | None = None,
    scoring: Any = None,
    executor: Any = EXECUTOR,
) -> runner.Result:
    """Process a file; histograms by region, since each dataset fills one process."""
    specification = runner.Specification(
        processing(dataset, scoring),
        reader=reader,
        chunk_size=chunk_size,
        chunk_bytes=10**9,
        cache=cache,
    )
    result = runner.run(
        [delivered(path, n_events, n_events)], specification, executor, allow_partial=False
    )
    result.output["histograms"] = by_region(result.output, dataset[0])
    return result


def by_region(output: Any, process: str) -> Any:
    """Histograms of the one process that is filled."""
    assert list(output["histograms"]) == [process]
    return complete(output)["histograms"][process]
