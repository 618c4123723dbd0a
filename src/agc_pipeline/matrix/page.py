"""Content of the page of the matrix."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agc_pipeline.matrix import history
from agc_pipeline.matrix.history import Entry, History
from agc_pipeline.matrix.records import CellVerdict
from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.matrix.verdicts import is_unexpected, speed
from agc_pipeline.measuring.trends import line

TONES = {
    Verdict.WORKS: "good",
    Verdict.SLOWER: "fair",
    Verdict.DIFFERENT: "bad",
    Verdict.BROKEN: "bad",
    Verdict.UNTESTED: "",
}
_RUNS_SHOWN = 30


@dataclass(frozen=True)
class Row:
    """One environment in the grid: the cell of each column, None where there is none."""

    environment: str
    cells: tuple[CellVerdict | None, ...]


@dataclass(frozen=True)
class Trend:
    """Earlier runs of a cell.

    Attributes:
        cell: its name.
        entries: the last runs, oldest first.
        stage: of the plotted rate; None if no stage was timed.
        points: of the line, "x,y x,y ..."; empty with fewer than two runs.
        first: events per CPU second of the first plotted run.
        last: of the last one.
    """

    cell: str
    entries: tuple[Entry, ...]
    stage: str | None
    points: str
    first: float | None
    last: float | None


def values(
    verdicts: Sequence[CellVerdict],
    past: History,
    slower: float,
    fail_on: Sequence[Verdict],
    folder: Path,
) -> dict[str, Any]:
    """Values of the template.

    Args:
        verdicts: on the cells of this run; the baseline is the first.
        past: all runs, with these.
        slower: excess of a ratio over one that counts as a regression.
        fail_on: verdicts that are failures.
        folder: of the page.
    """
    counts = Counter(item.verdict for item in verdicts)
    # A column for values of the axes that several environments share, and for the baseline's.
    by_column = [(column(item), item) for item in verdicts]
    n_environments = Counter(name for name, _ in by_column)
    columns = [name for name, n in n_environments.items() if n > 1 or name == by_column[0][0]]
    by_place = {
        (item.cell.environment.name, name): item for name, item in by_column if name in columns
    }
    unexpected = [item for item in verdicts if is_unexpected(item, fail_on)]
    return {
        "title": "The matrix",
        "subtitle": f"{len(verdicts)} cells, each the small pipeline in an environment of its own, "
        f"compared with {verdicts[0].cell.name}",
        "partial": False,
        "left_out": (),
        "counts": [(verdict, counts[verdict]) for verdict in Verdict if counts[verdict]],
        "unexpected": unexpected,
        "expected_failures": [
            item
            for item in verdicts
            if item.verdict is item.expected and item.verdict is not Verdict.WORKS
        ],
        "columns": columns,
        "rows": [
            Row(name, tuple(by_place.get((name, other)) for other in columns))
            for name in dict.fromkeys(environment for environment, _ in by_place)
        ],
        "single_cells": [(name, item) for name, item in by_column if name not in columns],
        "verdicts": verdicts,
        "separations": history.separations(past, verdicts),
        "trends": [trend(past, item.cell.name) for item in verdicts],
        "rates": {item.cell.name: history.rates(item.cell) for item in verdicts},
        "tones": TONES,
        # The folder may be published elsewhere.
        "link": lambda log: os.path.relpath(log, folder),
        "speed": lambda ratio: speed(ratio, slower),
        "finished": max(item.cell.finished for item in verdicts),
    }


def column(item: CellVerdict) -> str:
    """Values of the axes of a cell in which it differs from the baseline."""
    _, *others = item.cell.name.split("+")
    return (
        ", ".join(" ".join(other.split("-", maxsplit=1)) for other in others) or "as the baseline"
    )


def trend(past: History, cell: str) -> Trend:
    """The last runs of a cell, and a line through the rates of the last timed stage."""
    entries = past.of(cell)[-_RUNS_SHOWN:]
    stage = next((name for entry in reversed(entries) for name in reversed(entry.rates)), None)
    rates = [
        (number, entry.rates[stage])
        for number, entry in enumerate(entries)
        if stage is not None and stage in entry.rates
    ]
    points = line(rates, len(entries))
    return Trend(
        cell=cell,
        entries=entries,
        stage=stage,
        points=points,
        first=rates[0][1] if rates else None,
        last=rates[-1][1] if rates else None,
    )
