"""What is refused when an analysis is loaded."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from agc_pipeline.declaration import features, thresholds
from agc_pipeline.declaration.analysis import (
    NOMINAL,
    Analysis,
    Dataset,
    Systematic,
    statistical_factor,
)
from agc_pipeline.errors import AnalysisError
from agc_pipeline.settings import unknown


def check(analysis: Analysis) -> Analysis:
    """The same analysis.

    Raises:
        AnalysisError: naming everything that does not fit together.
    """
    problems = list(_problems(analysis))
    if problems:
        raise AnalysisError(
            "; ".join(problems),
            place=f"declaration of the analysis {analysis.name}",
            remedy="correct the declaration",
        )
    return analysis


def _problems(analysis: Analysis) -> Iterator[str]:
    yield from _names(analysis)
    yield from _regions(analysis)
    processes = {process.name for process in analysis.processes}
    for dataset in analysis.datasets:
        yield from _dataset(analysis, dataset, processes)
    filled = {name for dataset in analysis.datasets for name in dataset.processes}
    for name in sorted(processes - filled):
        yield f"no dataset fills the process {name}"
    for systematic in analysis.systematics:
        yield from _systematic(analysis, systematic, processes)
    systematics = [systematic.name for systematic in analysis.systematics]
    regions = [region.name for region in analysis.regions]
    yield from thresholds.declaration_problems(
        analysis.thresholds, systematics, regions, records=analysis.events == "records"
    )
    yield from features.declaration_problems(analysis.features, systematics, regions)
    for free in analysis.free:
        if problem := unknown("process", free.processes, processes):
            yield f"the free normalisation {free.name} names an {problem}"
        if not free.processes:
            yield f"the free normalisation {free.name} acts on no process"
        if not free.bounds[0] < free.nominal < free.bounds[1]:
            yield f"the nominal value of {free.name} is not between its bounds"
    if not analysis.free:
        yield "there is no free normalisation, whose first is the parameter of interest"
    datasets = {dataset.name for dataset in analysis.datasets}
    if problem := unknown("dataset", analysis.pseudodata, datasets):
        yield f"the pseudodata names an {problem}"
    if analysis.derived is not None and analysis.events == "columns":
        yield "`derived` makes records of events, and events are columns"
    if analysis.learned is not None and analysis.learned.trained_on not in datasets:
        yield f"models are trained on the unknown dataset {analysis.learned.trained_on}"


def _names(analysis: Analysis) -> Iterator[str]:
    more = () if analysis.learned is None else analysis.learned.regions
    kinds = {
        "region": [region.name for region in (*analysis.regions, *more)],
        "region titled": [region.title for region in (*analysis.regions, *more)],
        "process": [process.name for process in analysis.processes],
        "process titled": [process.title for process in analysis.processes],
        "dataset": [dataset.name for dataset in analysis.datasets],
        "parameter": [
            *(systematic.name for systematic in analysis.systematics),
            *(free.name for free in analysis.free),
        ],
        "threshold": [threshold.name for threshold in analysis.thresholds],
        "feature": [feature.name for feature in analysis.features],
        "variation": [name for s in analysis.systematics for name in s.variations],
    }
    for kind, names in kinds.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield f"the {kind} {name} is defined twice"
    factors: dict[str, str] = {}
    for title in dict.fromkeys(kinds["region titled"]):
        other = factors.setdefault(statistical_factor(title), title)
        if other != title:
            yield f"statistical factors of the regions titled {other} and {title} have one name"
    if NOMINAL in kinds["variation"]:
        yield f"a variation cannot be called {NOMINAL}"


def _regions(analysis: Analysis) -> Iterator[str]:
    if not analysis.regions:
        yield "there is no region"
    for region in analysis.regions:
        if region.mask is None:
            yield f"the region {region.name} has no mask: nothing fills it"
        if region.values is None:
            yield f"the region {region.name} has no function for its observable"
        # What is beyond the edges may have bins, too.
        among = {-math.inf, *region.edges, math.inf}
        if region.fit_edges is not None and not set(region.fit_edges) <= among:
            yield f"the fit edges of the region {region.name} are not among its edges"
    fitted = [region for region in analysis.regions if region.fitted and region.mask is not None]
    for one, other in combinations(fitted, 2):
        if (one.mask, one.selection) == (other.mask, other.selection):
            yield (
                f"the regions {one.name} and {other.name} have the same events, and the fit takes "
                "those of both for independent: declare one with `fitted=False`"
            )
    for region in () if analysis.learned is None else analysis.learned.regions:
        if region.mask is None:
            yield f"the region {region.name} has no mask: nothing fills it"
    for region in analysis.regions:
        if list(region.edges) != sorted(set(region.edges)) or len(region.edges) < 2:
            yield f"the edges of the region {region.name} do not rise"


def _dataset(analysis: Analysis, dataset: Dataset, processes: set[str]) -> Iterator[str]:
    for name in sorted(set(dataset.processes) - processes):
        yield f"the dataset {dataset.name} fills the unknown process {name}"
    if dataset.kind == "simulation" and not dataset.fills:
        yield f"the dataset {dataset.name} fills no process"
    if dataset.kind == "data" and dataset.variation != NOMINAL:
        yield f"the data {dataset.name} cannot be a variation"
    if dataset.unit is not None and not 0 < dataset.unit < math.inf:
        yield f"the unit of the weights of the dataset {dataset.name} is not a positive number"
    if len(dataset.fills) > 1 and any(f.mask is None and f.weight is None for f in dataset.filled):
        yield (f"the dataset {dataset.name} fills several processes, each needs a mask or a weight")
    if dataset.variation == NOMINAL:
        return
    shifts = {shift.name: shift for s in analysis.systematics for shift in s.shifts}
    if dataset.variation not in shifts:
        yield f"no systematic has the variation {dataset.variation} of the dataset {dataset.name}"
    elif shifts[dataset.variation].kind != "sample":
        yield (
            f"the variation {dataset.variation} has both a function and the dataset {dataset.name}"
        )
    try:
        analysis.replaced_by(dataset)
    except KeyError:
        yield f"it is not declared which dataset {dataset.name} replaces"


def _systematic(analysis: Analysis, systematic: Systematic, processes: set[str]) -> Iterator[str]:
    name = systematic.name
    if problem := unknown("process", systematic.acts_on, processes):
        yield f"the systematic {name} names an {problem}"
    if not systematic.acts_on:
        yield f"the systematic {name} acts on no process"
    regions = {region.name for region in analysis.regions}
    if problem := unknown("region", systematic.regions or (), regions):
        yield f"the systematic {name} names an {problem}"
    if systematic.up is None:
        if not systematic.effects:
            yield f"the systematic {name} has neither variations nor effects"
        if systematic.down is not None:
            yield f"the systematic {name} has a variation down and none up"
        for process, declared in systematic.effects.items():
            yield from _effect(name, process, declared)
        return
    if systematic.effects:
        yield f"the systematic {name} has both variations and effects"
    if len({shift.kind for shift in systematic.shifts}) > 1:
        yield f"the variations of {name} are of different kinds"
    yield from _shifts(analysis, systematic, processes)


def _effect(name: str, process: str, declared: object) -> Iterator[str]:
    """What is wrong with the effect of a normalisation on a process."""
    what = f"the effect {declared!r} of {name} on {process}"
    sides = declared if isinstance(declared, tuple) else (declared, declared)
    if len(sides) != 2 or not all(
        isinstance(side, int | float) and math.isfinite(side) for side in sides
    ):
        yield f"{what} is neither a number nor a pair of numbers, down and up"
        return
    # A number has both signs.
    down, up = sides if isinstance(declared, tuple) else (-sides[0], sides[1])
    for direction, side in (("down", down), ("up", up)):
        if side <= -1:
            yield (
                f"{what} makes the yield {1 + side:g} times the nominal one {direction}: factors "
                "must be positive, and 0.03 is 3 %"
            )


def _shifts(analysis: Analysis, systematic: Systematic, processes: set[str]) -> Iterator[str]:
    for shift in systematic.shifts:
        if shift.kind == "sample":
            with_dataset = {
                process
                for dataset in analysis.datasets
                if dataset.variation == shift.name
                for process in dataset.processes
            }
            for process in sorted(set(systematic.processes) & processes - with_dataset):
                yield (
                    f"the variation {shift.name} of {process} has neither a function nor a dataset"
                )
        if shift.changes and analysis.events == "records":
            yield f"the variation {shift.name} changes columns, and events are records"
        if shift.records is not None and analysis.events == "columns":
            yield f"the variation {shift.name} changes records, and events are columns"
