"""Fill the histograms of a dataset for all combinations of values of thresholds."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Stage, never, reads, writes
from agc_pipeline.stages.filling import DatasetOptions, delivered

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class ThresholdsStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: its name.
        regions: which selection of the analysis has the regions that are fitted.
        selection: ``physics.selection``, the analysis' own.
        thresholds: values that are tried, by name; the first is that of the run.
        allow_partial: leave out files that cannot be read.
    """

    analysis: str
    regions: str | None
    selection: dict[str, object]
    thresholds: dict[str, tuple[float, ...]]
    allow_partial: bool


class ThresholdsOptions(DatasetOptions):
    """What the stage is told beside its settings."""

    closure: Path = reads("closure.json", "closure record of the merge")
    output: Path = writes("optimise/thresholds/{dataset}.npz", "sums of weights to write")


def configure(plan: "Plan") -> ThresholdsStage:
    """The selection, and the values that are tried."""
    return ThresholdsStage(
        analysis=plan.config.analysis,
        regions=plan.config.selection,
        selection=plan.physics["selection"],
        thresholds={trial.threshold.name: trial.values for trial in plan.trials},
        allow_partial=plan.config.allow_partial,
    )


def run(settings: ThresholdsStage, options: ThresholdsOptions) -> None:
    """Write the sums of weights of the dataset.

    Raises:
        PipelineError: if skims are not there, or cannot be read.
    """
    import time

    from agc_pipeline import analyses
    from agc_pipeline.columnar import closure, thresholds

    start = time.process_time()
    analysis = analyses.load(settings.analysis).with_selection(settings.regions)
    name, fill = delivered(options.manifests, options, allow_partial=settings.allow_partial)
    dataset = analysis.dataset(name)
    account = closure.read(options.closure).datasets[dataset.name]
    scans = thresholds.scan(
        thresholds.of_fit(analysis),
        settings.selection,
        dataset,
        thresholds.of_values(analysis, settings.thresholds),
        unit=account.unit or 1.0,
        fill=fill,
    )
    seconds = time.process_time() - start
    thresholds.write(options.output, scans, seconds)
    log.info("%s: all combinations in %.0f s of CPU", dataset.name, seconds)


STAGE = Stage(
    name="thresholds",
    settings=ThresholdsStage,
    options=ThresholdsOptions,
    configure=configure,
    run=run,
    when=never,
)
main = STAGE.main

if __name__ == "__main__":
    main()
