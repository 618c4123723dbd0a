"""Judge all cells of the matrix, write the page and the files for machines, keep the history."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveFloat

from agc_pipeline.code import data
from agc_pipeline.files import read_record, write_json
from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, reads, writes, writes_folder

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


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


class PageOptions(Options):
    """What the stage is told beside its settings."""

    cells: tuple[Path, ...] = reads(
        lambda plan: [f"{plan.folder}/cells/{cell}.json" for cell in plan.cells],
        "records of cells",
    )
    page: Path = writes("index.html", "HTML page to write")
    record: Path = writes("matrix.json", "JSON file to write")
    tables: Path = writes_folder("tables", "folder for the tables of the page")
    junit: Path = writes("junit.xml", "JUnit XML file to write")


def configure(plan: "MatrixPlan") -> PageStage:
    """What is expected of the cells, and what is bad.

    Raises:
        InputError: if the history is damaged: all cells would be run before that shows.
    """
    from agc_pipeline.matrix import history

    kept = f"{plan.settings.folder}/history.json"
    history.read(Path(kept))
    return PageStage(
        expected={
            cell.name: plan.settings.environments[cell.environment].expect
            for cell in plan.cells.values()
        },
        slower=plan.settings.timing.slower,
        fail_on=plan.settings.fail_on,
        history=kept,
    )


def run(settings: PageStage, options: PageOptions) -> None:
    """Write everything; bad verdicts are told by ``matrix_verdict``."""
    from agc_pipeline.matrix import history, junit, page
    from agc_pipeline.matrix.records import CellRecord, CellVerdict
    from agc_pipeline.matrix.verdicts import verdict_on
    from agc_pipeline.measuring.commands import locked
    from agc_pipeline.report.page import write

    verdicts = []
    for path in options.cells:
        cell = read_record(CellRecord, path, "a cell")
        verdict, reason = verdict_on(cell, settings.slower)
        expected = settings.expected[cell.name]
        verdicts.append(CellVerdict(cell=cell, verdict=verdict, reason=reason, expected=expected))
    path = Path(settings.history)
    with locked(path.with_suffix(".lock")):
        past = history.add(history.read(path), verdicts)
        history.write(path, past)
    values = page.values(verdicts, past, settings.slower, settings.fail_on, options.page.parent)
    junit.write(options.junit, verdicts, settings.fail_on)
    separations = [item.model_dump(mode="json") for item in values["separations"]]
    cells = [item.model_dump(mode="json") for item in verdicts]
    write_json(options.record, {"cells": cells, "separations": separations})
    # Last, as it links to what stands beside it.
    write(options.page, "matrix.html.j2", values, options.tables)
    log.info("%s", options.page)


STAGE = Stage(
    name="matrix_page",
    settings=PageStage,
    options=PageOptions,
    configure=configure,
    run=run,
    when=never,
    watched={"templates": lambda _: data("report/templates/*")},
)
main = STAGE.main

if __name__ == "__main__":
    main()
