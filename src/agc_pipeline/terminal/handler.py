"""The handler of Snakemake's log records."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from logging import DEBUG, ERROR, WARNING, Formatter, LogRecord, getLogger
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from agc_pipeline.formatting import name_list
from agc_pipeline.terminal import command_line
from agc_pipeline.terminal.dry_run import DryRun
from agc_pipeline.terminal.plain import Plain
from agc_pipeline.terminal.run import Job, Run, event_of
from agc_pipeline.terminal.summary import Line, lines

# Attribute of the record by which the Snakefile tells the folder of the results.
RESULTS = "agc_results"
_NOTHING = "Nothing to be done"
_GRACEFUL = "Will exit after finishing currently running jobs"
_STOPS = {
    "Terminating processes on user request": "Stopping: jobs that run are ended.",
    _GRACEFUL: "Stopping when the jobs that run are done.",
}
# What Snakemake says of itself beside its events, before it plans a run or without one.
_CHATTER = re.compile(
    r"Config file .* is extended|Building DAG of jobs|Assuming unrestricted shared filesystem|"
    r"Using (workflow specific )?profile|host: "
)
# By which Snakemake says what ended the shell of a job.
_SIGNALLED = re.compile(r"died with <Signals\.(\w+)")
# Errors that only say that some job failed, which the job itself says better.
_REPEATED = re.compile(
    r"Exiting because a job execution failed|"
    r"(.*\n)?At least one job did not complete successfully|"
    r"(?s:.*)CalledProcessError|(.*\n)?Command .* returned non-zero exit status|"
    r"Cancelling snakemake on user request"
)
# Said of each file by `snakemake --report`, whose page has no times and code of it.
_NO_METADATA = re.compile(r"Missing metadata for file (.*)\. Maybe metadata was deleted")
_JOB = re.compile(r"\bJob (\d+)\b")
_LOCKED = (
    "error: another run works in this folder, or one was killed\n"
    "  where: {folder}\n"
    "  remedy: wait for it; after a kill `make resume` with the same ARGS goes on, as does the "
    "same command after `snakemake --unlock`"
)
# A run that ends removes the folder with the locks of all runs.
_LOCKS_GONE = re.compile(r"(?s:.*)FileNotFoundError: .*\.snakemake/locks/\d+\.(?:in|out)put\.lock")
_ENDED_BESIDE = (
    "error: another run in this folder ended in the moment in which this one began\n"
    "  where: {folder}\n"
    "  remedy: give the same command again; runs beside each other are better in clones of their "
    "own"
)
# What Snakemake logs by.
_LOGGER = "snakemake.logging"


class View(Protocol):
    """A way to show a run."""

    def planning(self) -> None:
        """Snakemake looks for what is to be done."""

    def planned(self) -> None:
        """The numbers of jobs are known."""

    def started(self, job: Job) -> None:
        """A job starts."""

    def finished(self, job: Job) -> None:
        """A job is done."""

    def failed(self, job: Job) -> None:
        """An attempt of a job failed."""

    def message(self, *lines: str) -> None:
        """Somebody else says something."""

    def summary(self, lines: list[Line]) -> None:
        """The run is over."""

    def close(self) -> None:
        """Leave the terminal in order."""


class LogHandler(LogHandlerBase):
    """Shows what happens in a run to a person, or in the lines of a log.

    Snakemake calls it from a thread of its own, and ``close`` when everything is over.
    """

    def __post_init__(self) -> None:
        """Choose how to show the run."""
        from snakemake.settings.enums import Quietness  # noqa: PLC0415 - the plugin is loaded by it

        settings = self.common_settings
        quiet = set(settings.quiet or ())
        self._silent = Quietness.ALL in quiet and not settings.dryrun
        self._quiet = bool(quiet & {Quietness.ALL, Quietness.RULES, Quietness.PROGRESS})
        self._run = Run(unfollowed=Quietness.PROGRESS in quiet)
        self._dry_run = DryRun(self._run)
        self._ended = False
        # By the text with the command of a job.
        self._signals: dict[str, str] = {}
        self._without_metadata: list[str] = []
        self.setFormatter(Formatter("%(message)s"))
        stream = sys.stdout if settings.dryrun else sys.stderr
        self._native = _native(settings, stream) if _in_full(settings) else None
        self._view = self._chosen(stream)
        _interrupts_without_traceback()

    def _chosen(self, stream: TextIO) -> View:
        follows = (
            self._native is None
            and not self._quiet
            and not self.common_settings.dryrun
            and not self.common_settings.nocolor
            and is_terminal(stream)
        )
        if follows:
            # It takes a tenth of a second to import, which jobs on batch systems need not spend.
            from agc_pipeline.terminal.live import Live  # noqa: PLC0415

            return Live(self._run, stream)
        return Plain(self._run, stream, jobs=self._native is None and not self._quiet)

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = True

    def emit(self, record: LogRecord) -> None:
        """Take a record into account, and show it."""
        try:
            self._take(record)
        except Exception:  # as in all handlers of `logging`: the run does not depend on it
            self.handleError(record)
        if self._native is not None:
            self._native.handle(record)

    def close(self) -> None:
        """Show the summary: Snakemake has nothing more to say."""
        if not self._ended:
            self._ended = True
            self._view.close()
            if self._without_metadata:
                self._view.message(
                    "Snakemake knows no time and code of files that it did not write itself here: "
                    + name_list(self._without_metadata, 3)
                )
            if self.common_settings.dryrun:
                self._view.message(*(self._dry_run.lines() if self._shows else ()))
            elif self._run.lost or not (self._silent or self._run.unfollowed):
                self._view.summary(lines(self._run))
            if self._run.stop and self._native is None:
                # After a second signal Snakemake ends in the middle of what it does.
                getLogger(_LOGGER).addFilter(_nothing)
        super().close()

    def _take(self, record: LogRecord) -> None:
        take: Mapping[LogEvent | None, Callable[[LogRecord], None]] = {
            LogEvent.WORKFLOW_STARTED: self._begin,
            LogEvent.RULEGRAPH: self._rules,
            LogEvent.RUN_INFO: self._plan,
            LogEvent.RESOURCES_INFO: self._place,
            LogEvent.JOB_INFO: self._start,
            LogEvent.JOB_FINISHED: self._finish,
            LogEvent.JOB_ERROR: self._fail,
            LogEvent.GROUP_ERROR: self._fail_group,
            LogEvent.PROGRESS: self._progress,
            LogEvent.ERROR: self._error,
            None: self._message,
        }
        if (function := take.get(event_of(record))) is not None:
            function(record)

    def _begin(self, _: LogRecord) -> None:
        self._run.started = time.monotonic()
        if self._shows and not self.common_settings.dryrun:
            self._view.planning()

    def _rules(self, record: LogRecord) -> None:
        graph = vars(record)["rulegraph"]
        self._run.rules = frozenset(node["rule"] for node in graph["nodes"])
        for link in graph["links"]:
            self._run.inputs.setdefault(link["targetrule"], set()).add(link["sourcerule"])

    def _plan(self, record: LogRecord) -> None:
        first = not self._run.kinds
        self._run.plan(vars(record)["stats"])
        if first and not self.common_settings.dryrun and self._shows:
            self._view.planned()

    def _place(self, record: LogRecord) -> None:
        self._run.remote = self._run.remote or "nodes" in vars(record)

    def _progress(self, record: LogRecord) -> None:
        # Its total has jobs beyond the last rule of `--until`, too.
        self._run.done = vars(record)["done"]

    @property
    def _shows(self) -> bool:
        return self._native is None and not self._silent

    def _start(self, record: LogRecord) -> None:
        told = vars(record)
        if self.common_settings.dryrun:
            self._dry_run.add(told["rule_name"], told["reason"])
            return
        job = self._run.start(told)
        if self._shows:
            self._view.started(job)

    def _finish(self, record: LogRecord) -> None:
        job = self._run.finish(vars(record)["job_id"])
        if job is not None and self._shows:
            self._view.finished(job)

    def _fail(self, record: LogRecord) -> None:
        told = vars(record)
        self._failed(told["jobid"], told["log"], told["rule_msg"])

    def _fail_group(self, record: LogRecord) -> None:
        told = vars(record)
        for job in told["job_error_info"]:
            self._failed(job["jobid"], [*job["log"], *told["aux_logs"]], told["msg"])

    def _failed(self, number: int, logs: Iterable[str], message: str | None) -> None:
        job = self._run.fail(number, logs, message, self._signals)
        self._signals.clear()
        # The jobs of a run that the user stops end before Snakemake says so; the summary knows.
        if job is not None and job.failed and self._native is None:
            self._view.failed(job)

    def _error(self, record: LogRecord) -> None:
        text = record.getMessage()
        if (signal := _SIGNALLED.search(text)) is not None:
            self._signals[text] = signal[1]
        if vars(record).get("exception") == "LockException":
            text = _LOCKED.format(folder=Path.cwd())
        if _LOCKS_GONE.match(text):
            text = _ENDED_BESIDE.format(folder=Path.cwd())
        missing = vars(record).get("exception") == "MissingOutputException"
        if missing and (number := _JOB.search(text)):
            self._run.fail(int(number[1]), (), text)
        text = command_line.explained(text, read=self._run.started is not None) or text
        if self._native is None and not _REPEATED.match(text):
            self._view.message(text.strip())

    def _message(self, record: LogRecord) -> None:
        text = record.getMessage()
        results = vars(record).get(RESULTS)
        if results is not None:
            self._run.results = Path(results)
            return
        if text.startswith(_NOTHING):
            self._run.nothing = True
            return
        for start, told in _STOPS.items():
            if text.startswith(start):
                if not self._run.stop and self._shows:
                    self._view.message(told)
                self._run.stop = True
                self._run.terminated |= start == _GRACEFUL
                return
        if (missing := _NO_METADATA.match(text)) and self._native is None:
            self._without_metadata.append(missing[1])
            return
        if self._native is None and self._wanted(record, text):
            self._view.message(text)

    def _wanted(self, record: LogRecord, text: str) -> bool:
        """Whether somebody should read a message that is no event."""
        if record.levelno >= ERROR:
            return not _REPEATED.match(text)
        if self._silent or not text or text == "None":
            return False
        if record.levelno >= WARNING:
            return True
        # What Snakemake and its plugins say in passing during a run stands in its own log.
        own = any(part.startswith("snakemake") for part in Path(record.pathname).parts[-3:-1])
        chatter = own and self._run.started is not None
        return record.levelno > DEBUG and not chatter and not _CHATTER.match(text)


def _nothing(_record: LogRecord) -> bool:
    return False


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches, and the terminal can move its cursor."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "")
    return stream.isatty() and not plain


def _in_full(settings: Any) -> bool:
    """Whether Snakemake's own words are asked for."""
    return bool(settings.printshellcmds or settings.verbose or settings.debug_dag)


def _native(settings: Any, stream: TextIO) -> Any:
    """Snakemake's own handler."""
    from snakemake.logging import (  # noqa: PLC0415 - the plugin is loaded by it
        ColorizingTextHandler,
        DefaultFilter,
        DefaultFormatter,
    )

    return ColorizingTextHandler(
        nocolor=settings.nocolor,
        stream=stream,
        formatter=DefaultFormatter(settings.quiet, settings.show_failed_logs),
        filter=DefaultFilter(
            settings.quiet,
            settings.debug_dag,
            settings.verbose,
            settings.dryrun,
            settings.printshellcmds,
        ),
    )


def _interrupts_without_traceback() -> None:
    """Ctrl-C while Snakemake plans is no error of a program."""
    before = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("Stopped as you asked: no job was started.", file=sys.stderr)
        else:
            before(kind, error, traceback)

    sys.excepthook = hook
