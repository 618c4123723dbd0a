"""Histograms without events: the published ones, with the closure that `merge` would write."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.provenance import Provenance, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, writes

if TYPE_CHECKING:
    from agc_pipeline.columnar.closure import Closure
    from agc_pipeline.declaration import Analysis
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class PublishedSettings(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        n_files: files per dataset that the histograms were published for; -1 is all.
    """

    analysis: str
    n_files: int = Field(ge=-1)


class PublishedOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = writes("histograms.root", "ROOT file to write")
    closure: Path = writes("closure.json", "JSON file to write")


def configure(plan: "Plan") -> PublishedSettings:
    """Which of the published histograms."""
    return PublishedSettings(
        analysis=plan.config.analysis, n_files=plan.config.n_files_max_per_sample
    )


def run(settings: PublishedSettings, options: PublishedOptions) -> None:
    """Write the published histograms and their closure."""
    from agc_pipeline.histograms import write_root
    from agc_pipeline.validation import published

    analysis = analyses.load(settings.analysis)
    histograms = published.load(analysis, settings.n_files)
    source = published.read(analysis, settings.n_files).source
    made_by = provenance(
        "published", packages=("hist", "numpy", "uproot"), settings=settings.model_dump()
    )
    made_by["inputs"] = {source: published.file_digest(analysis, settings.n_files)}
    events = closure(analysis, settings.n_files, made_by)
    write_root(
        options.histograms,
        histograms,
        provenance=made_by,
        closure=events.model_dump(mode="json"),
    )
    write_json(options.closure, events.model_dump())
    log.info("%d histograms of %s", len(histograms), source)


def closure(analysis: "Analysis", n_files: int, made_by: Provenance) -> "Closure":
    """The record of events: as published, every event processed, no files of our own.

    Published yields have no events: there are no accounts.
    """
    from agc_pipeline.columnar.closure import Closure, DatasetAccount
    from agc_pipeline.declaration import ALL_EVENTS, Template
    from agc_pipeline.validation import published

    numbers = published.read(analysis, n_files)
    if isinstance(numbers, published.PublishedYields):
        return Closure(partial=False, datasets={}, provenance=dict(made_by))
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


STAGE = Stage(
    name="published",
    settings=PublishedSettings,
    options=PublishedOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.published,
    watched={"published": lambda plan: plan.reference_files},
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
