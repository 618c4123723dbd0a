"""Regions, processes and systematic variations of the analysis: the one list of them.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
"""

from agc_pipeline.analyses.base import Process, Region, Systematic

_EDGES = tuple(float(edge) for edge in range(50, 551, 20))

REGIONS = (
    Region("4j1b", "4j1b CR", "ht", r"$H_T$ [GeV]", _EDGES),
    Region("4j2b", "4j2b SR", "trijet_mass", r"$m_{bjj}$ [GeV]", _EDGES),
)

PROCESSES = (
    Process("single_top_s_chan", "single top s-channel"),
    Process("single_top_tW", "single top tW"),
    Process("single_top_t_chan", "single top t-channel"),
    Process("wjets", "W+jets"),
    Process("ttbar", "ttbar"),
)

_ALL = tuple(process.name for process in PROCESSES)

# Number of leading selected jets whose b-tagging uncertainty has a nuisance parameter of its own.
BTAG_PARAMETERS = 4

PT_SCALE = "pt_scale_up"
PT_RESOLUTION = "pt_res_up"
WJETS_SCALE = ("scale_var_up", "scale_var_down")


def btag_variation(jet: int, direction: str) -> str:
    """Name of the b-tagging variation of the ``jet``-th selected jet, counted from 0."""
    return f"btag_var_{jet}_{direction}"


# Groups of systematics whose contributions to the uncertainty are given together.
_MODELLING = "ttbar modelling"
_JETS = "Jet energy"

SYSTEMATICS = (
    Systematic("ME variation", "sample", ("ttbar",), up="ME_var", group=_MODELLING),
    Systematic("PS variation", "sample", ("ttbar",), up="PS_var", group=_MODELLING),
    Systematic(
        "ttbar scale variation",
        "sample",
        ("ttbar",),
        up="scaleup",
        down="scaledown",
        group=_MODELLING,
    ),
    Systematic("Jet energy scale", "object", _ALL, up=PT_SCALE, group=_JETS),
    Systematic("Jet energy resolution", "object", _ALL, up=PT_RESOLUTION, group=_JETS),
    *(
        Systematic(
            f"b-tag NP {jet + 1}",
            "weight",
            _ALL,
            up=btag_variation(jet, "up"),
            down=btag_variation(jet, "down"),
            group="b-tagging",
        )
        for jet in range(BTAG_PARAMETERS)
    ),
    Systematic(
        "W+jets scale variation",
        "weight",
        ("wjets",),
        up=WJETS_SCALE[0],
        down=WJETS_SCALE[1],
        group="W+jets modelling",
    ),
    Systematic("Luminosity", "normalisation", _ALL, up=None, relative=0.03),
)

DATASETS = (
    ("ttbar", "nominal"),
    ("ttbar", "ME_var"),
    ("ttbar", "PS_var"),
    ("ttbar", "scaleup"),
    ("ttbar", "scaledown"),
    ("single_top_s_chan", "nominal"),
    ("single_top_t_chan", "nominal"),
    ("single_top_tW", "nominal"),
    ("wjets", "nominal"),
)

# The published histograms leave out the single top t-channel that the text of the task adds.
PSEUDODATA = {("ttbar", "ME_var"): 0.5, ("ttbar", "PS_var"): 0.5, ("wjets", "nominal"): 1.0}
