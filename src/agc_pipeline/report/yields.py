"""Expected and observed events of each region, before and after the fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr

from agc_pipeline.declaration import Analysis
from agc_pipeline.formatting import decimals
from agc_pipeline.inference.fit_records import Channel, FitRecord
from agc_pipeline.inference.yields import Yield, Yields

Floats = NDArray[np.float64]
Moment = Literal["pre-fit", "post-fit"]


class ChannelRecord(Protocol):
    """A record with channels and their yields: a fit, or its propagation."""

    @property
    def channels(self) -> dict[str, Channel]: ...  # noqa: D102

    @property
    def yields(self) -> Yields: ...  # noqa: D102


@dataclass(frozen=True)
class Expectation:
    """Expected and observed events of a region.

    Attributes:
        region: name of the region.
        title: of the channel.
        observable: name of the observable.
        moment: before or after the fit.
        label: axis label with unit, in matplotlib's mathtext.
        edges: bin edges of the fit, in the unit of the observable.
        bin_names: ranges of the bins.
        open_bins: words on bins without a bound; empty if there are none.
        samples: title to ``bins`` events, in the order of plots from the bottom.
        total: ``bins``, sum of the samples.
        uncertainty: ``bins``, of the sum.
        data: ``bins``, NaN where they are blinded.
        window: words on where they are; empty if nothing is blinded.
    """

    region: str
    title: str
    observable: str
    moment: Moment
    label: str
    edges: Floats
    bin_names: tuple[str, ...]
    open_bins: str
    samples: dict[str, Floats]
    total: Floats
    uncertainty: Floats
    data: Floats
    window: str

    @property
    def observed(self) -> float:
        """Number of data events that are shown."""
        return float(np.nansum(self.data))

    @property
    def centres(self) -> Floats:
        """Bin centres."""
        return np.asarray((self.edges[:-1] + self.edges[1:]) / 2)

    @property
    def largest(self) -> float:
        """Largest bin with its uncertainty: of the data, or of the expectation."""
        data = np.nan_to_num(self.data)
        highest = np.where(data > 0, poisson_interval(data)[1], 0.0)
        return float(max((self.total + self.uncertainty).max(), np.nanmax(highest, initial=0.0)))


def poisson_interval(counts: Floats) -> Floats:
    """Ends of the central 68.3 % interval of Poisson expectations, ``2 * bins``.

    F. Garwood, Biometrika 28 (1936) 437. Without events there is none.
    """
    events = np.where(counts > 0, counts, np.nan)
    return np.stack((gammaincinv(events, ndtr(-1)), gammaincinv(events + 1, ndtr(1))))


def expectations(analysis: Analysis, record: ChannelRecord) -> list[Expectation]:
    """Expectations of the channels of a record, pre-fit and post-fit in turn.

    Args:
        analysis: gives the order of regions and samples. Channels of other regions are left out.
        record: channels with their yields before and after the fit.
    """
    regions = {region.name: region for region in analysis.regions}
    channels = [item for item in record.channels.items() if item[1].region in regions]
    channels.sort(key=lambda item: list(regions).index(item[1].region))
    moments: tuple[Moment, ...] = ("pre-fit", "post-fit")
    return [
        expectation(analysis, record, title, moment) for title, _ in channels for moment in moments
    ]


def expectation(
    analysis: Analysis, record: ChannelRecord, channel: str, moment: Moment
) -> Expectation:
    """Expectation of one channel.

    Args:
        analysis: gives the order of the samples.
        record: channels with their yields.
        channel: its title.
        moment: before or after the fit.

    Raises:
        KeyError: if the record has no such channel.
    """
    entry = record.channels[channel]
    region = analysis.region(entry.region)
    yields = record.yields.prefit if moment == "pre-fit" else record.yields.postfit
    events = yields[channel]
    return Expectation(
        region=entry.region,
        title=channel,
        observable=region.observable,
        moment=moment,
        label=entry.label,
        edges=np.array(entry.edges),
        bin_names=tuple(entry.bin_name(place) for place in range(len(entry.bins))),
        open_bins=entry.open_bins,
        samples={
            process.title: np.array(events.samples[process.title].bins)
            for process in analysis.processes
            if process.title in events.samples
        },
        total=np.array(events.all.bins),
        uncertainty=np.array(events.all.uncertainty),
        data=np.where(entry.hidden, np.nan, entry.observed),
        window=entry.window,
    )


@dataclass(frozen=True)
class YieldRow:
    """Events of a process in a region, before and after the fit; None for observed events.

    Attributes:
        title: of the process, or what the row is.
        prefit: events and their uncertainty.
        postfit: the same after the fit.
        observed: events outside of the blinded window.
        window: words on that window; empty if there is none.
    """

    title: str
    prefit: tuple[float, float] | None
    postfit: tuple[float, float] | None
    observed: float | None = None
    window: str = ""


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
        shown = expectation(analysis, fit, region.title, "post-fit")
        rows.append(YieldRow("observed", None, None, shown.observed, shown.window))
        tables[region.title] = rows
    return tables


def _pair(events: Yield) -> tuple[float, float]:
    return events.total, events.total_uncertainty


def row_decimals(tables: Mapping[str, Sequence[YieldRow]]) -> int:
    """Decimals of all events in the table of the yields."""
    return decimals(
        pair[1]
        for rows in tables.values()
        for row in rows
        for pair in (row.prefit, row.postfit)
        if pair is not None
    )
