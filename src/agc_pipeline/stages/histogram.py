"""Histogram a batch of delivered files of one dataset."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.analyses.base import Assignment
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.learning.settings import ScoringSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import (
    Options,
    Stage,
    reads,
    runs_with,
    uses,
    writes,
)

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


class HistogramStage(Settings):
    """What one histogram job needs.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        selection: ``physics.selection``, the analysis' own.
        jet_assignment: ``physics.jet_assignment``, likewise; None does not assign jets.
        allow_partial: leave out files that cannot be read.
    """

    analysis: str
    selection: dict[str, object]
    jet_assignment: dict[str, object] | None
    allow_partial: bool


class HistogramOptions(Options):
    """What the stage is told beside its settings."""

    execution: HistogramSettings = runs_with(
        lambda plan: plan.config.histograms, "how to run, which changes no bin"
    )
    models: Path | None = uses(
        lambda plan: plan.models_folder or [], "folder of the models that assign jets, if they do"
    )
    scoring: ScoringSettings | None = runs_with(
        lambda plan: (
            ScoringSettings(scorer=plan.config.jet_assignment, triton=plan.config.learning.triton)
            if plan.assigns
            else None
        ),
        "what computes their scores, which changes no bin",
    )
    # No output: what fills the histograms may or may not write it.
    performance: Path = uses("dask/{dataset}/{batch}.html", "page of Dask to write")
    known: Path | None = uses("known", "folder to keep what is learned of files in", default=None)
    manifest: Path = reads("manifests/{dataset}/{batch}.json", "what was delivered")
    output: Path = writes("histograms/{dataset}/{batch}.json", "histograms to write")


def configure(plan: "Plan") -> HistogramStage:
    """The selection, and how jets are assigned."""
    return HistogramStage(
        analysis=plan.config.analysis,
        selection=plan.physics["selection"],
        jet_assignment=plan.physics["jet_assignment"] if plan.assigns else None,
        allow_partial=plan.config.allow_partial,
    )


def _modules(plan: "Plan") -> list[str]:
    """Modules of the analysis: it may do without a compiled processor or models."""
    compiled = ["compiled"] if analyses.has_compiled(plan.config.analysis) else []
    assignment = ["jet_assignment.assign"] if plan.assigns else []
    return ["preselection", "processor", *compiled, *assignment]


def run(settings: HistogramStage, options: HistogramOptions) -> None:
    """Fill the histograms of all variations and account for every event."""
    from agc_pipeline import histograms
    from agc_pipeline.columnar import batch, runner
    from agc_pipeline.columnar.executors import executor
    from agc_pipeline.delivery import manifest
    from agc_pipeline.delivery.readable import readable

    execution = options.execution
    # Models are refused before any event is read.
    assignment = _assignment(settings, options)
    delivered = manifest.read(options.manifest)
    selection = analyses.load(settings.analysis).selection(settings.selection)
    processed = (selection, delivered.process, delivered.variation, assignment)
    compiled = None
    if execution.path == "auto":
        compiled = analyses.load_compiled(settings.analysis)
    work = runner.Work(
        coffea=analyses.load_processor(settings.analysis).processor(*processed),
        columns=analyses.load_preselection(settings.analysis).COLUMNS,
        compiled=None if compiled is None else compiled.processor(*processed),
        chunk_size=execution.chunk_size,
        chunk_bytes=execution.chunk_bytes,
        kept=options.known,
        kind=delivered.format,
    )
    with executor(execution, options.performance) as made:
        output, ledger, costs = runner.run(
            readable(delivered.files), work, made, allow_partial=settings.allow_partial
        )
    # A skim no longer has the events that the first cuts drop: delivery counted those.
    counted = [file.cutflow for file in delivered.files if file.cutflow]
    batch.write(
        options.output,
        batch.Batch(
            dataset=delivered.dataset,
            process=delivered.process,
            variation=delivered.variation,
            histograms={
                region: histograms.to_json(histogram)
                for region, histogram in output["histograms"].items()
            },
            cutflow={
                **(batch.total(counted) if counted else output["preselection"]),
                **output["selected"],
            },
            files=tuple(ledger),
            performance=costs,
            models=None if assignment is None else assignment.digest,
            provenance=provenance(
                "histogram",
                packages=("awkward", "coffea", "correctionlib", "hist", "numba", "numpy", "uproot"),
                settings=settings.model_dump(),
                inputs=[options.manifest, *([] if assignment is None else assignment.files)],
            ),
        ),
    )


def _assignment(settings: HistogramStage, options: HistogramOptions) -> Assignment | None:
    """The assignment of jets, if they are assigned."""
    if settings.jet_assignment is None:
        return None
    if options.models is None or options.scoring is None:
        raise ConfigurationError(
            "nothing to assign jets with",
            place="--models, --scoring",
            remedy="give the folder of the models, and what computes their scores",
        )
    chosen = analyses.load(settings.analysis).assignment(settings.jet_assignment)
    found = analyses.load_assignment(settings.analysis)
    return found.assignment(chosen, options.models, options.scoring)


STAGE = Stage(
    name="histogram",
    settings=HistogramStage,
    options=HistogramOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    watched={"models": lambda plan: plan.models},
    physics=_modules,
    # Only from here can a cluster on a batch system be started.
    local=lambda plan: plan.config.histograms.elsewhere,
    threads=lambda plan: plan.config.histograms.threads,
    files=lambda plan: plan.files_per_job,
)
main = STAGE.main

if __name__ == "__main__":
    main()
