"""Throw and fit pseudo-experiments."""

import argparse
import logging

import numpy as np

from agc_pipeline.files import write_json
from agc_pipeline.inference import toys
from agc_pipeline.inference.derived_records import Pull, ToyRecord
from agc_pipeline.inference.settings import MinimiserSettings, ToySettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command, fitted

log = logging.getLogger(__name__)


class ToyStage(Settings):
    """What the stage needs of the configuration."""

    minimiser: MinimiserSettings
    toys: ToySettings


def stage(arguments: argparse.Namespace) -> None:
    """Write the results of the pseudo-experiments."""
    settings = command.settings(ToyStage, arguments.settings)
    fit = fitted.load(arguments, settings.minimiser)
    thrown = toys.throw(fit.problem, fit.best, count=settings.toys.count, seed=settings.toys.seed)
    poi = fit.problem.poi
    observed = fit.best.expansion.value
    record = ToyRecord(
        workspace_digest=fit.record.workspace_digest,
        poi=fit.record.poi,
        count=settings.toys.count,
        seed=settings.toys.seed,
        failures=thrown.failures,
        bestfit=thrown.parameters[:, poi].tolist(),
        uncertainty=thrown.uncertainties[:, poi].tolist(),
        pulls=_pulls(thrown, fit.problem.names),
        coverage=_fraction(np.abs(thrown.pulls(poi)) < 1),
        statistic=thrown.statistics.tolist(),
        observed=observed,
        goodness_of_fit=_fraction(thrown.statistics >= observed),
        provenance=dict(fitted.provenance_of("toys", arguments, settings)),
    )
    write_json(arguments.output, record.model_dump())
    log.info("%d of %d fits converged", len(record.bestfit), record.count)
    for pull in record.pulls:
        if pull.parameter == record.poi.name:
            log.info("pulls of %s: %.2f +- %.2f", pull.parameter, pull.mean, pull.width)


def _pulls(thrown: toys.Toys, names: tuple[str, ...]) -> tuple[Pull, ...]:
    rows = []
    for position, name in enumerate(names):
        pulls = thrown.pulls(position)
        n = len(pulls)
        if n > 1:
            width = float(np.std(pulls, ddof=1))
            rows.append(
                Pull(
                    parameter=name,
                    mean=float(np.mean(pulls)),
                    mean_error=width / np.sqrt(n),
                    width=width,
                    width_error=width / np.sqrt(2 * (n - 1)),
                )
            )
    return tuple(rows)


def _fraction(mask: np.ndarray) -> float | None:
    return float(np.mean(mask)) if len(mask) else None


def main() -> None:
    """Command line of the stage."""
    command.run(stage, fitted.options(__doc__))


if __name__ == "__main__":
    main()
