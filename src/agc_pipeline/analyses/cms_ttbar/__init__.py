"""The CMS 2015 Open Data ttbar cross section in the single-lepton channel.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
"""

from agc_pipeline.declaration import Analysis, Columns, Dataset, Free

from .features import FEATURES
from .jet_assignment import JET_ASSIGNMENT
from .objects import requirements
from .processes import DATASETS, PROCESSES, PSEUDODATA, TTBAR
from .regions import REGIONS
from .settings import TtbarPhysics
from .systematics import SYSTEMATICS
from .thresholds import THRESHOLDS


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
    thresholds=THRESHOLDS,
    features=FEATURES,
)
