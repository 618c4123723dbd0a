"""Add up some of the histograms of a dataset that has too many for one job."""

from dataclasses import replace
from pathlib import Path

from agc_pipeline.stages import merge_dataset
from agc_pipeline.stages.description import reads, writes


class PartialSumOptions(merge_dataset.MergeDatasetOptions):
    """What the stage is told beside its settings."""

    batches: tuple[Path, ...] = reads(
        lambda plan, dataset, level, number: plan.histogram_files(
            dataset, plan.partial_summands(dataset, level, number)
        ),
        "histograms of one dataset",
    )
    output: Path = writes("histograms/{dataset}/sum{level}/{number}.json", "sum to write")


def run(
    settings: merge_dataset.MergeDatasetStage, options: merge_dataset.MergeDatasetOptions
) -> None:
    """Add some, and write the sum, of which no file need be readable."""
    from agc_pipeline.columnar import batch

    batch.write(options.output, merge_dataset.total(settings, options))


STAGE = replace(merge_dataset.STAGE, name="partial_sum", options=PartialSumOptions, run=run)
main = STAGE.main

if __name__ == "__main__":
    main()
