"""Print the verdicts of the matrix; an error if one of them is an unexpected failure."""

import argparse
import logging
from pathlib import Path

from pydantic import TypeAdapter

from agc_pipeline.errors import PipelineError
from agc_pipeline.files import read_json
from agc_pipeline.matrix.records import CellVerdict
from agc_pipeline.matrix.verdicts import is_unexpected
from agc_pipeline.stages import command
from agc_pipeline.stages.matrix_page import PageStage

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> None:
    """Print one line for each cell.

    Raises:
        PipelineError: if a verdict is bad and not expected.
    """
    settings = command.settings(PageStage, arguments.settings)
    cells = read_json(arguments.record)["cells"]
    verdicts = TypeAdapter(list[CellVerdict]).validate_python(cells)
    width = max(len(item.cell.name) for item in verdicts)
    for item in verdicts:
        note = "" if item.verdict is item.expected else f" ({item.expected} was expected)"
        log.info("%-*s  %-9s  %s%s", width, item.cell.name, item.verdict, item.reason.strip(), note)
    bad = [item for item in verdicts if is_unexpected(item, settings.fail_on)]
    if bad:
        names = ", ".join(f"{item.cell.name} ({item.verdict})" for item in bad)
        raise PipelineError(
            f"{len(bad)} of {len(verdicts)} cells are not as expected: {names}",
            place=str(arguments.record.with_name("index.html")),
            remedy="see there why; set `expect` of an environment for what is known, or "
            "`fail_on` in the matrix",
        )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--record", type=Path, required=True, help="record of the matrix")
    command.run(stage, options)


if __name__ == "__main__":
    main()
