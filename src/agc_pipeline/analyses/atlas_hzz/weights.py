"""Weights of simulated events, and what they are normalised to."""

from typing import Any

import awkward as ak
import numpy as np

# The task's: of the generator, and corrections of efficiencies and of pileup.
WEIGHTS = (
    "mcWeight",
    "scaleFactor_ELE",
    "scaleFactor_MUON",
    "scaleFactor_LepTRIGGER",
    "scaleFactor_PILEUP",
)


def weight(events: Any, selection: object) -> Any:  # noqa: ARG001
    """Relative weight, ``events * float64``."""
    product: Any = 1.0
    for name in WEIGHTS:
        product = product * ak.values_astype(events[name], np.float64)
    return product


def sum_of_weights(file: Any) -> float:
    """Sum of generator weights of all events that were simulated; every event has it."""
    return float(file["mini"]["SumWeights"].array(entry_stop=1, library="np")[0])
