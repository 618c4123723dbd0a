"""Add up the histograms of all batches of one dataset."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


class MergeDatasetStage(Settings):
    """Adding needs no settings."""


class MergeDatasetOptions(Options):
    """What the stage is told beside its settings."""

    batches: tuple[Path, ...] = reads(
        lambda plan, dataset: plan.histogram_files(dataset, plan.summands(dataset)),
        "histograms of one dataset",
    )
    output: Path = writes("histograms/{dataset}.json", "sum to write")


def configure(_: "Plan") -> MergeDatasetStage:
    """Adding needs no settings."""
    return MergeDatasetStage()


def run(settings: MergeDatasetStage, options: MergeDatasetOptions) -> None:
    """Read all, add, write."""
    from agc_pipeline.columnar import batch

    made_by = provenance(
        "merge_dataset",
        packages=("hist", "numpy"),
        settings=settings.model_dump(),
        inputs=options.batches,
    )
    batch.write(options.output, batch.add([batch.read(path) for path in options.batches], made_by))


STAGE = Stage(
    name="merge_dataset",
    settings=MergeDatasetStage,
    options=MergeDatasetOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
