"""Records of a model, of its checks and of its fit: JSON beside the workspace.

pyhf's workspace has no room for anything but the model, and cabinetry cannot write fit results.
"""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.files import read_record
from agc_pipeline.inference.audit import Origin
from agc_pipeline.inference.checks import Finding
from agc_pipeline.inference.fit import Diagnostics
from agc_pipeline.inference.impacts import Breakdown
from agc_pipeline.inference.pruning import Pruned
from agc_pipeline.inference.template_noise import SampleContents, TemplateNoise
from agc_pipeline.inference.templates import LeftOut
from agc_pipeline.inference.yields import Yields
from agc_pipeline.provenance import digest
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    from cabinetry.fit import FitResults

Workspace = dict[str, Any]

# What is fitted: "simulated" events in the place of collision data; "pseudodata", made of the
# histograms of simulated events. The data of an external workspace count as observed.
DataKind = Literal["pseudodata", "asimov", "observed", "simulated"]


_UNIT = re.compile(r"\[(.+)\]")


def unit(label: str) -> str | None:
    """The unit of an axis label, ``GeV`` of ``$H_T$ [GeV]``; None if it has none."""
    match = _UNIT.search(label)
    return match[1] if match else None


def blinded_words(window: tuple[float, float] | None, label: str) -> str:
    """Words on the window of an observable in which data are blinded; empty if there is none."""
    if window is None:
        return ""
    return f"blinded from {window[0]:g} to {window[1]:g} {unit(label) or ''}".rstrip()


class Channel(Settings):
    """A channel of the model.

    Attributes:
        region: name of the region.
        label: axis label with unit, in matplotlib's mathtext.
        edges: bin edges of the fit, GeV; finite, see ``inference.edges.drawn``.
        beyond: whether the first bin has all events below, and the last one all above.
        observed: events that are fitted, in each bin.
        blinded: window of the observable where these are the expectation before the fit, in place
            of the data; None if there is none.
    """

    region: str
    label: str
    edges: tuple[float, ...]
    beyond: tuple[bool, bool] = (False, False)
    observed: tuple[float, ...]
    blinded: tuple[float, float] | None = None

    @property
    def bins(self) -> tuple[tuple[float, float], ...]:
        """Lower and upper bound of each bin, infinite where nothing bounds it."""
        below, above = self.beyond
        edges = [
            -math.inf if below else self.edges[0],
            *self.edges[1:-1],
            math.inf if above else self.edges[-1],
        ]
        return tuple(pairwise(edges))

    @property
    def hidden(self) -> tuple[bool, ...]:
        """Whether each bin overlaps with the blinded window."""
        low, high = (0.0, 0.0) if self.blinded is None else self.blinded
        return tuple(self.blinded is not None and low < b and high > a for a, b in self.bins)

    def bin_name(self, number: int, to: str = " to ") -> str:
        """The range of a bin with its unit: ``350 to 390 GeV``.

        Args:
            number: of the bin, from zero.
            to: between its bounds.
        """
        low, high = self.bins[number]
        name = unit(self.label) or ""
        if math.isinf(low) and math.isinf(high):
            return "everything"
        if math.isinf(low):
            return f"below {high:g} {name}".rstrip()
        return f"{low:g}{f'{to}{high:g}' if math.isfinite(high) else ''} {name}".rstrip() + (
            " and more" if math.isinf(high) else ""
        )

    @property
    def open_bins(self) -> str:
        """Words on bins without a bound; empty if there are none."""
        below, above = self.beyond
        words = [f"the first bin is {self.bin_name(0)}"] if below else []
        if above:
            words.append(f"the last bin is {self.bin_name(len(self.bins) - 1)}")
        return " and ".join(words)

    @property
    def window(self) -> str:
        """Words on the bins whose data are blinded; empty if none are."""
        return blinded_words(self.blinded, self.label) if any(self.hidden) else ""


class WorkspaceRecord(Settings):
    """What every record about a workspace has.

    Attributes:
        workspace_digest: SHA-256 of the workspace's canonical JSON.
        provenance: of the file that holds the record.
    """

    workspace_digest: str
    provenance: dict[str, Any]


class ModelDescription(Settings):
    """What a workspace has no room for.

    Attributes:
        analysis: name of the analysis, or of the measurement of an external workspace.
        data: kind of data in the workspace.
        partial: whether files are missing from the histograms.
        left_out: what the analysis declares and the model lacks.
        channels: by title.
        groups: of systematics, by name.
        contents: templates with their statistics; none of an external workspace.
    """

    analysis: str
    data: DataKind
    partial: bool
    left_out: tuple[LeftOut, ...]
    channels: dict[str, Channel]
    groups: dict[str, str]
    contents: tuple[SampleContents, ...] = ()


