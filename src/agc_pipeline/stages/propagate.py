"""Propagate the fit to other distributions: the bins of the histograms, and regions not fitted."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from cabinetry.model_utils import match_fit_results

from agc_pipeline import analyses
from agc_pipeline.analyses.base import Analysis
from agc_pipeline.files import read_json, write_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import results, templates, workspace
from agc_pipeline.inference.outcomes import PropagationRecord
from agc_pipeline.inference.records import Channel, FitRecord, Yields
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> None:
    """Write the expected events in all bins of all regions, before and after the fit.

    The systematics have their fitted values, uncertainties and correlations. The statistical
    factors of the bins are not those of the fit: they have their uncertainty before it.
    """
    workspace.quieten()
    settings = command.settings(ModelStage, arguments.settings)
    fit = results.read(FitRecord, arguments.fit, read_json(arguments.workspace))
    declared = analyses.load(settings.analysis)
    analysis = _all_regions(declared)
    titles = {
        region.title: known.title
        for region, known in zip(analysis.regions, declared.regions, strict=True)
    }
    model_settings = settings.model.model_copy(update={"rebinning": None})
    selected = templates.select(analysis, read_root(arguments.histograms), model_settings)
    built = workspace.build(analysis, selected, settings.model.poi)
    model, _ = workspace.load(built, place=str(arguments.histograms))
    expected = results.yields(model, match_fit_results(model, fit.results()))
    record = PropagationRecord(
        workspace_digest=fit.workspace_digest,
        channels={
            titles[region.title]: Channel(
                region=region.name,
                label=region.label,
                edges=selected.data[region.name].bins.tolist(),
                observed=selected.data[region.name].yields.tolist(),
            )
            for region in analysis.regions
            if region.name in selected.data
        },
        yields=Yields(
            prefit={titles[title]: events for title, events in expected.prefit.items()},
            postfit={titles[title]: events for title, events in expected.postfit.items()},
        ),
        provenance=dict(
            provenance(
                "propagate",
                packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
                settings=settings.model_dump(),
                inputs=(arguments.histograms, arguments.fit),
            )
        ),
    )
    write_json(arguments.output, record.model_dump())
    log.info("%d distributions", len(record.channels))


def _all_regions(analysis: Analysis) -> Analysis:
    """The analysis with all regions in the model, under titles that no channel of the fit has.

    Statistical factors are named after the channel, and belong to its bins.
    """
    regions = tuple(
        replace(region, title=f"{region.title}, all bins", fitted=True)
        for region in analysis.regions
    )
    return replace(analysis, regions=regions)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="merged ROOT file")
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--fit", type=Path, required=True, help="record of the fit")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
