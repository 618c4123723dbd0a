"""Run times from Snakemake's benchmark files."""

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agc_pipeline.errors import InputError

# Seconds within which a copy of all benchmarks is written.
_COPIED = 1.0


@dataclass(frozen=True)
class Job:
    """When a job ran.

    Attributes:
        rule: name of the rule.
        start: seconds since the epoch, by the clock of the file system.
        end: likewise.
    """

    rule: str
    start: float
    end: float


@dataclass(frozen=True)
class Runtime:
    """What the jobs of a rule took.

    Attributes:
        rule: name of the rule.
        jobs: number of jobs.
        wall: sum of the jobs' wall-clock times, seconds.
        longest: wall-clock time of the longest job, seconds.
        cpu: sum of CPU times, seconds; None where it was not measured.
        memory: largest resident memory of a job, MB; None where it was not measured.
    """

    rule: str
    jobs: int
    wall: float
    longest: float
    cpu: float | None
    memory: float | None


def collect(paths: Sequence[Path], rules: Collection[str] | None = None) -> list[Runtime]:
    """Run times by rule, the longest first.

    Args:
        paths: folders with ``{rule}.tsv`` or ``{rule}/.../*.tsv``, or such files themselves. What
            is missing adds nothing: finished jobs of an earlier run may have no benchmark.
        rules: those to take; a folder may hold benchmarks of rules of another configuration.
            None takes all.

    Raises:
        InputError: if a file is not a benchmark of Snakemake.
    """
    jobs: dict[str, list[dict[str, float | None]]] = {}
    for rule, file in _files(paths, rules):
        jobs.setdefault(rule, []).extend(_rows(file))
    times = [
        Runtime(
            rule=rule,
            jobs=len(rows),
            wall=sum(row["s"] or 0 for row in rows),
            longest=max(row["s"] or 0 for row in rows),
            cpu=sum(cpu) if (cpu := _known(row["cpu_time"] for row in rows)) else None,
            memory=max(_known(row["max_rss"] for row in rows), default=None),
        )
        for rule, rows in jobs.items()
        if rows
    ]
    return sorted(times, key=lambda item: item.wall, reverse=True)


def timeline(paths: Sequence[Path], rules: Collection[str] | None = None) -> list[Job]:
    """When the jobs ran, the first to start first.

    A benchmark is written when its job ends. Where files were copied without their times, as all
    are of the same moment, nothing is known, and the list is empty.

    Args:
        paths: as for ``collect``.
        rules: likewise.

    Raises:
        InputError: if a file is not a benchmark of Snakemake.
    """
    jobs = []
    for rule, file in _files(paths, rules):
        durations = _known(row["s"] for row in _rows(file))
        if durations:
            end = file.stat().st_mtime
            jobs.append(Job(rule, end - durations[-1], end))
    jobs.sort(key=lambda job: (job.start, job.end))
    ends = [job.end for job in jobs]
    longest = max((job.end - job.start for job in jobs), default=0.0)
    if len(jobs) > 1 and max(ends) - min(ends) < min(longest, _COPIED):
        return []
    return jobs


def _files(paths: Sequence[Path], rules: Collection[str] | None) -> Iterator[tuple[str, Path]]:
    """Benchmarks with the names of their rules; those of other rules are left out."""
    for path in paths:
        for file in sorted(path.rglob("*.tsv")) if path.is_dir() else [path]:
            if file.exists():
                parent = file.relative_to(path).parts[0] if path.is_dir() else file.stem
                rule = parent.removesuffix(".tsv")
                if rules is None or rule in rules:
                    yield rule, file


def _rows(path: Path) -> list[dict[str, float | None]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        return [{key: _value(row[key]) for key in ("s", "max_rss", "cpu_time")} for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not a benchmark of Snakemake: {error}",
            place=str(path),
            remedy="delete it; the report does without",
        ) from error


def _value(text: str) -> float | None:
    # Snakemake's words for jobs that ended before it could measure.
    return None if text in ("-", "NA") else float(text)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
