"""Histogram a batch of delivered files of one dataset."""

import argparse
from pathlib import Path
from typing import Any

from agc_pipeline import analyses, histograms
from agc_pipeline.columnar import batch, runner
from agc_pipeline.columnar.executors import executor
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.declaration import Analysis
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.readable import readable
from agc_pipeline.learning.settings import ScoringSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class HistogramStage(Settings):
    """What one histogram job needs.

    Attributes:
        analysis: its name.
        selection: ``physics.selection``, the analysis' own.
        learned: settings of the learned observables, likewise; None does not compute them.
        allow_partial: leave out files that cannot be read.
        blinded: leave out data in blinded windows.
    """

    analysis: str
    selection: dict[str, object]
    learned: dict[str, object] | None
    allow_partial: bool
    blinded: bool = False


def stage(arguments: argparse.Namespace) -> None:
    """Fill the histograms of all variations and account for every event."""
    settings = command.settings(HistogramStage, arguments.settings)
    execution = command.settings(HistogramSettings, arguments.execution)
    analysis = analyses.load(settings.analysis)
    # Models are refused before any event is read.
    scoring = _scoring(analysis, settings, arguments)
    delivered = manifest.read(arguments.manifest)
    processing = Processing(
        analysis,
        analysis.selection(settings.selection),
        analysis.dataset(delivered.dataset),
        scoring,
        settings.blinded,
    )
    specification = runner.Specification(
        processing,
        reader=execution.reader,
        chunk_size=execution.chunk_size,
        chunk_bytes=execution.chunk_bytes,
        cache=arguments.metadata,
        kind=delivered.format,
    )
    with executor(execution, arguments.performance) as pool:
        output, ledger, costs = runner.run(
            readable(delivered.files), specification, pool, allow_partial=settings.allow_partial
        )
    # A skim no longer has the events that the first cuts drop: delivery counted those.
    cutflows = [file.cutflow for file in delivered.files if file.cutflow]
    batch.write(
        arguments.output,
        batch.Batch(
            dataset=delivered.dataset,
            histograms={
                process: {
                    region: histograms.to_json(histogram) for region, histogram in regions.items()
                }
                for process, regions in output["histograms"].items()
            },
            cutflow={
                **(batch.total(cutflows) if cutflows else output["preselection"]),
                **output["selected"],
            },
            files=tuple(ledger),
            performance=costs,
            models=None if scoring is None else scoring.digest,
            provenance=provenance(
                "histogram",
                packages=("awkward", "coffea", "correctionlib", "hist", "numba", "numpy", "uproot"),
                settings=settings.model_dump(),
                inputs=[arguments.manifest, *([] if scoring is None else scoring.files)],
            ),
        ),
    )


def _scoring(analysis: Analysis, settings: HistogramStage, arguments: argparse.Namespace) -> Any:
    """What computes learned observables, if they are computed."""
    if settings.learned is None or analysis.learned is None:
        return None
    return analysis.learned.scorer(
        analysis.learned_settings(settings.learned),
        Path(arguments.models),
        command.settings(ScoringSettings, arguments.scoring),
    )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--execution", required=True, help="how to run, which changes no bin")
    options.add_argument(
        "--models", help="folder of the models of learned observables, if there are any"
    )
    options.add_argument("--scoring", help="what computes their scores, which changes no bin")
    options.add_argument("--performance", type=Path, required=True, help="page of Dask to write")
    options.add_argument("--manifest", type=Path, required=True, help="what was delivered")
    options.add_argument("--output", type=Path, required=True, help="histograms to write")
    options.add_argument("--metadata", type=Path, help="folder of the metadata of files")
    command.run(stage, options)


if __name__ == "__main__":
    main()
