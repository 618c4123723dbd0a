"""The state of a run, from the events that Snakemake logs."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from logging import LogRecord
from pathlib import Path
from typing import Any, Literal

from snakemake_interface_logger_plugins.common import LogEvent

from agc_pipeline.terminal import logs
from agc_pipeline.terminal.logs import Reason

State = Literal["running", "finished", "failed"]
# Targets without work of their own, and digests of code: nobody waits for them.
QUIET_KINDS = ("all", "code")


@dataclass
class Job:
    """A job that was started.

    Attributes:
        number: of Snakemake.
        kind: its rule.
        wildcards: their values, joined; empty without.
        logs: paths.
        started: its last attempt, in seconds of a clock that nobody sets.
        since: the same in seconds of the epoch, as times of files are.
        attempt: 1 for the first.
        state: as Snakemake says.
        seconds: that the last attempt took; None while it runs.
        reason: why the last attempt failed; None if none did.
        prints: whether it is there to print something: it writes no file.
    """

    number: int
    kind: str
    wildcards: str
    logs: tuple[str, ...]
    started: float
    since: float
    attempt: int = 1
    state: State = "running"
    seconds: float | None = None
    reason: Reason | None = None
    prints: bool = False

    @property
    def failed(self) -> bool:
        """Whether the last attempt failed, and was not stopped by a signal as of Ctrl-C."""
        return self.state == "failed" and not (self.reason and self.reason.interrupted)

    @property
    def name(self) -> str:
        """Rule and wildcards."""
        return f"{self.kind} {self.wildcards}".strip()


@dataclass
class Kind:
    """The jobs of a rule.

    Attributes:
        name: of the rule.
        total: jobs of this run.
        running: those that were started and did not end.
        done: those that finished.
        failed: those whose last attempt failed.
        durations: sum of the seconds of the finished ones.
        earlier: mean seconds of an earlier run; None if unknown.
    """

    name: str
    total: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    durations: float = 0.0
    earlier: float | None = None


@dataclass
class Run:
    """What is known of a run; every method may be called from every thread.

    Attributes:
        results: folder of the results; None if the Snakefile did not say.
        started: in seconds of a clock that nobody sets; None before the first job is planned.
        rules: of all jobs that lead to the target, those included that are up to date.
        kinds: by rule, in the order of the plan.
        jobs: by number, those that were started.
        total: number of jobs.
        done: number of finished jobs.
        remote: whether jobs run on a batch system.
        nothing: whether everything was up to date.
        stop: whether Snakemake said that the user asked to end the run before its time.
        terminated: whether that was by a signal other than Ctrl-C.
        inputs: by rule, those that write its inputs.
        unfollowed: whether Snakemake, asked to be quiet about progress, does not say which jobs are
            done.
    """

    results: Path | None = None
    started: float | None = None
    rules: frozenset[str] = frozenset()
    kinds: dict[str, Kind] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    total: int = 0
    done: int = 0
    remote: bool = False
    nothing: bool = False
    stop: bool = False
    terminated: bool = False
    inputs: dict[str, set[str]] = field(default_factory=dict)
    unfollowed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    _peak: int = 1

    def plan(self, stats: Mapping[str, int]) -> None:
        """Take the numbers of jobs by rule, and the time that an earlier run took for them."""
        with self.lock:
            self.total = stats.get("total", 0)
            for name, count in stats.items():
                if name != "total":
                    self._kind(name).total = count
            for kind in self.kinds.values():
                kind.earlier = self._earlier(kind.name)

    def start(self, told: Mapping[str, Any]) -> Job:
        """A job is started, or started again, with what Snakemake tells of it."""
        with self.lock:
            number, kind = told["jobid"], told["rule_name"]
            wildcards = " ".join(str(value) for value in (told["wildcards"] or {}).values())
            paths = tuple(map(str, told["log"] or ()))
            before = self.jobs.get(number)
            job = Job(number, kind, wildcards, paths, time.monotonic(), time.time())
            job.prints = bool(told["shellcmd"]) and not told["output"]
            if before is not None:
                job.attempt = before.attempt + 1
                self._kind(kind).failed -= before.failed
            self.jobs[number] = job
            self._kind(kind).running += 1
            self._peak = max(self._peak, sum(kind.running for kind in self.kinds.values()))
            return job

    def finish(self, number: int) -> Job | None:
        """A job is done; None if it was not started."""
        with self.lock:
            job = self._end(number, "finished")
            if job is not None and job.seconds is not None:
                self.done += 1
                kind = self._kind(job.kind)
                kind.done += 1
                kind.durations += job.seconds
            return job

    def fail(
        self,
        number: int,
        paths: Iterable[str],
        message: str | None,
        signals: Mapping[str, str] | None = None,
    ) -> Job | None:
        """An attempt of a job failed; None if it was not started.

        Args:
            number: of the job.
            paths: of its logs.
            message: of what ran it.
            signals: by command, the one that ended its shell.
        """
        with self.lock:
            job = self._end(number, "failed")
            if job is not None:
                own = tuple(map(str, paths)) or job.logs
                ended = (
                    name
                    for command, name in (signals or {}).items()
                    if any(log in command for log in own)
                )
                reason = logs.reason(own, message, signal=next(ended, None), folder=self.results)
                # A batch system ends jobs by the signals that a user has.
                job.reason = replace(reason, interrupted=reason.interrupted and not self.remote)
                self._kind(job.kind).failed += job.failed
            return job

    def _end(self, number: int, state: State) -> Job | None:
        job = self.jobs.get(number)
        if job is None or job.state == state:
            return None
        if job.state == "running":
            self._kind(job.kind).running -= 1
        job.state = state
        job.seconds = time.monotonic() - job.started
        return job

    def of_state(self, state: State) -> list[Job]:
        """The jobs of a state, the earliest first."""
        with self.lock:
            return [job for job in self.jobs.values() if job.state == state]

    @property
    def stopped(self) -> bool:
        """Whether the user ended the run before its time.

        If Ctrl-C ended the last jobs first, Snakemake finds nothing left to stop.
        """
        failed = self.of_state("failed")
        return self.stop or any(job.reason is not None and job.reason.typed for job in failed)

    @property
    def lost(self) -> list[Job]:
        """Jobs that failed, or did not end although the run did, unless the user stopped them."""
        failed = self.of_state("failed")
        if not self.stopped and self.unfollowed:
            return failed
        if not self.stopped:
            return failed + self.of_state("running")
        # A signal to all processes at once leaves no job the time to say that it was ended.
        return [job for job in failed if job.failed and (job.reason is None or job.reason.told)]

    @property
    def word(self) -> str:
        """What is known of jobs that did not end."""
        return "submitted" if self.remote else "running"

    @property
    def complete(self) -> bool:
        """Whether every job of the run is done."""
        return self.total > 0 and self.done >= self.total

    @property
    def seconds(self) -> float:
        """Since the start."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    def current(self, rule: str) -> bool:
        """Whether the output of a rule is that of this configuration.

        Beyond the last rule of `--until`, it is of an earlier run even if nothing is planned.
        """
        if rule not in self.rules:
            return False
        kind = self.kinds.get(rule)
        if kind is not None:
            return kind.done >= kind.total
        before: set[str] = set()
        pending = [rule]
        while pending:
            new = self.inputs.get(pending.pop(), set()) - before
            before |= new
            pending += new
        return not (before & self.kinds.keys()).difference(QUIET_KINDS)

    def left(self) -> tuple[float, bool]:
        """Seconds that are left, and whether that is all: False if some jobs are unknown.

        Where most are, a bound would say little: none is given.
        """
        with self.lock:
            running: dict[str, list[float]] = {}
            for job in self.of_state("running"):
                running.setdefault(job.kind, []).append(time.monotonic() - job.started)
            seconds, known, unknown = 0.0, 0, 0
            for kind in self.kinds.values():
                todo = kind.total - kind.done - kind.failed
                if todo <= 0 or kind.name in QUIET_KINDS:
                    continue
                each = kind.durations / kind.done if kind.done else kind.earlier
                if each is None:
                    unknown += todo
                    continue
                known += todo
                spent = sum(min(each, took) for took in running.get(kind.name, ()))
                seconds += max(todo * each - spent, 0) / min(todo, self._peak)
            return (0.0 if unknown > known else seconds), not unknown

    def _kind(self, name: str) -> Kind:
        return self.kinds.setdefault(name, Kind(name))

    def _earlier(self, rule: str) -> float | None:
        """Mean time of some jobs of the rule in an earlier run, as Snakemake wrote it."""
        if self.results is None:
            return None
        # Matrix and facility have a folder in there.
        folders = [self.results / "benchmarks", *self.results.glob("*/benchmarks")]
        files = [
            file
            for folder in folders
            for file in (folder / f"{rule}.tsv", *_first((folder / rule).rglob("*.tsv"), 5))
        ]
        times = [seconds for file in files if (seconds := _benchmark(file)) is not None]
        return sum(times) / len(times) if times else None


def _first(paths: Iterable[Path], count: int) -> list[Path]:
    return [path for _, path in zip(range(count), paths, strict=False)]


def _benchmark(path: Path) -> float | None:
    try:
        names, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
        return float(dict(zip(names, values, strict=False))["s"])
    except (OSError, ValueError, KeyError):
        return None


def event_of(record: LogRecord) -> LogEvent | None:
    """The event of a record of Snakemake; None for other messages."""
    event: Any = getattr(record, "event", None)
    return event if isinstance(event, LogEvent) else None
