"""One file through the histogram stage's two ways, for tests of what comes out."""

from pathlib import Path
from typing import Any

from coffea.processor import IterativeExecutor

from agc_pipeline import analyses
from agc_pipeline.declaration import Assignment
from agc_pipeline.analyses.cms_ttbar import compiled
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.columnar import runner
from agc_pipeline.delivery.manifest import Delivered
from conftest import read_config

COLUMNS = analyses.load_preselection("cms_ttbar").COLUMNS
EXECUTOR = IterativeExecutor(status=False, retries=0)
NAMES = [f"{c}_{f}" if c else f for c, fields in COLUMNS.items() for f in fields]


def selection() -> Selection:
    chosen = analyses.load("cms_ttbar").selection(read_config()["physics"]["selection"])
    assert isinstance(chosen, Selection)
    return chosen


def run(
    path: Path,
    n_events: int,
    way: str,
    *,
    dataset: tuple[str, str] = ("ttbar", "nominal"),
    chunk_size: int = 1000,
    kept: Path | None = None,
    assignment: Assignment | None = None,
    executor: Any = EXECUTOR,
) -> runner.Done:
    """Process a file by "auto" or "coffea"."""
    processed = (selection(), *dataset, assignment)
    delivered = Delivered(
        source=str(path),
        path=str(path),
        size=None,
        expected=None,
        before=n_events,
        after=n_events,
        generated=n_events,
        cutflow={},
    )
    work = runner.Work(
        coffea=analyses.load_processor("cms_ttbar").processor(*processed),
        columns=COLUMNS,
        compiled=compiled.processor(*processed) if way == "auto" else None,
        chunk_size=chunk_size,
        chunk_bytes=10**9,
        kept=kept,
    )
    return runner.run([delivered], work, executor, allow_partial=False)
