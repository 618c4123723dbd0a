"""Smoothing and symmetrising of varied templates, for systematics that the configuration names.

Smoothing takes from the ratio of a varied template to its nominal one what looks like noise, and
leaves its yield as it is. It assumes that a systematic has no structure from one bin to the next: a
choice of the user, off by default.

- ``linear``: the ratio is a straight line in the number of the bin, fitted with the nominal
  contents as weights. It has the smallest noise, and no other shape.
- ``353QH``: running medians of three, five and three bins, a quadratic interpolation of flat places
  and a running mean, of the ratio and then of what is left. It needs three bins at least. Source:
  J. Friedman, Data analysis techniques for high energy particle physics, CERN-74-23 (1974), p. 292;
  the implementation is cabinetry's.

Symmetrising takes half of the difference between up and down for both.
"""

import numpy as np

from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.settings import Treatment


def treated(
    nominal: Array, up: Array, down: Array | None, treatment: Treatment, weights: Array
) -> tuple[Array, Array | None]:
    """Varied templates as they enter the model.

    Args:
        nominal: contents, ``... * bins``.
        up: likewise.
        down: likewise; None if up is mirrored.
        treatment: what to do.
        weights: of the bins in fits, ``bins``.
    """
    up = smoothed(nominal, up, treatment, weights)
    if down is None:
        return up, None
    down = smoothed(nominal, down, treatment, weights)
    if treatment.symmetrise:
        half = (up - down) / 2
        return nominal + half, nominal - half
    return up, down


def smoothed(nominal: Array, varied: Array, treatment: Treatment, weights: Array) -> Array:
    """A varied template with a smooth ratio to the nominal one, and its own yield."""
    if treatment.smoothing == "none" or varied.shape[-1] < 3:
        return varied
    # Bins without events have no ratio.
    ratio = np.divide(varied, nominal, out=np.ones_like(varied), where=nominal > 0)
    if treatment.smoothing == "linear":
        smooth = ratio @ _line(np.maximum(weights, 0.0))
    else:
        from cabinetry.smooth import smooth_353qh_twice

        rows = ratio.reshape(-1, ratio.shape[-1])
        smooth = np.array([smooth_353qh_twice(row) for row in rows]).reshape(ratio.shape)
    content = np.maximum(smooth, 0.0) * nominal
    total = content.sum(axis=-1, keepdims=True)
    scale = np.divide(
        varied.sum(axis=-1, keepdims=True), total, out=np.ones_like(total), where=total != 0
    )
    result: Array = content * scale
    return result


def _line(weights: Array) -> Array:
    """Matrix from values in bins to those of the fitted straight line, to be multiplied from left.

    Bins without weight do not count.
    """
    x = np.stack([np.ones(len(weights)), np.arange(len(weights)) / len(weights)])
    line: Array = (x * weights).T @ np.linalg.pinv((x * weights) @ x.T) @ x
    return line
