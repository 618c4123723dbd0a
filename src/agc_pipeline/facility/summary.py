"""A measurement as one record: series, laws, verdicts, predictions; and its history."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from pydantic import Field

from agc_pipeline.facility import limits, measures, predictions, scaling
from agc_pipeline.facility.limits import Verdict
from agc_pipeline.facility.measures import DeliveryMeasures, Facts, Measures
from agc_pipeline.facility.predictions import Prediction, Rung
from agc_pipeline.facility.records import InputRecord, Machine, PointRecord, Work
from agc_pipeline.facility.scaling import Law, Pieces
from agc_pipeline.facility.settings import MODES, Mode, SimulatedSettings
from agc_pipeline.files import read_history as read_kept
from agc_pipeline.files import read_record, write_json
from agc_pipeline.settings import Settings

# Events per second of the exercise of IRIS-HEP that read 200 Gbps.
EXERCISE = 30e6


class PointSummary(Settings):
    """A point with its measures.

    Attributes:
        name: of it.
        mode: of scaling.
        workers: how many.
        repeat: number of the round.
        finished: when, in ISO format, UTC.
        load: average load of the machine in the minute before.
        problem: why there is no result; None if there is.
        log: of the command.
        work: what it did; None in records of earlier versions.
        measures: of histograms; None if there is no result.
        delivery: likewise, of a delivery.
    """

    name: str
    mode: Mode
    workers: int
    repeat: int
    finished: str
    load: float
    problem: str | None
    log: str
    work: Work | None = None
    measures: Measures | None
    delivery: DeliveryMeasures | None = None


class Series(Settings):
    """The points of an executor and an input.

    Attributes:
        executor: its name.
        input: its name.
        points: all of them.
        amdahl: fitted to the points of the same files; None without enough of them.
        gustafson: fitted to those of as many files for each worker; likewise.
        delivery: Amdahl's law, fitted to the points that deliver; likewise.
        verdict: None if no point has a result.
        hosts: what each did, in all points.
        doors: likewise.
        files: likewise.
        cold: wall time with empty caches over that with warm ones; None if not measured.
        stream_megabytes_per_second: rate of a stream, by which chunks with more bytes wait longer
            in the predictions; None where all wait as long as those that were measured.
        check: rungs, simulated.
        predictions: task to its curve.
        workers_for_exercise: that reach ``EXERCISE`` events a second; by task.
    """

    executor: str
    input: str
    points: tuple[PointSummary, ...]
    amdahl: Law | None
    gustafson: Law | None
    delivery: Law | None = None
    verdict: Verdict | None
    hosts: tuple[Facts, ...] = ()
    doors: tuple[Facts, ...] = ()
    files: tuple[Facts, ...] = ()
    cold: float | None = None
    stream_megabytes_per_second: float | None = None
    check: tuple[Rung, ...] = ()
    predictions: dict[str, tuple[Prediction, ...]] = Field(default_factory=dict)
    workers_for_exercise: dict[str, float | None] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Both."""
        return f"{self.executor}, {self.input}"

    def measured(self, mode: Mode) -> dict[int, list[Measures]]:
        """The measures of a mode, by the number of workers, rising."""
        found: dict[int, list[Measures]] = {}
        for point in sorted(self.points, key=lambda point: point.workers):
            if point.mode == mode and point.measures is not None:
                found.setdefault(point.workers, []).append(point.measures)
        return found

    def delivered(self) -> dict[int, list[DeliveryMeasures]]:
        """The measures of the deliveries, by the number of workers, rising."""
        rungs: dict[int, list[DeliveryMeasures]] = {}
        for point in sorted(self.points, key=lambda point: point.workers):
            if point.delivery is not None:
                rungs.setdefault(point.workers, []).append(point.delivery)
        return rungs

    def top(self) -> tuple[PointSummary, ...]:
        """The repetitions of the rung that the verdict is of; none if no point has a result."""
        good = [point for point in self.points if point.measures is not None]
        warm = [point for point in good if point.mode != "cold"] or good
        largest = max((point.workers for point in warm), default=None)
        rung = [point for point in warm if point.workers == largest]
        return tuple([point for point in rung if point.mode == "strong"] or rung)

    def best(self) -> Measures | None:
        """The measures of that rung; of repetitions, those of the median time."""
        found = [point.measures for point in self.top() if point.measures is not None]
        return measures.middle(found) if found else None

    @property
    def work(self) -> Work | None:
        """What that rung did; None if that is not known, or not the same in all repetitions."""
        works = {point.work for point in self.top()}
        return works.pop() if len(works) == 1 else None


