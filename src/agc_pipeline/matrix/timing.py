"""Times of stages in two environments, measured alternately, and their ratios."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agc_pipeline.files import read_json
from agc_pipeline.matrix.records import Rates, StageRecord, Timing
from agc_pipeline.measuring.intervals import compare


class RepetitionError(Exception):
    """A stage that ran before fails or hangs when it is repeated.

    Args:
        worker: that repeated it.
        problem: description.
    """

    def __init__(self, worker: "Worker", problem: str) -> None:
        super().__init__(problem)
        self.worker = worker


class Worker:
    """A process in an environment that repeats stages.

    Args:
        interpreter: of the environment.
        variables: its environment variables.
        log: for what the stages print.
        timeout: seconds for one repetition.

    Attributes:
        log: path of the log.
    """

    def __init__(
        self, interpreter: str, variables: Mapping[str, str], log: Path, timeout: float
    ) -> None:
        self.log = log
        self._timeout = timeout
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                [interpreter, "-m", "agc_pipeline.matrix.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(variables),
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Also a repetition that hangs.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def repeat(self, stage: StageRecord) -> tuple[float, float]:
        """CPU and wall-clock time of one repetition, seconds.

        Raises:
            RepetitionError: if the stage fails, although it ran before.
        """
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        assert self._process.stdout is not None  # noqa: S101
        request = stage.model_dump(include={"module", "arguments"})
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            ready, _, _ = select.select([self._process.stdout], [], [], self._timeout)
            if not ready:
                raise RepetitionError(
                    self,
                    f"a repetition of {stage.stage} did not finish within {self._timeout:.0f} s",
                )
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        response: dict[str, Any] = json.loads(line) if line else {"code": None}
        if response["code"] != 0:
            raise RepetitionError(self, f"{stage.stage} ran once, but fails when it is repeated")
        return float(response["cpu"]), float(response["wall"])


def time_stage(
    repeats: int,
    cell: tuple[Worker, StageRecord],
    baseline: tuple[Worker, StageRecord] | None,
) -> Timing:
    """Repeat a stage alternately in this cell and in the baseline.

    Args:
        repeats: number of repetitions.
        cell: its worker and job.
        baseline: worker and job of the baseline; None for the baseline itself.
    """
    load = os.getloadavg()[0]
    sides = [cell] if baseline is None else [cell, baseline]
    # The first repetition finds empty caches of the system.
    for worker, job in sides:
        worker.repeat(job)
    times: list[list[tuple[float, float]]] = [[] for _ in sides]
    for number in range(repeats):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for side in order:
            worker, job = sides[side]
            times[side].append(worker.repeat(job))
    rates = [
        Rates(
            events=events(job),
            cpu=tuple(cpu for cpu, _ in pairs),
            wall=tuple(wall for _, wall in pairs),
        )
        for (_, job), pairs in zip(sides, times, strict=True)
    ]
    if baseline is None:
        return Timing(stage=cell[1].stage, load=load, rates=rates[0])
    return Timing(
        stage=cell[1].stage,
        load=load,
        rates=rates[0],
        baseline=rates[1],
        cpu=compare(rates[0].cpu, rates[1].cpu),
        wall=compare(rates[0].wall, rates[1].wall),
    )


def longest(stages: Sequence[StageRecord], name: str) -> StageRecord | None:
    """The job of a stage that took most CPU time; None if the stage did not run."""
    jobs = [stage for stage in stages if stage.stage == name]
    return max(jobs, key=lambda job: job.cpu_seconds, default=None)


def matching(job: StageRecord, stages: Sequence[StageRecord]) -> StageRecord | None:
    """The job of another cell for the same batch; None if it has none."""
    key = (job.stage, _batch(job))
    return next((other for other in stages if (other.stage, _batch(other)) == key), None)


def events(job: StageRecord) -> int | None:
    """Input events of a job, from its manifest; None if it has none."""
    arguments = list(job.arguments)
    if "--manifest" not in arguments:
        return None
    manifest = read_json(Path(arguments[arguments.index("--manifest") + 1]))
    return sum(int(file["before"]) for file in manifest["files"])


def _batch(job: StageRecord) -> str:
    """Dataset and batch of a job: the last parts of its manifest's path."""
    arguments = list(job.arguments)
    if "--manifest" not in arguments:
        return ""
    return "/".join(Path(arguments[arguments.index("--manifest") + 1]).parts[-2:])
