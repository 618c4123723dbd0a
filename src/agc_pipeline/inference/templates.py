"""From the histograms of a run to the templates of its statistical model.

A run need not have everything that the analysis declares: single datasets may be missing, and a
small sample may have no event in a region. What the model then lacks is listed.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import hist

from agc_pipeline.declaration import NOMINAL, Analysis, Region, Systematic, Template
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import presence
from agc_pipeline.inference.binning import Array, outside, rebin, rebin_migration
from agc_pipeline.inference.edges import edge_problems, fit_edges, fitted_regions
from agc_pipeline.inference.settings import ModelSettings, Treatment, treatment_problems
from agc_pipeline.inference.treatment import treated
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    from cabinetry.histo import Histogram

# Template of a region, process and variation.
Take: TypeAlias = Callable[[str, str, str], "Histogram"]
# Templates up and down; without the one down, the one up is mirrored.
Shifts: TypeAlias = tuple["Histogram", "Histogram | None"]


class Cause(StrEnum):
    """Causes for which the model lacks a part of what is declared."""

    DATASET = "dataset is not in the run"
    EVENTS = "no events"
    WEIGHTS = "weights of either sign that leave no yield"
    SIZE = "variation of one side cannot be mirrored"
    SAMPLES = "acts on no sample of the model"


class LeftOut(Settings):
    """Part of the declared model that the run has no templates for.

    Attributes:
        cause: that it has in common with others.
        region: where it is left out; None is everywhere.
        process: whose sample is left out, or whose systematic; None is all.
        systematic: what is left out of the sample; None is the whole sample.
        reason: the cause with its names and numbers.
    """

    cause: Cause
    region: str | None = None
    process: str | None = None
    systematic: str | None = None
    reason: str

    def describe(self) -> str:
        """One line for people."""
        parts = (self.systematic, self.process, self.region)
        return f"{', '.join(part for part in parts if part is not None)}: {self.reason}"


@dataclass(frozen=True)
class Templates:
    """Rebinned histograms of everything that enters the model.

    Attributes:
        nominal: by region and process.
        varied: by region, process and systematic; up and down, or up and None to be mirrored.
        untreated: the same before any smoothing and symmetrising.
        shared: by region, process and variation, for variations that redo the selection, as far as
            they are known: statistical covariances of the nominal (first) and the varied contents.
        data: by region.
        left_out: what the analysis declares and the model lacks.
    """

    nominal: Mapping[tuple[str, str], "Histogram"]
    varied: Mapping[tuple[str, str, str], Shifts]
    untreated: Mapping[tuple[str, str, str], Shifts]
    shared: Mapping[tuple[str, str, str], Array]
    data: Mapping[str, "Histogram"]
    left_out: tuple[LeftOut, ...]


def select(
    analysis: Analysis, histograms: Mapping[str, hist.Hist], settings: ModelSettings
) -> Templates:
    """The templates of the model that the analysis declares, as far as the run has them.

    A sample without events in a region is left out of it: it would add nothing. One whose weights
    add up to less than zero is not, such as interference. Whether missing datasets, and variations
    with too few events, are left out too or are errors, ``settings.missing_datasets`` says.

    Args:
        analysis: the declaration.
        histograms: of the run, by name.
        settings: of the model.

    Raises:
        ModelError: if histograms that the model needs are missing or cannot be used, or the fit
            edges are wrong.
    """
    problems = list(edge_problems(analysis, settings.edges))
    if problems:
        raise ModelError(
            "; ".join(problems), place="fit.model.edges", remedy="correct the edges of the fit"
        )
    wrong = list(treatment_problems(settings.treatments, analysis.systematics))
    if wrong:
        raise ModelError(
            "; ".join(wrong), place="fit.model.treatments", remedy="correct the treatments"
        )
    regions = fitted_regions(analysis)
    missing = _missing(analysis, histograms)
    lacking = [
        _without_dataset(analysis, process, variation, datasets)
        for (process, variation), datasets in missing.items()
        if presence.has_dataset(analysis, process, variation)
    ]

    def take(region: str, process: str, variation: str) -> "Histogram":
        name = Template(region, process, variation).name
        return rebin(histograms[name], fit_edges(regions[region], settings.edges), name=name)

    def describe(region: str, process: str) -> str:
        name = Template(region, process, NOMINAL).name
        template = take(region, process, NOMINAL)
        edges = fit_edges(regions[region], settings.edges)
        lost = "" if template.stdev.any() else outside(histograms[name], edges)
        beyond = f" in the bins of the fit, and {lost}" if lost else ""
        return _without_yield(name, template) + beyond

    nominal, empty = _nominal(analysis, regions, missing, take, describe)
    untreated, unusable = _varied(analysis, regions, nominal, missing, take)
    lacking += [entry for entry in unusable if (entry.region, entry.process) in nominal]
    # A few events may be selected by a variation alone: told, and no error.
    empty += [entry for entry in unusable if (entry.region, entry.process) not in nominal]
    if lacking and settings.missing_datasets == "error":
        raise ModelError(
            "; ".join(dict.fromkeys(entry.reason for entry in lacking)),
            place="histograms",
            remedy=_remedy(lacking),
        )
    _require_events(analysis, nominal, empty)
    data = {
        name: _data(analysis, region, histograms, nominal, settings)
        for name, region in regions.items()
        if any(region_name == name for region_name, _ in nominal)
    }
    left_out = (*lacking, *empty, *_without_samples(analysis, regions, nominal))
    varied = {
        key: _treated(nominal[key[:2]], shifts, settings.treatments.get(key[2], Treatment()))
        for key, shifts in untreated.items()
    }
    return Templates(
        nominal,
        varied,
        untreated,
        {
            (region, process, variation): rebin_migration(
                histograms[name], fit_edges(regions[region], settings.edges), name=name
            )
            for region, process in nominal
            for systematic in analysis.systematics
            for variation in systematic.variations
            if (name := Template(region, process, variation).migration) in histograms
        },
        data,
        left_out,
    )


def _treated(nominal: "Histogram", shifts: Shifts, treatment: Treatment) -> Shifts:
    """Templates as they enter the model."""
    from cabinetry.histo import Histogram

    up, down = shifts
    if treatment.nothing:
        return shifts
    contents = treated(
        nominal.yields,
        up.yields,
        None if down is None else down.yields,
        treatment,
        nominal.yields,
    )
    return (
        Histogram.from_arrays(up.bins, contents[0], up.stdev),
        None if down is None else Histogram.from_arrays(down.bins, contents[1], down.stdev),
    )


def _nominal(
    analysis: Analysis,
    regions: Iterable[str],
    missing: Container[tuple[str, str]],
    take: Take,
    describe: Callable[[str, str], str],
) -> tuple[dict[tuple[str, str], "Histogram"], list[LeftOut]]:
    """Nominal templates with events, and what has none."""
    nominal, empty = {}, []
    for region in regions:
        for process in analysis.processes:
            if (process.name, NOMINAL) in missing:
                continue
            template = take(region, process.name, NOMINAL)
            if template.yields.any():
                nominal[region, process.name] = template
            else:
                reason = describe(region, process.name)
                empty.append(
                    LeftOut(cause=Cause.EVENTS, region=region, process=process.name, reason=reason)
                )
    return nominal, empty


def _varied(
    analysis: Analysis,
    regions: Iterable[str],
    nominal: Mapping[tuple[str, str], "Histogram"],
    missing: Container[tuple[str, str]],
    take: Take,
) -> tuple[dict[tuple[str, str, str], Shifts], list[LeftOut]]:
    """Varied templates of the samples of the model, and those that it cannot describe."""
    varied, unusable = {}, []
    for systematic, region, process in product(analysis.systematics, regions, analysis.processes):
        shifts = systematic.variations
        key = region, process.name, systematic.name
        if not shifts or process.name not in systematic.acts_on or not systematic.in_region(region):
            continue
        if any((process.name, shift) in missing for shift in (NOMINAL, *shifts)):
            continue
        templates = [take(region, process.name, shift) for shift in shifts]
        problem = _unusable(systematic, region, process.name, nominal.get(key[:2]), templates)
        if problem is not None:
            unusable.append(problem)
        elif key[:2] in nominal:
            varied[key] = templates[0], templates[1] if systematic.down is not None else None
    return varied, unusable


def _missing(analysis: Analysis, histograms: Mapping[str, hist.Hist]) -> presence.Missing:
    """Process and variation of templates that the run lacks, to the datasets that may be missing.

    Raises:
        ModelError: if histograms are missing although their datasets are in the run.
    """
    sources = presence.sources(analysis)
    present = {
        name for template in sources if template.name in histograms for name in sources[template]
    }
    inconsistent = [
        template.name
        for template, names in sources.items()
        if template.name not in histograms and present.issuperset(names)
    ]
    if inconsistent:
        raise ModelError(
            f"no histogram {', '.join(inconsistent)}, but others of the same dataset",
            place="histograms",
            remedy="make the file again: it does not belong to this version of the analysis",
        )
    return presence.missing(sources, present)


def _without_dataset(
    analysis: Analysis, process: str, variation: str, datasets: tuple[str, ...]
) -> LeftOut:
    """What a missing dataset takes out of the model: a sample, or a systematic."""
    affected = [
        systematic.name for systematic in analysis.systematics if variation in systematic.variations
    ]
    return LeftOut(
        cause=Cause.DATASET,
        process=process,
        systematic=None if variation == NOMINAL else ", ".join(affected),
        reason=presence.not_in_run(datasets),
    )


def _unusable(
    systematic: Systematic,
    region: str,
    process: str,
    nominal: "Histogram | None",
    shifts: list["Histogram"],
) -> LeftOut | None:
    """What the model lacks since it cannot describe a variation; None if it can.

    Its normalisation is a factor on the nominal yield.

    Args:
        systematic: of the variation.
        region: name of the region.
        process: name of the process.
        nominal: template; None has no events.
        shifts: varied templates.
    """
    reasons = []
    cause = Cause.EVENTS
    reference = Template(region, process, NOMINAL).name
    expected = 0.0 if nominal is None else nominal.yields.sum()
    for variation, shift in zip(systematic.variations, shifts, strict=True):
        name = Template(region, process, variation).name
        total = shift.yields.sum()
        if nominal is None:
            if shift.yields.any():
                reasons.append(f"{reference} has no events, and {name} has {total:.6g}")
        elif expected == 0 or total / expected <= 0:
            if shift.stdev.any():
                cause = Cause.WEIGHTS
            nothing = "" if expected > 0 else f", and those in {reference} to {expected:.6g}"
            reasons.append(_without_yield(name, shift) + nothing)
        elif systematic.down is None and total / expected >= 2:
            cause = Cause.SIZE
            reasons.append(
                f"{name} has {total / expected:.3g} times the nominal events: cannot be mirrored"
            )
    if not reasons:
        return None
    return LeftOut(
        cause=cause,
        region=region,
        process=process,
        systematic=systematic.name,
        reason="; ".join(reasons),
    )


def _remedy(lacking: Sequence[LeftOut]) -> str:
    """What can be done about missing datasets, and variations that the model cannot describe."""
    causes = {entry.cause for entry in lacking}
    remedies = []
    if Cause.SIZE in causes:
        systematics = dict.fromkeys(e.systematic for e in lacking if e.cause is Cause.SIZE)
        remedies.append(
            f"declare `down` of {', '.join(map(repr, systematics))}, or correct the weight or the "
            "change of `up` if it is not meant to be so large"
        )
    if Cause.DATASET in causes:
        remedies.append("process all datasets")
    if Cause.EVENTS in causes:
        remedies.append("process more events, or correct a variation that leaves none by mistake")
    if Cause.WEIGHTS in causes:
        remedies.append(
            "correct the weights of the variations: their sums must have the sign of the nominal "
            "one, of which they are a factor"
        )
    if causes != {Cause.SIZE}:
        # A variation that is large is no reason to be without it.
        remedies.append(presence.DROP)
    return ", or ".join(remedies)


def _without_yield(name: str, template: "Histogram") -> str:
    """Why a template has no positive yield."""
    if template.stdev.any():
        return f"the weights of the events in {name} add up to {template.yields.sum():.6g}"
    return f"{name} has no events"


def _require_events(
    analysis: Analysis,
    nominal: Mapping[tuple[str, str], "Histogram"],
    empty: Iterable[LeftOut],
) -> None:
    processes = analysis.free[0].processes
    yields = {
        (region, name): template
        for (region, name), template in nominal.items()
        if name in processes
    }
    if not any(template.yields.sum() > 0 for template in yields.values()):
        reasons = [
            *(
                _without_yield(Template(*key, NOMINAL).name, template)
                for key, template in yields.items()
            ),
            *(entry.reason for entry in empty if entry.process in processes),
        ]
        raise ModelError(
            presence.not_measured(analysis) + "".join(f"; {reason}" for reason in reasons),
            place="histograms",
            remedy="correct the `edges` of the regions or `fit.model.edges` (in the unit of the "
            "observable), the masks of the regions, the cuts, or the weights; or declare another "
            "parameter of interest"
            if reasons
            else "process its nominal dataset, or declare another parameter of interest",
        )


def _data(
    analysis: Analysis,
    region: Region,
    histograms: Mapping[str, hist.Hist],
    nominal: Mapping[tuple[str, str], "Histogram"],
    settings: ModelSettings,
) -> "Histogram":
    if settings.data == "asimov":
        return sum(
            template * analysis.factor_before_fit(process)
            for (name, process), template in nominal.items()
            if name == region.name
        )
    observed = settings.data == "observed"
    name = (analysis.data_name if observed else analysis.pseudodata_name)(region.name)
    if name not in histograms:
        raise ModelError(
            f"no histogram {name}",
            place="histograms",
            remedy=presence.remedy_of_data(analysis, settings),
        )
    return rebin(histograms[name], fit_edges(region, settings.edges), name=name)


def _without_samples(
    analysis: Analysis,
    regions: Iterable[str],
    nominal: Mapping[tuple[str, str], "Histogram"],
) -> list[LeftOut]:
    """Systematics and free normalisations of the fitted regions that act on no sample there."""
    acts_on = {
        systematic.name: {
            (region, process)
            for region, process in nominal
            if systematic.in_region(region) and process in systematic.acts_on
        }
        for systematic in analysis.systematics
        if any(systematic.in_region(region) for region in regions)
    }
    acts_on |= {
        free.name: {pair for pair in nominal if pair[1] in free.processes} for free in analysis.free
    }
    return [
        LeftOut(cause=Cause.SAMPLES, systematic=name, reason="none of its samples is in the model")
        for name, samples in acts_on.items()
        if not samples
    ]
