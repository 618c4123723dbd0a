"""What the page of the matrix shows."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agc_pipeline.matrix import history
from agc_pipeline.matrix.history import Entry, History
from agc_pipeline.matrix.judge import speed
from agc_pipeline.matrix.junit import surprise
from agc_pipeline.matrix.records import Judged
from agc_pipeline.matrix.settings import Verdict

TONES = {
    Verdict.WORKS: "good",
    Verdict.SLOWER: "fair",
    Verdict.DIFFERENT: "bad",
    Verdict.BROKEN: "bad",
    Verdict.UNTESTED: "",
}
_RUNS_SHOWN = 30
_WIDTH, _HEIGHT = 220.0, 36.0


@dataclass(frozen=True)
class Row:
    """One environment in the grid: the cell of each column, None where there is none."""

    environment: str
    cells: tuple[Judged | None, ...]


@dataclass(frozen=True)
class Trend:
    """Earlier runs of a cell.

    Attributes:
        cell: its name.
        entries: the last runs, oldest first.
        stage: whose rate is drawn; None if none was timed.
        points: of the line, "x,y x,y ..."; empty with fewer than two runs.
        first: events per CPU second of the first run shown.
        last: of the last one.
    """

    cell: str
    entries: tuple[Entry, ...]
    stage: str | None
    points: str
    first: float | None
    last: float | None


def values(
    judged: Sequence[Judged],
    past: History,
    slower: float,
    fail_on: Sequence[Verdict],
    folder: Path,
) -> dict[str, Any]:
    """What the template uses.

    Args:
        judged: the cells of this run; the baseline is the first.
        past: all runs, with these.
        slower: what a ratio must exceed one by to be called a regression.
        fail_on: verdicts that are bad.
        folder: of the page.
    """
    counts = Counter(item.verdict for item in judged)
    # A column for what several environments are tried with, the baseline's cell among them.
    placed = [(column(item), item) for item in judged]
    tried = Counter(name for name, _ in placed)
    columns = [name for name, n in tried.items() if n > 1 or name == placed[0][0]]
    by_place = {
        (item.cell.environment.name, name): item for name, item in placed if name in columns
    }
    surprises = [item for item in judged if surprise(item, fail_on)]
    return {
        "title": "The matrix",
        "subtitle": f"{len(judged)} cells, each the small pipeline in an environment of its own, "
        f"compared with {judged[0].cell.name}",
        "partial": False,
        "left_out": (),
        "counts": [(verdict, counts[verdict]) for verdict in Verdict if counts[verdict]],
        "surprises": surprises,
        "foreseen": [
            item
            for item in judged
            if item.verdict is item.expected and item.verdict is not Verdict.WORKS
        ],
        "columns": columns,
        "rows": [
            Row(name, tuple(by_place.get((name, other)) for other in columns))
            for name in dict.fromkeys(environment for environment, _ in by_place)
        ],
        "alone": [(name, item) for name, item in placed if name not in columns],
        "judged": judged,
        "separations": history.separations(past, judged),
        "trends": [trend(past, item.cell.name) for item in judged],
        "rates": {item.cell.name: history.rates(item.cell) for item in judged},
        "tones": TONES,
        # The folder may be published somewhere else.
        "link": lambda log: os.path.relpath(log, folder),
        "speed": lambda ratio: speed(ratio, slower),
        "finished": max(item.cell.finished for item in judged),
    }


def column(item: Judged) -> str:
    """What a cell has besides its environment, in words."""
    _, *others = item.cell.name.split("+")
    return (
        ", ".join(" ".join(other.split("-", maxsplit=1)) for other in others) or "as the baseline"
    )


def trend(past: History, cell: str) -> Trend:
    """The last runs of a cell, and a line through the rates of the last timed stage."""
    entries = past.of(cell)[-_RUNS_SHOWN:]
    stage = next((name for entry in reversed(entries) for name in reversed(entry.rates)), None)
    known = [
        (number, entry.rates[stage])
        for number, entry in enumerate(entries)
        if stage is not None and stage in entry.rates
    ]
    highest = max((rate for _, rate in known), default=1.0)
    step = _WIDTH / max(1, len(entries) - 1)
    drawn = [f"{number * step:.1f},{_HEIGHT * (1 - rate / highest):.1f}" for number, rate in known]
    return Trend(
        cell=cell,
        entries=entries,
        stage=stage,
        points=" ".join(drawn) if len(drawn) > 1 else "",
        first=known[0][1] if known else None,
        last=known[-1][1] if known else None,
    )
