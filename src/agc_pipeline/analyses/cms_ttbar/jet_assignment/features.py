"""The features of each assignment of jets: one compiled kernel, for training and for scoring.

Source of the features: task of the IRIS-HEP Analysis Grand Challenge, version 2, machine learning.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agc_pipeline.compiling import kernel
from agc_pipeline.readers.columns import offsets_of

from .observables import CONVENTION, FEATURES
from .permutations import n_permutations

__all__ = ["CONVENTION", "FEATURES", "GROUPS", "Jets", "Leptons", "features"]

Array = npt.NDArray[Any]

# Features that change together from one assignment to the next, the quickest last: what depends on
# the jets of the W, on the b of the hadronic top, on both, and on the b of the leptonic top. It is
# told to the forests, which are faster for it.
GROUPS = ((1, 5, 8, 9, 12, 13, 16, 17), (10, 14, 18), (2, 3, 6, 7), (0, 4, 11, 15, 19))


class Jets(NamedTuple):
    """The jets that are considered, packed, in the order stored; double precision.

    Attributes:
        offsets: ``events + 1``.
        pt: GeV.
        eta: pseudorapidity.
        phi: azimuth.
        mass: GeV.
        btag: discriminant of b-jets.
        qgl: discriminant of quarks and gluons.
    """

    offsets: Array
    pt: Array
    eta: Array
    phi: Array
    mass: Array
    btag: Array
    qgl: Array

    def leading(self, n_max: int) -> "Jets":
        """The first ``n_max`` jets of each event at most."""
        counts = np.diff(self.offsets)
        position = np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], counts)
        first = position < n_max
        return Jets(offsets_of(np.minimum(counts, n_max)), *(values[first] for values in self[1:]))

    def events(self, start: int, stop: int) -> "Jets":
        """The jets of a range of events."""
        jets = slice(self.offsets[start], self.offsets[stop])
        return Jets(
            self.offsets[start : stop + 1] - self.offsets[start],
            *(values[jets] for values in self[1:]),
        )


class Leptons(NamedTuple):
    """The one lepton of each event, ``events`` values each, in double precision.

    Attributes:
        pt: GeV.
        eta: pseudorapidity.
        phi: azimuth.
        mass: GeV.
    """

    pt: Array
    eta: Array
    phi: Array
    mass: Array

    def events(self, start: int, stop: int) -> "Leptons":
        """The leptons of a range of events."""
        return Leptons(*(values[start:stop] for values in self))

    def take(self, events: Array) -> "Leptons":
        """The leptons of some events, by their positions or a mask."""
        return Leptons(*(values[events] for values in self))


def considered_jets(events: Any) -> Jets:
    """The good jets of events."""
    jets = events.jets
    fields = ("pt", "eta", "phi", "mass", "btagCSVV2", "qgl")
    return Jets(jets.offsets, *(jets[field] for field in fields))


def the_leptons(events: Any) -> Leptons:
    """The one good lepton of each event that has exactly one."""
    electron = events.count("electrons") == 1
    leptons = Leptons(*(np.empty(len(events), np.float64) for _ in Leptons._fields))
    for field, values in leptons._asdict().items():
        values[electron] = events.electrons[field]
        values[~electron] = events.muons[field]
    return leptons


def features(jets: Jets, leptons: Leptons, *, wrapped: bool) -> tuple[Array, Array]:
    """Features of all assignments of all events.

    Args:
        jets: that are considered; an event with less than four has no assignment.
        leptons: of the same events.
        wrapped: take differences in azimuth the short way round; else as they are.

    Returns:
        ``rows * 20`` in single precision, the events one after the other and each in the order of
        ``permutations``; and the offsets of the events' rows, ``events + 1``.
    """
    offsets = offsets_of(n_permutations(np.diff(jets.offsets)))
    rows = np.empty((offsets[-1], len(FEATURES)), np.float32)
    _fill(jets, leptons, wrapped, offsets, rows)
    return rows, offsets


@kernel
def _distance(eta: float, phi: float, other_eta: float, other_phi: float, wrapped: bool) -> float:
    azimuth = abs(phi - other_phi)
    if wrapped:
        azimuth %= 2.0 * math.pi
        azimuth = min(azimuth, 2.0 * math.pi - azimuth)
    return math.sqrt((eta - other_eta) ** 2 + azimuth**2)


@kernel
def _mass(x: float, y: float, z: float, energy: float) -> float:
    # Rounding can leave collinear massless jets with a negative square.
    return math.sqrt(max(energy * energy - x * x - y * y - z * z, 0.0))


@kernel
def _components(pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Four-momenta, ``n * (x, y, z, energy)`` in GeV."""
    momenta = np.empty((len(pt), 4), np.float64)
    for i in range(len(pt)):
        x, y, z = pt[i] * math.cos(phi[i]), pt[i] * math.sin(phi[i]), pt[i] * math.sinh(eta[i])
        momenta[i, 0], momenta[i, 1], momenta[i, 2] = x, y, z
        momenta[i, 3] = math.sqrt(x * x + y * y + z * z + mass[i] * mass[i])
    return momenta


