"""From what happened in a cell to its verdict."""

from typing import Literal

from agc_pipeline.matrix.records import CellRecord, Equality, Ratio
from agc_pipeline.matrix.settings import Verdict

Speed = Literal["slower", "unclear", "same", "faster"]


def judge(record: CellRecord, slower: float) -> tuple[Verdict, str]:
    """The verdict on a cell, and why.

    A cell that differs in more than the environment is not called slower: another executor or
    backend may well be, and the page shows by how much.

    Args:
        record: of the cell.
        slower: what a ratio of times must exceed one by to be called a regression.
    """
    failed = record.failed
    if failed is not None:
        return Verdict.BROKEN, str(failed.problem)
    if record.untested is not None:
        return Verdict.UNTESTED, record.untested
    compared = [part for part in (record.histograms, record.fit) if part is not None]
    if not compared:
        same = f"nothing differs from {record.reference}: not run again"
        return Verdict.WORKS, same if record.same_environment else "the baseline"
    summaries = "; ".join(part.summary for part in compared)
    if any(part.grade == "different" for part in compared):
        return Verdict.DIFFERENT, f"{summaries}{_first(compared)}"
    told: dict[Speed, list[str]] = {"slower": [], "unclear": [], "faster": [], "same": []}
    for item in record.timings:
        for ratio, clock in ((item.cpu, "CPU time"), (item.wall, "wall-clock time")):
            if ratio is not None:
                told[speed(ratio, slower)].append(f"{item.stage} {words(ratio)} times the {clock}")
    if told["slower"] and record.same_axes:
        return Verdict.SLOWER, "; ".join([*told["slower"], summaries])
    # What waiting alone makes faster or unclear says nothing about the cell.
    notes = [text for text in told["slower"] + told["faster"] if text.endswith("CPU time")]
    return Verdict.WORKS, "; ".join([summaries, *notes])


def speed(ratio: Ratio, slower: float) -> Speed:
    """What a ratio of times allows to say.

    Slower or faster only if the whole interval is beyond the bound; unclear if the median is
    beyond it, but the spread is too wide.
    """
    if ratio.low > 1 + slower:
        return "slower"
    if ratio.high < 1 / (1 + slower):
        return "faster"
    return "unclear" if ratio.median > 1 + slower else "same"


def words(ratio: Ratio) -> str:
    """A ratio with its interval: ``1.23 (1.19 to 1.30)``."""
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _first(compared: list[Equality]) -> str:
    first = next(part.differences[0] for part in compared if part.differences)
    return f"; first: {first.name}, {first.what}"
