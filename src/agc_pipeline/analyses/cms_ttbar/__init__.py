"""The CMS 2015 Open Data ttbar cross section in the single-lepton channel.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
"""

from agc_pipeline.analyses.cms_ttbar.jet_assignment import JET_ASSIGNMENT
from agc_pipeline.analyses.cms_ttbar.objects import requirements
from agc_pipeline.analyses.cms_ttbar.processes import DATASETS, PROCESSES, PSEUDODATA, TTBAR
from agc_pipeline.analyses.cms_ttbar.regions import REGIONS
from agc_pipeline.analyses.cms_ttbar.settings import TtbarPhysics
from agc_pipeline.analyses.cms_ttbar.systematics import SYSTEMATICS
from agc_pipeline.declaration import Analysis, Columns, Dataset, Free


def reads(_: Dataset) -> Columns:
    """What the observables read beside the columns of the selection."""
    return {"Jet": ("phi", "mass")}


ANALYSIS = Analysis(
    name="cms_ttbar",
    settings=TtbarPhysics,
    regions=REGIONS,
    processes=PROCESSES,
    datasets=DATASETS,
    systematics=SYSTEMATICS,
    free=(Free("ttbar_norm", TTBAR, nominal=1.0, bounds=(0.0, 10.0)),),
    pseudodata=PSEUDODATA,
    events="columns",
    requirements=requirements,
    reads=reads,
    learned=JET_ASSIGNMENT,
)
