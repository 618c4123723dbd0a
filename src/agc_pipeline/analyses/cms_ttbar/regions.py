"""The regions: events by number of jets and b-tagged jets."""

import awkward as ak

from agc_pipeline.analyses.cms_ttbar.objects import b_tagged
from agc_pipeline.analyses.cms_ttbar.settings import JetCuts


def region_masks(jets: ak.Array, cuts: JetCuts) -> dict[str, ak.Array]:
    """Masks of the events in each region, among events with one good lepton.

    Args:
        jets: the good jets.
        cuts: minimal number of jets and b-tagging.
    """
    enough = ak.num(jets.pt) >= cuts.n_min
    tagged = ak.sum(b_tagged(jets, cuts), axis=1)
    return {"4j1b": enough & (tagged == 1), "4j2b": enough & (tagged >= 2)}
