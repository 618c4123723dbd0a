"""Scan the likelihood, and find asymmetric uncertainties from it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import MinimiserSettings, ScanSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import fitted
from agc_pipeline.stages.description import Stage, writes

if TYPE_CHECKING:
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

    fit = fitted.load(options, settings.minimiser)
    problem, best, poi = fit.problem, fit.best, fit.problem.poi
    positions = range(len(problem.names)) if settings.scan.minos == "all" else [poi]
    if best.free[poi]:
        scanned = profile.scan(
            problem, best, poi, reach=settings.scan.reach, points=settings.scan.points
        )
    else:
        # Without an uncertainty there is no range to scan.
        scanned = profile.Scan(best.parameters[[poi]], np.zeros(1))
    record = ScanRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=fit.record.poi,
        values=scanned.values.tolist(),
        heights=[None if np.isnan(height) else height for height in scanned.heights.tolist()],
        intervals=tuple(
            profile.interval(problem, best, position)
            for position in positions
            if best.free[position]
        ),
        provenance=dict(fitted.provenance_of("scan", options, settings)),
    )
    write_json(options.output, record.model_dump())
    for interval in record.intervals:
        if interval.parameter == record.poi.name:
            log.info("%s = %s", interval.parameter, interval.describe())
    failures = [failure for interval in record.intervals for failure in interval.failures]
    for failure in failures:
        log.info("%s", failure)


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
