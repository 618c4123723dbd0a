"""Histogram a batch of delivered files of one dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.learning.settings import ScoringSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.readers.settings import NETWORK, ReadingSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages.deliver import deliver_again
from agc_pipeline.stages.description import Stage, reads, runs_with, uses, writes
from agc_pipeline.stages.filling import FillingOptions

if TYPE_CHECKING:
    from agc_pipeline.declaration import Analysis
    from agc_pipeline.delivery.manifest import Manifest
    from agc_pipeline.plan import Plan


class HistogramStage(Settings):
    """What one histogram job needs.

    Attributes:
        analysis: its name.
        selection: ``physics.selection``, the analysis' own.
        learned: settings of the learned observables, likewise; None does not compute them.
        allow_partial: leave out files of simulated events that cannot be read.
        blinded: leave out data in blinded windows.
    """

    analysis: str
    selection: dict[str, object]
    learned: dict[str, object] | None
    allow_partial: bool
    blinded: bool = False


def scoring(plan: "Plan") -> ScoringSettings | None:
    """What computes scores; None without learned observables."""
    if not plan.assigns:
        return None
    return ScoringSettings(scorer=plan.config.learned, triton=plan.learning.triton)


class HistogramOptions(FillingOptions):
    """What the stage is told beside its settings."""

    models: Path | None = uses(
        lambda plan: plan.models_folder or [],
        "folder of the models of learned observables, if there are any",
    )
    discriminant: Path | None = uses(
        lambda plan: plan.config.discriminant or [],
        "folder of the models of a discriminant, if it is the observable",
        default=None,
    )
    scoring: ScoringSettings | None = runs_with(
        scoring, "what computes scores, which changes no bin", default=None
    )
    # No output: what fills the histograms may or may not write it.
    performance: Path = uses("dask/{dataset}/{batch}.html", "page of Dask to write")
    trace: Path | None = uses(
        "traces/{dataset}/{batch}.json",
        "record of all tasks to write, if `histograms.trace` says so",
        default=None,
    )
    manifest: Path = reads("manifests/{dataset}/{batch}.json", "what was delivered")
    first: Path | None = reads(
        lambda plan, dataset: plan.first_manifest(dataset),
        "what was delivered of the first files, which the unit of weights follows from",
        default=None,
    )
    skims: Path | None = uses(
        "skims/{dataset}",
        "folder of the dataset's skims, where lost ones are delivered again",
        default=None,
    )
    output: Path = writes("histograms/{dataset}/{batch}.json", "histograms to write")


def configure(plan: "Plan") -> HistogramStage:
    """The selection, and whether there are learned observables."""
    return HistogramStage(
        analysis=plan.config.analysis,
        selection=plan.physics["selection"],
        learned=plan.physics[plan.learned.name] if plan.assigns else None,
        allow_partial=plan.config.allow_partial,
        blinded=plan.blinded,
    )


def run(settings: HistogramStage, options: HistogramOptions) -> None:
    """Fill the histograms of all variations and account for every event."""
    from agc_pipeline import analyses
    from agc_pipeline.columnar import batch, runner, traces
    from agc_pipeline.columnar.executors import executor
    from agc_pipeline.columnar.processing import Processing
    from agc_pipeline.delivery import manifest
    from agc_pipeline.delivery.readable import readable

    execution = options.execution
    analysis = analyses.load(settings.analysis)
    # Models are refused before any event is read.
    scoring = _scoring(analysis, settings, options)
    scored = _discriminant(analysis, options)
    models = [each for each in (scoring, scored) if each is not None]
    planned = manifest.read(options.manifest)
    dataset = analysis.dataset(planned.dataset)
    allow_partial = settings.allow_partial and dataset.may_be_partial
    delivered = _intact(planned, options, allow_partial=allow_partial)
    first = delivered if options.first is None else manifest.read(options.first)
    processing = Processing(
        analysis,
        analysis.selection(settings.selection),
        dataset,
        scoring,
        settings.blinded,
        runner.unit_of(dataset, first.files),
        scored,
    )
    specification = runner.Specification(
        processing,
        reader=execution.reader,
        chunk_size=execution.chunk_size,
        chunk_bytes=execution.chunk_bytes,
        cache=options.metadata,
        kind=delivered.format,
        network=options.network or NETWORK,
        traced=execution.trace and options.trace is not None,
    )
    archive = analyses.archive(settings.analysis) if execution.executor == "dask" else None
    with executor(execution, options.performance, archive) as pool:
        output, ledger, costs, tasks = runner.run(
            readable(delivered.files), specification, pool, allow_partial=allow_partial
        )
    # A skim no longer has the events that the first cuts drop: delivery counted those.
    cutflows = [file.cutflow for file in delivered.files if file.cutflow]
    batch.write(
        options.output,
        batch.Batch(
            dataset=delivered.dataset,
            **batch.sums(output),
            unit=None if dataset.kind == "data" else processing.unit,
            cutflow={
                **(batch.total(cutflows) if cutflows else output["preselection"]),
                **output["selected"],
            },
            unassigned=output["unassigned"],
            # Which regions, and not how many events: the number is blinded.
            exposed={
                region: tuple(sorted(blinded)) for region, blinded in output["exposed"].items()
            },
            sample=output["sample"].digests,
            files=tuple(ledger),
            performance=costs,
            models="; ".join(each.digest for each in models) or None,
            provenance=provenance(
                "histogram",
                packages=("awkward", "coffea", "correctionlib", "hist", "numba", "numpy", "uproot"),
                settings=settings.model_dump(),
                inputs=[
                    options.manifest,
                    *([] if options.first is None else [options.first]),
                    *(file for each in models for file in each.files),
                ],
            ),
        ),
    )
    if specification.traced and options.trace is not None:
        traces.write(
            options.trace,
            traces.of_job(delivered.dataset, execution.executor, execution.workers, tasks),
        )


def _intact(delivered: "Manifest", options: HistogramOptions, *, allow_partial: bool) -> "Manifest":
    """The manifest of skims that are there as they were written.

    Args:
        delivered: the manifest.
        options: of the job.
        allow_partial: leave out skims that are not there, if nothing says where to put them.

    Raises:
        InputError: if one is not, and is not or cannot be delivered again.
    """
    from agc_pipeline.delivery import manifest
    from agc_pipeline.delivery.store import faults

    lost = faults(delivered.files, options.execution.threads)
    if not lost:
        return delivered
    if options.skims is None:
        if not allow_partial:
            place, fault = next(iter(lost.items()))
            raise InputError(fault, place=place, remedy="run the delivery again")
        files = [
            file.model_copy(update={"path": None, "error": lost[file.path]})
            if file.path in lost
            else file
            for file in delivered.files
        ]
        return delivered.model_copy(update={"files": tuple(files)})
    reading = ReadingSettings(
        chunk_size=options.execution.chunk_size, network=options.network or NETWORK
    )
    deliver_again(options.manifest, lost, reading, options.skims)
    return manifest.read(options.manifest)


def _scoring(analysis: "Analysis", settings: HistogramStage, options: HistogramOptions) -> Any:
    """What computes learned observables, if they are computed."""
    if settings.learned is None or analysis.learned is None:
        return None
    if options.models is None or options.scoring is None:
        raise ConfigurationError(
            "nothing computes the learned observables",
            place="--models, --scoring",
            remedy="give the folder of the models, and what computes their scores",
        )
    own = analysis.learned_settings(settings.learned)
    return analysis.learned.scorer(own, options.models, options.scoring)


def _discriminant(analysis: "Analysis", options: HistogramOptions) -> Any:
    """What computes a discriminant, if it is the observable of regions."""
    regions = [region.name for region in analysis.regions if region.values is None]
    if not regions:
        return None
    if options.discriminant is None:
        raise ConfigurationError(
            "nothing computes the discriminant",
            place="--discriminant",
            remedy="give the folder of the models",
        )
    from agc_pipeline.learning import discriminant

    return discriminant.read(options.discriminant, analysis, regions)


STAGE = Stage(
    name="histogram",
    settings=HistogramStage,
    options=HistogramOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    watched={
        "models": lambda plan: plan.models,
        "discriminant_models": lambda plan: plan.discriminant_files,
    },
    external=lambda plan: (*plan.external_models, *plan.discriminant_files),
    # Only from here can a cluster on a batch system be started.
    local=lambda plan: plan.config.histograms.elsewhere,
    threads=lambda plan: plan.config.histograms.threads,
    files=lambda plan: plan.files_per_job,
)
main = STAGE.main

if __name__ == "__main__":
    main()
