"""What tells two forests apart: rows around their thresholds, and how their scores are rounded."""

from typing import Any

import numpy as np
import numpy.typing as npt

from agc_pipeline.learning import rounding
from agc_pipeline.learning.forest import Forest

Array = npt.NDArray[Any]


def rounding_of(forest: Forest) -> rounding.Rounding:
    """How far two computations of the forest's scores may be apart."""
    nodes = forest.nodes
    leaves = np.where(nodes.feature < 0, np.abs(nodes.value), 0.0)
    return rounding.of_sum(np.append(np.maximum.reduceat(leaves, nodes.roots), forest.base))


def rows(forest: Forest, n: int) -> Array:
    """Rows whose features lie at thresholds of the forest, or right below: always the same ones.

    Every threshold of a feature is as likely as any other, so that the rows go through all trees.

    Args:
        forest: whose thresholds are taken.
        n: number of rows.

    Returns:
        ``n * features``, single precision.
    """
    random = np.random.default_rng(0)
    found = np.zeros((n, forest.n_features), np.float32)
    for feature in range(forest.n_features):
        thresholds = np.unique(forest.nodes.threshold[forest.nodes.feature == feature])
        if len(thresholds):
            found[:, feature] = random.choice(thresholds, n)
    below = random.random(found.shape) < 0.5
    return np.where(below, np.nextafter(found, np.float32(-np.inf)), found)
