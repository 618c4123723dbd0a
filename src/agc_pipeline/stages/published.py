"""Histograms without events: the published ones, with the closure that `merge` would write."""

import argparse
import logging
from pathlib import Path

from pydantic import Field

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.declaration import ALL_EVENTS, Analysis, Template
from agc_pipeline.files import write_json
from agc_pipeline.histograms import write_root
from agc_pipeline.provenance import Provenance, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command
from agc_pipeline.validation import published

log = logging.getLogger(__name__)


class PublishedSettings(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        n_files: files per dataset that the histograms were published for; -1 is all.
    """

    analysis: str
    n_files: int = Field(ge=-1)


def stage(arguments: argparse.Namespace) -> None:
    """Write the published histograms and their closure."""
    settings = command.settings(PublishedSettings, arguments.settings)
    analysis = analyses.load(settings.analysis)
    histograms = published.load(analysis, settings.n_files)
    source = published.read(analysis, settings.n_files).source
    made_by = provenance(
        "published", packages=("hist", "numpy", "uproot"), settings=settings.model_dump()
    )
    made_by["inputs"] = {source: published.file_digest(analysis, settings.n_files)}
    events = closure(analysis, settings.n_files, made_by)
    write_root(
        arguments.histograms,
        histograms,
        provenance=made_by,
        closure=events.model_dump(mode="json"),
    )
    write_json(arguments.closure, events.model_dump())
    log.info("%d histograms of %s", len(histograms), source)


def closure(analysis: Analysis, n_files: int, made_by: Provenance) -> Closure:
    """The record of events: as published, every event processed, no files of our own."""
    numbers = published.read(analysis, n_files)
    weights = published.weights(analysis, n_files)
    datasets = {}
    for dataset in analysis.datasets:
        n_generated = numbers.n_generated[dataset.name]
        (process,) = dataset.processes
        names = {
            region.name: Template(region.name, process, dataset.variation).name
            for region in analysis.regions
        }
        datasets[dataset.name] = DatasetAccount(
            processes=dataset.processes,
            variation=dataset.variation,
            xsec_pb=numbers.cross_sections_pb[dataset.cross_section_name],
            weight=weights[dataset.name],
            n_generated=n_generated,
            events_expected=n_generated,
            events_processed=n_generated,
            cutflow={
                ALL_EVENTS: n_generated,
                **{region: int(numbers.entries(name).sum()) for region, name in names.items()},
            },
            files=(),
            left_out=(),
        )
    return Closure(partial=False, datasets=datasets, provenance=dict(made_by))


def main() -> None:
    """Entry point of ``python -m agc_pipeline.stages.published``."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="ROOT file to write")
    options.add_argument("--closure", type=Path, required=True, help="JSON file to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