class ModelRecord(ModelDescription, WorkspaceRecord):
    """The description of a model, as it lies beside its workspace."""


class Checks(Settings):
    """What the checks of a model gave.

    Attributes:
        findings: of the checks.
        pruned: modifiers that were left out.
        origins: histograms that samples and systematics come from; empty for an external
            workspace.
    """

    findings: tuple[Finding, ...]
    pruned: tuple[Pruned, ...]
    origins: tuple[Origin, ...]


class CheckRecord(Checks, WorkspaceRecord):
    """The checks of a model, as they lie beside its workspace."""


class Parameter(Settings):
    """A fitted parameter."""

    name: str
    bestfit: float
    uncertainty: float


class Comparison(Settings):
    """The fit by the other method: "cabinetry" for an exact fit, "exact" for cabinetry's.

    Attributes:
        method: which.
        poi: the parameter of interest; None if the fit failed, or without one.
        distance: height above the minimum of -2 ln L at which it ended; None likewise.
        largest: parameter whose uncertainty differs most, and the other uncertainty over this one;
            None likewise.
        failure: why it failed.
    """

    method: Literal["exact", "cabinetry"]
    poi: Parameter | None = None
    distance: float | None = None
    largest: tuple[str, float] | None = None
    failure: str | None = None


class FitRecord(ModelRecord):
    """A fit, complete enough for every figure and table; keys as in cabinetry's FitResults.

    Attributes:
        labels: names of the parameters, in pyhf's order.
        bestfit: their values.
        uncertainty: from the Hessian; zero for fixed parameters.
        correlation: matrix; zero for fixed parameters, the diagonal included.
        best_twice_nll: -2 ln L at the minimum.
        goodness_of_fit: p-value against a saturated model; None without degrees of freedom.
        poi: the parameter of interest; None without one.
        method: of the fit.
        diagnostics: how good the minimum is.
        findings: what is to be known about it.
        breakdown: contributions to the uncertainty of the parameter of interest; None where it has
            none.
        template_noise: uncertainty of the parameter of interest by the statistics of varied
            templates, for which the model does not pay; None where it is not known.
        comparison: with the other method; None without one.
        yields: before and after the fit.
    """

    labels: tuple[str, ...]
    bestfit: tuple[float, ...]
    uncertainty: tuple[float, ...]
    correlation: tuple[tuple[float, ...], ...]
    best_twice_nll: float
    goodness_of_fit: float | None
    poi: Parameter | None
    method: Literal["exact", "cabinetry"]
    diagnostics: Diagnostics
    findings: tuple[Finding, ...]
    breakdown: Breakdown | None
    template_noise: TemplateNoise | None = None
    comparison: Comparison | None
    yields: Yields

    @property
    def uncertainty_of_poi(self) -> float | None:
        """That of the result: with the statistics of varied templates where these count.

        None without a parameter of interest.
        """
        noise, poi = self.template_noise, self.poi
        if poi is None:
            return None
        return noise.total if noise is not None and noise.in_total else poi.uncertainty

    @property
    def noise_statement(self) -> str | None:
        """What the statistics of varied templates do to the result; None if they hardly matter."""
        noise, poi, breakdown = self.template_noise, self.poi, self.breakdown
        if noise is None or poi is None or breakdown is None or not noise.serious:
            return None
        return noise.statement(poi.name, breakdown.total)

    def results(self) -> "FitResults":
        """What cabinetry's tables, plots and predictions take."""
        from cabinetry.fit import FitResults

        return FitResults(
            bestfit=np.array(self.bestfit),
            uncertainty=np.array(self.uncertainty),
            labels=list(self.labels),
            corr_mat=np.array(self.correlation),
            best_twice_nll=self.best_twice_nll,
            goodness_of_fit=-1 if self.goodness_of_fit is None else self.goodness_of_fit,
        )


Record = TypeVar("Record", bound=WorkspaceRecord)


def of_workspace(workspace: Workspace, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ``WorkspaceRecord`` about a workspace."""
    return {"workspace_digest": digest(workspace), "provenance": dict(provenance)}


def read(kind: type[Record], path: Path, workspace: Workspace) -> Record:
    """Read a record and check that it belongs to a workspace.

    Args:
        kind: of the record.
        path: JSON file.
        workspace: the content of the workspace's file.

    Raises:
        InputError: if the file is missing or not such a record.
        ModelError: if it is about another workspace.
    """
    record = read_record(kind, path, f"a {kind.__name__}")
    actual = digest(workspace)
    if record.workspace_digest != actual:
        raise ModelError(
            f"belongs to the workspace {record.workspace_digest[:12]}, not to {actual[:12]}",
            place=str(path),
            remedy="delete it and run again, or give the workspace that it belongs to",
        )
    return record
