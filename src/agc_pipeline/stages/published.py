"""Histograms without events: the published ones, with the closure that `merge` would write."""

import argparse
import logging
from pathlib import Path

from pydantic import Field

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.declaration import ALL_EVENTS, Template
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
    given = command.settings(PublishedSettings, arguments.settings)
    histograms = published.load(given.analysis, given.n_files)
    made_by = _provenance(given)
    events = closure(given, made_by)
    write_root(
        arguments.histograms,
        histograms,
        provenance=made_by,
        closure=events.model_dump(mode="json"),
    )
    write_json(arguments.closure, events.model_dump())
    log.info(
        "%d histograms of %s", len(histograms), published.read(given.analysis, given.n_files).source
    )


def closure(given: PublishedSettings, made_by: Provenance) -> Closure:
    """The record of events: as published, every event processed, no files of our own."""
    analysis = analyses.load(given.analysis)
    numbers = published.read(given.analysis, given.n_files)
    weights = published.weights(given.analysis, given.n_files)
    datasets = {}
    for process, variation in analysis.datasets:
        name = analysis.dataset_name(process, variation)
        n_generated = numbers.n_generated[name]
        selected = {
            region.name: int(numbers.entries(Template(region.name, process, variation).name).sum())
            for region in analysis.regions
        }
        datasets[name] = DatasetAccount(
            process=process,
            variation=variation,
            xsec_pb=numbers.cross_sections_pb[process],
            weight=weights[name],
            n_generated=n_generated,
            events_expected=n_generated,
            events_processed=n_generated,
            cutflow={ALL_EVENTS: n_generated} | selected,
            files=(),
            left_out=(),
        )
    return Closure(partial=False, datasets=datasets, provenance=dict(made_by))


def _provenance(given: PublishedSettings) -> Provenance:
    made_by = provenance(
        "published", packages=("hist", "numpy", "uproot"), settings=given.model_dump()
    )
    source = published.read(given.analysis, given.n_files).source
    made_by["inputs"] = {source: published.file_digest(given.analysis, given.n_files)}
    return made_by


def main() -> None:
    """Entry point of ``python -m agc_pipeline.stages.published``."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="ROOT file to write")
    options.add_argument("--closure", type=Path, required=True, help="JSON file to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
