"""Add up some of the histograms of a dataset that has too many for one job."""

from pathlib import Path

from agc_pipeline.stages.description import Stage, always, reads, writes
from agc_pipeline.stages.merge_dataset import MergeDatasetOptions, MergeDatasetStage, configure, run


class PartialSumOptions(MergeDatasetOptions):
    """What the stage is told beside its settings."""

    batches: tuple[Path, ...] = reads(
        lambda plan, dataset, level, number: plan.histogram_files(
            dataset, plan.partial_summands(dataset, level, number)
        ),
        "of one dataset",
    )
    output: Path = writes("histograms/{dataset}/sum{level}/{number}.json", "sum to write")


STAGE = Stage(
    name="partial_sum",
    settings=MergeDatasetStage,
    options=PartialSumOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
