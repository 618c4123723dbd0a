"""Making and reading the records of a model and of a fit."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyhf
from cabinetry.fit import FitResults
from cabinetry.model_utils import prediction

from agc_pipeline.declaration import Analysis
from agc_pipeline.errors import ModelError
from agc_pipeline.files import read_record
from agc_pipeline.inference import groups
from agc_pipeline.inference.fit import Fit
from agc_pipeline.inference.impacts import Breakdown
from agc_pipeline.inference.records import (
    Channel,
    ChannelYields,
    Comparison,
    DataKind,
    FitRecord,
    ModelRecord,
    Parameter,
    WorkspaceRecord,
    Yield,
    Yields,
)
from agc_pipeline.inference.templates import Templates
from agc_pipeline.inference.workspace import Workspace
from agc_pipeline.provenance import Provenance, digest

Record = TypeVar("Record", bound=WorkspaceRecord)


def describe_model(
    analysis: Analysis,
    templates: Templates,
    workspace: Workspace,
    *,
    data: DataKind,
    partial: bool,
    made_by: Provenance,
) -> ModelRecord:
    """The record of a workspace."""
    return ModelRecord(
        workspace_digest=digest(workspace),
        analysis=analysis.name,
        data=data,
        partial=partial,
        left_out=templates.left_out,
        channels={
            region.title: Channel(
                region=region.name,
                label=region.label,
                edges=templates.data[region.name].bins.tolist(),
                observed=templates.data[region.name].yields.tolist(),
            )
            for region in analysis.regions
            if region.name in templates.data
        },
        groups=groups.declared(analysis),
        provenance=dict(made_by),
    )


def describe_fit(
    record: ModelRecord,
    model: pyhf.Model,
    fit: Fit,
    *,
    breakdown: Breakdown | None,
    comparison: Comparison | None,
    made_by: Provenance,
) -> FitRecord:
    """The record of a fit: what the record of its model says, and the results."""
    results = fit.results
    return FitRecord(
        **record.model_dump(exclude={"provenance"}),
        labels=results.labels,
        bestfit=results.bestfit.tolist(),
        uncertainty=results.uncertainty.tolist(),
        correlation=results.corr_mat.tolist(),
        best_twice_nll=results.best_twice_nll,
        goodness_of_fit=None if results.goodness_of_fit < 0 else results.goodness_of_fit,
        poi=_poi(model, results),
        method="cabinetry" if fit.diagnostics.iterations is None else "exact",
        diagnostics=fit.diagnostics,
        breakdown=breakdown,
        comparison=comparison,
        yields=yields(model, results),
        provenance=dict(made_by),
    )


def compare(model: pyhf.Model, fit: Fit, other: Fit | ModelError) -> Comparison:
    """What the other method gives.

    Args:
        model: of both fits.
        fit: the one that counts.
        other: by the other method, or why it failed.
    """
    method: Any = "exact" if fit.diagnostics.iterations is None else "cabinetry"
    if isinstance(other, ModelError):
        return Comparison(method=method, failure=other.problem)
    ours, theirs = fit.results.uncertainty, other.results.uncertainty
    both = (ours > 0) & (theirs > 0)
    ratio = np.where(both, theirs / np.where(both, ours, 1.0), 1.0)
    worst = int(np.argmax(np.abs(np.log(ratio))))
    return Comparison(
        method=method,
        poi=_poi(model, other.results),
        distance=other.diagnostics.distance,
        largest=(fit.results.labels[worst], float(ratio[worst])),
    )


def _poi(model: pyhf.Model, results: FitResults) -> Parameter:
    position = model.config.poi_index
    return Parameter(
        name=model.config.poi_name,
        bestfit=results.bestfit[position],
        uncertainty=results.uncertainty[position],
    )


def yields(model: pyhf.Model, results: FitResults) -> Yields:
    """Expected events before and after a fit, whose parameters are those of the model."""
    return Yields(prefit=_yields(model, None), postfit=_yields(model, results))


def read(kind: type[Record], path: Path, workspace: Workspace) -> Record:
    """Read a record and check that it belongs to a workspace.

    Args:
        kind: ``ModelRecord`` or ``FitRecord``.
        path: JSON file.
        workspace: the content of the workspace's file.

    Raises:
        InputError: if the file is missing or not such a record.
        ModelError: if it is about another workspace.
    """
    record = read_record(kind, path, f"a {kind.__name__}")
    found = digest(workspace)
    if record.workspace_digest != found:
        raise ModelError(
            f"belongs to the workspace {record.workspace_digest[:12]}, not to {found[:12]}",
            place=str(path),
            remedy="delete it and run again, or give the workspace that it was made with",
        )
    return record


def _yields(model: pyhf.Model, results: FitResults | None) -> dict[str, ChannelYields]:
    """Expected events by channel; before the fit for None."""
    expected = prediction(model, fit_results=results)
    in_channel = {
        channel["name"]: {sample["name"] for sample in channel["samples"]}
        for channel in model.spec["channels"]
    }
    found = {}
    for c, channel in enumerate(model.config.channels):
        bins = np.array(expected.model_yields[c])
        # The last row of cabinetry's uncertainties is that of all samples together.
        rows = [
            Yield(
                bins=content.tolist(),
                uncertainty=expected.total_stdev_model_bins[c][s],
                total=content.sum(),
                total_uncertainty=expected.total_stdev_model_channels[c][s],
            )
            for s, content in enumerate([*bins, bins.sum(axis=0)])
        ]
        samples = zip(model.config.samples, rows, strict=False)
        found[channel] = ChannelYields(
            samples={name: row for name, row in samples if name in in_channel[channel]},
            all=rows[-1],
        )
    return found
