"""The regions: events by the number of b-tagged jets, with their observables."""

from typing import Any

from agc_pipeline.declaration import Region
from agc_pipeline.readers.columns import Array, Collection

from . import kernels
from .settings import Selection

# 25 bins of 20 GeV are filled. The fit has bins of 40 GeV from 110 GeV, where the control region
# starts: four jets of 30 GeV.
_EDGES = tuple(float(edge) for edge in range(50, 551, 20))
_FIT_EDGES = tuple(float(edge) for edge in range(110, 551, 40))


def one_tag(events: Any, selection: Selection) -> Array:
    """Events with exactly one b-tagged jet: ``events * bool``."""
    tags: Array = events.count("tagged") == 1
    return tags & (lepton_pt(events, selection) > selection.lepton_pt_min)


def two_tags(events: Any, selection: Selection) -> Array:
    """Events with two or more b-tagged jets: ``events * bool``."""
    tags: Array = events.count("tagged") >= 2
    return tags & (lepton_pt(events, selection) > selection.lepton_pt_min)


def lepton_pt(events: Any, _: Selection) -> Array:
    """Pt of the one lepton: ``events * float64`` in GeV."""
    pt: Array = events.electrons.sum("pt") + events.muons.sum("pt")
    return pt


def number_of_jets(events: Any, _: Selection) -> Array:
    """Number of good jets: ``events * int64``."""
    number: Array = events.count("jets")
    return number


def ht(events: Any, _: Selection) -> Array:
    """Scalar sum of the pt of all good jets: ``events * float64`` in GeV."""
    total: Array = events.jets.sum("pt")
    return total


def trijet_mass(events: Any, _: Selection) -> Array:
    """Mass of the three-jet system with the largest pt among those with a b-tagged jet.

    Returns:
        ``events * float64`` in GeV; the first triplet counts if several have the same pt.
    """
    masses: Array = kernels.trijet_masses(momenta(events.jets))
    return masses


def momenta(jets: Collection) -> kernels.JetArrays:
    """Jets as the kernels take them; GeV."""
    return kernels.JetArrays(
        jets.offsets, *(jets[name] for name in kernels.JetArrays._fields if name != "offsets")
    )


REGIONS = (
    Region(
        "4j1b",
        "4j1b CR",
        "ht",
        r"$H_T$ [GeV]",
        _EDGES,
        mask=one_tag,
        values=ht,
        fit_edges=_FIT_EDGES,
    ),
    Region(
        "4j2b",
        "4j2b SR",
        "trijet_mass",
        r"$m_{bjj}$ [GeV]",
        _EDGES,
        mask=two_tags,
        values=trijet_mass,
        fit_edges=_FIT_EDGES,
    ),
)
