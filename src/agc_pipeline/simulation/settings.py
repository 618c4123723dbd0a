"""The ``simulation:`` part of the configuration, recipes of datasets, and jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from agc_pipeline.declaration import Cut
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.settings import AtMost, Seed, Settings, cost
from agc_pipeline.simulation.part import Contents, SimulationPart

# Event numbers of a chunk start at its number times this.
MAX_SHOWERS = 1_000_000

# Leptons are required before the shower, whose recoil moves them: looser than the selection; GeV.
LEPTON_PT_MIN = 25.0
LEPTON_ETA_MAX = 2.4
# Written are events that come near the selection: with three jets, whatever their identification.
JET_PT_MIN = 20.0
JET_ETA_MAX = 2.6
N_JETS_MIN = 3

_LEPTON = (Cut("pt", ">", LEPTON_PT_MIN), Cut("abs(eta)", "<", LEPTON_ETA_MAX))

# Which lepton is required before the shower, so that no time goes into events that cannot be
# selected. "plus": the W+ decays to it, and as often as not the event is replaced by its charge
# conjugate; "any": every W does (there is one only); "open": all W decays are generated.
Decays = Literal["plus", "any", "open"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one dataset is simulated.

    Attributes:
        cards: lines for ``Pythia.readString``: beams, process and shower.
        decays: which W boson must decay to the lepton.
        min_partons: hard partons without which an event is dropped early; 0 does not check.
        parts: files at scale 1.
        chunks_per_part: chunks in a file. A chunk has a seed of its own: it stays the same however
            the work is divided.
        showers: events that pass the filter before the shower, in each chunk.
        n_generated_factor: calibration of the number of inclusive events that were generated:
            simulated over published acceptance.
        bottom_exponent: calibration of b-tagging, see ``discriminants.draw``.
    """

    cards: tuple[str, ...]
    decays: Decays
    min_partons: int = 0
    parts: int
    chunks_per_part: int
    showers: int
    n_generated_factor: float
    bottom_exponent: float


@dataclass(frozen=True, kw_only=True)
class Subset:
    """A dataset of which all events are also in another one that is simulated.

    As with weights of a generator, its difference from the other dataset has much less statistical
    noise than that of two independent samples. In place of weights, an event is accepted with a
    probability, so that the files are like those of any sample: the probability is the logistic
    function of a sum of generator quantities (``subsets.quantities``), each times its coefficient.

    Attributes:
        of: name of the other dataset.
        n_generated_factor: calibration of the number of events that were generated, relative to
            that of the other dataset.
        constant: first term of the sum.
        recoil: coefficient of ln(1 + pt / 50 GeV), with the pt of the top quarks together.
        radiation: of the share of the pt of their quarks that is radiated.
        hardness: of ln(HT / 200 GeV), with the scalar sum of the pt of these quarks.
        bottom: is added where both bottom quarks are in reach of b-tagging.
        hadronic: is added where there are four such quarks: one W boson decays to two.
    """

    of: str
    n_generated_factor: float
    constant: float
    recoil: float
    radiation: float
    hardness: float
    bottom: float
    hadronic: float


Recipes = Mapping[str, Recipe]
Subsets = Mapping[str, Subset]


def recipe_of(recipes: Recipes, dataset: str) -> Recipe:
    """The recipe of a dataset.

    Raises:
        ConfigurationError: for a dataset without a recipe.
    """
    if dataset not in recipes:
        raise ConfigurationError(
            f"the simulation has no recipe for the dataset {dataset!r}",
            place="simulation",
            remedy=f"choose among {', '.join(recipes)}, or add a recipe",
        )
    return recipes[dataset]


class SimulationJob(Settings):
    """Everything, besides the recipe, that one file of simulated events follows from.

    Attributes:
        dataset: ``process__variation``.
        seed: master seed.
        muon_identification: see ``SimulationSettings``.
        first_chunk: number of the first chunk in the file.
        n_chunks: chunks in the file.
        showers: events that are showered for each chunk.
    """

    dataset: str
    seed: Seed
    muon_identification: bool
    first_chunk: NonNegativeInt
    n_chunks: PositiveInt
    showers: int = Field(ge=1, le=MAX_SHOWERS)


class SimulationSettings(SimulationPart):
    """Size and seed of simulated input by recipes.

    Attributes:
        recipes: of all datasets that are generated, by name.
        subsets: of these, the other datasets by name.
        scale: number of events relative to the default; more adds files behind the others.
        seed: master seed; every event follows from it, the dataset and the number of its chunk.
        muon_identification: whether muons can be selected. Without it no muon passes ``tightId``,
            as in the 2015 Open Data files in NanoAOD, from which the published histograms are.
    """

    recipes: ClassVar[Recipes]
    subsets: ClassVar[Subsets] = MappingProxyType({})
    contents: ClassVar[tuple[Contents, ...]] = (
        Contents("Electron", _LEPTON),
        Contents("Muon", _LEPTON),
        Contents(
            "Jet", (Cut("pt", ">", JET_PT_MIN), Cut("abs(eta)", "<", JET_ETA_MAX)), N_JETS_MIN
        ),
    )

    scale: Annotated[PositiveFloat, AtMost(1000, cost(500))]
    seed: Seed
    muon_identification: bool

    def parts(self, dataset: str) -> int:
        """Number of files of a dataset, at least one.

        Raises:
            ConfigurationError: for a dataset without a recipe.
        """
        return max(1, round(self.scale * self._recipe(dataset).parts))

    def source(self, dataset: str) -> str | None:
        """The dataset that all events of this one are taken from; None if it is generated."""
        subset = self.subsets.get(dataset)
        return None if subset is None else subset.of

    def _recipe(self, dataset: str) -> Recipe:
        return recipe_of(self.recipes, self.source(dataset) or dataset)

    def job(self, dataset: str, part: int) -> SimulationJob:
        """The job of one file of a dataset.

        A file does not depend on how many others there are: a larger scale leaves the jobs as
        they are. Only a dataset that is less than one file has a file of fewer chunks.

        Args:
            dataset: ``process__variation``.
            part: number of the file, counted from 0.

        Raises:
            ConfigurationError: for a dataset without a recipe.
        """
        recipe = self._recipe(dataset)
        chunks = recipe.chunks_per_part
        if self.scale * recipe.parts < 1.0:
            chunks = max(1, round(self.scale * recipe.parts * chunks))
        return SimulationJob(
            dataset=dataset,
            seed=self.seed,
            muon_identification=self.muon_identification,
            first_chunk=part * recipe.chunks_per_part,
            n_chunks=chunks,
            showers=recipe.showers,
        )
