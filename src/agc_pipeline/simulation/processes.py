"""What Pythia is told about each dataset.

Everything is leading order with showers tuned to stand in for the samples of the real analysis;
multiple parton interactions and hadronisation are off, which makes Pythia several times faster
and leaves the shapes of the observables unchanged once the jet energy scale is adapted.

The dials of the showers (damping of hard initial-state emissions, renormalisation scales) are
adapted to the shapes that the task has published for each dataset: the names of the variations say
which sample a dataset stands in for, not how that sample was made.
"""

from dataclasses import dataclass
from typing import Literal

# Which lepton is asked for before the shower, so that no time goes into events that can not be
# selected. "plus": the W+ decays to it, and as often as not the event is replaced by its charge
# conjugate; "any": every W does (there is one only); "open": all W decays are generated.
Decays = Literal["plus", "any", "open"]


@dataclass(frozen=True)
class Recipe:
    """Generation of one dataset.

    Attributes:
        cards: lines for ``Pythia.readString``.
        decays: which W boson must decay to the lepton.
        min_partons: hard partons without which an event is dropped early; 0 does not look.
    """

    cards: tuple[str, ...]
    decays: Decays
    min_partons: int = 0


COMMON = (
    "Print:quiet = on",
    "Next:numberCount = 0",
    "Beams:eCM = 13000.",
    # Mass used for the samples of the analysis.
    "6:m0 = 172.5",
    "PartonLevel:MPI = off",
    # Decays stay on: they are those of the tau.
    "HadronLevel:Hadronize = off",
    # Emissions below do not change a jet above 30 GeV; without hadronisation nobody needs them.
    "TimeShower:pTmin = 2.0",
    "SpaceShower:pTmin = 1.0",
    # The detector simulation measures the energy of an electron together with its photons.
    "TimeShower:QEDshowerByL = off",
    "Check:event = off",
)


def _damped(fudge: float) -> tuple[str, ...]:
    """Initial-state emissions above the hard scale, damped: the imitation of POWHEG's hdamp."""
    return (
        "SpaceShower:pTmaxMatch = 2",
        "SpaceShower:pTdampMatch = 2",
        f"SpaceShower:pTdampFudge = {fudge}",
    )


def _scale(factor: float) -> tuple[str, ...]:
    """Square of the factor on the renormalisation scale of both showers."""
    return (
        f"TimeShower:renormMultFac = {factor}",
        f"SpaceShower:renormMultFac = {factor}",
    )


_TTBAR = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")

# Pythia has no b g -> t W. Its b g -> t H- with a charged Higgs boson as heavy, as wide and with
# the same decays as a W has the kinematics; the boson is renamed where the record is read.
_TW = (
    "Higgs:useBSM = on",
    "HiggsBSM:bg2H+-t = on",
    "37:m0 = 80.385",
    "37:mWidth = 2.085",
    "37:doForceWidth = on",
    "37:mMin = 60.",
    "37:mMax = 100.",
    # meMode 101: the branching ratio is the one given. W decays, Review of Particle Physics.
    "37:oneChannel = 1 0.1086 101 -11 12",
    "37:addChannel = 1 0.1086 101 -13 14",
    "37:addChannel = 1 0.1086 101 -15 16",
    "37:addChannel = 1 0.3371 101 2 -1",
    "37:addChannel = 1 0.3371 101 4 -3",
    "6:onMode = off",
    "6:onIfAny = 24",
)

RECIPES = {
    "ttbar__nominal": Recipe((*_TTBAR, *_damped(1.0)), "plus"),
    "ttbar__ME_var": Recipe((*_TTBAR, *_damped(2.5)), "plus"),
    "ttbar__PS_var": Recipe((*_TTBAR, *_damped(0.7), "TimeShower:renormMultFac = 0.4"), "plus"),
    "ttbar__scaleup": Recipe((*_TTBAR, *_damped(1.0), *_scale(2.0)), "plus"),
    "ttbar__scaledown": Recipe((*_TTBAR, *_damped(1.0), *_scale(0.5)), "plus"),
    "single_top_s_chan__nominal": Recipe(("Top:ffbar2tqbar(s:W) = on", *_damped(1.4)), "any"),
    "single_top_t_chan__nominal": Recipe(("Top:qq2tq(t:W) = on", *_damped(1.0)), "any"),
    "single_top_tW__nominal": Recipe((*_TW, *_damped(2.5)), "open"),
    "wjets__nominal": Recipe(
        (
            "WeakBosonAndParton:qqbar2Wg = on",
            "WeakBosonAndParton:qg2Wq = on",
            "PhaseSpace:pTHatMin = 60.",
            *_damped(2.0),
        ),
        "any",
        min_partons=4,
    ),
}
