"""Write a file of the sample that a facility is measured with."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, writes

if TYPE_CHECKING:
    from agc_pipeline.facility.plan import FacilityPlan


class SampleStage(Settings):
    """The file: kind and number of its events, and the seed of their random numbers."""

    kind: Literal["ttbar", "wjets"]
    events: int
    seed: int


class SampleOptions(Options):
    """What the stage is told beside its settings."""

    output: Path = writes("sample/{part}.root", "ROOT file to write")


def configure(plan: "FacilityPlan", part: str) -> SampleStage:
    """The file of this number."""
    sample = plan.settings.sample
    return SampleStage(kind=sample.kind, events=sample.events, seed=sample.seed + int(part))


def run(settings: SampleStage, options: SampleOptions) -> None:
    """Write the file."""
    from agc_pipeline.facility import sample

    sample.write(options.output, settings.kind, settings.events, seed=settings.seed)


STAGE = Stage(
    name="facility_sample",
    settings=SampleStage,
    options=SampleOptions,
    configure=configure,
    run=run,
    when=never,
    physics=False,
)
main = STAGE.main

if __name__ == "__main__":
    main()
