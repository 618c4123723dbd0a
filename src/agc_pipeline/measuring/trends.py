"""Values of earlier runs as a small line."""

from collections.abc import Sequence

# Of the line, in the units of its drawing.
WIDTH, HEIGHT = 220.0, 36.0


def line(values: Sequence[tuple[int, float]], runs: int) -> str:
    """Points of a line from zero upwards, "x,y x,y ..."; empty with fewer than two values.

    Args:
        values: number of the run, from 0, and its value.
        runs: how many there are.
    """
    highest = max((value for _, value in values), default=1.0) or 1.0
    step = WIDTH / max(1, runs - 1)
    points = [f"{run * step:.1f},{HEIGHT * (1 - value / highest):.1f}" for run, value in values]
    return " ".join(points) if len(points) > 1 else ""
