"""What the model expects in each region, before and after the fit."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agc_pipeline.analyses.base import Analysis
from agc_pipeline.inference.records import ChannelYields, FitRecord

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


def expectations(analysis: Analysis, fit: FitRecord) -> list[Expectation]:
    """Expectations of every channel of a fit, pre-fit and post-fit in turn.

    Args:
        analysis: gives the order of regions and samples.
        fit: the fit.
    """
    return [
        Expectation(
            region=region.name,
            title=region.title,
            observable=region.observable,
            moment=moment,
            label=channel.label,
            edges=np.array(channel.edges),
            samples={
                process.title: np.array(yields[region.title].samples[process.title].bins)
                for process in analysis.processes
                if process.title in yields[region.title].samples
            },
            total=np.array(yields[region.title].all.bins),
            uncertainty=np.array(yields[region.title].all.uncertainty),
            data=np.array(channel.observed),
        )
        for region in analysis.regions
        if (channel := fit.channels.get(region.title)) is not None
        for moment, yields in _moments(fit)
    ]


def _moments(fit: FitRecord) -> list[tuple[Moment, dict[str, ChannelYields]]]:
    return [("pre-fit", fit.yields.prefit), ("post-fit", fit.yields.postfit)]
