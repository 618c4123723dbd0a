"""The end of a run in lines: what came out, what failed and why, and how to go on."""

from dataclasses import dataclass
from pathlib import Path

from agc_pipeline.formatting import duration, name_list, plural
from agc_pipeline.terminal import outcome
from agc_pipeline.terminal.outcome import Fact
from agc_pipeline.terminal.run import Job, Run

# Of jobs with the same error.
_NAMES = 3
_KEPT = "What is finished is kept"
# A page of the documentation, beside the Snakefile.
_CHANGE = Path("docs/change.md")
_REPORT = "report.html"


@dataclass(frozen=True)
class Line:
    """A line for a person.

    Attributes:
        text: of it.
        style: "good", "bad", "head" or "plain".
        path: file that the text ends with, for a link; None without.
    """

    text: str
    style: str = "plain"
    path: Path | None = None


def lines(run: Run) -> list[Line]:
    """The summary of a run that ended; none if it did not begin, and an error said why."""
    if run.started is None or not (run.jobs or run.nothing or run.stopped):
        return []
    lost = run.lost
    told = [_head(run, lost)]
    for jobs in _by_error(lost):
        told += _failure(jobs)
    if run.results is not None:
        facts = outcome.facts(run.results, run.current)
        labels = ["", *(fact.label for fact in facts)]
        # A label stands once.
        told += [
            _fact(fact, "" if fact.label == before else fact.label)
            for before, fact in zip(labels, facts, strict=False)
        ]
        report = any(fact.path is not None and fact.path.name == _REPORT for fact in facts)
        if _good(run, lost) and report and _CHANGE.is_file():
            told.append(Line(f"  {'next':<11} {_CHANGE}: change a cut, a systematic, a binning"))
    if not _good(run, lost):
        told.append(_next(run, lost))
    return told


def _good(run: Run, lost: list[Job]) -> bool:
    return run.nothing or (run.complete and not lost)


def _head(run: Run, lost: list[Job]) -> Line:
    if run.nothing:
        return Line("Nothing to be done: everything is up to date.", "good")
    took = duration(run.seconds)
    repeated = sum(job.attempt > 1 for job in run.of_state("finished"))
    again = f", {repeated} after a retry" if repeated else ""
    if _good(run, lost):
        return Line(f"Done in {took}: {_jobs(run.total)}{again}.", "good")
    done = f"{run.done} of {_jobs(run.total)} done{again}"
    if run.unfollowed:
        done = f"{_jobs(run.total)} planned"
    if run.stopped:
        failed = f", {len(lost)} failed" if lost else ""
        signals = {job.reason.signal for job in run.of_state("failed") if job.reason is not None}
        by = "by SIGTERM" if run.terminated and "SIGTERM" in signals else "as you asked"
        return Line(f"Stopped {by} after {took}: {done}{failed}.", "bad")
    waiting = 0 if run.unfollowed else run.total - run.done - len(lost)
    rest = f", {waiting} need them" if waiting > 0 and lost else ""
    return Line(f"Failed after {took}: {done}, {len(lost)} failed{rest}.", "bad")


def _by_error(lost: list[Job]) -> list[list[Job]]:
    """Jobs that failed with the same error together, in the order of the first of each."""
    groups: dict[object, list[Job]] = {}
    for job in lost:
        known = job.reason is not None and job.reason.told
        key = job.reason.error if known and job.reason is not None else job.number
        groups.setdefault(key, []).append(job)
    return list(groups.values())


def _failure(jobs: list[Job]) -> list[Line]:
    job = jobs[0]
    names = name_list([each.name for each in jobs], _NAMES)
    attempts = f", {job.attempt} attempts" if job.attempt > 1 else ""
    if job.reason is None:
        log = f": see {job.logs[0]}" if job.logs else ""
        return [Line(f"  {job.name}{attempts}: it did not end{log}", "bad")]
    told = [Line(f"  {names}{attempts}: {job.reason.problem}", "bad")]
    told += [Line(f"  {line}") for line in job.reason.details]
    if job.reason.log is not None:
        told.append(Line(f"    log: {job.reason.log}", path=Path(job.reason.log)))
    return told


def _fact(fact: Fact, label: str) -> Line:
    style = {True: "good", False: "bad", None: "plain"}[fact.good]
    return Line(f"  {label:<11} {fact.text}", style, fact.path)


def _next(run: Run, lost: list[Job]) -> Line:
    if run.stopped and not lost:
        return Line(f"{_KEPT}: give the same command again to go on from here.")
    return Line(f"{_KEPT}: correct the cause, and give the same command again.")


def _jobs(count: int) -> str:
    return f"{count:,} {plural('job', count)}"
