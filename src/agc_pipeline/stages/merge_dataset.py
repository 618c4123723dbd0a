"""Add up the histograms of all batches of one dataset."""

import argparse
from pathlib import Path

from agc_pipeline.columnar import batch
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class MergeDatasetStage(Settings):
    """Adding needs no settings."""


def stage(arguments: argparse.Namespace) -> None:
    """Read all, add, write."""
    settings = command.settings(MergeDatasetStage, arguments.settings)
    made_by = provenance(
        "merge_dataset",
        packages=("hist", "numpy"),
        settings=settings.model_dump(),
        inputs=arguments.batches,
    )
    batch.write(
        arguments.output, batch.add([batch.read(path) for path in arguments.batches], made_by)
    )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--batches", type=Path, nargs="+", required=True, help="of one dataset")
    options.add_argument("--output", type=Path, required=True, help="sum to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
