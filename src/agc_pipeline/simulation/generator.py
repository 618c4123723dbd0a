"""Events from Pythia 8: the process, filtered before the shower, then the shower."""

import functools
import importlib
from collections.abc import Iterable
from typing import Any

import awkward as ak

from agc_pipeline.errors import PipelineError
from agc_pipeline.simulation.settings import LEPTON_ETA_MAX, LEPTON_PT_MIN, Recipe

ELECTRON, MUON = 11, 13
_W = 24
MAX_SEED = 900_000_000
# Last of the incoming particles in Pythia's record, behind which are those of the process.
_INCOMING = 4
_QUIET = ("Print:quiet = on", "Next:numberCount = 0")

# The early look at the partons of events that have few: when the shower has come down to this
# scale in GeV, the hard partons have nearly their final pt. To be selected, an event needs four
# jets above 30 GeV; those that are lost here are part of the calibration of the dataset.
_EARLY_SCALE = 15.0
_EARLY_PT_MIN = 15.0
_EARLY_ETA_MAX = 3.0


def library(name: str) -> Any:
    """Import a package that only the simulation needs.

    Raises:
        PipelineError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PipelineError(
            f"the package {name!r} cannot be imported: {error}",
            place="simulated input (`input.kind: simulated`)",
            remedy="pip install 'agc-pipeline[simulation]' (pythia8mc has wheels for Linux x86_64"
            " and macOS arm64 only; elsewhere choose another `input.kind`)",
        ) from error


def read_cards(pythia: Any, cards: Iterable[str], dataset: str) -> None:
    """Give Pythia its settings.

    Args:
        pythia: a new instance.
        cards: lines for ``Pythia.readString``.
        dataset: that is generated, for errors.

    Raises:
        PipelineError: naming the line that Pythia refuses.
    """
    for card in cards:
        if not pythia.readString(card):
            raise _refused(dataset, f"Pythia does not understand {card!r}")


def initialise(pythia: Any, dataset: str) -> None:
    """Make Pythia ready for events.

    Raises:
        PipelineError: if it cannot be initialised.
    """
    if not pythia.init():
        raise _refused(dataset, "Pythia cannot be initialised")


class Generator:
    """Pythia, set up for one dataset. It generates chunk after chunk, each from a seed of its own.

    Args:
        recipe: how the dataset is simulated.
        dataset: its name, for errors.
        seed: for the search of the largest cross sections, any number of at most 32 bits; all
            generators of a dataset need the same, since Pythia picks events by what it finds.
        leptons: PDG codes, without sign, of the leptons of which a W boson must decay to one.

    Raises:
        PipelineError: if pythia8mc is not installed, or Pythia refuses its settings.
    """

    def __init__(
        self, recipe: Recipe, dataset: str, *, seed: int, leptons: tuple[int, ...]
    ) -> None:
        pythia8 = library("pythia8mc")
        default = _default_pythia()
        self._pythia = pythia8.Pythia(default.settings, default.particleData, False)
        cards = (
            *_QUIET,
            *recipe.cards,
            *_forced_decays(recipe, leptons),
            "Random:setSeed = on",
            f"Random:seed = {_pythia_seed(seed)}",
        )
        read_cards(self._pythia, cards, dataset)
        self._filter = _event_filter(pythia8, leptons, recipe)
        self._pythia.setUserHooksPtr(self._filter)
        initialise(self._pythia, dataset)
        branching = _branching_ratio(self._pythia, leptons)
        # With "plus", events where both W bosons decay to such a lepton are generated twice as
        # often as the others, so every other one is dropped. What is left of n trials stands for
        # the events with at least one such lepton among n / (2 branching) inclusive ones.
        self._per_trial = {"plus": 0.5 / branching, "any": 1.0 / branching, "open": 1.0}[
            recipe.decays
        ]

    def start(self, seed: int) -> None:
        """Begin a chunk: what follows depends on nothing that was generated before.

        Args:
            seed: any number of at most 32 bits.
        """
        self._pythia.rndm.init(_pythia_seed(seed))
        self._filter.start()

    def shower(self, n_events: int) -> ak.Array:
        """Generate events of the chunk that pass the filter.

        Returns:
            ``n_events * {prt: var * PythiaParticle, ...}``; fewer if a shower failed.
        """
        return self._pythia.nextBatch(n_events)

    @property
    def n_generated(self) -> float:
        """Inclusive events that all events of the chunk stand for."""
        return float(self._filter.n_trials * self._per_trial)


def _pythia_seed(seed: int) -> int:
    return 1 + seed % MAX_SEED


@functools.cache
def _default_pythia() -> Any:
    """A Pythia that knows its defaults: reading them takes longer than copying them."""
    return library("pythia8mc").Pythia("", False)


def _forced_decays(recipe: Recipe, leptons: tuple[int, ...]) -> tuple[str, ...]:
    codes = " ".join(str(code) for code in leptons)
    match recipe.decays:
        case "plus":
            # The last line that names a channel counts: leptons for both charges, the rest for W-.
            every = "1 2 3 4 5 11 13 15"
            return ("24:onMode = off", f"24:onNegIfAny = {every}", f"24:onIfAny = {codes}")
        case "any":
            return ("24:onMode = off", f"24:onIfAny = {codes}")
        case "open":
            return ()


def _branching_ratio(pythia: Any, leptons: tuple[int, ...]) -> float:
    """Branching ratio of the W boson to the leptons, as Pythia has it."""
    boson = pythia.particleData.findParticle(_W)
    channels = [boson.channel(index) for index in range(boson.sizeChannels())]
    total = sum(channel.bRatio() for channel in channels)
    leptonic = sum(
        channel.bRatio()
        for channel in channels
        if any(abs(channel.product(index)) in leptons for index in range(channel.multiplicity()))
    )
    return float(leptonic / total)


def _event_filter(pythia8: Any, leptons: tuple[int, ...], recipe: Recipe) -> Any:
    """A Pythia user hook that drops events as early as possible and counts all of them."""
    # W bosons that can decay to such a lepton, and how many particles at the end of the process can
    # be one: with "open" decays, another particle stands in for a W boson and decays before, and
    # None is all that there are.
    n_bosons = 1 if recipe.decays == "any" else 2
    n_products = None if recipe.decays == "open" else 2 * n_bosons

    class EventFilter(pythia8.UserHooks):  # type: ignore[misc]
        """Counts the events generated and drops those that cannot be selected."""

        def __init__(self) -> None:
            super().__init__()
            self.start()

        def start(self) -> None:
            self.n_trials = 0
            self._n_double = 0

        def canVetoProcessLevel(self) -> bool:  # noqa: N802 - Pythia's name
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802
            """Drop events without a lepton in reach, and every other one with two leptons."""
            self.n_trials += 1
            # Products of W bosons stand at the end, and each look into Pythia takes time.
            in_reach, n_leptons = False, 0
            for index in range(process.size() - 1, _INCOMING, -1)[:n_products]:
                particle = process[index]
                if particle.idAbs() in leptons:
                    in_reach = in_reach or (
                        particle.pT() > LEPTON_PT_MIN and abs(particle.eta()) < LEPTON_ETA_MAX
                    )
                    n_leptons += 1
                    if n_leptons == n_bosons:
                        break
            if n_leptons == 2 and recipe.decays == "plus":
                self._n_double += 1
                if self._n_double % 2:
                    return True
            return not in_reach

        def canVetoPT(self) -> bool:  # noqa: N802
            return recipe.min_partons > 0

        def scaleVetoPT(self) -> float:  # noqa: N802
            return _EARLY_SCALE

        def doVetoPT(self, position: int, event: Any) -> bool:  # noqa: ARG002, N802
            """Drop events with too few hard partons halfway through the shower."""
            hard, possible = 0, event.nFinal()
            # At least one particle is the W boson, or what it decayed to.
            if possible - 1 < recipe.min_partons:
                return True
            for index in range(event.size() - 1, _INCOMING, -1):
                particle = event[index]
                if not particle.isFinal():
                    continue
                if (
                    particle.pT() > _EARLY_PT_MIN
                    and particle.colType() != 0
                    and abs(particle.eta()) < _EARLY_ETA_MAX
                ):
                    hard += 1
                    if hard == recipe.min_partons:
                        return False
                else:
                    possible -= 1
                    if possible < recipe.min_partons:
                        return True
            return True

    return EventFilter()


def _refused(dataset: str, problem: str) -> PipelineError:
    return PipelineError(
        problem,
        place=f"simulation of {dataset}",
        remedy="install the version of pythia8mc that the extra `simulation` requires",
    )
