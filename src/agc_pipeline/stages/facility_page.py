"""Put the points of a facility together: record, page, history."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import extras
from agc_pipeline.code import data
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.facility.settings import SimulatedSettings
from agc_pipeline.files import read_record, write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, reads, writes, writes_folder

if TYPE_CHECKING:
    from agc_pipeline.facility.plan import FacilityPlan

log = logging.getLogger(__name__)


class PageStage(Settings):
    """What the page needs beside the points.

    Attributes:
        simulated: what is predicted.
        dispatch: seconds of each executor for each task in which no other is handed out.
        history: file with earlier measurements.
    """

    simulated: SimulatedSettings
    dispatch: dict[str, float]
    history: str


def compared(plan: "FacilityPlan") -> list[str]:
    """Records of other measurements, which are looked at before the first point is taken.

    Raises:
        ConfigurationError: naming one that is missing, of another kind, or named twice.
    """
    from agc_pipeline.facility import summary

    paths = plan.settings.compare
    files = [Path(path).resolve() for path in paths]
    own = Path(plan.folder, "facility.json").resolve()
    for path, file in zip(paths, files, strict=True):
        problem = "is named twice" if files.count(file) > 1 else None
        try:
            summary.read(Path(path))
        except InputError as error:
            problem = f"cannot be compared: {error.problem}"
        if file == own:
            problem = "is what this measurement writes itself: copy it, or choose other `results`"
        if problem is not None:
            raise ConfigurationError(
                f"`compare`: {path} {problem}",
                place=plan.values.place("compare"),
                remedy="name the `facility.json` of each other measurement once, as it was written",
            )
    return list(paths)


class PageOptions(Options):
    """What the stage is told beside its settings."""

    points: tuple[Path, ...] = reads(
        lambda plan: [f"{plan.folder}/points/{point}.json" for point in plan.points],
        "records of points",
    )
    inputs: tuple[Path, ...] = reads(
        lambda plan: [f"{plan.folder}/inputs/{name}.json" for name in plan.settings.inputs],
        "records of inputs",
    )
    compare: tuple[Path, ...] = reads(compared, "records of other measurements", default=())
    page: Path = writes("index.html", "HTML page to write")
    record: Path = writes("facility.json", "JSON file to write")
    figures: Path = writes_folder("figures", "folder for the figures of the page")
    tables: Path = writes_folder("tables", "folder for the tables of the page")


def configure(plan: "FacilityPlan") -> PageStage:
    """What is predicted, and where the history is kept.

    Raises:
        ConfigurationError: if the simulation is not installed.
        InputError: if the history is damaged: all points would be taken before that shows.
    """
    from agc_pipeline.facility import summary

    history = f"{plan.settings.folder}/history.json"
    summary.read_history(Path(history))
    extras.require(
        "facility",
        setting="snakemake facility",
        alternative="measure in an environment that has them",
    )
    return PageStage(
        simulated=plan.settings.simulated,
        dispatch={
            name: executor.dispatch_seconds for name, executor in plan.settings.executors.items()
        },
        history=history,
    )


def run(settings: PageStage, options: PageOptions) -> None:
    """Write everything; what limits is told by ``facility_verdict``."""
    from agc_pipeline.facility import page, summary
    from agc_pipeline.facility.records import InputRecord, PointRecord
    from agc_pipeline.measuring.commands import locked
    from agc_pipeline.report.page import write

    points = [read_record(PointRecord, path, "a point of a facility") for path in options.points]
    inputs = [read_record(InputRecord, path, "an input of a facility") for path in options.inputs]
    others = [summary.read(path) for path in options.compare]
    record = summary.summarise(points, inputs, settings.simulated, settings.dispatch)
    path = Path(settings.history)
    with locked(path.with_suffix(".lock")):
        past = summary.add(summary.read_history(path), record)
        summary.write_history(path, past)
    options.figures.mkdir(parents=True, exist_ok=True)
    values = page.values(record, points, others, past, options.page.parent)
    write_json(options.record, record.model_dump(mode="json"))
    # Last, as it links to what stands beside it.
    write(options.page, "facility.html.j2", values, options.tables)
    log.info("%s", options.page)


STAGE = Stage(
    name="facility_page",
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
