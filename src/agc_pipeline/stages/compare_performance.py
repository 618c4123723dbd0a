"""Compare what two runs cost: ``python -m agc_pipeline.stages.compare_performance OLD NEW``.

OLD and NEW are the files ``performance.json`` of two runs, or records of single jobs.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from agc_pipeline.columnar import performance
from agc_pipeline.columnar.performance import Performance
from agc_pipeline.readers.clock import PARTS, Seconds
from agc_pipeline.stages import command


def compare(before: Path, after: Path) -> None:
    """Print a table for each way of processing."""
    old, new = (performance.read(path).ways for path in (before, after))
    for way in dict.fromkeys((*old, *new)):
        print("\n".join(lines(way, old.get(way, Performance()), new.get(way, Performance()))))


def lines(way: str, old: Performance, new: Performance) -> Iterator[str]:
    """The costs of one way, old and new, and new over old; "-" where there is nothing."""
    yield f"{way:28}{'old':>12}{'new':>12}{'new/old':>9}"
    yield _line("files", old.files, new.files)
    yield _line("events", old.events, new.events)
    yield _line("bytes per event", _each(old, old.bytes), _each(new, new.bytes), 1)
    yield _line("events per CPU second", old.rate, new.rate)
    for kind in ("cpu", "wall"):
        for part in PARTS:
            was, now = (_each(cost, _nanoseconds(cost, part, kind)) for cost in (old, new))
            yield _line(f"{part} [{kind} ns/event]", was, now, 1)
        was, now = (_each(cost, 1e9 * getattr(cost.total, kind)) for cost in (old, new))
        yield _line(f"all [{kind} ns/event]", was, now, 1)


def _nanoseconds(cost: Performance, part: str, kind: str) -> float:
    seconds: float = getattr(cost.seconds.get(part, Seconds()), kind)
    return 1e9 * seconds


def _each(cost: Performance, amount: float) -> float:
    return amount / cost.events if cost.events else 0.0


def _line(name: str, old: float, new: float, digits: int = 0) -> str:
    ratio = f"{new / old:.3f}" if old else "-"
    return f"  {name:26}{old:12.{digits}f}{new:12.{digits}f}{ratio:>9}"


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("old", type=Path)
    options.add_argument("new", type=Path)
    arguments = options.parse_args()
    with command.errors_told(output="standard output"):
        compare(arguments.old, arguments.new)


if __name__ == "__main__":
    main()
