"""What a workspace that was given says of itself, in the form of an analysis.

So everything that draws and tabulates an analysis works for it as well.
"""

import re
from typing import Any

import numpy as np

from agc_pipeline.declaration import Analysis, Physics, Process, Region, Systematic
from agc_pipeline.inference.records import Channel, FitRecord

Workspace = dict[str, Any]


def channels(workspace: Workspace) -> dict[str, Channel]:
    """The channels, by name. Without axes in a workspace, bins are numbered."""
    observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
    return {
        channel["name"]: Channel(
            region=_plain(channel["name"], number),
            label="bin",
            edges=tuple(np.arange(len(observed[channel["name"]]) + 1) + 0.5),
            observed=observed[channel["name"]],
        )
        for number, channel in enumerate(workspace["channels"])
    }


def analysis(fit: FitRecord) -> Analysis:
    """The regions, samples and systematics of a fit.

    Samples are ordered by their yield, so that the largest is on top of a stack.
    """
    sizes: dict[str, float] = {}
    for channel in fit.yields.prefit.values():
        for name, events in channel.samples.items():
            sizes[name] = sizes.get(name, 0.0) + events.total
    processes = tuple(
        Process(_plain(name, number), name)
        for number, name in enumerate(sorted(sizes, key=lambda name: sizes[name]))
    )
    return Analysis(
        name=fit.analysis,
        settings=Physics,
        regions=tuple(
            Region(channel.region, title, "the bins", channel.label, channel.edges)
            for title, channel in fit.channels.items()
        ),
        processes=processes,
        datasets=(),
        systematics=tuple(
            Systematic(
                name, "normalisation", tuple(p.name for p in processes), up=None, group=group
            )
            for name, group in fit.groups.items()
        ),
        pseudodata={},
    )


def _plain(name: str, number: int) -> str:
    """A name that may be part of a file name, and is that of nothing else."""
    return f"{number:02d}_{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_')}"
