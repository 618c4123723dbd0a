"""Print the verdicts of the matrix; an error if one of them is a bad surprise."""

import logging
from pathlib import Path

from pydantic import TypeAdapter

from agc_pipeline.errors import PipelineError
from agc_pipeline.files import read_json
from agc_pipeline.stages.description import Options, Stage, never, reads
from agc_pipeline.stages.matrix_page import PageStage, configure

log = logging.getLogger(__name__)


class VerdictOptions(Options):
    """What the stage is told beside its settings."""

    record: Path = reads("matrix.json", "record of the matrix")


def run(settings: PageStage, options: VerdictOptions) -> None:
    """Print one line for each cell.

    Raises:
        PipelineError: if a verdict is bad and not expected.
    """
    from agc_pipeline.matrix.records import CellVerdict
    from agc_pipeline.matrix.verdicts import is_unexpected

    cells = read_json(options.record)["cells"]
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
            place=str(options.record.with_name("index.html")),
            remedy="see there why, and correct the cause: the same command takes broken cells "
            "again; set `expect` of an environment for what is known, or `fail_on` in the matrix",
        )


STAGE = Stage(
    name="matrix_verdict",
    settings=PageStage,
    options=VerdictOptions,
    configure=configure,
    run=run,
    when=never,
)
main = STAGE.main

if __name__ == "__main__":
    main()
