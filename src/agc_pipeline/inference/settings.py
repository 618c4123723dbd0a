"""The ``fit:`` part of the configuration.

It has two halves, because they serve two rules: a change in how the minimum is found makes a new
fit, a change in the model makes a new workspace.
"""

from typing import Literal

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from agc_pipeline.settings import Settings


class ParameterOfInterest(Settings):
    """The free normalisation that is measured.

    Attributes:
        name: name of the parameter.
        process: name of the process whose yield it multiplies.
        nominal: its value before the fit.
        bounds: lowest and highest value that the fit may try.
    """

    name: str = Field(min_length=1)
    process: str
    nominal: FiniteFloat
    bounds: tuple[FiniteFloat, FiniteFloat]

    @model_validator(mode="after")
    def _ordered(self) -> "ParameterOfInterest":
        low, high = self.bounds
        if not low < self.nominal < high:
            raise ValueError(f"nominal {self.nominal} is not between the bounds {low} and {high}")
        return self


class Rebinning(Settings):
    """From the bins of the histograms to those of the fit.

    Attributes:
        lowest_edge: bins below are dropped; an edge of the histograms, GeV.
        merge: number of neighbouring bins that become one.
    """

    lowest_edge: FiniteFloat
    merge: PositiveInt


class ModelSettings(Settings):
    """What the workspace holds; systematics come from the declaration of the analysis.

    Attributes:
        poi: the parameter of interest.
        rebinning: bins of the fit.
        data: what is fitted: the "pseudodata" histograms, or "asimov" data, the sum of the nominal
            templates.
        missing_datasets: "error" refuses a run without all datasets of the analysis, and
            variations that too few events cannot describe; "drop" leaves out the samples and
            systematics concerned, and lists them in the result.
    """

    poi: ParameterOfInterest
    rebinning: Rebinning
    data: Literal["pseudodata", "asimov"]
    missing_datasets: Literal["error", "drop"]


class MinimiserSettings(Settings):
    """How the minimum is found.

    Attributes:
        method: "exact" takes Newton steps with exact derivatives, "cabinetry" is cabinetry's own
            fit at its defaults, to which the other settings do not apply.
        max_distance: largest estimated distance to the minimum of -2 ln L, dimensionless.
        max_iterations: steps after which the fit gives up.
    """

    method: Literal["exact", "cabinetry"]
    max_distance: float = Field(gt=0, le=1e-14)
    max_iterations: PositiveInt


class FitSettings(Settings):
    """The statistical model and its fit."""

    model: ModelSettings
    minimiser: MinimiserSettings
