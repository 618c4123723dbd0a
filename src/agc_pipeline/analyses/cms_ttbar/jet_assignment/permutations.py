"""The ways to assign jets to the partons of a top-quark pair with one lepton."""

from functools import cache

import numpy as np
import numpy.typing as npt

# Jets that one assignment needs.
N_PARTONS = 4


@cache
def permutations(n_jets: int) -> npt.NDArray[np.int64]:
    """All assignments of ``n_jets`` jets, in the order that features and scores have.

    The two jets of the W are not told apart: the first of them is the one that is stored later.
    Source: the reference implementation of the Analysis Grand Challenge, ``utils/ml.py``, which
    keeps the second of two equivalent assignments.

    Args:
        n_jets: jets of the event that are considered.

    Returns:
        ``n * 4`` positions of jets, ``n = n_jets! / (2 (n_jets - 4)!)``, rising row by row: both
        jets of the W of the hadronic top, its b, and the b of the leptonic top.
    """
    jets = range(n_jets)
    rows = [
        (w1, w2, b_hadronic, b_leptonic)
        for w1 in jets
        for w2 in range(w1)
        for b_hadronic in jets
        for b_leptonic in jets
        if len({w1, w2, b_hadronic, b_leptonic}) == N_PARTONS
    ]
    table = np.array(rows, np.int64).reshape(-1, N_PARTONS)
    table.flags.writeable = False
    return table


def n_permutations(n_jets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number of assignments of events with so many jets: ``events * int64``."""
    # The product is 0 for less than four jets.
    counts: npt.NDArray[np.int64] = n_jets * (n_jets - 1) * (n_jets - 2) * (n_jets - 3) // 2
    return counts
