"""The observable of each region."""

import awkward as ak
import numpy as np

from agc_pipeline.analyses.cms_ttbar.objects import b_tagged
from agc_pipeline.analyses.cms_ttbar.settings import JetCuts


def ht(jets: ak.Array, cuts: JetCuts) -> ak.Array:  # noqa: ARG001 - observables share a signature
    """Scalar sum of the pt of all good jets: ``events * float64`` in GeV."""
    return ak.sum(jets.pt, axis=1)


def trijet_mass(jets: ak.Array, cuts: JetCuts) -> ak.Array:
    """Mass of the three-jet system with the largest pt among those with a b-tagged jet.

    Args:
        jets: the good jets of events with at least three of them, one b-tagged; GeV.
        cuts: b-tagging.

    Returns:
        ``events * float64`` in GeV; the first triplet wins if several have the same pt.
    """
    momenta = ak.zip(
        {
            "x": jets.pt * np.cos(jets.phi),
            "y": jets.pt * np.sin(jets.phi),
            "z": jets.pt * np.sinh(jets.eta),
            "energy": np.sqrt((jets.pt * np.cosh(jets.eta)) ** 2 + jets.mass**2),
            "tagged": b_tagged(jets, cuts),
        }
    )
    triplets = ak.combinations(momenta, 3, fields=["first", "second", "third"])
    triplets = triplets[triplets.first.tagged | triplets.second.tagged | triplets.third.tagged]

    def total(component: str) -> ak.Array:
        return triplets.first[component] + triplets.second[component] + triplets.third[component]

    x, y = total("x"), total("y")
    largest = ak.argmax(x**2 + y**2, axis=1, keepdims=True)
    mass_squared = (total("energy") ** 2 - x**2 - y**2 - total("z") ** 2)[largest]
    return np.sqrt(np.maximum(ak.flatten(mass_squared), 0.0))


OBSERVABLES = {"ht": ht, "trijet_mass": trijet_mass}
