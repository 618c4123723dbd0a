"""The three-jet system as compiled loops over packed jets.

Jets of all events stand one after the other; those of event ``i`` are
``offsets[i]:offsets[i + 1]``. Momenta are in GeV.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agc_pipeline.compiling import kernel

Array = npt.NDArray[Any]


class JetArrays(NamedTuple):
    """Jets of some events, as the kernels take them.

    Attributes:
        offsets: ``events + 1``.
        pt: GeV.
        tagged: b-tagged.
        cos_phi: cosine of the azimuth.
        sin_phi: sine of the azimuth.
        sinh_eta: pz over pt.
        cosh_eta: momentum over pt.
        mass: GeV.
    """

    offsets: Array
    pt: Array
    tagged: Array
    cos_phi: Array
    sin_phi: Array
    sinh_eta: Array
    cosh_eta: Array
    mass: Array


@kernel
def trijets(jets: JetArrays) -> Array:
    """The three-jet system of the largest pt among those with a b-tagged jet.

    All triplets of jets ``i < j < k`` are tried; of several with the same pt the first counts.

    Args:
        jets: of events with at least three, one of them b-tagged.

    Returns:
        ``events * 3 * int64``: the jets, counted over all events; -1 for an event without such a
        triplet.
    """
    x = jets.pt * jets.cos_phi
    y = jets.pt * jets.sin_phi
    tagged = jets.tagged
    triplets = np.empty((len(jets.offsets) - 1, 3), np.int64)
    for event in range(len(triplets)):
        stop = jets.offsets[event + 1]
        largest, best = -1.0, (-1, -1, -1)
        for i in range(jets.offsets[event], stop):
            for j in range(i + 1, stop):
                x_pair, y_pair = x[i] + x[j], y[i] + y[j]
                pair_tagged = tagged[i] or tagged[j]
                for k in range(j + 1, stop):
                    x_sum, y_sum = x_pair + x[k], y_pair + y[k]
                    pt_squared = x_sum * x_sum + y_sum * y_sum
                    if (pair_tagged or tagged[k]) and pt_squared > largest:
                        largest, best = pt_squared, (i, j, k)
        triplets[event, 0], triplets[event, 1], triplets[event, 2] = best
    return triplets


@kernel
def trijet_masses(jets: JetArrays) -> Array:
    """Mass of the three-jet system that ``trijets`` finds.

    Args:
        jets: of events with at least three, one of them b-tagged.

    Returns:
        ``events * float64`` in GeV; NaN for an event without such a triplet.
    """
    triplets = trijets(jets)
    masses = np.empty(len(triplets), np.float64)
    for event in range(len(triplets)):
        if triplets[event, 0] < 0:
            masses[event] = np.nan
            continue
        x, y, z, energy = 0.0, 0.0, 0.0, 0.0
        for jet in triplets[event]:
            pt, mass = jets.pt[jet], jets.mass[jet]
            momentum = pt * jets.cosh_eta[jet]
            x += pt * jets.cos_phi[jet]
            y += pt * jets.sin_phi[jet]
            z += pt * jets.sinh_eta[jet]
            energy += math.sqrt(momentum * momentum + mass * mass)
        squared = energy * energy - x * x - y * y - z * z
        # Rounding can leave collinear massless jets with a negative square.
        masses[event] = math.sqrt(max(squared, 0.0))
    return masses
