"""The observable of each region."""

import awkward as ak
import numpy as np

from agc_pipeline.analyses.cms_ttbar.kernels import JetArrays, trijet_masses
from agc_pipeline.analyses.cms_ttbar.objects import b_tagged
from agc_pipeline.analyses.cms_ttbar.settings import JetCuts
from agc_pipeline.columnar.columns import offsets_of


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
    flat = {name: ak.to_numpy(ak.flatten(jets[name])) for name in ("pt", "eta", "phi", "mass")}
    return trijet_masses(
        JetArrays(
            offsets=offsets_of(ak.to_numpy(ak.num(jets.pt))),
            pt=flat["pt"],
            tagged=ak.to_numpy(ak.flatten(b_tagged(jets, cuts))),
            cos_phi=np.cos(flat["phi"]),
            sin_phi=np.sin(flat["phi"]),
            sinh_eta=np.sinh(flat["eta"]),
            cosh_eta=np.cosh(flat["eta"]),
            mass=flat["mass"],
        )
    )


OBSERVABLES = {"ht": ht, "trijet_mass": trijet_mass}
