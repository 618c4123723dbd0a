"""Compute the features of a dataset's events for discriminants, with all weights."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Stage, never, writes
from agc_pipeline.stages.filling import DatasetOptions, delivered

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class FeaturesStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: its name.
        regions: which selection of the analysis has the regions that are fitted.
        selection: ``physics.selection``, the analysis' own.
        reference: values of thresholds that are not those of the run, by name.
        features: names of those that are computed.
        allow_partial: leave out files that cannot be read.
    """

    analysis: str
    regions: str | None
    selection: dict[str, object]
    reference: dict[str, float]
    features: tuple[str, ...]
    allow_partial: bool


class FeaturesOptions(DatasetOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("optimise/features/{dataset}.npz", "rows of features to write")


def configure(plan: "Plan") -> FeaturesStage:
    """The cuts that others are compared with, and the features."""
    return FeaturesStage(
        analysis=plan.config.analysis,
        regions=plan.config.selection,
        selection=plan.physics["selection"],
        reference=plan.config.optimise.reference,
        features=tuple(plan.features),
        allow_partial=plan.config.allow_partial,
    )


def run(settings: FeaturesStage, options: FeaturesOptions) -> None:
    """Write the rows of the dataset.

    Raises:
        PipelineError: if skims are not there, or cannot be read.
    """
    import time

    from agc_pipeline import analyses
    from agc_pipeline.columnar import features, thresholds
    from agc_pipeline.declaration.features import of_regions
    from agc_pipeline.declaration.thresholds import changed

    start = time.process_time()
    analysis = thresholds.of_fit(analyses.load(settings.analysis).with_selection(settings.regions))
    name, fill = delivered(options.manifests, options, allow_partial=settings.allow_partial)
    declared = {threshold.name: threshold for threshold in analysis.thresholds}
    cuts = [(declared[name], value) for name, value in settings.reference.items()]
    rows = features.rows(
        analysis,
        changed(settings.selection, cuts),
        analysis.dataset(name),
        of_regions(
            analysis.features, [region.name for region in analysis.regions], settings.features
        ),
        fill=fill,
    )
    seconds = time.process_time() - start
    features.write(options.output, rows, seconds)
    log.info("%s: features in %.0f s of CPU", name, seconds)


STAGE = Stage(
    name="features",
    settings=FeaturesStage,
    options=FeaturesOptions,
    configure=configure,
    run=run,
    when=never,
)
main = STAGE.main

if __name__ == "__main__":
    main()
