"""A run as lines of text, for logs and batch systems: no colours, nothing that moves."""

import time
from typing import TextIO

from agc_pipeline.formatting import duration, plural
from agc_pipeline.terminal.logs import printable
from agc_pipeline.terminal.run import QUIET_KINDS, Job, Run
from agc_pipeline.terminal.summary import Line


class Plain:
    """Writes lines.

    Args:
        run: that is shown.
        stream: to write to.
        jobs: whether a line tells that a job starts or ends.
    """

    def __init__(self, run: Run, stream: TextIO, *, jobs: bool = True) -> None:
        self._run = run
        self._stream = stream
        self._jobs = jobs
        self._errors: set[tuple[str, tuple[str, ...]]] = set()

    def planning(self) -> None:
        """Nothing to say yet."""

    def planned(self) -> None:
        """Say how many jobs there are."""
        self._timed(plan(self._run))

    def started(self, job: Job) -> None:
        """Say that a job starts."""
        if self._jobs and job.kind not in QUIET_KINDS:
            attempt = f", attempt {job.attempt}" if job.attempt > 1 else ""
            word = "submitted" if self._run.remote else "started"
            self._timed(f"{word:<9} {job.name}{attempt}")

    def finished(self, job: Job) -> None:
        """Say that a job is done, and how far the run is."""
        if self._jobs and job.kind not in QUIET_KINDS:
            took = duration(job.seconds or 0)
            self._timed(f"{'finished':<9} {job.name}, {took}; {progress(self._run)}")

    def failed(self, job: Job) -> None:
        """Say that an attempt failed, and why; place and remedy of an error are said once."""
        if job.reason is None:
            return
        self._timed(f"{'failed':<9} {job.name}, {duration(job.seconds or 0)}")
        self.message(f"error: {job.reason.problem}")
        if job.reason.error not in self._errors:
            self._errors.add(job.reason.error)
            log = [] if job.reason.log is None else [f"  log: {job.reason.log}"]
            self.message(*job.reason.details, *log)

    def message(self, *lines: str) -> None:
        """Write lines that somebody else says."""
        for line in lines:
            self._write(line)

    def summary(self, lines: list[Line]) -> None:
        """Write the end."""
        for line in lines:
            self._write(line.text)

    def close(self) -> None:
        """Nothing is open."""

    def _timed(self, text: str) -> None:
        self._write(f"{time.strftime('%H:%M:%S')} {text}")

    def _write(self, text: str) -> None:
        text = printable(text)
        # Logs are read in many encodings.
        encoding = self._stream.encoding or "ascii"
        print(text.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)


def plan(run: Run) -> str:
    """The jobs that will run, by rule."""
    kinds = [
        name if kind.total == 1 else f"{kind.total:,} {name}"
        for name, kind in run.kinds.items()
        if name != "all"
    ]
    return f"{run.total:,} {plural('job', run.total)}: {', '.join(kinds)}"


def progress(run: Run) -> str:
    """Jobs that are done, and the time that is left where it is known."""
    seconds, known = run.left()
    if run.stop:
        return f"{run.done:,} of {run.total:,} jobs, stopping"
    left = "" if seconds < 1 else f", {'' if known else 'more than '}{duration(seconds)} left"
    return f"{run.done:,} of {run.total:,} jobs{left}"
