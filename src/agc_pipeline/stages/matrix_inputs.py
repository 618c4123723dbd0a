"""Write the events of the matrix as TTree, RNTuple and skim, with filesets."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, reads, writes, writes_folder

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


class InputsStage(Settings):
    """What writing needs: the analysis and its cuts."""

    analysis: str
    selection: dict[str, object]


class InputsOptions(Options):
    """What the stage is told beside its settings."""

    simulated: tuple[Path, ...] = reads(
        lambda plan, analysis: [
            f"{plan.folder}/simulated/{analysis}/{dataset}.root"
            for dataset in plan.inputs(analysis).datasets
        ],
        "ROOT files",
    )
    folder: Path = writes_folder("inputs/{analysis}", "folder to write to")
    output: Path = writes("inputs/{analysis}.json", "record to write")


def configure(plan: "MatrixPlan", analysis: str) -> InputsStage:
    """The cuts of skims."""
    physics = plan.base(analysis).physics
    return InputsStage(analysis=analysis, selection=physics.model_dump()["selection"])


def run(settings: InputsStage, options: InputsOptions) -> None:
    """Write the files, then the record with their digests."""
    from agc_pipeline.matrix import inputs

    simulated = {path.stem: path for path in options.simulated}
    digests = inputs.write(simulated, settings.analysis, settings.selection, options.folder)
    write_json(options.output, digests)


STAGE = Stage(
    name="matrix_inputs",
    settings=InputsStage,
    options=InputsOptions,
    configure=configure,
    run=run,
    when=never,
    modules=lambda plan: tuple(analyses.locate(name).module for name in plan.settings.inputs),
)
main = STAGE.main

if __name__ == "__main__":
    main()
