"""The ``physics:`` part of the configuration of this analysis."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from agc_pipeline.declaration import Momentum, Physics, Pseudorapidity
from agc_pipeline.settings import AtMost, Seed, Settings


class ElectronCuts(Settings):
    """Good electrons.

    Attributes:
        pt_min: exclusive lower bound on the transverse momentum; GeV.
        abs_eta_max: exclusive upper bound on the absolute pseudorapidity.
        cut_based: identification that is required; 4 is tight.
        sip3d_max: exclusive upper bound on the significance of the impact parameter.
    """

    pt_min: Momentum
    abs_eta_max: Pseudorapidity
    cut_based: int = Field(ge=0, le=4)
    sip3d_max: Annotated[PositiveFloat, AtMost(1000, "no lepton has more")]


class MuonCuts(Settings):
    """Good muons.

    Attributes:
        pt_min: exclusive lower bound on the transverse momentum; GeV.
        abs_eta_max: exclusive upper bound on the absolute pseudorapidity.
        sip3d_max: exclusive upper bound on the significance of the impact parameter.
        relative_isolation_max: exclusive upper bound on the isolation relative to the momentum.
    """

    pt_min: Momentum
    abs_eta_max: Pseudorapidity
    sip3d_max: Annotated[PositiveFloat, AtMost(1000, "no lepton has more")]
    relative_isolation_max: Annotated[PositiveFloat, AtMost(100, "no muon has more")]


class JetCuts(Settings):
    """Good jets.

    Attributes:
        pt_min: exclusive lower bound on the transverse momentum; GeV.
        abs_eta_max: exclusive upper bound on the absolute pseudorapidity.
        jet_id: identification that is required; 6 is tight with lepton veto.
        btag_min: exclusive lower bound on btagCSVV2 of a b-tagged jet.
        n_min: good jets that an event needs.
    """

    pt_min: Momentum
    abs_eta_max: Pseudorapidity
    jet_id: int = Field(ge=0, le=7)
    btag_min: Annotated[
        float,
        # NanoAOD has -10 where it is undefined.
        Field(ge=-10),
        AtMost(1, "btagCSVV2 is at most 1, and no jet would be tagged", excluded=True),
    ]
    # The trijet needs three.
    n_min: Annotated[int, Field(ge=3), AtMost(20, "no event has as many jets")]


class Variations(Settings):
    """Sizes of the variations that are computed from events.

    Attributes:
        pt_scale: factor on the transverse momentum of jets.
        pt_resolution: standard deviation of the factor on the transverse momentum of each jet.
        pt_resolution_seed: of the generator that is keyed by the identity of the event.
        btag_slope: weights are 1 +- slope * momentum / reference.
        btag_pt_reference: transverse momentum; GeV.
        wjets_scale: weights are 1 +- this.
    """

    pt_scale: Annotated[float, Field(ge=0.5), AtMost(2, "no jet is measured as badly")]
    pt_resolution: Annotated[PositiveFloat, AtMost(1, "no jet is measured as badly")]
    pt_resolution_seed: Seed
    btag_slope: Annotated[PositiveFloat, AtMost(1, "weights would be negative")]
    btag_pt_reference: Momentum
    wjets_scale: float = Field(gt=0, lt=1)


class Selection(Settings):
    """Everything that decides which events and objects are kept, and what they weigh.

    Attributes:
        lepton_pt_min: exclusive lower bound on the transverse momentum of the one lepton; GeV.
            Those down to the bounds of good electrons and muons are counted, so that there is one.
    """

    electron: ElectronCuts
    muon: MuonCuts
    lepton_pt_min: Momentum
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
    matching_delta_r: Annotated[PositiveFloat, AtMost(10, "every jet would match")]


class TtbarPhysics(Physics):
    """Physics of the CMS 2015 Open Data ttbar analysis."""

    selection: Selection
    jet_assignment: JetAssignment
