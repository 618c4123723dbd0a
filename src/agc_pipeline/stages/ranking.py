"""Rank the parameters by what they do to the parameter of interest."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import fitted
from agc_pipeline.stages.description import Stage, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class RankingStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings


class RankingOptions(fitted.FittedOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("ranking.json", "JSON record to write")


def configure(plan: "Plan") -> RankingStage:
    """How a minimum is found."""
    return RankingStage(minimiser=plan.config.fit.minimiser)


def run(settings: RankingStage, options: RankingOptions) -> None:
    """Write the impacts of all parameters."""
    from agc_pipeline.inference import ranking
    from agc_pipeline.inference.derived_records import RankingRecord

    fit = fitted.load(options, settings.minimiser)
    rows = ranking.rank(fit.problem, fit.best, fit.groups)
    poi = fit.record.poi
    record = RankingRecord(
        workspace_digest=fit.record.workspace_digest,
        **RankingRecord.counts(rows, None if poi is None else poi.name),
        provenance=dict(fitted.provenance_of("ranking", options, settings)),
    )
    write_json(options.output, record.model_dump())
    if record.reason is not None:
        log.info("no impacts: %s", record.reason)
        return
    log.info("%d of %d fits converged", record.n_fits - record.n_failed, record.n_fits)
    for row in sorted(rows, key=lambda row: -row.size)[:3]:
        log.info("%s: up to %.3g", row.parameter, row.size)


STAGE = Stage(
    name="ranking",
    settings=RankingStage,
    options=RankingOptions,
    configure=configure,
    run=run,
)
main = STAGE.main

if __name__ == "__main__":
    main()
