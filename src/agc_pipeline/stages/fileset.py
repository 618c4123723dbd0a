"""Write the list of inputs as a fileset in coffea's shape."""

import argparse
from pathlib import Path

from agc_pipeline import analyses, filesets
from agc_pipeline.datasets import DatasetFiles
from agc_pipeline.files import write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class FilesetStage(Settings):
    """The datasets of the run, which the analysis declares."""

    analysis: str
    datasets: tuple[DatasetFiles, ...]


def stage(arguments: argparse.Namespace) -> None:
    """Write the fileset."""
    settings = command.settings(FilesetStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    folder = arguments.output.parent
    write_json(arguments.output, filesets.as_json(settings.datasets, analysis, folder=folder))


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="JSON file to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
