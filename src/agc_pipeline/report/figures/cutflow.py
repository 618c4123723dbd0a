"""Figure of the cutflow: which part of the events is left behind each cut."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from agc_pipeline.columnar.closure import DatasetAccount
from agc_pipeline.declaration import NOMINAL, Analysis
from agc_pipeline.formatting import count, number
from agc_pipeline.report import spots
from agc_pipeline.report.style import COLOURS, INK, canvas
from agc_pipeline.report.yields import Floats

# As many datasets as a legend can name.
_MOST = 20
_MARKERS = "osD^v<>Ph*"


def fractions(datasets: Mapping[str, DatasetAccount], cuts: list[str]) -> dict[str, Floats]:
    """Part of the events of each nominal dataset and of data that is left behind each cut.

    Args:
        datasets: accounts by name.
        cuts: names of all cuts, in their order.

    Returns:
        ``cuts``, NaN where a dataset does not have the cut; without datasets of no events.
    """
    left = {}
    for name, account in datasets.items():
        first = next(iter(account.cutflow.values()), 0)
        if account.variation == NOMINAL and first > 0:
            left[name] = np.array([account.cutflow.get(cut, np.nan) for cut in cuts]) / first
    return left


def cutflow(analysis: Analysis, datasets: Mapping[str, DatasetAccount], cuts: list[str]) -> Figure:
    """Which part of the unweighted events is left behind each cut.

    Args:
        analysis: names the regions, which share the last common cut and have no line between them.
        datasets: accounts by name.
        cuts: names of all cuts, in their order.
    """
    left = dict(islice(fractions(datasets, cuts).items(), _MOST))
    regions = {region.name for region in analysis.with_learned().regions}
    common = np.array([cut not in regions for cut in cuts])
    places = np.arange(len(cuts), dtype=np.float64)
    names = [process.name for process in analysis.processes]
    sources = Counter(datasets[name].processes for name in left)
    texts = [[cut] for cut in cuts]
    with canvas(max(5.2, 2.6 + 0.75 * len(cuts)), 3.9) as figure:
        axes = figure.subplots()
        for position, (name, values) in enumerate(left.items()):
            account = datasets[name]
            # Colours of processes are those of the stacks.
            single = account.processes[0] if len(account.processes) == 1 else None
            place = position if single is None else names.index(single)
            colour = INK if account.kind == "data" else COLOURS[place % len(COLOURS)]
            # Points of several datasets stand beside each other.
            at = places + 0.5 * ((position + 0.5) / len(left) - 0.5)
            # Of several datasets, the title of their process tells none.
            only = single is not None and sources[account.processes] == 1
            label = analysis.processes[place].title if only else name
            shown = values > 0
            axes.plot(at[common & shown], values[common & shown], color=colour, linewidth=0.9)
            axes.plot(
                at[shown],
                values[shown],
                _MARKERS[position % len(_MARKERS)],
                color=colour,
                markersize=4.5,
                label=label,
            )
            for lines, cut, value in zip(texts, cuts, values, strict=True):
                if cut in account.cutflow:
                    events = count(account.cutflow[cut])
                    lines.append(f"{label}: {number(value)} ({events} events)")
        axes.set_yscale("log")
        axes.set_xticks(places, cuts, rotation=30, ha="right", rotation_mode="anchor")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(-0.6, len(cuts) - 0.4)
        axes.set_ylabel("fraction of events")
        edges = np.arange(len(cuts) + 1) - 0.5
        spots.columns(axes, edges, ["\n".join(lines) for lines in texts])
        for edge in edges[1:-1]:
            axes.axvline(edge, color="0.9", linewidth=0.6, zorder=0)
        figure.legend(loc="outside right upper")
    return figure
