"""A run on a terminal: a few lines that follow it, and above them what stays."""

import os
import sys
import time
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live as Display
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agc_pipeline.formatting import duration
from agc_pipeline.terminal import logs
from agc_pipeline.terminal.logs import printable
from agc_pipeline.terminal.plain import plan, progress
from agc_pipeline.terminal.run import QUIET_KINDS, Job, Kind, Run
from agc_pipeline.terminal.summary import Line

_STYLES = {"good": "green", "bad": "red", "plain": "", "head": "bold"}
_REFRESHES_PER_SECOND = 2
# Logs are on file systems that may be slow.
_SECONDS_BETWEEN_LOGS = 1.0
# Of thousands of jobs that wait in a queue, those that were submitted first are shown.
_JOBS = 8
_BAR = 24
# A log that began shortly before its job does belongs to it: clocks differ.
_SKEW = 5.0


class Live:
    """Shows progress in the last lines of a terminal.

    Args:
        run: that is shown.
        stream: the terminal.
    """

    def __init__(self, run: Run, stream: TextIO) -> None:
        self._run = run
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._display: Display | None = None
        self._told: dict[int, str] = {}
        self._errors: set[tuple[str, tuple[str, ...]]] = set()
        self._read = 0.0

    def planning(self) -> None:
        """Begin to follow the run: with thousands of jobs the plan takes a while."""
        self._begin()

    def planned(self) -> None:
        """Say how many jobs there are."""
        self._print(Text(plan(self._run)))

    def started(self, job: Job) -> None:
        """Leave the terminal to a job that is there to print something."""
        if job.prints:
            self.close()

    def finished(self, job: Job) -> None:
        """Follow the other jobs again."""
        if job.prints:
            self._begin()

    def failed(self, job: Job) -> None:
        """Say that an attempt failed, and why; place and remedy of an error are said once."""
        if job.reason is None:
            return
        head = Text(f"{job.name} failed after {duration(job.seconds or 0)}: ", "red")
        self._print(head.append(job.reason.problem, "bold red"))
        if job.reason.error not in self._errors:
            self._errors.add(job.reason.error)
            for line in job.reason.details:
                self._print(Text(line))

    def message(self, *lines: str) -> None:
        """Print lines that somebody else says."""
        for line in lines:
            self._print(Text(printable(line)))

    def summary(self, lines: list[Line]) -> None:
        """Print the end."""
        self.close()
        for line in lines:
            text = Text(printable(line.text), _STYLES[line.style])
            if line.path is not None and text.plain.endswith(str(line.path)):
                link = f"link {line.path.resolve().as_uri()}"
                text.stylize(link, len(text) - len(str(line.path)))
            self._print(text)

    def close(self) -> None:
        """Take the moving lines away."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def _begin(self) -> None:
        if self._display is None:
            self._display = Display(
                console=self._console,
                get_renderable=self.picture,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
                # Output for a file must not come to the terminal.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._display.start()

    def _print(self, text: Text) -> None:
        # Lines are not cut into pieces: paths can be copied.
        self._console.print(text, soft_wrap=True)

    def picture(self) -> RenderableType:
        """The moving lines as of now, at most as many as the terminal has."""
        with self._run.lock:
            kinds = [
                kind
                for kind in self._run.kinds.values()
                if kind.running or kind.failed or 0 < kind.done < kind.total
                if kind.name not in QUIET_KINDS
            ]
            running = [job for job in self._run.of_state("running") if job.kind not in QUIET_KINDS]
            state = progress(self._run) if self._run.total else "planning"
            head = f"{duration(self._run.seconds)}: {state}"
        shown = running[: min(_JOBS, max(1, (self._console.height - len(kinds) - 4) // 2))]
        self._read_logs(shown)
        parts: list[RenderableType] = [_line(head, "bold"), self._kinds(kinds)]
        for job in shown:
            parts.append(_line(f"  {duration(time.monotonic() - job.started):>7} {job.name}"))
            if told := self._told.get(job.number):
                parts.append(_line(f"          {told}", "dim"))
        more = len(running) - len(shown)
        if more > 0:
            parts.append(_line(f"  and {more:,} more {self._run.word}", "dim"))
        return Group(*parts)

    def _kinds(self, kinds: list[Kind]) -> Table:
        """Bars of the rules that are being worked on."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(width=_BAR)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for kind in kinds:
            notes = [f"{kind.running:,} {self._run.word}"] if kind.running else []
            notes += [f"{kind.failed:,} failed"] if kind.failed else []
            table.add_row(
                f"  {kind.name}",
                ProgressBar(kind.total, kind.done, width=_BAR),
                f"{kind.done:,} of {kind.total:,}",
                Text(", ".join(notes), "red" if kind.failed else "dim"),
            )
        return table

    def _read_logs(self, jobs: list[Job]) -> None:
        """Take the last lines of the logs of the jobs, not too often."""
        now = time.monotonic()
        recent = now - self._read < _SECONDS_BETWEEN_LOGS
        if recent and all(job.number in self._told for job in jobs):
            return
        self._read = now
        self._told = {
            job.number: logs.progress(Path(path), since=job.since - _SKEW)
            for job in jobs
            for path in job.logs[:1] or (os.devnull,)
        }


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")
