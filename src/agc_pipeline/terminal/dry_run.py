"""What a run would do, by rule, and why."""

from collections import Counter

from agc_pipeline.formatting import plural
from agc_pipeline.terminal.run import Run

# Of the reasons for the jobs of a rule, the most frequent ones.
_REASONS = 2
# What follows from the jobs before, and tells nothing where there is another reason.
_FOLLOWS = "input files updated by another job"


class DryRun:
    """Collects the reasons for the jobs of a run that is only planned.

    Args:
        run: with the numbers of its jobs.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._reasons: dict[str, Counter[str]] = {}

    def add(self, rule: str, reason: str) -> None:
        """Count a job, with the reason as Snakemake gives it: kinds, each followed by files."""
        starts = (part.partition(":")[0].strip() for part in reason.split("; "))
        kinds = {start[0].lower() + start[1:] for start in starts if start}
        counter = self._reasons.setdefault(rule, Counter())
        counter.update(kinds - {_FOLLOWS} or kinds)

    def lines(self) -> list[str]:
        """The plan; empty if there is none."""
        if self._run.started is None:
            return []
        if self._run.nothing:
            return ["Nothing to be done: everything is up to date."]
        if not self._run.total:
            # An error ended it before.
            return []
        width = max((len(name) for name in self._run.kinds), default=0)
        told = [f"{self._run.total:,} {plural('job', self._run.total)} would run:"]
        for name, kind in self._run.kinds.items():
            most = self._reasons.get(name, Counter()).most_common(_REASONS)
            reasons = "; ".join(reason for reason, _ in most)
            told.append(f"  {name:<{width}}  {kind.total:>6,}  {reasons}".rstrip())
        return [*told, "This was a dry run; with --printshellcmds it shows every job."]
