"""Tables of the report: yields and accounts of events."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.declaration import Analysis
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.yields import Yield


@dataclass(frozen=True)
class YieldRow:
    """Events of a process in a region, before and after the fit; None for observed events."""

    title: str
    prefit: tuple[float, float] | None
    postfit: tuple[float, float] | None
    observed: float | None = None


def yield_rows(analysis: Analysis, fit: FitRecord) -> dict[str, list[YieldRow]]:
    """Rows for each channel: processes from the top of the stack, their sum, observed events."""
    tables = {}
    for region in analysis.regions:
        if region.title not in fit.channels:
            continue
        before, after = fit.yields.prefit[region.title], fit.yields.postfit[region.title]
        rows = [
            YieldRow(
                process.title,
                _pair(before.samples[process.title]),
                _pair(after.samples[process.title]),
            )
            for process in reversed(analysis.processes)
            if process.title in before.samples
        ]
        rows.append(YieldRow("all processes", _pair(before.all), _pair(after.all)))
        observed = sum(fit.channels[region.title].observed)
        rows.append(YieldRow("observed", None, None, observed))
        tables[region.title] = rows
    return tables


@dataclass(frozen=True)
class BreakdownRow:
    """A group of sources of uncertainty; ``share`` is its part of the variance.

    Both are negative for a part that makes the variance smaller.
    """

    title: str
    uncertainty: float
    share: float


def breakdown_rows(fit: FitRecord) -> list[BreakdownRow]:
    """Contributions to the uncertainty, the largest first, and the total; none if it has none."""
    if fit.breakdown is None:
        return []
    total = fit.breakdown.total
    parts = fit.breakdown.groups | {"Data statistics": fit.breakdown.data}
    variances = sorted(((title, size**2) for title, size in parts.items()), key=lambda i: -i[1])
    curvature = ("Curvature of the model", fit.breakdown.curvature)
    return [
        BreakdownRow(title, math.copysign(math.sqrt(abs(part)), part), part / total**2)
        for title, part in [*variances, curvature, ("Total", total**2)]
    ]


def accounts(analysis: Analysis, closure: Closure) -> dict[str, DatasetAccount]:
    """The datasets of the run, in the order of the analysis."""
    names = [analysis.dataset_name(*dataset) for dataset in analysis.datasets]
    return {name: closure.datasets[name] for name in names if name in closure.datasets}


def cuts(datasets: Mapping[str, DatasetAccount]) -> list[str]:
    """Names of all cuts, in the order of the cutflows."""
    return list(dict.fromkeys(cut for entry in datasets.values() for cut in entry.cutflow))


def _pair(given: Yield) -> tuple[float, float]:
    return given.total, given.total_uncertainty
