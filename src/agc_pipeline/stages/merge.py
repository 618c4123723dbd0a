"""Check closure, normalise, and write the histogram file of all datasets."""

import argparse
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt

from agc_pipeline import analyses, histograms
from agc_pipeline.columnar import batch, ledger, merge, performance
from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class DatasetSettings(Settings):
    """What merging must know of a dataset."""

    xsec_pb: PositiveFloat | None
    luminosity_per_pb: PositiveFloat
    n_files: PositiveInt


class MergeStage(Settings):
    """What merging needs; ``learned`` tells whether there are learned observables."""

    analysis: str
    learned: bool = False
    blinded: bool = False
    datasets: dict[str, DatasetSettings]
    allow_partial: bool


def stage(arguments: argparse.Namespace) -> None:
    """Write the histograms and the closure record."""
    settings = command.settings(MergeStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    if settings.learned:
        analysis = analysis.with_learned()
    weighted = {}
    accounts = {}
    for path in arguments.datasets:
        summed = batch.read(path)
        dataset = settings.datasets[summed.dataset]
        left_out = ledger.close(
            summed.files, dataset.n_files, summed.dataset, allow_partial=settings.allow_partial
        )
        weight = merge.event_weight(summed, dataset.xsec_pb, dataset.luminosity_per_pb)
        weighted[summed.dataset] = (summed, weight)
        used = [file for file in summed.files if file.closed]
        accounts[summed.dataset] = DatasetAccount(
            kind=analysis.dataset(summed.dataset).kind,
            processes=analysis.dataset(summed.dataset).processes,
            variation=analysis.dataset(summed.dataset).variation,
            xsec_pb=dataset.xsec_pb,
            weight=weight,
            n_generated=sum(file.generated for file in used),
            sum_of_weights=_sum_of_weights(used),
            events_expected=sum(
                file.before if file.expected is None else file.expected for file in summed.files
            ),
            events_processed=sum(file.before for file in used),
            cutflow=summed.cutflow,
            files=summed.files,
            left_out=tuple(file.explain() for file in left_out),
        )
    made_by = provenance(
        "merge",
        packages=("awkward", "coffea", "hist", "numpy", "uproot"),
        settings=settings.model_dump(),
        inputs=arguments.datasets,
    )
    templates = merge.templates(analysis, weighted, blinded=settings.blinded)
    partial = any(account.left_out for account in accounts.values())
    closure = Closure(
        partial=partial,
        datasets=accounts,
        models=merge.models([summed for summed, _ in weighted.values()]),
        provenance=made_by,
    )
    histograms.write_root(
        arguments.histograms, templates, provenance=made_by, closure=closure.model_dump(mode="json")
    )
    write_json(arguments.closure, closure.model_dump())
    if arguments.performance is not None:
        costs = {name: summed.performance for name, (summed, _) in weighted.items()}
        performance.write(arguments.performance, performance.PerformanceRecord(datasets=costs))
    log.info("%d histograms%s", len(templates), ", PARTIAL: some files were left out" * partial)


def _sum_of_weights(files: Sequence[ledger.LedgerEntry]) -> float | None:
    """Sum of the generator weights of files; None where events are counted."""
    weights = [file.sum_of_weights for file in files if file.sum_of_weights is not None]
    return math.fsum(weights) if weights else None


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--datasets", type=Path, nargs="+", required=True, help="summed datasets")
    options.add_argument("--histograms", type=Path, required=True, help="ROOT file to write")
    options.add_argument("--closure", type=Path, required=True, help="closure record to write")
    options.add_argument("--performance", type=Path, help="cost of the histograms, to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
