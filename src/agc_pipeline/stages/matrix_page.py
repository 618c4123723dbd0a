"""Judge all cells of the matrix, write the page and the files for machines, keep the history."""

import argparse
import logging
from pathlib import Path

from pydantic import PositiveFloat

from agc_pipeline.files import read_record, write_json, write_text
from agc_pipeline.matrix import history, junit, page
from agc_pipeline.matrix.environments import locked
from agc_pipeline.matrix.records import CellRecord, CellVerdict
from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.matrix.verdicts import verdict_on
from agc_pipeline.report.page import render
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class PageStage(Settings):
    """What judging needs.

    Attributes:
        expected: expected verdict of each cell.
        slower: what a ratio must exceed one by to be called a regression.
        fail_on: verdicts that are bad.
        history: file with earlier runs.
    """

    expected: dict[str, Verdict]
    slower: PositiveFloat
    fail_on: tuple[Verdict, ...]
    history: str


def stage(arguments: argparse.Namespace) -> None:
    """Write everything; bad verdicts are told by ``matrix_verdict``."""
    settings = command.settings(PageStage, arguments.settings)
    verdicts = []
    for path in arguments.cells:
        cell = read_record(CellRecord, path, "a cell")
        verdict, reason = verdict_on(cell, settings.slower)
        expected = settings.expected[cell.name]
        verdicts.append(CellVerdict(cell=cell, verdict=verdict, reason=reason, expected=expected))
    path = Path(settings.history)
    with locked(path.with_suffix(".lock")):
        past = history.add(history.read(path), verdicts)
        history.write(path, past)
    values = page.values(verdicts, past, settings.slower, settings.fail_on, arguments.page.parent)
    write_text(arguments.page, render("matrix.html.j2", values))
    junit.write(arguments.junit, verdicts, settings.fail_on)
    separations = [item.model_dump(mode="json") for item in values["separations"]]
    cells = [item.model_dump(mode="json") for item in verdicts]
    write_json(arguments.record, {"cells": cells, "separations": separations})
    log.info("%s", arguments.page)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--cells", type=Path, nargs="+", required=True, help="records of cells")
    options.add_argument("--page", type=Path, required=True, help="HTML page to write")
    options.add_argument("--record", type=Path, required=True, help="JSON file to write")
    options.add_argument("--junit", type=Path, required=True, help="JUnit XML file to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
