"""Scan the likelihood, and find asymmetric uncertainties from it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import MinimiserSettings, ScanSettings
from agc_pipeline.settings import Settings, unknown
from agc_pipeline.stages import fitted
from agc_pipeline.stages.description import Stage, writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agc_pipeline.inference import profile
    from agc_pipeline.inference.minimum import Minimum
    from agc_pipeline.inference.problem import Problem
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class ScanStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings
    scan: ScanSettings


class ScanOptions(fitted.FittedOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("scan.json", "JSON record to write")


def configure(plan: "Plan") -> ScanStage:
    """How far and how finely."""
    return ScanStage(minimiser=plan.config.fit.minimiser, scan=plan.config.fit.scan)


def run(settings: ScanStage, options: ScanOptions) -> None:
    """Write the profile of the parameter of interest, and the uncertainties."""
    import numpy as np

    from agc_pipeline.inference import profile
    from agc_pipeline.inference.derived_records import ScanRecord
    from agc_pipeline.inference.problem import NO_INTEREST

    fit = fitted.load(options, settings.minimiser)
    problem, best, poi = fit.problem, fit.best, fit.problem.poi
    positions = [] if poi is None else [poi]
    if settings.scan.minos == "all":
        positions = list(range(len(problem.names)))
    reason = None
    scanned = profile.Scan(np.zeros(0), np.zeros(0))
    if poi is None:
        reason = NO_INTEREST
    elif problem.fixed[poi] or best.idle[poi]:
        reason = f"{problem.names[poi]} is fixed, or changes nothing"
    else:
        scanned = profile.scan(
            problem, best, poi, reach=settings.scan.reach, points=settings.scan.points
        )
    record = ScanRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=fit.record.poi,
        values=scanned.values.tolist(),
        heights=[None if np.isnan(height) else height for height in scanned.heights.tolist()],
        intervals=tuple(
            profile.interval(problem, best, position)
            for position in positions
            if not (problem.fixed[position] or best.idle[position])
        ),
        planes=tuple(_planes(settings.scan, problem, best)),
        reason=reason,
        provenance=dict(fitted.provenance_of("scan", options, settings)),
    )
    write_json(options.output, record.model_dump())
    if reason is not None:
        log.info("no scan: %s", reason)
    if record.of_interest is not None:
        log.info("%s = %s", record.of_interest.parameter, record.of_interest.describe())
    failures = [failure for interval in record.intervals for failure in interval.failures.values()]
    for failure in failures:
        log.info("%s", failure)


def _planes(
    settings: ScanSettings, problem: "Problem", best: "Minimum"
) -> "Iterator[profile.Plane]":
    """The profiles of pairs of parameters.

    Raises:
        ConfigurationError: for names that are of no parameter, or of one that is fixed.
    """
    from agc_pipeline.inference import profile

    names = [name for pair in settings.pairs for name in pair]
    problem_text = unknown("parameter", names, problem.names)
    fixed = [
        name
        for name in names
        if name in problem.names
        and (problem.fixed[problem.names.index(name)] or best.idle[problem.names.index(name)])
    ]
    if problem_text is None and fixed:
        problem_text = f"{fixed[0]!r} is fixed, or changes nothing"
    if problem_text is not None:
        raise ConfigurationError(
            problem_text, place="fit.scan.pairs", remedy="correct the name, or remove the pair"
        )
    for first, second in settings.pairs:
        positions = problem.names.index(first), problem.names.index(second)
        yield profile.plane(
            problem, best, positions, reach=settings.reach, points=settings.pair_points
        )
        log.info("%s and %s: %d points", first, second, (settings.pair_points + 1) ** 2)


STAGE = Stage(
    name="scan",
    settings=ScanStage,
    options=ScanOptions,
    configure=configure,
    run=run,
)
main = STAGE.main

if __name__ == "__main__":
    main()
