"""Sources of uncertainty, each with what it varies.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
"""

from functools import partial
from typing import Any

from agc_pipeline.declaration import Change, Systematic, Variation
from agc_pipeline.readers.columns import Array

from .processes import ALL, TTBAR, WJETS
from .settings import Selection
from .smearing import LIMIT, standard_normals

# Number of leading selected jets whose b-tagging uncertainty has a nuisance parameter of its own.
_BTAG_PARAMETERS = 4

# Groups of systematics whose contributions to the uncertainty are given together.
_MODELLING = "ttbar modelling"
_JETS = "Jet energy"


def scaled_pt(jets: Any, _: Any, selection: Selection) -> Array:
    """Pt of all jets with another energy scale: GeV."""
    pt: Array = jets.pt * selection.variations.pt_scale
    return pt


def scale_factors(selection: Selection) -> tuple[float, float]:
    """Smallest and largest factor on the pt of a jet."""
    return selection.variations.pt_scale, selection.variations.pt_scale


def smeared_pt(jets: Any, events: Any, selection: Selection) -> Array:
    """Pt of each jet with a normal random factor, keyed by the identity of event and jet: GeV."""
    sizes = selection.variations
    identity = (events.run, events.luminosityBlock, events.event)
    normal = standard_normals(sizes.pt_resolution_seed, identity, jets.offsets, jets.position)
    pt: Array = jets.pt * (1.0 + sizes.pt_resolution * normal)
    return pt


def smearing_factors(selection: Selection) -> tuple[float, float]:
    """Smallest and largest factor on the pt of a jet."""
    largest = LIMIT * selection.variations.pt_resolution
    return 1.0 - largest, 1.0 + largest


def btag_weight(jet: int, sign: float, events: Any, selection: Selection) -> Array:
    """Weight for the b-tagging of one of the selected jets, counted from 0: ``events``."""
    sizes = selection.variations
    pt = events.jets.nth(jet, "pt")
    weights: Array = 1.0 + sign * (sizes.btag_slope * pt / sizes.btag_pt_reference)
    return weights


def wjets_weight(sign: float, _: Any, selection: Selection) -> float:
    """Weight for the scale of W+jets."""
    return 1.0 + sign * selection.variations.wjets_scale


SYSTEMATICS = (
    Systematic("ME variation", TTBAR, up=Variation("ME_var"), group=_MODELLING),
    Systematic("PS variation", TTBAR, up=Variation("PS_var"), group=_MODELLING),
    Systematic(
        "ttbar scale variation",
        TTBAR,
        up=Variation("scaleup"),
        down=Variation("scaledown"),
        group=_MODELLING,
    ),
    Systematic(
        "Jet energy scale",
        ALL,
        up=Variation("pt_scale_up", changes=(Change(("Jet", "pt"), scaled_pt, scale_factors),)),
        group=_JETS,
    ),
    Systematic(
        "Jet energy resolution",
        ALL,
        up=Variation("pt_res_up", changes=(Change(("Jet", "pt"), smeared_pt, smearing_factors),)),
        group=_JETS,
    ),
    *(
        Systematic(
            f"b-tag NP {jet + 1}",
            ALL,
            up=Variation(f"btag_var_{jet}_up", weight=partial(btag_weight, jet, 1.0)),
            down=Variation(f"btag_var_{jet}_down", weight=partial(btag_weight, jet, -1.0)),
            group="b-tagging",
        )
        for jet in range(_BTAG_PARAMETERS)
    ),
    Systematic(
        "W+jets scale variation",
        WJETS,
        up=Variation("scale_var_up", weight=partial(wjets_weight, 1.0)),
        down=Variation("scale_var_down", weight=partial(wjets_weight, -1.0)),
        group="W+jets modelling",
    ),
    Systematic("Luminosity", effects=dict.fromkeys(ALL, 0.03)),
)
