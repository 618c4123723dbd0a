"""The observable of each region."""

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from agc_pipeline.analyses.cms_ttbar import kernels
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
    return kernels.trijet_masses(_packed(jets, cuts))


def trijets(jets: ak.Array, cuts: JetCuts) -> NDArray[np.int64]:
    """The jets of that system: ``events * 3`` positions in the event, in rising order.

    Args:
        jets: the good jets of events with at least three of them, one b-tagged; GeV.
        cuts: b-tagging.
    """
    packed = _packed(jets, cuts)
    positions: NDArray[np.int64] = kernels.trijets(packed) - packed.offsets[:-1, np.newaxis]
    return positions


def _packed(jets: ak.Array, cuts: JetCuts) -> kernels.JetArrays:
    flat = {name: ak.to_numpy(ak.flatten(jets[name])) for name in ("pt", "eta", "phi", "mass")}
    return kernels.JetArrays(
        offsets=offsets_of(ak.to_numpy(ak.num(jets.pt))),
        pt=flat["pt"],
        tagged=ak.to_numpy(ak.flatten(b_tagged(jets, cuts))),
        cos_phi=np.cos(flat["phi"]),
        sin_phi=np.sin(flat["phi"]),
        sinh_eta=np.sinh(flat["eta"]),
        cosh_eta=np.cosh(flat["eta"]),
        mass=flat["mass"],
    )


OBSERVABLES = {"ht": ht, "trijet_mass": trijet_mass}
