"""Cuts of the tight selection that may be optimised.

Those on single leptons are not among them: with fewer tight leptons an event of five may become one
of four, which a looser selection does not have.
"""

from functools import partial

from agc_pipeline.declaration import Threshold

from .leptons import d0_significance, leading_pt

# The region of the task has none of these cuts.
CHANNELS = ("4e", "2e2mu", "4mu")

THRESHOLDS = (
    Threshold(
        "pt of the first lepton",
        "tight.leading_pt_min.0",
        ">",
        (25.0, 30.0, 35.0, 40.0),
        observed=partial(leading_pt, 0),
        parameters=("Lepton momentum scale",),
        unit="GeV",
        regions=CHANNELS,
    ),
    Threshold(
        "pt of the third lepton",
        "tight.leading_pt_min.2",
        ">",
        (10.0, 12.0, 14.0, 16.0),
        observed=partial(leading_pt, 2),
        parameters=("Lepton momentum scale",),
        unit="GeV",
        regions=CHANNELS,
    ),
    # No systematic of the public inputs is one of impact parameters.
    Threshold(
        "significance of d0",
        "tight.d0_significance_max",
        "<=",
        (5.0, 4.0, 3.0),
        observed=d0_significance,
        regions=CHANNELS,
    ),
)
