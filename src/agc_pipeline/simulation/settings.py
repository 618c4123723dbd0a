"""The ``simulation:`` part of the configuration, and what one of its jobs is told."""

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from agc_pipeline.settings import Settings
from agc_pipeline.simulation.part import SimulationPart
from agc_pipeline.simulation.plan import DATASETS, MAX_SHOWERS, plan


def _known(dataset: str) -> str:
    if dataset not in DATASETS:
        raise ValueError(f"the simulation makes {', '.join(DATASETS)}")
    return dataset


class SimulationJob(Settings):
    """Everything that one file of simulated events follows from.

    Attributes:
        dataset: ``process__variation``.
        seed: master seed.
        muon_identification: see ``SimulationSettings``.
        first_chunk: number of the first chunk in the file.
        n_chunks: chunks in the file.
        showers: events that are showered for each chunk.
    """

    dataset: Annotated[str, AfterValidator(_known)]
    seed: int = Field(ge=0, lt=2**31)
    muon_identification: bool
    first_chunk: NonNegativeInt
    n_chunks: PositiveInt
    showers: int = Field(ge=1, le=MAX_SHOWERS)


class SimulationSettings(SimulationPart):
    """Size and seed of the simulated input.

    Attributes:
        scale: amount of events relative to the default; more adds files behind the others.
        seed: master seed; every event follows from it, the dataset and the number of its chunk.
        muon_identification: whether muons can be selected. Without it no muon passes ``tightId``,
            as in the 2015 Open Data files in NanoAOD, from which the published histograms are.
    """

    scale: PositiveFloat
    seed: int = Field(ge=0, lt=2**31)
    muon_identification: bool

    def parts(self, dataset: str) -> int:
        """Number of files of a dataset, at least one.

        Raises:
            ConfigurationError: for a dataset that the simulation does not know.
        """
        size = plan(dataset)
        return max(1, round(self.scale * size.parts))

    def job(self, dataset: str, part: int) -> SimulationJob:
        """What makes the file number ``part``, counted from 0, of a dataset.

        A file does not depend on how many others there are: a larger scale leaves the jobs as
        they are. Only a dataset that is less than one file has a file of fewer chunks.

        Raises:
            ConfigurationError: for a dataset that the simulation does not know.
        """
        size = plan(dataset)
        chunks = size.chunks_per_part
        if self.scale * size.parts < 1.0:
            chunks = max(1, round(self.scale * size.parts * chunks))
        return SimulationJob(
            dataset=dataset,
            seed=self.seed,
            muon_identification=self.muon_identification,
            first_chunk=part * size.chunks_per_part,
            n_chunks=chunks,
            showers=size.showers,
        )
