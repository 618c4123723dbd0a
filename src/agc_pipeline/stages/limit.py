"""Upper limit on the parameter of interest, and significance, where they make sense."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.errors import ModelError
from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import LimitSettings, MinimiserSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import fitted
from agc_pipeline.stages.description import Stage, writes

if TYPE_CHECKING:
    import numpy as np

    from agc_pipeline.inference.derived_records import Expected
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class LimitStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings
    limit: LimitSettings


class LimitOptions(fitted.FittedOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("limit.json", "JSON record to write")


def configure(plan: "Plan") -> LimitStage:
    """Which confidence."""
    return LimitStage(minimiser=plan.config.fit.minimiser, limit=plan.config.fit.limit)


def run(settings: LimitStage, options: LimitOptions) -> None:
    """Write limit and significance, or why there is none."""
    import numpy as np

    from agc_pipeline.inference.derived_records import Expected, LimitRecord
    from agc_pipeline.inference.limits import Signal

    fit = fitted.load(options, settings.minimiser)
    limit, strengths, failures = None, np.zeros(0), []
    cls: tuple[Expected, ...] = ()
    significance: tuple[float | None, float | None] = None, None
    try:
        signal = Signal(fit.problem, settings.limit.statistic)
    except ModelError as error:
        failures.append(error.problem)
    else:
        try:
            significance = signal.significance()
        except ModelError as error:
            failures.append(f"No significance: {error.problem}")
        try:
            _require_no_signal(significance[0], settings.limit)
            limit = _expected(*signal.limits(settings.limit.confidence))
            highest = 1.2 * max(limit.observed, *limit.expected)
            strengths = np.linspace(0, highest, settings.limit.points)[1:]
            cls = tuple(_expected(*signal.cls(strength)) for strength in strengths)
        except ModelError as error:
            limit, cls, strengths = None, (), np.zeros(0)
            failures.append(f"No limit: {error.problem}")
    record = LimitRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=fit.record.poi.name,
        confidence=settings.limit.confidence,
        statistic=settings.limit.statistic,
        limit=limit,
        significance=significance[0],
        expected_significance=significance[1],
        strengths=strengths.tolist(),
        cls=cls,
        failures=tuple(failures),
        provenance=dict(fitted.provenance_of("limit", options, settings)),
    )
    write_json(options.output, record.model_dump())
    if limit is not None:
        log.info("%s < %.4g at %g", record.poi, limit.observed, record.confidence)
    for failure in failures:
        log.info("%s", failure)


def _require_no_signal(significance: float | None, settings: LimitSettings) -> None:

    if significance is not None and significance >= settings.max_significance:
        raise ModelError(
            f"the observed significance exceeds {settings.max_significance:g} sigma",
            place="fit.limit.max_significance",
            remedy="raise it to compute a limit nevertheless",
        )


def _expected(observed: float, expected: "np.ndarray") -> "Expected":
    from agc_pipeline.inference.derived_records import Expected

    return Expected(observed=observed, expected=tuple(expected.tolist()))


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
