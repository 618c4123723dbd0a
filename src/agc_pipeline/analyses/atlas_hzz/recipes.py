"""How each dataset of the embedded input is simulated, and what its events are normalised to."""

from dataclasses import dataclass

# Luminosity of the pseudodata, 1/pb.
LUMINOSITY = 10_000.0
# Dataset whose place the pseudodata take.
DATA = "data"


@dataclass(frozen=True, kw_only=True)
class Component:
    """A hard process.

    Attributes:
        cards: lines for ``Pythia.readString``.
        share: of the showers of the dataset.
    """

    cards: tuple[str, ...]
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one dataset is simulated.

    Attributes:
        components: hard processes.
        showers: events that are generated at scale 1.
        expected: events of this generator in the luminosity of the pseudodata, such that the
            published pre-fit yield comes out.
        xsec_pb: cross section of the dataset in the collection, pb.
        weight: mean generator weight of the collection's events.
        fakes: how many times more hadrons are taken for leptons than a detector has, so that few
            events are generated in vain.
    """

    components: tuple[Component, ...]
    showers: int
    expected: float
    xsec_pb: float
    weight: float
    fakes: float = 1.0

    @property
    def per_shower(self) -> float:
        """Events of the collection's sample, before its filter, that a generated one stands for."""
        return LUMINOSITY * self.xsec_pb / self.expected


# Of all components.
COMMON = (
    "Beams:eCM = 13000.",
    "PartonLevel:MPI = off",
    "Check:event = off",
)
_LEPTONIC_Z = ("23:onMode = off", "23:onIfAny = 11 13")
_FOUR_LEPTONS = ("25:m0 = 125.", "25:onMode = off", "25:onIfMatch = 23 23", *_LEPTONIC_Z)


def _z_and_jet(lepton: int) -> tuple[Component, ...]:
    return (
        Component(
            cards=(
                "WeakBosonAndParton:qqbar2gmZg = on",
                "WeakBosonAndParton:qg2gmZq = on",
                "PhaseSpace:pTHatMin = 10.",
                "WeakZ0:gmZmode = 2",
                "23:onMode = off",
                f"23:onIfAny = {lepton}",
            )
        ),
    )


# Yields of the published pre-fit distribution from 80 to 250 GeV: 112.9 events of Z and ttbar, of
# which the split is not published (60 % ttbar, to which the published shape is nearest), 168.8 of
# ZZ*, 9.5 of signal, shared by cross section. `expected` is this yield over the fraction of events
# that is selected, measured at scale 1. Cross sections and mean weights (sum of weights over
# generated events) are those of the collection.
RECIPES = {
    "Zee": Recipe(
        components=_z_and_jet(11),
        showers=20_000,
        fakes=8.0,
        expected=10044.0,
        xsec_pb=1950.5295,
        weight=1901.2,
    ),
    "Zmumu": Recipe(
        components=_z_and_jet(13),
        showers=20_000,
        fakes=8.0,
        expected=8692.0,
        xsec_pb=1950.6321,
        weight=1901.2,
    ),
    "ttbar_lep": Recipe(
        components=(
            Component(
                cards=(
                    "6:m0 = 172.5",
                    "Top:gg2ttbar = on",
                    "Top:qqbar2ttbar = on",
                    "24:onMode = off",
                    "24:onIfAny = 11 13",
                )
            ),
        ),
        showers=16_000,
        expected=5952.0,
        xsec_pb=452.693559,
        weight=1.0,
    ),
    "llll": Recipe(
        components=(
            Component(
                cards=(
                    "WeakDoubleBoson:ffbar2gmZgmZ = on",
                    "23:mMin = 5.",
                    *_LEPTONIC_Z,
                ),
                share=0.75,
            ),
            # Decays of a single Z boson to four leptons, which the process above lacks: the peak at
            # 91 GeV, here by phase space.
            Component(
                cards=(
                    "WeakSingleBoson:ffbar2gmZ = on",
                    "WeakZ0:gmZmode = 2",
                    "PhaseSpace:mHatMin = 70.",
                    "23:onMode = off",
                    "23:addChannel = 1 0.25 0 11 -11 11 -11",
                    "23:addChannel = 1 0.50 0 11 -11 13 -13",
                    "23:addChannel = 1 0.25 0 13 -13 13 -13",
                ),
                share=0.25,
            ),
        ),
        showers=30_000,
        expected=1665.8,
        xsec_pb=1.2578,
        weight=0.42292,
    ),
    "ggH125_ZZ4lep": Recipe(
        components=(Component(cards=("HiggsSM:gg2H = on", *_FOUR_LEPTONS)),),
        showers=8_000,
        expected=29.2,
        xsec_pb=0.0060239,
        weight=28.306,
    ),
    "VBFH125_ZZ4lep": Recipe(
        components=(
            Component(
                cards=(
                    "HiggsSM:ff2Hff(t:WW) = on",
                    "HiggsSM:ff2Hff(t:ZZ) = on",
                    *_FOUR_LEPTONS,
                )
            ),
        ),
        showers=2_000,
        expected=2.091,
        xsec_pb=0.0004633012,
        weight=3.7585,
    ),
    "WH125_ZZ4lep": Recipe(
        components=(Component(cards=("HiggsSM:ffbar2HW = on", *_FOUR_LEPTONS)),),
        showers=1_000,
        expected=2.078,
        xsec_pb=0.0003769,
        weight=1.0,
    ),
    "ZH125_ZZ4lep": Recipe(
        components=(Component(cards=("HiggsSM:ffbar2HZ = on", *_FOUR_LEPTONS)),),
        showers=500,
        expected=0.057,
        xsec_pb=2.1424784e-6,
        weight=1.0,
    ),
}
