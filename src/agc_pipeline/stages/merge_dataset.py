"""Add up the histograms of all batches of one dataset."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.columnar.batch import Batch
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


def total(settings: MergeDatasetStage, options: MergeDatasetOptions) -> "Batch":
    """Read all, and add."""
    from agc_pipeline.columnar import batch

    made_by = provenance(
        "merge_dataset",
        packages=("hist", "numpy"),
        settings=settings.model_dump(),
        inputs=options.batches,
    )
    return batch.add([batch.read(path) for path in options.batches], made_by)


def run(settings: MergeDatasetStage, options: MergeDatasetOptions) -> None:
    """Add all, and write the sum.

    Raises:
        ClosureError: if no file of the dataset could be read: other datasets need not be waited
            for to know it.
    """
    from agc_pipeline.columnar import batch, ledger

    summed = total(settings, options)
    ledger.check_readable(summed.files, summed.dataset)
    batch.write(options.output, summed)


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
