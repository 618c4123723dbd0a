"""What is shown of a run: from the records of Snakemake to text, and what logs say of failures."""

import io
import json
import logging
import os
import pty
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from snakemake.exceptions import MissingRuleException, format_exception_to_string
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.tests import TestLogHandlerBase

import snakemake_logger_plugin_agc
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.terminal import command_line, logs, outcome, summary
from agc_pipeline.terminal.handler import RESULTS, LogHandler, is_terminal
from agc_pipeline.terminal.live import Live
from agc_pipeline.terminal.run import Run
from conftest import ROOT

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PLAN = {"deliver": 2, "merge": 1, "all": 1, "total": 4}


@dataclass
class OutputSettings:
    """As Snakemake gives them."""

    quiet: set[Quietness] = field(default_factory=set)
    dryrun: bool = False
    nocolor: bool = False
    printshellcmds: bool = False
    verbose: bool = False
    debug_dag: bool = False
    show_failed_logs: bool = False
    stdout: bool = False


class TestInterface(TestLogHandlerBase):
    """What every logger plugin must do."""

    __test__ = True

    def get_log_handler_cls(self) -> Any:
        return LogHandler

    def get_log_handler_settings(self) -> None:
        return None


def test_snakemake_has_the_plugin() -> None:
    plugin = LoggerPluginRegistry().get_plugin("agc")
    assert plugin.log_handler is snakemake_logger_plugin_agc.LogHandler is LogHandler


