"""Events that are scored, and the server that they are scored by."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import boosters
from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import FEATURES
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.readers.columns import offsets_of

Array = npt.NDArray[Any]


def settings(url: str, **changes: Any) -> TritonSettings:
    """Of an impatient client."""
    values = {
        "url": url,
        "model": "jet_assignment",
        "versions": {"even": "1", "odd": "2"},
        "batch_size": 1000,
        "timeout": 10,
        "attempts": 3,
        "backoff": 0.001,
        "tls": None,
    }
    return TritonSettings.model_validate(values | changes)


@dataclass(frozen=True)
class Events:
    features: Array
    offsets: Array
    numbers: Array

    @property
    def arguments(self) -> tuple[Array, Array, Array]:
        """Those of a scorer."""
        return self.features, self.offsets, self.numbers


def events(n: int, *, seed: int = 5) -> Events:
    """Events with one to sixty rows each, of random features."""
    random = np.random.default_rng(seed)
    offsets = offsets_of(random.choice([1, 12, 60], n))
    features = boosters.rows(int(offsets[-1]), len(FEATURES), seed=seed)
    # Rows that come twice have the same score: the first of them is the best.
    features[offsets[1::3] - 1] = features[offsets[:-1:3]]
    return Events(features, offsets, random.integers(0, 2**40, n))
