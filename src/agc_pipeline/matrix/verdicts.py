"""The verdict on a cell, from its record."""

from collections.abc import Sequence
from typing import Literal

from agc_pipeline.matrix.records import CellRecord, CellVerdict, Equality
from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.measuring.intervals import Ratio

Speed = Literal["slower", "unclear", "same", "faster"]


def verdict_on(record: CellRecord, slower: float) -> tuple[Verdict, str]:
    """The verdict on a cell, and its reason.

    A cell that differs in more than the environment is not called slower: another executor or
    backend may be so by design, and the page shows by how much.

    Args:
        record: of the cell.
        slower: excess of a ratio of times over one that counts as a regression.
    """
    failed = record.failed
    if failed is not None:
        return Verdict.BROKEN, str(failed.problem)
    if record.untested is not None:
        return Verdict.UNTESTED, record.untested
    comparisons = [part for part in (record.histograms, record.fit) if part is not None]
    if not comparisons:
        reason = f"identical to {record.reference}: not run again"
        return Verdict.WORKS, reason if record.same_environment else "the baseline"
    summaries = "; ".join(part.summary for part in comparisons)
    if any(part.grade == "different" for part in comparisons):
        return Verdict.DIFFERENT, f"{summaries}{_first(comparisons)}"
    ratios = [
        (speed(ratio, slower), clock, f"{item.stage} {ratio_text(ratio)} times the {clock} time")
        for item in record.timings
        for ratio, clock in ((item.cpu, "CPU"), (item.wall, "wall-clock"))
        if ratio is not None
    ]
    regressions = [text for kind, _, text in ratios if kind == "slower"]
    if regressions and record.same_axes:
        return Verdict.SLOWER, "; ".join([*regressions, summaries])
    # Waiting times alone are no property of the cell.
    notes = [
        text
        for wanted in ("slower", "faster")
        for kind, clock, text in ratios
        if kind == wanted and clock == "CPU"
    ]
    return Verdict.WORKS, "; ".join([summaries, *notes])


def is_unexpected(item: CellVerdict, fail_on: Sequence[Verdict]) -> bool:
    """Whether a verdict is a failure that is not expected."""
    return item.verdict in fail_on and item.verdict is not item.expected


def speed(ratio: Ratio, slower: float) -> Speed:
    """The conclusion from a ratio of times.

    Slower or faster only if the whole interval is beyond the bound; unclear if the median is
    beyond it, but the spread is too wide.
    """
    if ratio.low > 1 + slower:
        return "slower"
    if ratio.high < 1 / (1 + slower):
        return "faster"
    return "unclear" if ratio.median > 1 + slower else "same"


def ratio_text(ratio: Ratio) -> str:
    """A ratio with its interval: ``1.23 (1.19 to 1.30)``."""
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _first(comparisons: list[Equality]) -> str:
    first = next(part.differences[0] for part in comparisons if part.differences)
    return f"; first: {first.name}, {first.what}"