class Told:
    """A handler, what it writes, and records in the order of Snakemake."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self._content = io.BytesIO()
        encoding = settings.pop("encoding", "utf-8")
        self.stream = io.TextIOWrapper(self._content, encoding=encoding, write_through=True)
        name = "stdout" if settings.get("dryrun") else "stderr"
        monkeypatch.setattr(f"sys.{name}", self.stream)
        monkeypatch.setattr("sys.excepthook", None)
        self.handler = LogHandler(OutputSettings(**settings), None)

    @property
    def text(self) -> str:
        return self._content.getvalue().decode(self.stream.encoding)

    def event(self, event: LogEvent | None, message: str = "", **values: Any) -> None:
        path = values.pop("path", "/lib/snakemake/scheduling/job_scheduler.py")
        level = values.pop("level", logging.INFO)
        record = logging.LogRecord("snakemake", level, path, 1, message, (), None)
        vars(record).update(values | ({} if event is None else {"event": event}))
        self.handler.handle(record)

    def begin(self, results: Path | None = None, **plan: int) -> None:
        if results is not None:
            path = "/project/common.smk"
            self.event(None, "Results: results", path=path, **{RESULTS: str(results)})
        self.event(None, "Building DAG of jobs...")
        self.event(LogEvent.WORKFLOW_STARTED)
        rules = ("deliver", "merge", "fit", "validate", "report", "optimise")
        steps = (("deliver", "merge"), ("fit", "report"), ("merge", "optimise"))
        links = [{"sourcerule": source, "targetrule": target} for source, target in steps]
        nodes = [{"rule": name} for name in rules]
        self.event(LogEvent.RULEGRAPH, rulegraph={"nodes": nodes, "links": links})
        self.event(None, "Using shell: /bin/bash")
        self.event(LogEvent.RUN_INFO, "Job stats: ...", stats=plan or PLAN)

    def start(
        self, number: int, rule: str = "deliver", log: object = "no.log", **more: Any
    ) -> None:
        values = {"wildcards": {"batch": f"{number:04}"}, "reason": "", "shellcmd": "x"}
        self.event(None, "Select jobs to execute...")
        self.event(LogEvent.JOB_STARTED, "Execute 1 jobs...", jobs=[number])
        self.event(
            LogEvent.JOB_INFO,
            **(values | {"jobid": number, "rule_name": rule, "log": [str(log)]} | more),
            output=["out"],
        )

    def finish(self, number: int, done: int, total: int = 4) -> None:
        self.event(LogEvent.JOB_FINISHED, f"Finished jobid: {number}", job_id=number)
        self.event(LogEvent.PROGRESS, done=done, total=total)

    def fail(
        self, number: int, *paths: object, message: str | None = None, signal: str | None = None
    ) -> None:
        end = "..." if signal is None else f"> {paths[0]}' died with <Signals.{signal}: 15>."
        error = f"RuleException:\nCalledProcessError in file code.smk, line 3:\nCommand 'x' {end}"
        self.event(LogEvent.ERROR, error, level=logging.ERROR, exception="RuleException")
        self.event(
            LogEvent.JOB_ERROR,
            level=logging.ERROR,
            **{"jobid": number, "log": [str(path) for path in paths], "rule_msg": message},
        )

    def end(self) -> list[str]:
        """Lines of the summary."""
        before = len(self.text)
        self.handler.close()
        return self.text[before:].splitlines()


def test_lines_of_a_run_with_a_retry_and_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch)
    told.begin()
    log = tmp_path / "0.log"
    told.start(0, log=log)
    told.start(1)
    log.write_text("12:00:00 1 of 2 files\nerror: the file is \x1b[31mcut off\r\n  where: a.root\n")
    told.fail(0, log)
    told.event(None, "Trying to restart job 0.")
    told.start(0, log=log)
    told.finish(1, 1)
    told.finish(0, 2)
    told.start(2, "merge")
    bad = tmp_path / "merge.log"
    bad.write_text("Traceback (most recent call last):\n  x\nKeyError: 'events'\n")
    told.fail(2, bad)
    told.event(None, "Exiting because a job execution failed. Look below.", level=logging.ERROR)
    end = "WorkflowError:\nAt least one job did not complete successfully."
    told.event(LogEvent.ERROR, end, level=logging.ERROR, exception="WorkflowError")
    lines = [re.sub(r"^[\d:]{8} |, \d+ s\b", "", line) for line in told.text.splitlines()]
    assert lines == [
        "4 jobs: 2 deliver, merge",
        "started   deliver 0000",
        "started   deliver 0001",
        "failed    deliver 0000",
        "error: the file is cut off",
        "  where: a.root",
        f"  log: {log}",
        "started   deliver 0000, attempt 2",
        "finished  deliver 0001; 1 of 4 jobs",
        "finished  deliver 0000; 2 of 4 jobs",
        "started   merge 0002",
        "failed    merge 0002",
        "error: KeyError: 'events'",
        "  x",
        f"  log: {bad}",
    ]
    head, *rest, last = told.end()
    again = "2 of 4 jobs done, 1 after a retry, 1 failed, 1 need them"
    assert re.fullmatch(rf"Failed after \d s: {again}\.", head)
    assert rest[0] == "  merge 0002: KeyError: 'events'"
    assert rest[-1] == f"    log: {bad}"
    assert last == ("What is finished is kept: correct the cause, and give the same command again.")
    assert not CONTROL.search(told.text)


def test_jobs_that_are_stopped_have_not_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch)
    told.begin()
    log = tmp_path / "log"
    log.write_text("Traceback (most recent call last):\nKeyboardInterrupt\n")
    # A signal to all processes at once ends a job before it can say so.
    silent = tmp_path / "silent"
    silent.write_text("21:24:28 ttbar__nominal: chunk 3 of 4, 999 events/s\n")
    told.start(0)
    told.start(1)
    told.start(2)
    # It may end before Snakemake says why.
    told.fail(0, log)
    for _ in range(2):
        told.event(None, "Will exit after finishing currently running jobs (scheduler).")
    assert told.text.count("Stopping when the jobs that run are done.") == 1
    assert "failed" not in told.text
    told.fail(2, silent)
    assert [re.sub(r"\d s", "", line) for line in told.end()] == [
        "Stopped as you asked after : 0 of 4 jobs done.",
        "What is finished is kept: give the same command again to go on from here.",
    ]


def test_nothing_is_told_behind_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    snakemake = logging.getLogger("snakemake.logging")
    monkeypatch.setattr(snakemake, "filters", [])
    record = logging.LogRecord("snakemake", logging.ERROR, "", 1, "Traceback ...", (), None)
    for stops in (False, True):
        told = Told(monkeypatch)
        told.begin()
        if stops:
            told.event(None, "Terminating processes on user request, this might take some time.")
        told.end()
        assert bool(snakemake.filter(record)) is not stops


def test_jobs_whose_shells_a_signal_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = Told(monkeypatch)
    told.begin()
    for number, text in enumerate(("", "21:24:28 chunk 3 of 4\n", "a warning\n")):
        log = tmp_path / str(number)
        log.write_text(text)
        told.start(number, log=log)
    # As with `timeout`: to the whole group of processes.
    told.fail(0, tmp_path / "0", signal="SIGTERM")
    told.event(None, "Will exit after finishing currently running jobs (scheduler).")
    for number in (1, 2):
        told.fail(number, tmp_path / str(number), signal="SIGTERM")
    assert "failed" not in told.text
    assert "error" not in told.text
    head, last = told.end()
    assert re.fullmatch(r"Stopped by SIGTERM after \d s: 0 of 4 jobs done\.", head)
    assert "give the same command again" in last
    # A job that is killed in other ways has failed.
    other = Told(monkeypatch)
    other.begin()
    other.start(0, log=tmp_path / "0")
    other.fail(0, tmp_path / "0", signal="SIGKILL")
    assert "error: the job was killed by SIGKILL\n" in other.text


def test_each_attempt_says_why_it_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = Told(monkeypatch)
    told.begin(tmp_path)
    full = partial(open, "/dev/full", "wb")
    monkeypatch.setattr(logs.tempfile, "TemporaryFile", lambda **_: full())
    # Of a full disk logs are empty.
    (tmp_path / "3.log").write_text("error: the file is cut off\n  where: a.root\n")
    for number in (0, 3, 1, 3, 2):
        told.start(number, log=tmp_path / f"{number}.log")
        told.fail(number, tmp_path / f"{number}.log")
    causes = ["error: No space left on device", "error: the file is cut off"]
    lines = told.text.splitlines()
    assert [line for line in lines if line in causes] == [*causes, *causes, causes[0]]
    # Where, and what to do, is said once.
    assert lines.count(f"  where: {tmp_path}") == lines.count("  where: a.root") == 1
    assert told.end()[1:-1] == [
        "  deliver 0000, deliver 0001, deliver 0002: No space left on device",
        f"    where: {tmp_path}",
        "    remedy: free some space and run again: finished jobs are kept",
        "  deliver 0003, 2 attempts: the file is cut off",
        "    where: a.root",
        f"    log: {tmp_path / '3.log'}",
    ]


def test_the_last_job_may_end_before_snakemake_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch)
    told.begin()
    log = tmp_path / "log"
    log.write_text("error: the job was killed by SIGINT\n")
    told.start(0)
    told.fail(0, log)
    assert told.end()[-1] == (
        "What is finished is kept: give the same command again to go on from here."
    )
    # A signal that only the job got is its fault.
    other = Told(monkeypatch)
    other.begin()
    log.write_text("error: the job was killed by SIGTERM\n")
    other.start(0)
    other.fail(0, log)
    assert "correct the cause" in other.end()[-1]


def test_a_missing_output_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.begin()
    told.start(1)
    missing = "MissingOutputException in rule deliver:\nJob 1 completed successfully, but ..."
    told.event(LogEvent.ERROR, missing, level=logging.ERROR, exception="MissingOutputException")
    assert missing in told.text
    assert "  deliver 0001: MissingOutputException in rule deliver: Job 1" in told.end()[1]


def test_what_passes_and_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.event(None, "Config file a.yaml is extended by additional config specified via ...")
    told.event(None, "Congratulations, your workflow is in a good condition!")
    told.begin(all=1, total=1)
    told.event(None, "Finished with chatter.")
    told.event(None, "from a rule", path="/project/workflow/rules/mine.smk")
    told.event(None, "no account", level=logging.WARNING)
    for name in "abcd":
        missing = f"Missing metadata for file {name}.json. Maybe metadata was deleted or it was ..."
        told.event(None, missing, level=logging.WARNING)
    told.event(None, None, level=logging.DEBUG)
    lock = "LockException:\nError: Directory cannot be locked."
    told.event(LogEvent.ERROR, lock, level=logging.ERROR, exception="LockException")
    lines = re.sub(r"^[\d:]{8} ", "", told.text, flags=re.M).splitlines()
    assert lines[:4] == [
        "Congratulations, your workflow is in a good condition!",
        "1 job: ",
        "from a rule",
        "no account",
    ]
    assert lines[4] == "error: another run works in this folder, or one was killed"
    assert "`make resume`" in lines[6]
    gone = (
        "Traceback (most recent call last):\n\n  File ...\n\n"
        "FileNotFoundError: [Errno 2] No such file or directory: '/a/.snakemake/locks/0.input.lock'"
    )
    told.event(LogEvent.ERROR, gone, level=logging.ERROR, exception="FileNotFoundError")
    assert "error: another run in this folder ended in the moment" in told.text
    assert "Traceback" not in told.text
    # Nothing was done that could be summed up, and what is said of many files is one line.
    (line,) = told.end()
    assert line.endswith("a.json, b.json, c.json and 1 more")


# The plugin of HTCondor, which Snakemake loads with its command line, where there is no HTCondor.
SNAKEMAKE = pytest.mark.filterwarnings(
    "ignore:The environment variable CONDOR_CONFIG is unset",
)


@SNAKEMAKE
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--config", "results=a", "--config", "seed=1"], "`--config` stands"),
        (["-C", "results=a", "--config", "seed=1"], "`--config` stands"),
        (["--configfile", "a.yaml", "--configfiles", "b.yaml"], "`--configfile` stands"),
        (["--config", "seed=1", "seed=2"], "`seed` stands twice"),
        (["--config", "fit={toys: {count: 3, count: 7}}"], "`fit.toys.count` stands twice"),
        (["-C", "fit={toys: {count: 3}}", "fit={toys: {count: 7}}"], "`fit.toys.count` stands"),
    ],
)
def test_what_snakemake_would_lose_is_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(problem)) as error:
        command_line.check(["--cores", "1", *arguments])
    assert error.value.place in ("--config", "--configfile")
    assert error.value.remedy


@SNAKEMAKE
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--configfile", "a.yaml", "b.yaml", "--config", "a=1", "b={c: 1, d: {e: 2}}", "b={f: }"],
        ["--config", "title=: no {yaml", "other=", "empty={}", "list=[{a: 1}, {a: 2}]"],
    ],
)
def test_what_snakemake_keeps_is_taken(arguments: list[str]) -> None:
    command_line.check(arguments)
    # Other programs may run Snakemake, this one too.
    command_line.check()


@SNAKEMAKE
def test_mistakes_in_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from snakemake.cli import parse_config  # noqa: PLC0415 - it warns, see above

    def told_of(function: Callable[[], object], *arguments: str, started: bool = False) -> str:
        """What a person reads of an error of Snakemake."""
        monkeypatch.setattr("sys.argv", ["snakemake", "--cores", "1", *arguments])
        told = Told(monkeypatch)
        if started:
            told.begin()
        before = len(told.text)
        with pytest.raises(Exception) as error:  # noqa: PT011 - any, as Snakemake takes it
            function()
        text = format_exception_to_string(error.value, {})
        kind = type(error.value).__name__
        told.event(LogEvent.ERROR, text, level=logging.ERROR, exception=kind)
        return told.text[before:]

    contents = {"bad.yaml": "fit: {", "list.yaml": "- 1\n", "empty.yaml": "", "good.yaml": "a: 1"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    for name, expected in (
        ("none.yaml", "No such file or directory\n  where: "),
        ("none", "a target stands before this option"),
        ("bad.yaml", "bad.yaml, line 1"),
        ("list.yaml", "is not a mapping"),
        ("empty.yaml", "is empty"),
    ):
        files = [tmp_path / "good.yaml", tmp_path / name]
        text = told_of(
            lambda files=files: ConfigSettings(configfiles=files), "--configfile", *map(str, files)
        )
        assert text.startswith("error: ")
        assert expected in text
        assert name in text
        assert "Traceback" not in text
    for entry in ("simulation", "simulation.scale=1"):
        text = told_of(lambda entry=entry: parse_config([entry]), "--config", entry)
        assert text.startswith("error: not a key with its value")
        assert "where: --config\n" in text

    def no_rule() -> None:
        raise MissingRuleException("reprot")

    assert "name or writes the file `reprot`\n" in told_of(no_rule, "reprot", started=True)

    # Whatever it is, nothing is lost of an error that is none of these.
    def fault() -> None:
        raise RuntimeError("a fault")

    assert "Traceback" in told_of(fault)


@pytest.mark.parametrize("quiet", [{Quietness.ALL}, {Quietness.RULES}, {Quietness.PROGRESS}])
def test_quiet_runs_tell_failures(
    quiet: set[Quietness], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("error: the disk is full\n")
    told = Told(monkeypatch, quiet=quiet)
    told.begin()
    told.start(0)
    told.fail(0, log)
    assert "started" not in told.text
    assert "error: the disk is full" in told.text
    assert "  deliver 0000: the disk is full" in told.end()


def test_jobs_that_nobody_followed_are_not_said_to_have_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Quiet about progress, Snakemake does not say which jobs are done.
    for failing in (False, True):
        told = Told(monkeypatch, quiet={Quietness.PROGRESS})
        told.begin()
        for number in range(3):
            told.start(number)
        if failing:
            (tmp_path / "log").write_text("error: the disk is full\n")
            told.fail(2, tmp_path / "log")
            assert re.search(r"Failed after .*: 4 jobs planned, 1 failed\.", told.end()[0])
        else:
            assert told.end() == []
        assert "did not end" not in told.text


def test_snakemakes_own_words_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, printshellcmds=True)
    told.begin()
    told.finish(0, 4)
    assert "Building DAG of jobs..." in told.text
    assert "4 of 4 steps (100%) done" in told.text
    assert "4 jobs" not in told.text


def test_a_dry_run_counts_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, dryrun=True)
    told.begin()
    for number in range(2):
        reason = f"Missing output files: {number}.json; Input files updated by another job: a"
        told.start(number, reason=reason)
    told.start(2, "merge", reason="Input files updated by another job: a: b.json")
    assert told.end() == [
        "4 jobs would run:",
        "  deliver       2  missing output files",
        "  merge         1  input files updated by another job",
        "  all           1",
        "This was a dry run; with --printshellcmds it shows every job.",
    ]


def test_a_dry_run_that_an_error_ended_plans_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, dryrun=True)
    told.event(None, "Building DAG of jobs...")
    told.event(LogEvent.WORKFLOW_STARTED)
    told.event(None, "error: wrong", level=logging.ERROR)
    assert "would run" not in "".join(told.end())


def result(folder: Path, name: str, **content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


def written(folder: Path) -> Path:
    """Records as of a run, with what the summary reads."""
    poi = {"name": "ttbar_norm", "bestfit": 0.95349, "uncertainty": 0.0898}
    noise = {"in_total": True, "total": 0.1234}
    result(folder, "fit.json", poi=poi, template_noise=noise, data="pseudodata", best_twice_nll=1)
    result(folder, "validation.json", verdict="disagrees", summary="3 of 9 disagree.")
    account = {"events_expected": 1500, "events_processed": 1500, "left_out": [], "files": [1, 2]}
    result(folder, "closure.json", partial=False, datasets={"a": account, "b": account})
    headline = {"quantity": "é", "text": "693 +62 -58 pb", "parts": "+- 25 (stat) pb"}
    headline |= {"remark": "up is from the curvature: a bound"}
    severities = ("serious", "warning", "warning", "note")
    again = {"statement": "a bias", "kind": "bias", "reason": "r", "remedy": "r"}
    found = [{"severity": severity} | again for severity in severities]
    content = {"headlines": [headline], "facts": found, "data": "data", "missing": []}
    result(folder, "summary.json", **content)
    (folder / "report.html").write_text("page")
    return folder


def test_results_are_told_if_they_are_of_this_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch)
    told.begin(written(tmp_path), merge=1, report=1, total=2)
    told.start(0, "merge")
    told.finish(0, 1, 2)
    told.start(1, "report")
    told.fail(1)
    lines = told.end()
    assert "  result      ttbar_norm = 0.95 +- 0.12" in lines
    assert "  validation  3 of 9 disagree." in lines
    assert "  closure     complete: all 3,000 events of 4 files" in lines
    page = f"  page        {tmp_path / 'report.html'} is that of an earlier run"
    assert [line for line in lines if "report.html" in line] == [page]


def test_runs_until_a_rule_are_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = Told(monkeypatch)
    told.begin(written(tmp_path), fit=1, total=1)
    told.start(0, "fit")
    # Snakemake counts the jobs beyond it, too.
    told.finish(0, 1, 35)
    (tmp_path / "summary.json").unlink()
    head, *lines = told.end()
    assert re.fullmatch(r"Done in \d s: 1 job\.", head)
    assert "  result      ttbar_norm = 0.95 +- 0.12" in lines
    assert not any("summary.json" in line or "693" in line for line in lines)


def test_the_verdict_of_an_optimisation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "optimise").mkdir()
    for name in ("optimise.html", "optimised.yaml"):
        (tmp_path / "optimise" / name).touch()
    numbers = {"uncertainty": 0.25, "fit": 0.2, "templates": 0.15}
    declared = {"method": "declared", "edges": {"sr": [0, 1]}, **numbers}
    content = {"candidates": [declared], "best": "declared"}
    result(tmp_path / "optimise", "optimise.json", **content)
    told = Told(monkeypatch)
    told.begin(tmp_path, optimise=1, total=1)
    told.start(0, "optimise")
    told.finish(0, 1, 1)
    assert told.end()[1:] == [
        "  optimised   nothing promises more than the declared bins and the cuts of the run: "
        "declared: expected uncertainty 0.2500",
        f"              {tmp_path}/optimise/optimise.html",
        f"              {tmp_path}/optimise/optimised.yaml",
    ]


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "é"), ("ascii", "?")])
def test_a_run_that_changes_nothing_tells_the_result(
    encoding: str, sign: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch, encoding=encoding)
    told.event(None, "", **{RESULTS: str(written(tmp_path))})
    told.event(LogEvent.WORKFLOW_STARTED)
    nodes = [{"rule": name} for name in ("fit", "report")]
    told.event(LogEvent.RULEGRAPH, rulegraph={"nodes": nodes, "links": []})
    told.event(None, "Nothing to be done (all requested files are present and up to date).")
    monkeypatch.chdir(ROOT)
    assert told.end() == [
        "Nothing to be done: everything is up to date.",
        f"  result      {sign} = 693 +62 -58 pb",
        "              +- 25 (stat) pb",
        "              up is from the curvature: a bound",
        "  serious     a bias",
        "  look at     1 warning and 1 note on the page",
        f"  page        {tmp_path / 'report.html'}",
        "  next        docs/change.md: change a cut, a systematic, a binning",
    ]


def test_facts_of_other_results(tmp_path: Path) -> None:
    def told() -> list[str]:
        return [
            fact.text for fact in outcome.facts(tmp_path, {"fit", "merge", "validate"}.__contains__)
        ]

    result(tmp_path, "fit.json", poi=None, data="asimov", best_twice_nll=12.34567)
    account = {"events_expected": 1500, "events_processed": 700, "left_out": ["a"], "files": [1]}
    result(tmp_path, "closure.json", partial=True, datasets={"a": account})
    (tmp_path / "validation.json").write_text("{")
    assert told()[:2] == ["-2 ln L = 12.3457", "Asimov data: the expectation before the fit"]
    # A damaged record does not hide the others.
    assert str(tmp_path / "validation.json") in told()[2]
    assert told()[3] == "PARTIAL: 1 file left out, 700 of 1,500 events"
    poi = {"name": "mu", "bestfit": 0.0, "uncertainty": 0.0}
    result(tmp_path, "fit.json", poi=poi, data="data", best_twice_nll=1)
    assert told()[0] == "mu = 0, without an uncertainty"


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (0.95349, 0.0898, "0.953 +- 0.090"),
        (1.0, 0.0996, "1.00 +- 0.10"),
        (693.2, 61.7, "693 +- 62"),
        (12345.6, 1234.5, "12346 +- 1234"),
        (1e-7, 2.3e-8, "0.000000100 +- 0.000000023"),
    ],
)
def test_two_digits_of_the_uncertainty(value: float, uncertainty: float, text: str) -> None:
    assert outcome.number(value, uncertainty) == text


KILLED = "error: the job was killed by SIGTERM\n  where: x.log\n"


@pytest.mark.parametrize(
    ("texts", "message", "problem", "details"),
    [
        (
            ["12:00:00 a\nerror: b\n  where: c\n  remedy: d\n"],
            None,
            "b",
            ("  where: c", "  remedy: d"),
        ),
        (["error: first\n  where: a\nerror: last\n"], None, "last", ()),
        (
            ["x\nnumpy.linalg.LinAlgError: singular\n"],
            None,
            "numpy.linalg.LinAlgError: singular",
            ("  x",),
        ),
        # Slurm ended the job, and says why in its own log.
        (
            [
                KILLED,
                "a\nslurmstepd: error: exceeded memory limit\nslurmstepd: error: CANCELLED\nb\n",
            ],
            None,
            "the job was killed by SIGTERM",
            ("  where: x.log", "  batch system: exceeded memory limit; CANCELLED"),
        ),
        (
            ["on node7\n"],
            "Job 3 is held: memory. For further error details see",
            "Job 3 is held: memory.",
            (),
        ),
        (["on node7\n"], None, "on node7", ()),
        ([""], None, "its log does not say why", ()),
        (
            ["21:24:28 ttbar__nominal: chunk 3 of 4\n"],
            None,
            "it ended without an error",
            ("  last line: 21:24:28 ttbar__nominal: chunk 3 of 4",),
        ),
        ([None], None, "its log does not say why", ()),
        (
            ["10 %\r20 %\r\x1b[1mOSError: no\x1b[0m\x07\n"],
            None,
            "OSError: no",
            ("  10 %", "  20 %"),
        ),
        (["x" * 100_000 + "\nerror: \udcff\n"], None, "\ufffd", ()),
        # The log ends where the disk does.
        (
            ["error: No space left on device\n  where: a/b.root\n"],
            None,
            "No space left on device",
            (
                "  where: a/b.root",
                "  remedy: free some space and run again: finished jobs are kept",
            ),
        ),
    ],
)
def test_reasons_of_failures(
    texts: list[str | None],
    message: str | None,
    problem: str,
    details: tuple[str, ...],
    tmp_path: Path,
) -> None:
    paths = [str(tmp_path / f"{number}.log") for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        if text is not None:
            Path(path).write_bytes(text.encode(errors="surrogateescape"))
    reason = logs.reason(paths, message)
    assert (reason.problem, reason.details) == (problem, details)
    assert reason.log == paths[0]
    assert reason.interrupted == (texts[0] == KILLED)


def test_the_time_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks/deliver/a").mkdir(parents=True)
    for name in ("a/0000", "a/0001"):
        (tmp_path / f"benchmarks/deliver/{name}.tsv").write_text("s\th:m:s\n20.0\t0:00:20\n")
    run = Run(results=tmp_path, started=time.monotonic())
    run.plan({"total": 12, "deliver": 10, "fit": 1, "all": 1})
    values = {"wildcards": {}, "log": [], "shellcmd": "x", "output": ["y"]}
    for number in range(2):
        run.start({"jobid": number, "rule_name": "deliver", **values})
    seconds, known = run.left()
    # Ten jobs, two at a time, as long as those of an earlier run; the fit is not known.
    assert (round(seconds), known) == (100, False)
    # Clocks that are set move no durations.
    monkeypatch.setattr(time, "time", lambda: 0.0)
    for number in range(2):
        run.jobs[number].started -= 10
        run.finish(number)
    assert round(run.left()[0]) == 40
    for number in range(2, 10):
        run.start({"jobid": number, "rule_name": "deliver", **values})
        run.finish(number)
    # Only the fit is left, of which nothing is known.
    assert run.left() == (0.0, False)


def test_the_time_that_is_left_of_a_facility_has_that_of_its_page(tmp_path: Path) -> None:
    (tmp_path / "facility/benchmarks").mkdir(parents=True)
    path = tmp_path / "facility/benchmarks/facility_page.tsv"
    path.write_text("s\th:m:s\n30.0\t0:00:30\n")
    run = Run(results=tmp_path, started=time.monotonic())
    run.plan({"total": 3, "facility_point": 2, "facility_page": 1})
    values = {"wildcards": {}, "log": [], "shellcmd": "x", "output": ["y"]}
    run.start({"jobid": 1, "rule_name": "facility_point", **values})
    run.jobs[1].started -= 10
    run.finish(1)
    seconds, known = run.left()
    assert (round(seconds), known) == (40, True)


class Terminal:
    """A terminal of 80 columns and 24 lines, and what is written to it."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, True)
        self.file = os.fdopen(slave, "w")
        self.raw = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while content := os.read(self._master, 65536):
                self.raw += content
        except OSError:
            # The other side is closed.
            return

    def close(self) -> str:
        self.file.close()
        self._thread.join(30)
        os.close(self._master)
        return self.raw.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    yield terminal
    terminal.file.close()


