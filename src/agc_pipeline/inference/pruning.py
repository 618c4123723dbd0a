"""Pruning: leaving negligible effects out of a workspace."""

from typing import Any

import numpy as np

from agc_pipeline.inference.settings import Pruning
from agc_pipeline.settings import Settings

Workspace = dict[str, Any]


class Pruned(Settings):
    """A modifier that was left out, and its largest relative effect."""

    channel: str
    sample: str
    modifier: str
    kind: str
    effect: float


def prune(workspace: Workspace, settings: Pruning) -> tuple[Workspace, tuple[Pruned, ...]]:
    """A workspace without the effects below the thresholds, and the list of these.

    A systematic may lose its effect on one sample and keep that on another, and its normalisation
    without its shape. A systematic that has lost all effects is no parameter of the model.
    """
    thresholds = {"normsys": settings.normalisation, "histosys": settings.shape}
    removed = []
    channels = []
    for channel in workspace["channels"]:
        samples = []
        for sample in channel["samples"]:
            remaining = []
            for modifier in sample["modifiers"]:
                threshold = thresholds.get(modifier["type"], 0.0)
                size = effect(modifier, sample["data"]) if threshold > 0 else np.inf
                if size < threshold:
                    removed.append(
                        Pruned(
                            channel=channel["name"],
                            sample=sample["name"],
                            modifier=modifier["name"],
                            kind=modifier["type"],
                            effect=size,
                        )
                    )
                else:
                    remaining.append(modifier)
            samples.append(sample | {"modifiers": remaining})
        channels.append(channel | {"samples": samples})
    return workspace | {"channels": channels}, tuple(removed)


def effect(modifier: Any, events: list[float]) -> float:
    """Largest relative change by a normsys or histosys at one sigma, in any bin with events."""
    values = modifier["data"]
    if modifier["type"] == "normsys":
        return float(max(abs(values["hi"] - 1), abs(values["lo"] - 1)))
    nominal = np.array(events)
    filled = nominal != 0
    changes = [np.subtract(values[key], nominal) for key in ("hi_data", "lo_data")]
    if any(change[~filled].any() for change in changes):
        return float("inf")
    return max(float(np.max(np.abs(c[filled] / nominal[filled]), initial=0)) for c in changes)
