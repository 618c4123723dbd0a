"""What the model expects in each region, before and after the fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agc_pipeline.declaration import Analysis
from agc_pipeline.inference.fit_records import Channel
from agc_pipeline.inference.yields import ChannelYields, Yields

Floats = NDArray[np.float64]
Moment = Literal["pre-fit", "post-fit"]


@dataclass(frozen=True)
class Expectation:
    """Expected and observed events of a region.

    Attributes:
        region: name of the region.
        title: of the channel.
        observable: name of the observable.
        moment: before or after the fit.
        label: axis label with unit, in matplotlib's mathtext.
        edges: bin edges of the fit, GeV.
        samples: title to ``bins`` events, in the order of plots from the bottom.
        total: ``bins``, sum of the samples.
        uncertainty: ``bins``, of the sum.
        data: ``bins``.
    """

    region: str
    title: str
    observable: str
    moment: Moment
    label: str
    edges: Floats
    samples: dict[str, Floats]
    total: Floats
    uncertainty: Floats
    data: Floats


def expectations(
    analysis: Analysis, channels: Mapping[str, Channel], yields: Yields
) -> list[Expectation]:
    """Expectations of channels, pre-fit and post-fit in turn.

    Args:
        analysis: gives the order of regions and samples.
        channels: by title.
        yields: before and after the fit.
    """
    regions = {region.name: region for region in analysis.regions}
    order = sorted(channels.items(), key=lambda item: list(regions).index(item[1].region))
    return [
        Expectation(
            region=channel.region,
            title=title,
            observable=regions[channel.region].observable,
            moment=moment,
            label=channel.label,
            edges=np.array(channel.edges),
            samples={
                process.title: np.array(events[title].samples[process.title].bins)
                for process in analysis.processes
                if process.title in events[title].samples
            },
            total=np.array(events[title].all.bins),
            uncertainty=np.array(events[title].all.uncertainty),
            data=np.array(channel.observed),
        )
        for title, channel in order
        for moment, events in _moments(yields)
    ]


def _moments(yields: Yields) -> list[tuple[Moment, dict[str, ChannelYields]]]:
    return [("pre-fit", yields.prefit), ("post-fit", yields.postfit)]