def test_thousands_of_jobs_fit_into_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(
        "12:00:00 1 of 2 files, 3,000 of 9,000 events, 4 MB\x1b[2J, 60 s left " + "x" * 90
    )
    run = Run(started=time.monotonic(), remote=True)
    rules = [f"rule_{number}" for number in range(12)]
    run.plan({"total": 3001, "all": 1} | dict.fromkeys(rules, 250))
    view = Live(run, terminal.file)
    view.planning()
    view.planned()
    for number in range(3000):
        values = {"wildcards": {"dataset": "d" * 70, "batch": number}, "log": [str(log)]}
        values |= {"shellcmd": "x", "output": ["y"], "jobid": number}
        run.start({"rule_name": rules[number % 12], **values})
        if number % 24 < 12:
            job = run.finish(number)
            assert job is not None
            view.finished(job)
    paper = Console(file=io.StringIO(), width=80, height=24)
    paper.print(view.picture())
    shown = paper.file.getvalue()
    view.close()
    view.summary(
        [summary.Line(f"  page  {tmp_path / 'report.html'}", path=tmp_path / "report.html")]
    )
    raw = terminal.close()
    assert len(shown.splitlines()) <= 24
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "1,500 of 3,001 jobs" in shown
    assert "3,000 of 9,000 events, 4 MB, 60 s left" in shown
    assert re.search(r"and 1,49\d more submitted", shown)
    # The cursor is there again, and the page can be clicked.
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")
    assert f"file://{tmp_path}/report.html" in raw


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"TERM": ""}, False)],
)
def test_who_watches(
    variables: dict[str, str], expected: bool, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_terminal(terminal.file) is expected
    assert not is_terminal(io.StringIO())
