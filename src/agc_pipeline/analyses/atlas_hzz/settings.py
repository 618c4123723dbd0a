"""The ``physics:`` part of the configuration."""

from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from agc_pipeline.declaration import Momentum, Physics, Pseudorapidity
from agc_pipeline.settings import AtMost, Settings

_Most = AtMost(1000, "no lepton has more")
_Highest = AtMost(7000, "no particle has as much, in GeV")
_All = AtMost(1, "more than all of them", excluded=True)


class TightCuts(Settings):
    """Cuts of the tight selection; momenta in GeV, lengths in mm.

    Attributes:
        lepton_pt_min: of every lepton, GeV; leptons below do not count.
        lepton_abs_eta_max: likewise.
        electron_pt_min: of electrons, GeV, for the event to be taken.
        electron_abs_eta_max: likewise.
        relative_isolation_max: of the momentum in tracks within 0.3, and of the energy within 0.2,
            relative to the lepton's pt.
        d0_significance_max: of the transverse impact parameter.
        z0_sin_theta_max: of the longitudinal one.
        leading_pt_min: of the leptons with the largest pt, GeV, from the first.
    """

    lepton_pt_min: Momentum
    lepton_abs_eta_max: Pseudorapidity
    electron_pt_min: Momentum
    electron_abs_eta_max: Pseudorapidity
    relative_isolation_max: Annotated[PositiveFloat, _Most]
    d0_significance_max: Annotated[PositiveFloat, _Most]
    z0_sin_theta_max: Annotated[PositiveFloat, _Most]
    leading_pt_min: tuple[Momentum, Momentum, Momentum]


class ElectronEfficiency(Settings):
    """Relative uncertainty of the efficiency of an electron by its pt.

    Attributes:
        pt_min: lower edges of the ranges of pt, GeV; the last one has no end.
        uncertainty: in each range.
    """

    pt_min: tuple[Annotated[NonNegativeFloat, _Highest], ...] = Field(min_length=1)
    uncertainty: tuple[Annotated[NonNegativeFloat, _All], ...]

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if len(self.pt_min) != len(self.uncertainty):
            raise ValueError("`pt_min` and `uncertainty` must be equally long")
        if list(self.pt_min) != sorted(set(self.pt_min)):
            raise ValueError("`pt_min` must rise")
        return self


class Selection(Settings):
    """Cuts, and sizes of the variations.

    Attributes:
        tight: cuts of the regions 4e, 2e2mu and 4mu; the signal region of the task has none.
        scale_factors: relative size of the task's variation of all scale factors.
        mass_scale: relative size of the task's variation of the mass.
        electron_efficiency: of the tight selection.
    """

    tight: TightCuts
    scale_factors: float = Field(gt=0, lt=1)
    mass_scale: float = Field(gt=0, lt=1)
    electron_efficiency: ElectronEfficiency


class HzzPhysics(Physics):
    """Physics of this analysis."""

    selection: Selection
