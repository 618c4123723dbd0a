"""Pictures of tables for HEPData, which shows one of each in its list."""

from collections.abc import Callable
from functools import partial

import numpy as np
from hepdata_lib import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.inference.derived_records import RankingRecord, ScanRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.profile import Plane

_RANKED = 15
_SIZE = (5.0, 3.6)


def draw(
    tables: list[Table], fit: FitRecord, ranking: RankingRecord, scan: ScanRecord
) -> dict[str, Figure]:
    """A figure for each table that has one, by the name of the table.

    Args:
        tables: of ``tables.tables``, with the same records.
        fit: the fit.
        ranking: impacts of all parameters.
        scan: profile of the likelihood.
    """
    planes, channels = iter(scan.planes), iter(fit.channels)
    painters: dict[str, Callable[[Axes], None]] = {
        "Covariance": lambda axes: _correlation(axes, fit),
        "Impacts": lambda axes: _impacts(axes, ranking),
        "Likelihood scan": lambda axes: _scan(axes, scan),
    }
    figures = {}
    painter: Callable[[Axes], None]
    for name in (table.name for table in tables):
        # Tables are in the order of channels and pairs.
        if name.startswith("Distribution "):
            painter = partial(_distribution, fit=fit, title=next(channels))
        elif name.startswith("Likelihood of "):
            painter = partial(_plane, entry=next(planes))
        elif name in painters:
            painter = painters[name]
        else:
            continue
        figures[name] = Figure(figsize=_SIZE, layout="constrained")
        painter(figures[name].subplots())
    return figures


def _distribution(axes: Axes, fit: FitRecord, title: str) -> None:
    channel, after = fit.channels[title], fit.yields.postfit[title].all
    edges = np.array(channel.edges)
    events, widths = np.array(after.bins), np.array(after.uncertainty)
    axes.stairs(events, edges, color="#4477aa", label="fit")
    axes.stairs(
        events + widths, edges, baseline=events - widths, fill=True, color="#4477aa", alpha=0.3
    )
    observed = np.where(channel.hidden, np.nan, channel.observed)
    middles = (edges[1:] + edges[:-1]) / 2
    axes.errorbar(middles, observed, np.sqrt(observed), fmt="o", color="black", markersize=3)
    axes.set_xlabel(channel.label)
    axes.set_ylabel("events")
    axes.set_title(title, fontsize=9)


def _correlation(axes: Axes, fit: FitRecord) -> None:
    axes.imshow(fit.correlation, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xlabel("parameters")
    axes.set_ylabel("parameters")


def _impacts(axes: Axes, ranking: RankingRecord) -> None:
    rows = sorted(ranking.rows, key=lambda row: -row.size)[:_RANKED]
    heights = np.arange(len(rows))[::-1]
    for key, colour in (("postfit_up", "#4477aa"), ("postfit_down", "#ee6677")):
        axes.barh(heights, [getattr(row, key) or 0.0 for row in rows], color=colour, alpha=0.7)
    axes.set_yticks(heights, [row.parameter for row in rows], fontsize=6)
    axes.set_xlabel(f"change of {ranking.poi}")


def _scan(axes: Axes, scan: ScanRecord) -> None:
    axes.plot(scan.values, np.array(scan.heights, dtype=np.float64), color="#4477aa")
    axes.set_ylabel("-2 Delta ln L")
    axes.set_xlabel("" if scan.poi is None else scan.poi.name)


def _plane(axes: Axes, entry: Plane) -> None:
    heights = np.ma.masked_invalid(np.array(entry.heights, dtype=np.float64))
    axes.contour(entry.first, entry.second, heights, levels=[2.2957, 6.1801], colors="#4477aa")
    axes.plot(*entry.bestfit, marker="+", color="black")
    axes.set_xlabel(entry.parameters[0])
    axes.set_ylabel(entry.parameters[1])
