"""Print what limits a facility; an error if no point of a series has a result."""

import logging
from pathlib import Path

from agc_pipeline.errors import PipelineError
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, reads

log = logging.getLogger(__name__)


class VerdictStage(Settings):
    """Nothing that is told."""


class VerdictOptions(Options):
    """What the stage is told beside its settings."""

    record: Path = reads("facility.json", "record of the measurement")


def run(settings: VerdictStage, options: VerdictOptions) -> None:  # noqa: ARG001
    """Print the verdicts.

    Raises:
        PipelineError: if points have no result.
    """
    from agc_pipeline.facility import summary
    from agc_pipeline.provenance import other_versions

    record = summary.read(options.record)
    for series in record.series:
        if series.verdict is not None:
            log.info("%s, %s: %s", series.executor, series.input, series.verdict.text)
    log.info(
        "The last point ended at %s; to measure again: "
        "`snakemake facility --forcerun facility_point`, with the options of this command",
        record.finished,
    )
    software = {name: [used] for name, used in record.machine.software.items()}
    if changes := other_versions(software):
        log.warning("Other versions of packages are installed than were measured: %s", changes)
    failed = [point for series in record.series for point in series.points if point.problem]
    if failed:
        first = failed[0]
        raise PipelineError(
            f"{len(failed)} of {sum(len(series.points) for series in record.series)} points have "
            f"no result; {first.name}: {first.problem}",
            place=first.log,
            remedy="see the log and correct the cause: the same command takes these points again, "
            "and keeps the others",
        )


STAGE = Stage(
    name="facility_verdict",
    settings=VerdictStage,
    options=VerdictOptions,
    configure=lambda _: VerdictStage(),
    run=run,
    when=never,
    physics=False,
)
main = STAGE.main

if __name__ == "__main__":
    main()
