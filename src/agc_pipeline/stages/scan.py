"""Scan the likelihood, and find asymmetric uncertainties from it."""

import argparse
import logging

import numpy as np

from agc_pipeline.files import write_json
from agc_pipeline.inference import profile
from agc_pipeline.inference.derived_records import ScanRecord
from agc_pipeline.inference.settings import MinimiserSettings, ScanSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command, fitted

log = logging.getLogger(__name__)


class ScanStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings
    scan: ScanSettings


def stage(arguments: argparse.Namespace) -> None:
    """Write the profile of the parameter of interest, and the uncertainties."""
    settings = command.settings(ScanStage, arguments.settings)
    fit = fitted.load(arguments, settings.minimiser)
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
        provenance=dict(fitted.provenance_of("scan", arguments, settings)),
    )
    write_json(arguments.output, record.model_dump())
    for interval in record.intervals:
        if interval.parameter == record.poi.name:
            log.info("%s = %s", interval.parameter, interval.describe())
    failures = [failure for interval in record.intervals for failure in interval.failures]
    for failure in failures:
        log.info("%s", failure)


def main() -> None:
    """Command line of the stage."""
    command.run(stage, fitted.options(__doc__))


if __name__ == "__main__":
    main()
