"""The processes, and the datasets that fill them.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
"""

from agc_pipeline.declaration import Dataset, Process

PROCESSES = (
    Process("single_top_s_chan", "single top s-channel"),
    Process("single_top_tW", "single top tW"),
    Process("single_top_t_chan", "single top t-channel"),
    Process("wjets", "W+jets"),
    Process("ttbar", "ttbar"),
)

ALL = tuple(process.name for process in PROCESSES)
TTBAR = ("ttbar",)
WJETS = ("wjets",)

DATASETS = (
    Dataset("ttbar__nominal", TTBAR),
    *(
        Dataset(f"ttbar__{variation}", TTBAR, variation=variation)
        for variation in ("ME_var", "PS_var", "scaleup", "scaledown")
    ),
    Dataset("single_top_s_chan__nominal", ("single_top_s_chan",)),
    Dataset("single_top_t_chan__nominal", ("single_top_t_chan",)),
    Dataset("single_top_tW__nominal", ("single_top_tW",)),
    Dataset("wjets__nominal", WJETS),
)

# The published histograms leave out the single top t-channel that the text of the task adds.
PSEUDODATA = {"ttbar__ME_var": 0.5, "ttbar__PS_var": 0.5, "wjets__nominal": 1.0}
