"""The ``physics:`` part of the configuration of this analysis."""

from typing import Literal

from pydantic import Field, PositiveFloat

from agc_pipeline.declaration import Physics
from agc_pipeline.settings import Settings


class ElectronCuts(Settings):
    """Good electrons; GeV."""

    pt_min: PositiveFloat
    abs_eta_max: PositiveFloat
    cut_based: int = Field(ge=0, le=4)
    sip3d_max: PositiveFloat


class MuonCuts(Settings):
    """Good muons; GeV."""

    pt_min: PositiveFloat
    abs_eta_max: PositiveFloat
    sip3d_max: PositiveFloat
    relative_isolation_max: PositiveFloat


class JetCuts(Settings):
    """Good jets; GeV."""

    pt_min: PositiveFloat
    abs_eta_max: PositiveFloat
    jet_id: int = Field(ge=0, le=7)
    btag_min: float
    n_min: int = Field(ge=3, description="the trijet needs three")


class Variations(Settings):
    """Sizes of the variations that are computed from events."""

    pt_scale: PositiveFloat
    pt_resolution: PositiveFloat
    pt_resolution_seed: int = Field(ge=0, lt=2**31)
    btag_slope: PositiveFloat
    btag_pt_reference: PositiveFloat
    wjets_scale: float = Field(gt=0, lt=1)


class Selection(Settings):
    """Everything that decides which events and objects are kept, and what they weigh."""

    electron: ElectronCuts
    muon: MuonCuts
    jet: JetCuts
    variations: Variations


class JetAssignment(Settings):
    """Which jets are assigned to partons, and how their features are computed.

    Attributes:
        n_jets_max: leading good jets that are considered.
        azimuth: "wrapped" takes differences in azimuth the short way round; "reference" takes them
            as they are, as the reference implementation does.
        matching_delta_r: exclusive upper bound on the distance of a jet to its quark in training.
    """

    n_jets_max: int = Field(ge=4, le=6)
    azimuth: Literal["wrapped", "reference"]
    matching_delta_r: PositiveFloat


class TtbarPhysics(Physics):
    """Physics of the CMS 2015 Open Data ttbar analysis."""

    selection: Selection
    jet_assignment: JetAssignment
