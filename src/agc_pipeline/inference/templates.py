"""From the histograms of a run to the templates of its statistical model.

A run need not have everything that the analysis declares: single datasets may be missing, and a
small sample may have no event in a region. What the model then lacks is listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import hist
from cabinetry.histo import Histogram

from agc_pipeline.declaration import NOMINAL, Analysis, Systematic, Template
from agc_pipeline.errors import ModelError
from agc_pipeline.inference.binning import rebin
from agc_pipeline.inference.settings import ModelSettings
from agc_pipeline.settings import Settings


class LeftOut(Settings):
    """Part of the declared model that the run has no templates for.

    Attributes:
        region: where it is left out; None is everywhere.
        process: whose sample is left out, or whose systematic; None is all.
        systematic: what is left out of the sample; None is the whole sample.
        reason: why.
    """

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
        data: by region.
        left_out: what the analysis declares and the model lacks.
    """

    nominal: Mapping[tuple[str, str], Histogram]
    varied: Mapping[tuple[str, str, str], tuple[Histogram, Histogram | None]]
    data: Mapping[str, Histogram]
    left_out: tuple[LeftOut, ...]


def select(
    analysis: Analysis, histograms: Mapping[str, hist.Hist], settings: ModelSettings
) -> Templates:
    """The templates of the model that the analysis declares, as far as the run has them.

    A sample without events in a region is left out of it: it would add nothing. Whether missing
    datasets, and variations with too few events, are left out too or are errors,
    ``settings.missing_datasets`` says.

    Args:
        analysis: the declaration.
        histograms: of the run, by name.
        settings: of the model.

    Raises:
        ModelError: if histograms that the model needs are missing or cannot be used.
    """
    missing = _missing_datasets(analysis, histograms)
    lacking = [_of_dataset(analysis, *dataset) for dataset in missing]
    empty = []

    def take(region: str, process: str, variation: str) -> Histogram:
        name = Template(region, process, variation).name
        return rebin(histograms[name], settings.rebinning, name=name)

    nominal = {}
    regions = [region for region in analysis.regions if region.fitted]
    for region in regions:
        for process in analysis.processes:
            if (process.name, NOMINAL) in missing:
                continue
            template = take(region.name, process.name, NOMINAL)
            if template.yields.sum() > 0:
                nominal[region.name, process.name] = template
            else:
                reason = f"{Template(region.name, process.name, NOMINAL).name} has no events"
                empty.append(LeftOut(region=region.name, process=process.name, reason=reason))

    varied: dict[tuple[str, str, str], tuple[Histogram, Histogram | None]] = {}
    for systematic in analysis.systematics:
        for (region_name, process_name), reference in nominal.items():
            shifts = systematic.variations
            if process_name not in systematic.processes or not shifts:
                continue
            if any((process_name, shift) in missing for shift in shifts):
                continue
            templates = [take(region_name, process_name, shift) for shift in shifts]
            reason = _unusable(systematic, region_name, process_name, reference, templates)
            if reason:
                lacking.append(
                    LeftOut(
                        region=region_name,
                        process=process_name,
                        systematic=systematic.name,
                        reason=reason,
                    )
                )
            else:
                down = templates[1] if systematic.down is not None else None
                varied[region_name, process_name, systematic.name] = templates[0], down

    if lacking and settings.missing_datasets == "error":
        raise ModelError(
            "; ".join(entry.reason for entry in lacking),
            place="histograms",
            remedy="process all datasets, with more events, or leave the parts of the model that "
            "depend on them out with `fit.model.missing_datasets: drop`",
        )
    _require_events(settings.poi.process, nominal)
    data = {
        region.name: _data(analysis, region.name, histograms, nominal, settings)
        for region in regions
        if any(region_name == region.name for region_name, _ in nominal)
    }
    left_out = (*lacking, *empty, *_without_samples(analysis, nominal))
    return Templates(nominal, varied, data, left_out)


def _missing_datasets(
    analysis: Analysis, histograms: Mapping[str, hist.Hist]
) -> list[tuple[str, str]]:
    """Datasets of which the run has no histogram.

    Raises:
        ModelError: if it has only some of them, which no run leaves behind.
    """
    missing = []
    for process, variation in analysis.datasets:
        names = [
            Template(region.name, process, filled).name
            for region in analysis.regions
            for filled in analysis.variations(process, variation)
        ]
        absent = [name for name in names if name not in histograms]
        if len(absent) == len(names):
            missing.append((process, variation))
        elif absent:
            raise ModelError(
                f"no histogram {', '.join(absent)}, but others of the same dataset",
                place="histograms",
                remedy="make the file again: it does not belong to this version of the analysis",
            )
    return missing


def _of_dataset(analysis: Analysis, process: str, variation: str) -> LeftOut:
    """What a missing dataset takes out of the model: a sample, or a systematic."""
    affected = [known.name for known in analysis.systematics if variation in known.variations]
    return LeftOut(
        process=process,
        systematic=None if variation == NOMINAL else ", ".join(affected),
        reason=f"dataset {analysis.dataset_name(process, variation)} is not in the run",
    )


def _unusable(
    systematic: Systematic,
    region: str,
    process: str,
    nominal: Histogram,
    shifts: list[Histogram],
) -> str:
    """Why the model cannot describe a variation; empty if it can."""
    reasons = []
    for variation, shift in zip(systematic.variations, shifts, strict=True):
        name = Template(region, process, variation).name
        ratio = shift.yields.sum() / nominal.yields.sum()
        if ratio <= 0:
            reasons.append(f"{name} has no events")
        elif systematic.down is None and ratio >= 2:
            reasons.append(f"{name} has {ratio:.3g} times the nominal events: cannot be mirrored")
    return "; ".join(reasons)


def _require_events(process: str, nominal: Mapping[tuple[str, str], Histogram]) -> None:
    if not any(name == process for _, name in nominal):
        raise ModelError(
            f"no events of process {process!r}, whose normalisation is measured",
            place="fit.model.poi.process",
            remedy="process its nominal dataset, or name another process",
        )


def _data(
    analysis: Analysis,
    region: str,
    histograms: Mapping[str, hist.Hist],
    nominal: Mapping[tuple[str, str], Histogram],
    settings: ModelSettings,
) -> Histogram:
    if settings.data == "asimov":
        return sum(template for (name, _), template in nominal.items() if name == region)
    name = analysis.pseudodata_name(region)
    if name not in histograms:
        datasets = ", ".join(analysis.dataset_name(*dataset) for dataset in analysis.pseudodata)
        raise ModelError(
            f"no histogram {name}",
            place="histograms",
            remedy=f"process the datasets {datasets}, or fit the sum of the nominal templates "
            "with `fit.model.data: asimov`",
        )
    return rebin(histograms[name], settings.rebinning, name=name)


def _without_samples(
    analysis: Analysis, nominal: Mapping[tuple[str, str], Histogram]
) -> list[LeftOut]:
    """Systematics that act on no sample of the model."""
    kept = {process for _, process in nominal}
    return [
        LeftOut(systematic=systematic.name, reason="none of its samples is in the model")
        for systematic in analysis.systematics
        if kept.isdisjoint(systematic.processes)
    ]
