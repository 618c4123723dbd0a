"""Deliver a batch of files of one dataset: skims, their manifest, and a ledger of failures.

Skims of earlier runs that are still intact are taken as they are, also those that a job wrote
before it failed.
"""

import argparse
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.query import query
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.backends import deliver
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.delivery.store import packages, store_of
from agc_pipeline.files import write_json
from agc_pipeline.provenance import digest, provenance
from agc_pipeline.readers.settings import ReadingSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class DeliverStage(Settings):
    """What one delivery job needs.

    Attributes:
        analysis: its name.
        dataset: its name.
        files: of the batch.
        selection: ``physics.selection``, the analysis' own.
        learned: whether learned observables are computed, which read more columns.
        delivery: backend and format.
        allow_partial: leave out files that cannot be delivered.
    """

    analysis: str
    dataset: str
    files: tuple[InputFile, ...]
    selection: dict[str, object]
    learned: bool
    delivery: DeliveryJob
    allow_partial: bool


def stage(arguments: argparse.Namespace) -> None:
    """Deliver what is not there yet, then write ledger and manifest."""
    settings = command.settings(DeliverStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    selection = analysis.selection(settings.selection)
    dataset = analysis.dataset(settings.dataset)
    job = settings.delivery
    content = skim_content(analysis, selection, dataset, learned=settings.learned)
    outcome = deliver(
        settings.files,
        content,
        query(analysis, selection, dataset, learned=settings.learned)
        if job.backend == "servicex"
        else None,
        job,
        reading=command.settings(ReadingSettings, arguments.reading),
        store=store_of(arguments.skims, content, job),
    )
    write_json(arguments.failures, outcome.ledger(dataset.name))
    if not settings.allow_partial:
        outcome.check(dataset.name)
    manifest.write(
        arguments.manifest,
        manifest.Manifest(
            dataset=dataset.name,
            backend=job.backend,
            format=job.format,
            selection=digest(selection.model_dump()) if job.format else None,
            files=outcome.entries(),
            provenance=provenance(
                "deliver",
                packages=packages(job),
                settings=settings.model_dump(),
                inputs=[Path(file.record) for file in settings.files if file.record is not None],
            ),
        ),
    )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--reading", required=True, help="how to read, which changes no skim")
    options.add_argument("--manifest", type=Path, required=True, help="manifest to write")
    options.add_argument("--failures", type=Path, required=True, help="ledger to write")
    options.add_argument("--skims", type=Path, required=True, help="folder of the dataset's skims")
    command.run(stage, options)


if __name__ == "__main__":
    main()
