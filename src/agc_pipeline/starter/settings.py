"""The ``physics:`` part of the configuration."""

from pydantic import Field

from agc_pipeline.declaration import Momentum, Physics, Pseudorapidity
from agc_pipeline.settings import Settings


class Selection(Settings):
    """Cuts on muons, GeV, and the relative size of the variation of their momenta."""

    pt_min: Momentum
    abs_eta_max: Pseudorapidity
    muon_scale: float = Field(gt=0, lt=1)


class StarterPhysics(Physics):
    """Physics of this analysis."""

    selection: Selection
