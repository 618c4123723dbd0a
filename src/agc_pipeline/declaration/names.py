"""Names of a declaration that files, histograms and parameters are named after."""

from collections.abc import Iterator

from agc_pipeline.declaration.analysis import (
    ALL_EVENTS,
    NOMINAL,
    Analysis,
    statistical_factor,
)


def name_problems(analysis: Analysis) -> Iterator[str]:
    """Names that histograms, files or parameters cannot have, or that two of them would have.

    Args:
        analysis: its fields have values of the types that they state.
    """
    regions = analysis.with_learned().regions
    for kind, names in (
        ("region", [region.name for region in regions]),
        ("process", [process.name for process in analysis.processes]),
        ("variation", [name for s in analysis.systematics for name in s.variations]),
        ("dataset", [dataset.name for dataset in analysis.datasets]),
    ):
        for name in dict.fromkeys(names):
            if not name or "/" in name or name != name.strip() or not name.isprintable():
                yield (
                    f"the {kind} {name!r} cannot have this name, after which histograms or files "
                    "are named: it must not be empty, contain `/` or what does not print, or begin "
                    "or end with a space"
                )
    if ALL_EVENTS in (region.name for region in regions):
        yield f"a region cannot be called {ALL_EVENTS}, as the first entry of every cutflow"
    yield from _histograms(analysis)
    yield from _parameters(analysis.with_learned())


def _histograms(analysis: Analysis) -> Iterator[str]:
    """Histograms of one name, of which one would be taken for the other."""
    meanings: dict[str, dict[str, None]] = {}
    for name, meaning in _named(analysis.with_learned()):
        meanings.setdefault(name, {})[meaning] = None
    ambiguous = {name: list(several) for name, several in meanings.items() if len(several) > 1}
    if ambiguous:
        name, (one, other, *_) = next(iter(ambiguous.items()))
        more = f", and {len(ambiguous) - 1} more names have two meanings" * (len(ambiguous) > 1)
        yield (
            f"the histogram {name} would be that of {one} and that of {other}{more}: rename a "
            "region, a process or a variation"
        )


def _named(analysis: Analysis) -> Iterator[tuple[str, str]]:
    """Names of all histograms that a run may write or look for, with what they are."""
    # Names that are defined twice are another problem: the last one counts.
    redone = {
        shift.name for s in analysis.systematics for shift in s.shifts if shift.kind == "object"
    }
    for template in analysis.templates():
        place = f"the process {template.process} in the region {template.region}"
        varied = "" if template.variation == NOMINAL else f"the variation {template.variation} of "
        yield template.name, f"{varied}{place}"
        if template.variation in redone:
            yield template.migration, f"what {template.variation} moves of {place}"
    for region in analysis.regions:
        yield analysis.data_name(region.name), f"the collision data in the region {region.name}"
        yield (
            analysis.pseudodata_name(region.name),
            f"the pseudodata in the region {region.name}",
        )


def _parameters(analysis: Analysis) -> Iterator[str]:
    """Parameters of one name, which the model would take for one."""
    named = [(free.name, f"the free normalisation {free.name}") for free in analysis.free]
    named += [
        (systematic.parameter(region.name, process), f"the systematic {systematic.name}")
        for systematic in analysis.systematics
        for region in analysis.regions
        if systematic.in_region(region.name)
        for process in systematic.acts_on
    ]
    named += [
        (statistical_factor(region.title), f"the statistical factors of {region.title}")
        for region in analysis.regions
    ]
    owners: dict[str, dict[str, None]] = {}
    for name, owner in named:
        owners.setdefault(name, {})[owner] = None
    for name, several in owners.items():
        if len(several) > 1:
            yield f"the parameter {name} would be that of {' and of '.join(several)}: rename one"
