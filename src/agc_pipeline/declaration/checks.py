"""What is refused when an analysis is loaded."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

from agc_pipeline.declaration import features, thresholds
from agc_pipeline.declaration.analysis import (
    ALL_EVENTS,
    NOMINAL,
    Analysis,
    Columns,
    Dataset,
    Effect,
    Free,
    Region,
    Systematic,
    Variation,
)
from agc_pipeline.declaration.fields import field_problems, value_problems
from agc_pipeline.declaration.names import name_problems
from agc_pipeline.declaration.selection import Count, Objects, Requirement, columns_of
from agc_pipeline.errors import AnalysisError
from agc_pipeline.settings import unknown


def check(analysis: Analysis) -> Analysis:
    """The same analysis.

    Raises:
        AnalysisError: naming everything that does not fit together.
    """
    # What follows reads the fields as what they state that they are.
    problems = list(field_problems(analysis)) or list(_problems(analysis))
    if problems:
        raise AnalysisError(
            "; ".join(problems),
            place=f"declaration of the analysis {analysis.name}",
            remedy="correct the declaration",
        )
    return analysis


def requirement_problems(analysis: Analysis, selection: Any) -> Iterator[str]:
    """What is wrong with what an event must have, which depends on the configuration.

    Args:
        analysis: the declaration.
        selection: ``physics.selection``.
    """
    regions = {region.name for region in analysis.with_learned().regions}
    told: dict[str, str] = {}
    for dataset in analysis.datasets:
        problems = _requirements(analysis, dataset, selection, regions)
        told = dict.fromkeys(problems, f"requirements of the dataset {dataset.name}") | told
    for problem, place in told.items():
        yield f"{place}: {problem}"


def _requirements(
    analysis: Analysis, dataset: Dataset, selection: Any, regions: set[str]
) -> Iterator[str]:
    returned: Any = analysis.requirements(selection, dataset)
    requirements = tuple(returned) if isinstance(returned, list) else returned
    problems = list(value_problems(requirements, tuple[Requirement, ...], "what is returned"))
    yield from problems
    if problems:
        return
    labels = Counter(entry.label for entry in requirements if entry.label is not None)
    for label, count in labels.items():
        if count > 1:
            yield f"two have the label {label!r}, and the cutflow one entry"
        if label in regions or label == ALL_EVENTS:
            yield f"the label {label!r} is that of another entry of the cutflow"
    seen: dict[str, Objects] = {}
    for entry in requirements:
        for objects in entry.objects if isinstance(entry, Count) else ():
            for part in _with_bases(objects):
                if seen.setdefault(part.name, part) != part:
                    yield f"there are two declarations of the objects {part.name!r}"
    columns = analysis.columns(dataset, selection)
    for objects in seen.values():
        yield from _objects(analysis, objects, columns)
    yield from _aliases(analysis, columns_of(requirements))


def _objects(analysis: Analysis, objects: Objects, columns: Columns) -> Iterator[str]:
    """What is wrong with the names of objects and of their computed columns.

    Args:
        analysis: the declaration.
        objects: declared ones.
        columns: all that are read.
    """
    name, base = objects.name, objects.base
    fields = columns.get(objects.collection, ())
    if base is not None and name in fields:
        yield (
            f"the objects {name!r} have the name of the column {name} of {objects.collection}, "
            f"which says of {base.root.name!r} whether they are among them: rename the objects"
        )
    of_events = (*columns.get("", ()), *analysis.layout.records)
    if analysis.events == "columns" and name in of_events:
        yield f"the objects {name!r} have the name of a column of the event: rename the objects"
    if base is not None and base.collection != objects.collection:
        yield f"the objects {name!r} of {objects.collection} are among those of {base.collection}"
    if base is not None and objects.columns:
        yield (
            f"the objects {name!r} are among others: declare their computed columns for "
            f"{base.root.name!r}"
        )
    for column in objects.columns:
        if column in fields:
            yield (
                f"the computed column {column!r} of {name!r} has the name of one that is read from "
                "the input, as columns are that requirements cut on: rename it, or apply its cut "
                "in the masks of regions"
            )


def _aliases(analysis: Analysis, compared: Columns) -> Iterator[str]:
    """Columns that have two names in cuts and variations, which would not know of each other."""
    names: dict[str, tuple[str, str]] = {}
    cuts = [(collection, name) for collection, fields in compared.items() for name in fields]
    for column in (*sorted(analysis.changed_columns), *cuts):
        branch = analysis.layout.branch(*column)
        other = names.setdefault(branch, column)
        if other != column:
            yield f"the column {branch} is called {other} and {column}: use one of them"


def _with_bases(objects: Objects) -> Iterator[Objects]:
    yield objects
    if objects.base is not None:
        yield from _with_bases(objects.base)


def _problems(analysis: Analysis) -> Iterator[str]:
    yield from _names(analysis)
    yield from name_problems(analysis)
    yield from _regions(analysis)
    processes = {process.name for process in analysis.processes}
    for dataset in analysis.datasets:
        yield from _dataset(analysis, dataset, processes)
    yield from _replaced(analysis)
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
        yield from _free(free, processes)
    if not analysis.free:
        yield "there is no free normalisation, whose first is the parameter of interest"
    datasets = {dataset.name for dataset in analysis.datasets}
    if problem := unknown("dataset", analysis.pseudodata, datasets):
        yield f"the pseudodata names an {problem}"
    for name, share in analysis.pseudodata.items():
        if name in (dataset.name for dataset in analysis.data):
            yield f"the pseudodata are of simulated events, and {name} has collision data"
        if not math.isfinite(share):
            yield f"the weight {share} of {name} in the pseudodata is not a finite number"
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
        "systematic": [systematic.name for systematic in analysis.systematics],
        "free normalisation": [free.name for free in analysis.free],
        "threshold": [threshold.name for threshold in analysis.thresholds],
        "feature": [feature.name for feature in analysis.features],
        "variation": [name for s in analysis.systematics for name in s.variations],
    }
    for kind, names in kinds.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield f"the {kind} {name} is defined twice"
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
    fitted = [region for region in analysis.regions if region.fitted and region.mask is not None]
    for one, other in combinations(fitted, 2):
        if (one.mask, one.selection) == (other.mask, other.selection):
            yield (
                f"the regions {one.name} and {other.name} have the same events, and the fit takes "
                "those of both for independent: declare one with `fitted=False`"
            )
    learned = () if analysis.learned is None else analysis.learned.regions
    for region in learned:
        if region.mask is None:
            yield f"the region {region.name} has no mask: nothing fills it"
    for region in (*analysis.regions, *learned):
        yield from _edges(region)


def _edges(region: Region) -> Iterator[str]:
    """What is wrong with edges and bounds of a region's observable."""
    if len(region.edges) < 2 or not _rise(region.edges):
        yield f"the edges of the region {region.name} do not rise"
        return
    low, high = region.edges[0], region.edges[-1]
    if not math.isfinite(low) or not math.isfinite(high):
        yield (
            f"the edges of the region {region.name} are infinite: what is beyond finite ones is "
            "kept as well"
        )
    if region.fit_edges is not None:
        # What is beyond the edges may have bins, too.
        if not set(region.fit_edges) <= {-math.inf, *region.edges, math.inf}:
            yield f"the fit edges of the region {region.name} are not among its edges"
        if len(region.fit_edges) < 2 or not _rise(region.fit_edges):
            yield f"the fit edges of the region {region.name} are not two or more that rise"
    if region.blinded is None:
        return
    first, last = region.blinded
    window = f"the window {first:g} to {last:g} that is blinded in the region {region.name}"
    if not first < last:
        yield f"{window} hides nothing: give its lower bound first, then the upper one"
    elif (first >= high and last < math.inf) or (last <= low and first > -math.inf):
        yield (
            f"{window} is outside its edges, {low:g} to {high:g}: give it in the unit of the "
            "observable"
        )