class FacilityRecord(Settings):
    """``facility.json``: a measurement.

    Attributes:
        site: name of the place.
        finished: when the last point ended, in ISO format, UTC.
        machine: where the points were started.
        inputs: that were delivered.
        series: one for each executor and input.
    """

    site: str
    finished: str
    machine: Machine
    inputs: tuple[InputRecord, ...]
    series: tuple[Series, ...]


class Entry(Settings):
    """A series in the history.

    Attributes:
        site: name of the place.
        finished: of the measurement, in ISO format, UTC.
        executor: of the series.
        input: of the series.
        workers: of the largest rung.
        work: that was done there; None in entries of earlier versions.
        points: of that rung, by name and time: what has one of them is no other measurement.
        events_per_second: there.
        khz_per_core: there.
        gigabits_per_second: there.
        core_efficiency: there.
        serial_share: by Amdahl's law; None if it was not fitted.
        limit: key of ``limits.LIMITS``.
        software: package to version.
    """

    site: str
    finished: str
    executor: str
    input: str
    workers: int
    work: Work | None = None
    points: tuple[str, ...] = ()
    events_per_second: float
    khz_per_core: float
    gigabits_per_second: float
    core_efficiency: float
    serial_share: float | None
    limit: str
    software: dict[str, str]


class History(Settings):
    """All measurements, oldest first."""

    entries: tuple[Entry, ...] = ()

    def of(self, site: str, series: Series) -> tuple[Entry, ...]:
        """Those of a series, oldest first."""
        wanted = (site, series.executor, series.input)
        return tuple(e for e in self.entries if (e.site, e.executor, e.input) == wanted)

    def alike(self, site: str, series: Series) -> tuple[Entry, ...]:
        """Those of a series that did the same work with as many workers, oldest first."""
        wanted = ({point.workers for point in series.top()}, series.work)
        if series.work is None:
            return ()
        return tuple(e for e in self.of(site, series) if ({e.workers}, e.work) == wanted)


def summarise(
    points: Sequence[PointRecord],
    inputs: Sequence[InputRecord],
    simulated: SimulatedSettings,
    dispatch: dict[str, float],
) -> FacilityRecord:
    """The record of a measurement.

    Args:
        points: all of them, one or more.
        inputs: that they read.
        simulated: what is to be predicted.
        dispatch: seconds of each executor for each task in which no other is handed out.
    """
    names = list(dict.fromkeys(point.series for point in points))
    return FacilityRecord(
        site=points[0].site,
        finished=_iso(max(point.stopped for point in points)),
        machine=points[0].machine,
        inputs=tuple(inputs),
        series=tuple(
            _series(
                [point for point in points if point.series == name], simulated, dispatch[name[0]]
            )
            for name in names
        ),
    )


