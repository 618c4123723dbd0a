"""Simulated events in the format of the 4lep collection, and pseudodata.

Pythia generates the hard process, showers and hadronisation; multiple parton interactions are off.
The detector is a parametrisation of efficiencies and resolutions, with misidentified hadrons. The
generator knows neither the yields of the collaboration's samples nor their filters: the number of
events that a file stands for is such that the yields of the published pre-fit distribution come
out, see ``recipes.py``. Shapes are the generator's.

The pseudodata, in the place of the collision data, are events of all samples in Poisson numbers.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.settings import Settings
from agc_pipeline.simulation.part import SimulationPart

from .recipes import DATA, RECIPES


class SimulationJob(Settings):
    """What a file follows from.

    Attributes:
        dataset: its name.
        seed: master seed.
        scale: number of simulated events relative to the default; pseudodata have those of the
            luminosity.
    """

    dataset: str
    seed: int = Field(ge=0, lt=2**31)
    scale: PositiveFloat


class Simulation(SimulationPart):
    """Size and seed of the simulated input.

    Attributes:
        scale: number of simulated events relative to the default.
        seed: master seed.
    """

    scale: float = Field(gt=0, le=1000)
    seed: int = Field(ge=0, lt=2**31)

    def parts(self, dataset: str) -> int:
        """One file, as in the collection."""
        self._check(dataset)
        return 1

    def job(self, dataset: str, part: int) -> SimulationJob:  # noqa: ARG002
        """The job of the file of a dataset."""
        self._check(dataset)
        scale = 1.0 if dataset == DATA else self.scale
        return SimulationJob(dataset=dataset, seed=self.seed, scale=scale)

    def _check(self, dataset: str) -> None:
        if dataset != DATA and dataset not in RECIPES:
            raise ConfigurationError(
                f"the simulation has no recipe for the dataset {dataset!r}",
                place="simulation",
                remedy=f"choose among {', '.join((*RECIPES, DATA))}, or add a recipe",
            )


SETTINGS = Simulation
JOB = SimulationJob
PACKAGES = ("awkward", "numpy", "pythia8mc", "uproot")


def write(job: SimulationJob, path: Path) -> dict[str, Any]:
    """Simulate the events of a job and write them, see ``SimulationModule``."""
    # The generator takes long to import, and only its jobs need it.
    from . import generation, mini  # noqa: PLC0415

    if job.dataset == DATA:
        events, n_generated = generation.pseudodata(job.seed), None
    else:
        events, n_generated = generation.simulated(job.dataset, job.seed, job.scale)
    mini.write(path, events, RECIPES.get(job.dataset), n_generated)
    n_events = len(events)
    return {
        "n_events": n_events,
        "n_generated": n_events if n_generated is None else n_generated,
    }
