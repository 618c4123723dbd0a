"""Histogram a batch of delivered files of one dataset."""

import argparse
from pathlib import Path

from agc_pipeline import analyses, histograms
from agc_pipeline.analyses.base import Assignment
from agc_pipeline.columnar import batch, runner
from agc_pipeline.columnar.executors import executor
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.readable import readable
from agc_pipeline.learning.settings import ScoringSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


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


def stage(arguments: argparse.Namespace) -> None:
    """Fill the histograms of all variations and account for every event."""
    settings = command.settings(HistogramStage, arguments.settings)
    execution = command.settings(HistogramSettings, arguments.execution)
    # Models are refused before any event is read.
    assignment = _assignment(settings, arguments)
    delivered = manifest.read(arguments.manifest)
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
        kept=arguments.known,
        kind=delivered.format,
    )
    with executor(execution, arguments.performance) as made:
        output, ledger, costs = runner.run(
            readable(delivered.files), work, made, allow_partial=settings.allow_partial
        )
    # A skim no longer has the events that the first cuts drop: delivery counted those.
    counted = [file.cutflow for file in delivered.files if file.cutflow]
    batch.write(
        arguments.output,
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
                inputs=[arguments.manifest, *([] if assignment is None else assignment.files)],
            ),
        ),
    )


def _assignment(settings: HistogramStage, arguments: argparse.Namespace) -> Assignment | None:
    """The assignment of jets, if they are assigned."""
    if settings.jet_assignment is None:
        return None
    chosen = analyses.load(settings.analysis).assignment(settings.jet_assignment)
    scoring = command.settings(ScoringSettings, arguments.scoring)
    found = analyses.load_assignment(settings.analysis)
    return found.assignment(chosen, Path(arguments.models), scoring)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--execution", required=True, help="how to run, which changes no bin")
    options.add_argument("--models", help="folder of the models that assign jets, if they do")
    options.add_argument("--scoring", help="what computes their scores, which changes no bin")
    options.add_argument("--performance", type=Path, required=True, help="page of Dask to write")
    options.add_argument("--manifest", type=Path, required=True, help="what was delivered")
    options.add_argument("--output", type=Path, required=True, help="histograms to write")
    options.add_argument("--known", type=Path, help="folder to keep what is learned of files in")
    command.run(stage, options)


if __name__ == "__main__":
    main()