def _series(points: Sequence[PointRecord], simulated: SimulatedSettings, dispatch: float) -> Series:
    executor, input_ = points[0].series
    points = sorted(points, key=lambda p: (MODES.index(p.mode), p.workers, p.repeat))
    complete = [point for point in points if point.problem is None]
    good = [point for point in complete if point.mode != "delivery"]
    strong = [point for point in good if point.mode == "strong"]
    law = scaling.amdahl(_ladder(strong), _pieces(strong))
    deliveries = [point for point in complete if point.mode == "delivery"]
    series = Series(
        executor=executor,
        input=input_,
        points=tuple(map(_summary, points)),
        amdahl=law,
        gustafson=scaling.gustafson(_ladder([p for p in good if p.mode == "weak"])),
        delivery=scaling.amdahl(_ladder(deliveries), _pieces(deliveries)),
        verdict=limits.verdict(good, law) if good else None,
    )
    if not good:
        return series
    tasks = measures.tasks_of(good)
    # What an emptied cache costs is told by itself, and no part of what follows of a long run.
    warm = [point for point in good if point.mode != "cold"] or good
    load = predictions.workload(warm, dispatch)
    curves = predictions.predictions(load, simulated.tasks, simulated.workers, simulated.seed)
    return series.model_copy(
        update={
            "hosts": measures.grouped(tasks, lambda task: task.host),
            "doors": measures.grouped(tasks, measures.door),
            "files": measures.grouped(tasks, lambda task: task.path),
            "cold": _cold(good),
            "stream_megabytes_per_second": None if load.stream is None else load.stream / 1e6,
            "check": predictions.check(strong, dispatch, simulated.seed),
            "predictions": curves,
            "workers_for_exercise": {
                name: predictions.needed(curve, events_per_second=EXERCISE)
                for name, curve in curves.items()
            },
        }
    )


def _ladder(points: Iterable[PointRecord]) -> dict[int, list[float]]:
    ladder: dict[int, list[float]] = {}
    for point in sorted(points, key=lambda point: point.workers):
        ladder.setdefault(point.workers, []).append(point.wall)
    return ladder


def _pieces(points: Sequence[PointRecord]) -> Pieces | None:
    """Those of the largest rung of the same files."""
    if not points:
        return None
    return measures.pieces(max(points, key=lambda point: point.workers))


def _summary(point: PointRecord) -> PointSummary:
    return PointSummary(
        name=point.name,
        mode=point.mode,
        workers=point.workers,
        repeat=point.repeat,
        finished=_iso(point.stopped),
        load=point.machine.load,
        problem=point.problem,
        log=point.log,
        work=None if point.problem or point.delivered else point.work,
        measures=None if point.problem or point.delivered else measures.of(point),
        delivery=point.delivered and measures.of_delivery(point, point.delivered),
    )


def _cold(points: Sequence[PointRecord]) -> float | None:
    cold = [point.wall for point in points if point.mode == "cold"]
    numbers = {point.workers for point in points if point.mode == "cold"}
    warm = [point.wall for point in points if point.mode == "strong" and point.workers in numbers]
    return median(cold) / median(warm) if cold and warm else None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def read(path: Path) -> FacilityRecord:
    """Read a measurement.

    Raises:
        InputError: if the file is missing or is something else.
    """
    return read_record(FacilityRecord, path, "a measurement of a facility")


def read_history(path: Path) -> History:
    """The history; empty if there is none yet.

    Raises:
        InputError: if the file is something else.
    """
    return read_kept(History, path, "a history of a facility")


def write_history(path: Path, history: History) -> None:
    """Write a history, atomically."""
    write_json(path, history.model_dump(mode="json"))


def add(history: History, record: FacilityRecord) -> History:
    """The history with a measurement; it replaces what was made of the same points before."""
    entries = list(history.entries)
    for series in record.series:
        best = series.best()
        if best is None or series.verdict is None:
            continue
        points = tuple(f"{point.name} {point.finished}" for point in series.top())
        older = [e for e in history.of(record.site, series) if set(e.points) & set(points)]
        entries = [entry for entry in entries if entry not in older]
        entries.append(
            Entry(
                site=record.site,
                finished=record.finished,
                executor=series.executor,
                input=series.input,
                workers=series.verdict.workers,
                work=series.work,
                points=points,
                events_per_second=best.events_per_second,
                khz_per_core=best.khz_per_core,
                gigabits_per_second=best.gigabits_per_second,
                core_efficiency=best.core_efficiency,
                serial_share=None if series.amdahl is None else series.amdahl.serial_share.value,
                limit=series.verdict.limit,
                software=record.machine.software,
            )
        )
    entries.sort(key=lambda entry: entry.finished)
    return History(entries=tuple(entries))
