"""Write the events of the matrix as TTree, RNTuple and skim, with filesets."""

from pathlib import Path
from typing import TYPE_CHECKING

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
        lambda plan: [
            f"{plan.folder}/simulated/{dataset}.root" for dataset in plan.settings.inputs.datasets
        ],
        "ROOT files",
    )
    folder: Path = writes_folder("inputs", "folder to write to")
    output: Path = writes("inputs.json", "record to write")


def configure(plan: "MatrixPlan") -> InputsStage:
    """The cuts of skims."""
    return InputsStage(
        analysis=plan.config.analysis,
        selection=plan.config.physics.model_dump()["selection"],
    )


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
)
main = STAGE.main

if __name__ == "__main__":
    main()
