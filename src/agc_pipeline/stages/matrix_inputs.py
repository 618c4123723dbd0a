"""Write the events of the matrix as TTree, RNTuple and skim, with filesets."""

import argparse
from pathlib import Path

from agc_pipeline.files import write_json
from agc_pipeline.matrix import inputs
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class InputsStage(Settings):
    """What writing needs: the analysis and its cuts."""

    analysis: str
    selection: dict[str, object]


def stage(arguments: argparse.Namespace) -> None:
    """Write the files, then the record with their digests."""
    settings = command.settings(InputsStage, arguments.settings)
    simulated = {path.stem: path for path in arguments.simulated}
    digests = inputs.write(simulated, settings.analysis, settings.selection, arguments.folder)
    write_json(arguments.output, digests)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--simulated", type=Path, nargs="+", required=True, help="ROOT files")
    options.add_argument("--folder", type=Path, required=True, help="folder to write to")
    options.add_argument("--output", type=Path, required=True, help="record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