@kernel
def _fill(jets: Jets, leptons: Leptons, wrapped: bool, offsets: Array, rows: Array) -> None:
    momenta = _components(jets.pt, jets.eta, jets.phi, jets.mass)
    lepton_momenta = _components(leptons.pt, leptons.eta, leptons.phi, leptons.mass)
    for event in range(len(offsets) - 1):
        first = jets.offsets[event]
        n = jets.offsets[event + 1] - first
        row = offsets[event]
        if row == offsets[event + 1]:
            continue
        # What does not depend on the whole assignment is computed once.
        distances = np.empty((n, n), np.float64)
        lepton_distances = np.empty(n, np.float64)
        lepton_masses = np.empty(n, np.float64)
        for i in range(n):
            jet = first + i
            lepton_distances[i] = _distance(
                leptons.eta[event], leptons.phi[event], jets.eta[jet], jets.phi[jet], wrapped
            )
            both = lepton_momenta[event] + momenta[jet]
            lepton_masses[i] = _mass(both[0], both[1], both[2], both[3])
            for j in range(n):
                other = first + j
                distances[i, j] = _distance(
                    jets.eta[jet], jets.phi[jet], jets.eta[other], jets.phi[other], wrapped
                )
        for w1 in range(n):
            for w2 in range(w1):
                x = momenta[first + w1, 0] + momenta[first + w2, 0]
                y = momenta[first + w1, 1] + momenta[first + w2, 1]
                z = momenta[first + w1, 2] + momenta[first + w2, 2]
                energy = momenta[first + w1, 3] + momenta[first + w2, 3]
                w_mass = _mass(x, y, z, energy)
                for b in range(n):
                    if b in (w1, w2):
                        continue
                    top_x = x + momenta[first + b, 0]
                    top_y = y + momenta[first + b, 1]
                    top_mass = _mass(
                        top_x, top_y, z + momenta[first + b, 2], energy + momenta[first + b, 3]
                    )
                    top_pt = math.sqrt(top_x * top_x + top_y * top_y)
                    for lepton_b in range(n):
                        if lepton_b in (w1, w2, b):
                            continue
                        rows[row, 0] = lepton_distances[lepton_b]
                        rows[row, 1] = distances[w1, w2]
                        rows[row, 2] = distances[w1, b]
                        rows[row, 3] = distances[w2, b]
                        rows[row, 4] = lepton_masses[lepton_b]
                        rows[row, 5] = w_mass
                        rows[row, 6] = top_mass
                        rows[row, 7] = top_pt
                        column = 8
                        for values in (jets.pt, jets.btag, jets.qgl):
                            for jet in (w1, w2, b, lepton_b):
                                rows[row, column] = values[first + jet]
                                column += 1
                        row += 1
