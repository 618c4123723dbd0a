"""Upper limit on the parameter of interest, significance, and what they depend on."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import LimitSettings, MinimiserSettings, SpendingSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import fitted
from agc_pipeline.stages.description import Stage, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class LimitStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings
    limit: LimitSettings
    spending: SpendingSettings


class LimitOptions(fitted.FittedOptions):
    """What the stage is told beside its settings."""

    closure: Path | None = reads(
        lambda plan: [] if plan.external else f"{plan.folder}/closure.json",
        "closure record, if any",
        default=None,
    )
    output: Path = writes("limit.json", "JSON record to write")
    sensitivity: Path = writes(
        "sensitivity.json", "JSON record of the derivatives by templates to write"
    )


def configure(plan: "Plan") -> LimitStage:
    """Which confidence, and what more events are wanted for."""
    fit = plan.config.fit
    return LimitStage(minimiser=fit.minimiser, limit=fit.limit, spending=fit.spending)


def run(settings: LimitStage, options: LimitOptions) -> None:
    """Write limit and significance, or why there is none, and what they depend on."""
    from agc_pipeline.errors import ModelError
    from agc_pipeline.inference.derived_records import LimitRecord, SensitivityRecord
    from agc_pipeline.inference.limits import Signal, compute
    from agc_pipeline.inference.spending import spending
    from agc_pipeline.inference.template_gradients import template_gradients
    from agc_pipeline.inference.toy_tests import with_toys

    fit = fitted.load(options, settings.minimiser)
    poi = fit.record.poi
    try:
        signal = Signal(fit.problem, settings.limit.statistic)
    except ModelError:
        # The record has the reason.
        signal = None
    result = with_toys(compute(fit.problem, settings.limit, signal), fit.problem, settings.limit)
    record = LimitRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=None if poi is None else poi.name,
        confidence=settings.limit.confidence,
        statistic=settings.limit.statistic,
        provenance=dict(fitted.provenance_of("limit", options, settings)),
        **result,
    )
    write_json(options.output, record.model_dump())
    gradients = template_gradients(
        fit.model,
        fit.problem,
        fit.best,
        fit.record.contents,
        signal=signal,
        limit=None if record.limit is None else record.limit.expected[2],
    )
    more_events = None
    try:
        more_events = spending(
            fit.model,
            fit.problem,
            fit.record.contents,
            events=_simulated(options.closure),
            settings=settings.spending,
        )
    except ModelError as error:
        log.info("no plan of simulated events: %s", error.problem)
    sensitivity = SensitivityRecord(
        spending=more_events,
        workspace_digest=record.workspace_digest,
        poi=record.poi,
        provenance=record.provenance,
        **dict(gradients),
    )
    write_json(options.sensitivity, sensitivity.model_dump())
    if record.limit is not None and record.limit.observed is not None:
        log.info("%s < %.4g at %g", record.poi, record.limit.observed, record.confidence)
    if record.toys is not None and record.toys.limit is not None:
        of_toys = record.toys.limit
        log.info("%s < %.4g +- %.2g by toys", record.poi, of_toys.value, of_toys.error)
    for text in (*record.failures, *record.remarks):
        log.info("%s", text)


def _simulated(path: Path | None) -> dict[str, int]:
    """Generated events of the simulated datasets of a closure record; none without one."""
    from agc_pipeline.columnar import closure

    if path is None:
        return {}
    return {
        name: account.n_generated
        for name, account in closure.read(path).datasets.items()
        if account.kind == "simulation" and account.n_generated > 0
    }


STAGE = Stage(
    name="limit",
    settings=LimitStage,
    options=LimitOptions,
    configure=configure,
    run=run,
)
main = STAGE.main

if __name__ == "__main__":
    main()
