"""Random numbers of the jet energy resolution, keyed by event identity.

The same jet of the same event is always given the same number, whatever the order, chunking,
file or machine, so the variation is as reproducible as the others.
"""

from functools import cache
from typing import Any

import awkward as ak
import correctionlib.schemav2 as schema
import numpy as np
from correctionlib.highlevel import Correction

# Numbers beyond six standard deviations (2e-9 of them) are set to six, which gives the
# preselection a strict bound.
LIMIT = 6.0

_INPUTS = ("seed", "run", "luminosityBlock", "event", "jet")


@cache
def _generator() -> Correction:
    return schema.Correction(
        name="pt_resolution",
        description="standard normal number for each jet",
        version=1,
        inputs=[schema.Variable(name=name, type="int") for name in _INPUTS],
        output=schema.Variable(name="normal", type="real"),
        data=schema.HashPRNG(nodetype="hashprng", inputs=list(_INPUTS), distribution="normal"),
    ).to_evaluator()


def standard_normal(events: Any, jets: ak.Array, *, seed: int) -> ak.Array:
    """A standard normal number for each jet, cut off at ``LIMIT``.

    Args:
        events: with run, luminosityBlock and event, one entry for each entry of ``jets``.
        jets: all stored jets of the events, in stored order: the position counts.
        seed: of the generator.

    Returns:
        ``events * var * float64``.
    """
    counts = ak.num(jets.pt)

    def per_jet(values: ak.Array) -> Any:
        return np.repeat(ak.to_numpy(values).astype(np.int64), ak.to_numpy(counts))

    position = ak.to_numpy(ak.flatten(ak.local_index(jets.pt))).astype(np.int64)
    if len(position) == 0:
        return ak.unflatten(np.empty(0), counts)
    numbers = _generator().evaluate(
        seed, per_jet(events.run), per_jet(events.luminosityBlock), per_jet(events.event), position
    )
    return ak.unflatten(np.clip(numbers, -LIMIT, LIMIT), counts)
