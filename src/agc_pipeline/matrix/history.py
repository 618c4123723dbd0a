"""Earlier runs of cells in one JSON file, and the differences between bad and good ones."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Self

from pydantic import Field, model_validator

from agc_pipeline.files import read_history, write_json
from agc_pipeline.matrix.records import CellRecord, CellVerdict
from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.settings import Settings

_GOOD = (Verdict.WORKS,)
_BAD = (Verdict.SLOWER, Verdict.DIFFERENT, Verdict.BROKEN)


class Entry(Settings):
    """One run of a cell.

    Attributes:
        cell: its name.
        finished: time of the end, in ISO format, UTC.
        verdict: on the cell.
        reason: of the verdict.
        axes: axis to the name of its value.
        environment: digest of the environment; None if it does not resolve.
        requirements: that override the lock.
        python: version.
        package: digest of this package.
        configuration: digest of the cell's configuration.
        rates: stage to events per CPU second, or to runs per CPU second where events are unknown.
        ratios: stage to the median ratio of CPU times to the baseline's.
        memory_mb: largest resident memory of a process.
    """

    cell: str
    finished: str
    verdict: Verdict
    reason: str
    axes: dict[str, str]
    environment: str | None
    requirements: tuple[str, ...]
    python: str
    package: str
    configuration: str
    rates: dict[str, float]
    ratios: dict[str, float]
    memory_mb: float | None


class History(Settings):
    """All runs, oldest first.

    Attributes:
        environments: digest to package to version.
        entries: the runs.
    """

    environments: dict[str, dict[str, str]] = Field(default_factory=dict)
    entries: tuple[Entry, ...] = ()

    @model_validator(mode="after")
    def _every_environment(self) -> Self:
        for entry in self.entries:
            if entry.environment is not None and entry.environment not in self.environments:
                raise ValueError(f"the environment {entry.environment} of a run is not there")
        return self

    def of(self, cell: str) -> tuple[Entry, ...]:
        """The runs of a cell, oldest first."""
        return tuple(entry for entry in self.entries if entry.cell == cell)


class Change(Settings):
    """One difference between two runs; None where a run has no value."""

    what: str
    good: str | None
    bad: str | None


class Separation(Settings):
    """Differences between a bad cell and the closest good one.

    Attributes:
        bad: name of the bad cell.
        good: name of the good one.
        finished: when the good one ran.
        changes: the differences.
    """

    bad: str
    good: str
    finished: str
    changes: tuple[Change, ...]


def read(path: Path) -> History:
    """The history; empty if there is none yet.

    Raises:
        InputError: if the file is something else.
    """
    return read_history(History, path, "a history of the matrix")


def write(path: Path, history: History) -> None:
    """Write a history, atomically."""
    write_json(path, history.model_dump(mode="json"))


def add(history: History, verdicts: Iterable[CellVerdict]) -> History:
    """The history with further runs; runs that it has are ignored."""
    recorded = {(entry.cell, entry.finished) for entry in history.entries}
    new = [item for item in verdicts if (item.cell.name, item.cell.finished) not in recorded]
    environments = dict(history.environments)
    for item in new:
        if item.cell.environment.digest is not None:
            environments[item.cell.environment.digest] = item.cell.environment.versions
    entries = [*history.entries, *(_entry(item) for item in new)]
    entries.sort(key=lambda entry: entry.finished)
    return History(environments=environments, entries=tuple(entries))


def separations(history: History, verdicts: Sequence[CellVerdict]) -> tuple[Separation, ...]:
    """For each bad cell the good run, of now or earlier, that differs least from it.

    Of several the latest; those of the same cell before others, and before those that differ in an
    axis: what the cells of a package are compared with says more of it.
    """
    good = [entry for entry in history.entries if entry.verdict in _GOOD]
    separations = []
    for item in verdicts:
        if item.verdict not in _BAD or not good:
            continue
        bad = _entry(item)
        closest = min(
            reversed(good),
            key=lambda entry: (
                len(changes(history, entry, bad)),
                entry.axes != bad.axes,
                entry.cell != bad.cell,
            ),
        )
        separations.append(
            Separation(
                bad=bad.cell,
                good=closest.cell,
                finished=closest.finished,
                changes=changes(history, closest, bad),
            )
        )
    return tuple(separations)


def changes(history: History, good: Entry, bad: Entry) -> tuple[Change, ...]:
    """Differences between two runs: versions, Python, axes, this package, configuration.

    For an environment that does not resolve they are the requirements, since it has no versions.
    """
    pairs: list[tuple[str, str | None, str | None]] = []
    if bad.environment is None or good.environment is None:
        pairs.append(("requirements", _requirements(good), _requirements(bad)))
    else:
        ours, theirs = (history.environments[str(e.environment)] for e in (bad, good))
        pairs += [(name, theirs.get(name), ours.get(name)) for name in sorted({*ours, *theirs})]
        if ours == theirs and good.environment != bad.environment:
            # Another wheel or checkout of the same version.
            pairs.append(
                ("content of the environment", good.environment[:12], bad.environment[:12])
            )
    pairs.append(("python", good.python, bad.python))
    pairs += [(axis, good.axes.get(axis), name) for axis, name in bad.axes.items()]
    pairs.append(("agc-pipeline", good.package[:12], bad.package[:12]))
    if good.axes == bad.axes:
        pairs.append(("configuration", good.configuration[:12], bad.configuration[:12]))
    return tuple(Change(what=what, good=a, bad=b) for what, a, b in pairs if a != b)


def _requirements(entry: Entry) -> str:
    return ", ".join(entry.requirements) or "the lock file"


def _entry(item: CellVerdict) -> Entry:
    cell = item.cell
    return Entry(
        cell=cell.name,
        finished=cell.finished,
        verdict=item.verdict,
        reason=item.reason,
        axes=cell.axes,
        environment=cell.environment.digest,
        requirements=cell.environment.requirements,
        python=cell.environment.python,
        package=cell.package,
        configuration=cell.configuration,
        rates=rates(cell),
        ratios={
            timing.stage: timing.cpu.median for timing in cell.timings if timing.cpu is not None
        },
        memory_mb=cell.memory_mb,
    )


def rates(cell: CellRecord) -> dict[str, float]:
    """Stage to events per CPU second: the median of the repetitions."""
    return {
        timing.stage: (timing.rates.events or 1) / median(timing.rates.cpu)
        for timing in cell.timings
    }
