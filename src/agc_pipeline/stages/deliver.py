"""Deliver a batch of files of one dataset: skims, their manifest, and a ledger of failures.

Skims of earlier runs that are still intact are taken as they are, also those that a job wrote
before it failed.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.datasets import InputFile, watched
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.files import write_json
from agc_pipeline.provenance import digest, provenance
from agc_pipeline.readers.settings import ReadingSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, logs, runs_with, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.delivery.outcome import Outcome
    from agc_pipeline.plan import Plan

log = logging.getLogger(__name__)


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


class DeliverOptions(Options):
    """What the stage is told beside its settings."""

    reading: ReadingSettings = runs_with(
        lambda plan: plan.config.delivery.reading, "how to read, which changes no skim"
    )
    manifest: Path = writes("manifests/{dataset}/{batch}.json", "manifest to write")
    failures: Path = logs(".failures.json", "ledger to write")
    # No output of Snakemake's: it would be removed before the job, with all that is intact.
    skims: Path = uses("skims/{dataset}", "folder of the dataset's skims")


def configure(plan: "Plan", dataset: str, batch: str) -> DeliverStage:
    """The files of a batch, and how they are delivered."""
    return DeliverStage(
        analysis=plan.config.analysis,
        dataset=dataset,
        files=plan.batches(dataset)[batch],
        selection=plan.physics["selection"],
        learned=plan.assigns,
        delivery=plan.deliveries[dataset][0],
        allow_partial=plan.allows_partial(dataset),
    )


def run(settings: DeliverStage, options: DeliverOptions) -> None:
    """Deliver what is not there yet, then write ledger and manifest."""
    outcome = _deliver(settings, options.reading, options.skims)
    write_json(options.failures, outcome.ledger(settings.dataset))
    if not settings.allow_partial:
        outcome.check(settings.dataset, data=_is_data(settings))
    _write(options.manifest, settings, outcome)


def deliver_again(
    path: Path, lost: Mapping[str, str], reading: ReadingSettings, skims: Path
) -> None:
    """Deliver skims of a manifest that are no longer there as they were.

    The manifest stays as old as it is: what was made of it has the same bits.

    Args:
        path: of the manifest.
        lost: path of each such skim, and what is wrong with it.
        reading: how to read, which changes no skim.
        skims: folder of the dataset's skims.

    Raises:
        InputError: if one cannot be delivered.
    """
    from agc_pipeline.delivery import manifest

    for skim, fault in lost.items():
        log.warning("%s: %s; it is delivered again", skim, fault)
        Path(skim).unlink(missing_ok=True)
    settings = DeliverStage.model_validate(manifest.read(path).settings)
    outcome = _deliver(settings, reading, skims)
    if not settings.allow_partial:
        outcome.check(settings.dataset, data=_is_data(settings))
    status = path.stat()
    _write(path, settings, outcome)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_data(settings: DeliverStage) -> bool:
    return analyses.load(settings.analysis).dataset(settings.dataset).kind == "data"


def _deliver(settings: DeliverStage, reading: ReadingSettings, skims: Path) -> "Outcome":
    from agc_pipeline.columnar.processing import skim_content
    from agc_pipeline.declaration.query import query
    from agc_pipeline.delivery.backends import deliver
    from agc_pipeline.delivery.store import store_of

    analysis = analyses.load(settings.analysis)
    selection = analysis.selection(settings.selection)
    dataset = analysis.dataset(settings.dataset)
    job = settings.delivery
    content = skim_content(analysis, selection, dataset, learned=settings.learned)
    return deliver(
        settings.files,
        content,
        query(analysis, selection, dataset, learned=settings.learned)
        if job.backend == "servicex"
        else None,
        job,
        reading=reading,
        store=store_of(skims, content, job),
    )


def _write(path: Path, settings: DeliverStage, outcome: "Outcome") -> None:
    from agc_pipeline.delivery import manifest
    from agc_pipeline.delivery.store import packages

    analysis = analyses.load(settings.analysis)
    selection = analysis.selection(settings.selection)
    job = settings.delivery
    manifest.write(
        path,
        manifest.Manifest(
            dataset=settings.dataset,
            backend=job.backend,
            format=job.format,
            selection=digest(selection.model_dump()) if job.format else None,
            files=outcome.entries(),
            settings=settings.model_dump(mode="json"),
            provenance=provenance(
                "deliver",
                packages=packages(job),
                settings=settings.model_dump(),
                inputs=[Path(file.record) for file in settings.files if file.record is not None],
            ),
        ),
    )


STAGE = Stage(
    name="deliver",
    settings=DeliverStage,
    options=DeliverOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    events={"files": lambda plan, dataset, batch: watched(plan.batches(dataset)[batch])},
    files=lambda plan: plan.files_per_job,
)
main = STAGE.main

if __name__ == "__main__":
    main()
