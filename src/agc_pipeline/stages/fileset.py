"""Write the list of inputs as a fileset in coffea's shape."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.datasets import DatasetFiles
from agc_pipeline.files import write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


class FilesetStage(Settings):
    """The datasets of the run, which the analysis declares."""

    analysis: str
    datasets: tuple[DatasetFiles, ...]


class FilesetOptions(Options):
    """What the stage is told beside its settings."""

    output: Path = writes("fileset.json", "JSON file to write")


def configure(plan: "Plan") -> FilesetStage:
    """All datasets of the run."""
    return FilesetStage(analysis=plan.config.analysis, datasets=tuple(plan.datasets.values()))


def run(settings: FilesetStage, options: FilesetOptions) -> None:
    """Write the fileset."""
    from agc_pipeline import analyses, filesets

    analysis = analyses.load(settings.analysis)
    folder = options.output.parent
    write_json(options.output, filesets.as_json(settings.datasets, analysis, folder=folder))


STAGE = Stage(
    name="fileset",
    settings=FilesetStage,
    options=FilesetOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    watched={"records": lambda plan: plan.records},
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
