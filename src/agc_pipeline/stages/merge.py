"""Check closure, normalise, and write the histogram file of all datasets."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from agc_pipeline.errors import ClosureError
from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, writes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agc_pipeline.columnar.ledger import LedgerEntry
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class DatasetSettings(Settings):
    """What merging must know of a dataset.

    Attributes:
        xsec_pb: cross section; None for collision data.
        luminosity_per_pb: of the data.
        n_files: that it has.
        n_events: that it has, where this is told.
        sum_of_weights: of generated events, that all files together must state.
        states_sum: whether they do: ServiceX delivers none, and the one above counts.
        subset_of: dataset that has all of its events.
        simulated: whether the run simulates its events, of which numbers may repeat.
    """

    xsec_pb: PositiveFloat | None
    luminosity_per_pb: PositiveFloat
    n_files: PositiveInt
    n_events: NonNegativeInt | None = None
    sum_of_weights: PositiveFloat | None = None
    states_sum: bool = True
    subset_of: str | None = None
    simulated: bool = False


class MergeStage(Settings):
    """What merging needs.

    Attributes:
        analysis: its name.
        learned: whether there are learned observables.
        blinded: whether data in blinded windows are left out.
        luminosity_per_pb: of all eras, in 1/pb.
        datasets: by name.
        allow_partial: whether files may be missing.
    """

    analysis: str
    learned: bool = False
    blinded: bool = False
    luminosity_per_pb: PositiveFloat | None = None
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
    """Cross sections and luminosities, and how many files each dataset has."""
    sums = plan.sums_of_weights
    return MergeStage(
        analysis=plan.config.analysis,
        learned=plan.assigns,
        blinded=plan.blinded,
        luminosity_per_pb=plan.config.physics.luminosity(None),
        datasets={
            dataset.name: DatasetSettings(
                xsec_pb=dataset.xsec_pb,
                luminosity_per_pb=dataset.luminosity_per_pb,
                n_files=len(dataset.files),
                n_events=dataset.n_events,
                sum_of_weights=sums.get(dataset.name),
                states_sum=plan.states_sum(dataset.name),
                subset_of=dataset.subset_of,
                simulated=any(file.record is not None for file in dataset.files),
            )
            for dataset in plan.datasets.values()
        },
        allow_partial=plan.config.allow_partial,
    )


def run(settings: MergeStage, options: MergeOptions) -> None:
    """Write the histograms and the closure record."""
    from agc_pipeline import analyses, histograms
    from agc_pipeline.columnar import batch, ledger, merge, performance, repeats
    from agc_pipeline.columnar.closure import Closure, DatasetAccount, check_subsets

    analysis = analyses.load(settings.analysis)
    if settings.learned:
        analysis = analysis.with_learned()
    weighted = {}
    accounts = {}
    costs = {}
    for path in options.datasets:
        summed = batch.read(path)
        dataset = settings.datasets[summed.dataset]
        left_out = ledger.close(
            summed.files,
            dataset.n_files,
            summed.dataset,
            allow_partial=settings.allow_partial,
            n_events=dataset.n_events,
            data=analysis.dataset(summed.dataset).kind == "data",
        )
        merge.check_sums(analysis, summed, blinded=settings.blinded)
        total = None if dataset.states_sum else dataset.sum_of_weights
        if total is not None and left_out:
            raise ClosureError(
                "files are missing, and the sum of generator weights of the others is not known: "
                "ServiceX delivers none",
                place=f"dataset {summed.dataset}",
                remedy="deliver all files, or choose another backend in `delivery.datasets`",
            )
        if total is None and dataset.sum_of_weights is not None and not left_out:
            merge.check_sum_of_weights(summed, dataset.sum_of_weights)
        weight = merge.event_weight(summed, dataset.xsec_pb, dataset.luminosity_per_pb, total)
        weighted[summed.dataset] = (summed, weight)
        used = [file for file in summed.files if file.closed]
        # From any number of selected data, those in the windows would follow by subtraction.
        hidden = settings.blinded and analysis.dataset(summed.dataset).kind == "data"
        if not hidden:
            costs[summed.dataset] = summed.performance
        accounts[summed.dataset] = DatasetAccount(
            kind=analysis.dataset(summed.dataset).kind,
            processes=analysis.dataset(summed.dataset).processes,
            variation=analysis.dataset(summed.dataset).variation,
            xsec_pb=dataset.xsec_pb,
            weight=weight,
            unit=summed.unit,
            n_generated=sum(file.generated for file in used),
            sum_of_weights=_sum_of_weights(used) if total is None else total,
            events_expected=sum(
                file.before if file.expected is None else file.expected for file in summed.files
            ),
            events_processed=sum(file.before for file in used),
            cutflow=merge.shown_cutflow(analysis, summed) if hidden else summed.cutflow,
            unassigned={region: number for region, number in summed.unassigned.items() if number},
            exposed=summed.exposed,
            files=tuple(file.blinded() for file in summed.files) if hidden else summed.files,
            left_out=tuple(file.explain() for file in left_out),
            compared=len(summed.sample),
            repeated=repeats.Sample(summed.sample).n_repeated,
            subset_of=dataset.subset_of,
            not_checked=tuple(file.source for file in used if not file.counted),
        )
    check_subsets(accounts)
    ledger.check_origins({name: account.files for name, account in accounts.items()})
    made_by = provenance(
        "merge",
        packages=("awkward", "coffea", "hist", "numpy", "uproot"),
        settings=settings.model_dump(),
        inputs=options.datasets,
    )
    templates = merge.templates(analysis, weighted, blinded=settings.blinded)
    data = repeats.total(
        repeats.Sample(summed.sample)
        for name, (summed, _) in weighted.items()
        if accounts[name].kind == "data" and not settings.datasets[name].simulated
    )
    partial = any(account.left_out for account in accounts.values())
    closure = Closure(
        partial=partial,
        datasets=accounts,
        luminosity_per_pb=settings.luminosity_per_pb,
        models=merge.models([summed for summed, _ in weighted.values()]),
        compared=len(data.digests),
        repeated=data.n_repeated,
        provenance=made_by,
    )
    histograms.write_root(
        options.histograms, templates, provenance=made_by, closure=closure.model_dump(mode="json")
    )
    write_json(options.closure, closure.model_dump())
    if options.performance is not None:
        performance.write(options.performance, performance.PerformanceRecord(datasets=costs))
    log.info("%d histograms%s", len(templates), ", PARTIAL: some files were left out" * partial)


def _sum_of_weights(files: "Sequence[LedgerEntry]") -> float | None:
    """Sum of the generator weights of files; None where events are counted."""
    import math

    weights = [file.sum_of_weights for file in files if file.sum_of_weights is not None]
    return math.fsum(weights) if weights else None


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
