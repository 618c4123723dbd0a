"""Rank the parameters by what they do to the parameter of interest."""

import argparse
import logging

from agc_pipeline.files import write_json
from agc_pipeline.inference import ranking
from agc_pipeline.inference.derived_records import RankingRecord
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command, fitted

log = logging.getLogger(__name__)


class RankingStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings


def stage(arguments: argparse.Namespace) -> None:
    """Write the impacts of all parameters."""
    settings = command.settings(RankingStage, arguments.settings)
    fit = fitted.load(arguments, settings.minimiser)
    rows = ranking.rank(fit.problem, fit.best, fit.groups)
    shifts = [shift for row in rows for shift in (row.width, row.uncertainty) if shift > 0]
    record = RankingRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=fit.record.poi.name,
        rows=rows,
        n_fits=2 * len(shifts),
        n_failed=sum(len(row.failures) for row in rows),
        provenance=dict(fitted.provenance_of("ranking", arguments, settings)),
    )
    write_json(arguments.output, record.model_dump())
    log.info("%d of %d fits converged", record.n_fits - record.n_failed, record.n_fits)
    for row in sorted(rows, key=lambda row: -row.size)[:3]:
        log.info("%s: up to %.3g", row.parameter, row.size)


def main() -> None:
    """Command line of the stage."""
    command.run(stage, fitted.options(__doc__))


if __name__ == "__main__":
    main()
