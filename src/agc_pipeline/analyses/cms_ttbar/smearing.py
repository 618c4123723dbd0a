"""Random numbers keyed by the identity of event and jet, for the jet energy resolution.

The same jet of the same event is always given the same number, whatever the order, chunking,
file or machine: correctionlib makes it of a hash of the identity.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from correctionlib import Correction, CorrectionSet

Array = npt.NDArray[Any]

# Numbers beyond six standard deviations (2e-9 of them) are set to six, which gives the preselection
# a strict bound.
LIMIT = 6.0

_IDENTITY = ("seed", "run", "luminosityBlock", "event", "jet")


def standard_normals(
    seed: int, identity: Sequence[Array], offsets: Array, jet: Array, limit: float = LIMIT
) -> Array:
    """A standard normal number for each jet, cut off at ``limit``: ``jets * float64``.

    Args:
        seed: of the generator.
        identity: run, luminosity block and number of each event.
        offsets: of the jets of each event, ``events + 1``.
        jet: position of each jet among the stored ones of its event.
        limit: largest absolute value.
    """
    n_jets = np.diff(offsets)
    # The library takes integers with sign; what counts are their 64 bits.
    words = [np.repeat(column.astype(np.int64), n_jets) for column in identity]
    numbers: Array = _generator().evaluate(seed, *words, jet)
    return numbers.clip(-limit, limit)


@cache
def _generator() -> Correction:
    correction = {
        "name": "jet energy resolution",
        "version": 1,
        "inputs": [{"name": name, "type": "int"} for name in _IDENTITY],
        "output": {"name": "number", "type": "real"},
        "data": {"nodetype": "hashprng", "inputs": _IDENTITY, "distribution": "normal"},
    }
    content = CorrectionSet.from_string(
        json.dumps({"schema_version": 2, "corrections": [correction]})
    )
    return content[correction["name"]]
