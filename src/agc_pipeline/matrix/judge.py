"""From what happened in a cell to its verdict."""

from agc_pipeline.matrix.records import CellRecord, Equality, Ratio, Timing
from agc_pipeline.matrix.settings import Verdict


def judge(record: CellRecord) -> tuple[Verdict, str]:
    """The verdict on a cell, and why.

    A cell that differs in more than the environment is not called slower: another executor or
    backend may well be, and the page shows by how much.
    """
    failed = record.failed
    if failed is not None:
        return Verdict.BROKEN, str(failed.problem)
    if record.untested is not None:
        return Verdict.UNTESTED, record.untested
    compared = [part for part in (record.histograms, record.fit) if part is not None]
    if not compared:
        return Verdict.WORKS, "the baseline"
    summaries = "; ".join(part.summary for part in compared)
    if any(part.grade == "different" for part in compared):
        return Verdict.DIFFERENT, f"{summaries}{_first(compared)}"
    slower = [text for item in record.timings for text in _slower(item)]
    if slower and record.same_axes:
        return Verdict.SLOWER, "; ".join([*slower, summaries])
    return Verdict.WORKS, "; ".join([summaries, *slower, *_faster(record)])


def _first(compared: list[Equality]) -> str:
    first = next(part.differences[0] for part in compared if part.differences)
    return f"; first: {first.name}, {first.what}"


def _slower(timing: Timing) -> list[str]:
    return [
        f"{timing.stage} takes {words(ratio)} times the {clock}"
        for ratio, clock in ((timing.cpu, "CPU time"), (timing.wall, "time"))
        if ratio is not None and ratio.slower
    ]


def _faster(record: CellRecord) -> list[str]:
    return [
        f"{timing.stage} is faster: {words(timing.cpu)} times the CPU time"
        for timing in record.timings
        if timing.cpu is not None and timing.cpu.faster
    ]


def words(ratio: Ratio) -> str:
    """A ratio with its interval: ``1.23 (1.19 to 1.30)``."""
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