def _rise(edges: tuple[float, ...]) -> bool:
    return all(before < after for before, after in pairwise(edges))


def _dataset(analysis: Analysis, dataset: Dataset, processes: set[str]) -> Iterator[str]:
    if dataset.kind == "data" and dataset.variation != NOMINAL:
        yield f"the data {dataset.name} cannot be a variation"
    if dataset.unit is not None and not 0 < dataset.unit < math.inf:
        yield f"the unit of the weights of the dataset {dataset.name} is not a positive number"
    yield from _fills(dataset, processes)
    if dataset.variation == NOMINAL:
        if dataset.replaces is not None:
            yield (
                f"the dataset {dataset.name} replaces {dataset.replaces}, and has no variation: "
                "name the one that it stands for"
            )
        return
    shifts = {shift.name: shift for s in analysis.systematics for shift in s.shifts}
    if dataset.variation not in shifts:
        yield f"no systematic has the variation {dataset.variation} of the dataset {dataset.name}"
    elif shifts[dataset.variation].kind != "sample":
        yield (
            f"the variation {dataset.variation} has both a function and the dataset {dataset.name}"
        )
    yield from _replacement(analysis, dataset)


def _fills(dataset: Dataset, processes: set[str]) -> Iterator[str]:
    """What is wrong with the processes that a dataset fills."""
    name = dataset.name
    for process in sorted(set(dataset.processes) - processes):
        yield f"the dataset {name} fills the unknown process {process}"
    if dataset.kind == "simulation" and not dataset.fills:
        yield f"the dataset {name} fills no process"
    if dataset.kind == "data" and dataset.fills:
        yield f"the data {name} are the observation, and fill no process"
    for process, count in Counter(dataset.processes).items():
        if count > 1:
            yield f"the dataset {name} fills the process {process} twice"
    if len(dataset.fills) > 1 and any(f.mask is None and f.weight is None for f in dataset.filled):
        yield f"the dataset {name} fills several processes, each needs a mask or a weight"
    for one, other in combinations(dataset.filled, 2):
        if one.mask is not None and (one.mask, one.weight) == (other.mask, None):
            yield (
                f"the dataset {name} fills {one.process} and {other.process} with the same events, "
                "which count twice: let one mask leave out the events of the other"
            )


