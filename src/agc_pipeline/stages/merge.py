"""Check closure, normalise, and write the histogram file of all datasets."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveFloat, PositiveInt

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import (
    Options,
    Stage,
    always,
    reads,
    writes,
)

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class DatasetSettings(Settings):
    """What merging must know of a dataset."""

    xsec_pb: PositiveFloat
    n_files: PositiveInt


class MergeStage(Settings):
    """What merging needs; ``parts`` are the optional regions that the run has."""

    analysis: str
    parts: tuple[str, ...] = ()
    luminosity_per_pb: PositiveFloat
    datasets: dict[str, DatasetSettings]
    allow_partial: bool


class MergeOptions(Options):
    """What the stage is told beside its settings."""

    datasets: tuple[Path, ...] = reads(
        lambda plan: [f"{plan.folder}/histograms/{dataset}.json" for dataset in plan.datasets],
        "summed datasets",
    )
    histograms: Path = writes("histograms.root", "ROOT file to write")
    closure: Path = writes("closure.json", "closure record to write")
    performance: Path | None = writes(
        "performance.json", "cost of the histograms, to write", default=None
    )


def configure(plan: "Plan") -> MergeStage:
    """Cross sections and luminosity, and how many files each dataset has."""
    return MergeStage(
        analysis=plan.config.analysis,
        parts=tuple(plan.parts),
        luminosity_per_pb=plan.config.physics.luminosity_per_pb,
        datasets={
            dataset.name: DatasetSettings(xsec_pb=dataset.xsec_pb, n_files=len(dataset.files))
            for dataset in plan.datasets.values()
        },
        allow_partial=plan.config.allow_partial,
    )


def run(settings: MergeStage, options: MergeOptions) -> None:
    """Write the histograms and the closure record."""
    from agc_pipeline import histograms
    from agc_pipeline.columnar import batch, ledger, merge, performance
    from agc_pipeline.columnar.closure import Closure, DatasetAccount

    analysis = analyses.load(settings.analysis, *settings.parts)
    weighted = {}
    accounts = {}
    for path in options.datasets:
        summed = batch.read(path)
        dataset = settings.datasets[summed.dataset]
        left_out = ledger.close(
            summed.files, dataset.n_files, summed.dataset, allow_partial=settings.allow_partial
        )
        weight = merge.event_weight(summed, dataset.xsec_pb, settings.luminosity_per_pb)
        weighted[summed.dataset] = (summed, weight)
        used = [file for file in summed.files if file.closed]
        accounts[summed.dataset] = DatasetAccount(
            process=summed.process,
            variation=summed.variation,
            xsec_pb=dataset.xsec_pb,
            weight=weight,
            n_generated=sum(file.generated for file in used),
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
        inputs=options.datasets,
    )
    made = merge.templates(analysis, weighted)
    partial = any(account.left_out for account in accounts.values())
    closure = Closure(
        partial=partial,
        datasets=accounts,
        models=merge.models([summed for summed, _ in weighted.values()]),
        provenance=made_by,
    )
    histograms.write_root(
        options.histograms, made, provenance=made_by, closure=closure.model_dump(mode="json")
    )
    write_json(options.closure, closure.model_dump())
    if options.performance is not None:
        costs = {name: summed.performance for name, (summed, _) in weighted.items()}
        performance.write(options.performance, performance.PerformanceRecord(datasets=costs))
    log.info("%d histograms%s", len(made), ", PARTIAL: some files were left out" * partial)


STAGE = Stage(
    name="merge",
    settings=MergeStage,
    options=MergeOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.fills,
    watched={"fileset": "fileset.json"},
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
