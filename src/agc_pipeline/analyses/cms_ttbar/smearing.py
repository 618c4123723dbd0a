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

from agc_pipeline.errors import InputError

Array = npt.NDArray[Any]

# Numbers beyond six standard deviations (2e-9 of them) are set to six, which gives the preselection
# a strict bound.
LIMIT = 6.0

# Real samples have single events twice. Where that is at least so many and such a share of the
# events, they have no numbers of their own.
_TWINS, _SHARE = 10, 0.1

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

    Raises:
        InputError: if many events have the same identity.
    """
    _check_distinct(identity)
    n_jets = np.diff(offsets)
    # The library takes integers with sign; what counts are their 64 bits.
    words = [np.repeat(column.astype(np.int64), n_jets) for column in identity]
    numbers: Array = _generator().evaluate(seed, *words, jet)
    return numbers.clip(-limit, limit)


def _check_distinct(identity: Sequence[Array]) -> None:
    """Refuse events that are not told apart: their jets would have the same random numbers."""
    events = np.stack([column.astype(np.int64) for column in identity])
    # Cheaper than sorting all: neighbours in the order of event numbers.
    order = np.argsort(events[-1], kind="stable")
    same = np.all(events[:, order[1:]] == events[:, order[:-1]], axis=0)
    twins = int(np.count_nonzero(same))
    if twins >= max(_TWINS, _SHARE * events.shape[1]):
        run, block, event = events[:, order[int(np.argmax(same))]].tolist()
        raise InputError(
            f"{twins} of {events.shape[1]} events have the run, luminosity block and event number "
            f"of another one, such as {run}, {block}, {event}",
            place="run, luminosityBlock, event",
            remedy="give files with numbers of events: the random numbers of the jet energy "
            "resolution follow from them",
        )


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