def _replacement(analysis: Analysis, dataset: Dataset) -> Iterator[str]:
    """What is wrong with the nominal dataset that an alternative one stands in for."""
    try:
        replaced = analysis.replaced_by(dataset)
    except KeyError:
        if dataset.replaces is None:
            yield f"it is not declared which dataset {dataset.name} replaces"
        else:
            names = {other.name for other in analysis.datasets}
            problem = unknown("dataset", [dataset.replaces], names)
            yield f"the dataset {dataset.name} replaces an {problem}"
        return
    what = f"the dataset {dataset.name} replaces {replaced.name}, which"
    if replaced.kind == "data":
        yield f"{what} has collision data"
    elif replaced.variation != NOMINAL:
        yield f"{what} is itself the variation {replaced.variation}: name the nominal dataset"
    elif others := sorted(set(dataset.processes) - set(replaced.processes)):
        yield f"{what} does not fill {', '.join(others)}: name the nominal dataset that does"


def _replaced(analysis: Analysis) -> Iterator[str]:
    """Datasets of which only one can be a variation of another."""
    first: dict[tuple[str, str], str] = {}
    for dataset in analysis.datasets:
        if dataset.kind == "data" or dataset.variation == NOMINAL:
            continue
        try:
            replaced = analysis.replaced_by(dataset).name
        except KeyError:
            continue
        other = first.setdefault((dataset.variation, replaced), dataset.name)
        if other != dataset.name:
            yield (
                f"the datasets {other} and {dataset.name} are both the variation "
                f"{dataset.variation} of {replaced}, and only one can stand in for it: list all "
                "files under one dataset, or give each a variation of its own"
            )


def _free(free: Free, processes: set[str]) -> Iterator[str]:
    if problem := unknown("process", free.processes, processes):
        yield f"the free normalisation {free.name} names an {problem}"
    if not free.processes:
        yield f"the free normalisation {free.name} acts on no process"
    if not all(map(math.isfinite, free.bounds)):
        yield f"the bounds of {free.name} are not finite numbers"
    if not free.bounds[0] < free.nominal < free.bounds[1]:
        yield f"the nominal value of {free.name} is not between its bounds"


def _systematic(analysis: Analysis, systematic: Systematic, processes: set[str]) -> Iterator[str]:
    name = systematic.name
    if problem := unknown("process", systematic.acts_on, processes):
        yield f"the systematic {name} names an {problem}"
    if not systematic.acts_on:
        yield f"the systematic {name} acts on no process"
    regions = {region.name for region in analysis.regions}
    if problem := unknown("region", systematic.regions or (), regions):
        yield f"the systematic {name} names an {problem}"
    if systematic.regions == ():
        yield f"the systematic {name} acts on no region: leave `regions` out for all"
    if systematic.up is None:
        if systematic.processes and systematic.effects:
            yield (
                f"the systematic {name} has both processes and effects, which name theirs: leave "
                "`processes` out"
            )
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


def _functions(shift: Variation) -> Iterator[str]:
    """What is wrong with the functions of a variation, of which only one kind is used."""
    declared = {"weight": shift.weight, "changes": shift.changes, "records": shift.records}
    names = [name for name, value in declared.items() if value is not None and value != ()]
    if len(names) > 1:
        yield f"the variation {shift.name} has both `{names[0]}` and `{names[1]}`: give one"
    for column, count in Counter(change.column for change in shift.changes).items():
        if count > 1:
            yield (
                f"the variation {shift.name} changes {'.'.join(filter(None, column))} {count} "
                "times, each from its unvaried values: change it once, by the product"
            )


def _effect(name: str, process: str, declared: Effect) -> Iterator[str]:
    """What is wrong with the effect of a normalisation on a process."""
    what = f"the effect {declared!r} of {name} on {process}"
    sides = declared if isinstance(declared, tuple) else (declared, declared)
    if not all(map(math.isfinite, sides)):
        yield f"{what} is infinite"
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
        yield from _functions(shift)
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
