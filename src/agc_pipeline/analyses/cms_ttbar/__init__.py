"""The CMS 2015 Open Data ttbar cross section in the single-lepton channel.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
"""

from agc_pipeline.analyses.base import JET_ASSIGNMENT, NOMINAL, Analysis
from agc_pipeline.analyses.cms_ttbar.jet_assignment.observables import ASSIGNED_REGIONS
from agc_pipeline.analyses.cms_ttbar.settings import TtbarPhysics
from agc_pipeline.analyses.cms_ttbar.variations import (
    DATASETS,
    PROCESSES,
    PSEUDODATA,
    REGIONS,
    SYSTEMATICS,
)

ANALYSIS = Analysis(
    name="cms_ttbar",
    settings=TtbarPhysics,
    regions=REGIONS,
    optional={JET_ASSIGNMENT: ASSIGNED_REGIONS},
    processes=PROCESSES,
    datasets=DATASETS,
    systematics=SYSTEMATICS,
    pseudodata=PSEUDODATA,
    trained_on=("ttbar", NOMINAL),
)
