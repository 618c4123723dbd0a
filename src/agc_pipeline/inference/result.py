"""The fit of a workspace, with all that tables and figures need: for stages and notebooks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agc_pipeline.attempts import Missing, attempt
from agc_pipeline.inference import external
from agc_pipeline.inference.fit import Fit, fit
from agc_pipeline.inference.fit_records import (
    Comparison,
    FitRecord,
    ModelDescription,
    Parameter,
    of_workspace,
)
from agc_pipeline.inference.impacts import Breakdown, breakdown, parameter_groups
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.settings import MinimiserSettings, NoiseSettings
from agc_pipeline.inference.template_noise import TemplateNoise, template_noise
from agc_pipeline.inference.workspace import Workspace, load
from agc_pipeline.inference.yields import Yields, expected_yields

if TYPE_CHECKING:
    import pyhf
    from cabinetry.fit import FitResults


@dataclass(frozen=True)
class FitResult:
    """A fit: its parameters by name, and what ranking, scans and limits start from.

    Attributes:
        workspace: that was fitted.
        description: of its model.
        model: the same in pyhf.
        fit: results in cabinetry's containers, diagnostics, and the minimum.
        breakdown: contributions to the uncertainty of the parameter of interest; None where it has
            none.
        template_noise: uncertainty by the statistics of varied templates; None where it is not
            known.
        comparison: with the other method; None without one.
        yields: expected events before and after the fit.
    """

    workspace: Workspace
    description: ModelDescription
    model: "pyhf.Model"
    fit: Fit
    breakdown: Breakdown | None
    template_noise: TemplateNoise | None
    comparison: Comparison | None
    yields: Yields

    def __getitem__(self, name: str) -> Parameter:
        """A parameter by its name.

        Raises:
            KeyError: if there is none.
        """
        return self.parameters[name]

    def __iter__(self) -> Iterator[Parameter]:
        """All parameters, in the order of the model."""
        return iter(self.parameters.values())

    def __str__(self) -> str:
        """A table of the parameters, that of interest first."""
        width = max(len(row.name) for row in self)
        return "\n".join(
            f"{row.name:{width}}  {row.bestfit:9.4f} +- {row.uncertainty:.4f}" for row in self.rows
        )

    @property
    def rows(self) -> list[Parameter]:
        """All parameters, that of interest first."""
        poi = self.poi
        return list(self) if poi is None else [poi, *(row for row in self if row.name != poi.name)]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """All parameters by name, in the order of the model."""
        results = self.fit.results
        return {
            name: Parameter(name=name, bestfit=bestfit, uncertainty=uncertainty)
            for name, bestfit, uncertainty in zip(
                results.labels,
                results.bestfit.tolist(),
                results.uncertainty.tolist(),
                strict=True,
            )
        }

    @property
    def poi(self) -> Parameter | None:
        """The parameter of interest; None without one."""
        return _poi(self.model, self.fit.results)

    @property
    def correlation(self) -> Array:
        """Correlations of all parameters, in their order; zero for fixed ones."""
        correlation: Array = self.fit.results.corr_mat
        return correlation

    def correlation_of(self, first: str, second: str) -> float:
        """Correlation of two parameters.

        Raises:
            KeyError: if there is no such parameter.
        """
        positions = {name: position for position, name in enumerate(self.fit.results.labels)}
        return float(self.correlation[positions[first], positions[second]])

    @property
    def problem(self) -> Problem:
        """What was fitted: ranking, profile, pseudo-experiments and limits repeat it."""
        return self.fit.problem

    @property
    def minimum(self) -> Minimum:
        """The minimum with exact derivatives."""
        return self.fit.minimum

    @property
    def groups(self) -> dict[str, str]:
        """Group of each constrained parameter."""
        return parameter_groups(self.model, self.description.groups)

    def record(self, provenance: Mapping[str, Any] | None = None) -> FitRecord:
        """All of it as written to ``fit.json``.

        Args:
            provenance: of the file that holds it; None is empty.
        """
        results = self.fit.results
        return FitRecord(
            **of_workspace(self.workspace, provenance or {}),
            **{name: getattr(self.description, name) for name in ModelDescription.model_fields},
            labels=results.labels,
            bestfit=results.bestfit.tolist(),
            uncertainty=results.uncertainty.tolist(),
            correlation=results.corr_mat.tolist(),
            best_twice_nll=results.best_twice_nll,
            goodness_of_fit=None if results.goodness_of_fit < 0 else results.goodness_of_fit,
            poi=self.poi,
            method=self.fit.method,
            diagnostics=self.fit.diagnostics,
            findings=self.fit.findings,
            breakdown=self.breakdown,
            template_noise=self.template_noise,
            comparison=self.comparison,
            yields=self.yields,
        )


def fit_workspace(
    workspace: Workspace,
    settings: MinimiserSettings,
    *,
    description: ModelDescription | None = None,
    noise: NoiseSettings | None = None,
    compare: bool = False,
    place: str = "workspace",
) -> FitResult:
    """Fit a workspace to its data.

    Args:
        workspace: with one measurement.
        settings: how the minimum is found.
        description: of its model; None is what the workspace tells of itself.
        noise: what is done about the statistics of varied templates; None does not look at them.
        compare: fit with the other method as well.
        place: where the workspace comes from, for errors.

    Raises:
        ModelError: if the workspace is not valid, not supported, or has no minimum.
    """
    model, data = load(workspace, place=place)
    if description is None:
        description = external.describe(workspace)
    result = fit(model, data, settings)
    parts = breakdown(result.problem, result.minimum, parameter_groups(model, description.groups))
    return FitResult(
        workspace=workspace,
        description=description,
        model=model,
        fit=result,
        breakdown=parts,
        template_noise=None
        if noise is None
        else template_noise(
            model,
            result.problem,
            result.minimum,
            description.contents,
            breakdown=parts,
            settings=noise,
        ),
        comparison=_other_method(model, data, result, settings) if compare else None,
        yields=expected_yields(model, result.results),
    )


def _other_method(
    model: "pyhf.Model", data: list[float], result: Fit, settings: MinimiserSettings
) -> Comparison:
    """The other method's fit, or why it failed."""
    other: Any = "cabinetry" if settings.method == "exact" else "exact"
    missing: list[Missing] = []
    with attempt(f"fit by the other method, {other}", missing):
        changed = settings.model_copy(update={"method": other})
        return compare_fits(model, result, fit(model, data, changed))
    return Comparison(method=other, failure=missing[0].reason)


def compare_fits(model: "pyhf.Model", result: Fit, other: Fit) -> Comparison:
    """What the other method gives.

    Args:
        model: of both fits.
        result: the one that counts.
        other: by the other method.
    """
    ours, theirs = result.results.uncertainty, other.results.uncertainty
    both = (ours > 0) & (theirs > 0)
    ratio = np.where(both, theirs / np.where(both, ours, 1.0), 1.0)
    worst = int(np.argmax(np.abs(np.log(ratio))))
    return Comparison(
        method=other.method,
        poi=_poi(model, other.results),
        distance=other.diagnostics.distance,
        largest=(result.results.labels[worst], float(ratio[worst])),
    )


def _poi(model: "pyhf.Model", results: "FitResults") -> Parameter | None:
    position = model.config.poi_index
    if position is None:
        return None
    return Parameter(
        name=results.labels[position],
        bestfit=results.bestfit[position],
        uncertainty=results.uncertainty[position],
    )
