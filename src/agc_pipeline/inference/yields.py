"""Expected events before and after a fit, with their uncertainties."""

from typing import TYPE_CHECKING, Any

import numpy as np

from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyhf
    from cabinetry.fit import FitResults


class Yield(Settings):
    """Expected events with their full uncertainty: in each bin, and in all bins together."""

    bins: tuple[float, ...]
    uncertainty: tuple[float, ...]
    total: float
    total_uncertainty: float


class ChannelYields(Settings):
    """Expected events of a channel: of each sample by title, and of all samples together."""

    samples: dict[str, Yield]
    all: Yield


class Yields(Settings):
    """Expected events by channel, before and after the fit."""

    prefit: dict[str, ChannelYields]
    postfit: dict[str, ChannelYields]


def expected_yields(model: "pyhf.Model", results: "FitResults") -> Yields:
    """Expected events before and after a fit, whose parameters are those of the model."""
    return Yields(prefit=_channel_yields(model, None), postfit=_channel_yields(model, results))


def _channel_yields(model: "pyhf.Model", results: "FitResults | None") -> dict[str, ChannelYields]:
    """Expected events by channel; before the fit for None."""
    from cabinetry.model_utils import prediction

    with np.errstate(invalid="ignore"):
        expected = prediction(model, fit_results=results)
    in_channel = {
        channel["name"]: {sample["name"] for sample in channel["samples"]}
        for channel in model.spec["channels"]
    }
    yields = {}
    for c, channel in enumerate(model.config.channels):
        bins = np.array(expected.model_yields[c])
        # The last row of cabinetry's uncertainties is that of all samples together.
        rows = [
            Yield(
                bins=content.tolist(),
                uncertainty=_known(expected.total_stdev_model_bins[c][s]).tolist(),
                total=content.sum(),
                total_uncertainty=_known(expected.total_stdev_model_channels[c][s]),
            )
            for s, content in enumerate([*bins, bins.sum(axis=0)])
        ]
        samples = zip(model.config.samples, rows, strict=False)
        yields[channel] = ChannelYields(
            samples={name: row for name, row in samples if name in in_channel[channel]},
            all=rows[-1],
        )
    return yields


def _known(uncertainty: Any) -> Any:
    """Uncertainties, of which those that are not numbers are zero.

    Where the best fit is on the border at which a rate is zero, the variance of the rate is zero,
    which is rounded to either side, and the square root of what is below is not a number.
    """
    return np.nan_to_num(uncertainty, nan=0.0, posinf=np.inf)
