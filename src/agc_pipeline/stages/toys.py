"""Throw and fit pseudo-experiments."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import MinimiserSettings, ToySettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import fitted
from agc_pipeline.stages.description import Stage, writes

if TYPE_CHECKING:
    import numpy as np

    from agc_pipeline.inference import toys
    from agc_pipeline.inference.derived_records import Pull
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class ToyStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings
    toys: ToySettings


class ToyOptions(fitted.FittedOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("toys.json", "JSON record to write")


def configure(plan: "Plan") -> ToyStage:
    """How many."""
    return ToyStage(minimiser=plan.config.fit.minimiser, toys=plan.config.fit.toys)


def run(settings: ToyStage, options: ToyOptions) -> None:
    """Write the results of the pseudo-experiments."""
    import numpy as np

    from agc_pipeline.inference import toys
    from agc_pipeline.inference.derived_records import ToyRecord

    fit = fitted.load(options, settings.minimiser)
    thrown = toys.throw(fit.problem, fit.best, count=settings.toys.count, seed=settings.toys.seed)
    poi = fit.problem.poi
    observed = fit.best.expansion.value
    record = ToyRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=fit.record.poi,
        count=settings.toys.count,
        seed=settings.toys.seed,
        failures=thrown.failures,
        bestfit=[] if poi is None else thrown.parameters[:, poi].tolist(),
        uncertainty=[] if poi is None else thrown.uncertainties[:, poi].tolist(),
        at_bounds=0 if poi is None else thrown.at_bounds(poi, fit.problem.bounds[poi]),
        pulls=_pulls(thrown, fit.problem.names),
        coverage=None if poi is None else _fraction(np.abs(thrown.pulls(poi)) < 1),
        statistic=thrown.statistics.tolist(),
        observed=observed,
        goodness_of_fit=_fraction(thrown.as_large(observed)),
        provenance=dict(fitted.provenance_of("toys", options, settings)),
    )
    write_json(options.output, record.model_dump())
    log.info("%d of %d fits converged", record.converged, record.count)
    for pull in record.pulls:
        if record.poi is not None and pull.parameter == record.poi.name:
            log.info("pulls of %s: %.2f +- %.2f", pull.parameter, pull.mean, pull.width)


def _pulls(thrown: "toys.Toys", names: tuple[str, ...]) -> "tuple[Pull, ...]":
    import numpy as np

    from agc_pipeline.inference.derived_records import Pull

    rows = []
    for position, name in enumerate(names):
        pulls = thrown.pulls(position)
        n = len(pulls)
        if n > 1:
            width = float(np.std(pulls, ddof=1))
            rows.append(
                Pull(
                    parameter=name,
                    count=n,
                    mean=float(np.mean(pulls)),
                    mean_error=width / np.sqrt(n),
                    width=width,
                    width_error=width / np.sqrt(2 * (n - 1)),
                )
            )
    return tuple(rows)


def _fraction(mask: "np.ndarray") -> float | None:
    import numpy as np

    return float(np.mean(mask)) if len(mask) else None


STAGE = Stage(
    name="toys",
    settings=ToyStage,
    options=ToyOptions,
    configure=configure,
    run=run,
)
main = STAGE.main

if __name__ == "__main__":
    main()
