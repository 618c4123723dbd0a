"""Which jet comes from which quark, by the generator's particles: the truth for training.

A jet belongs to the nearest quark within a distance in pseudorapidity and azimuth. Quarks are last
copies whose parent is a top quark or a W boson, copies of the quark itself passed over. A top quark
is leptonic if the W boson of its charge decays to leptons. Source: the reference implementation of
the Analysis Grand Challenge, ``jetassignment_training.py``.
"""

import math
from typing import NamedTuple

import numpy as np

from agc_pipeline.compiling import kernel

from ..kernels import Array

# What training reads in addition to the columns of the analysis.
COLUMNS = {"GenPart": ("eta", "phi", "pdgId", "statusFlags", "genPartIdxMother")}

# Bit of NanoAOD's GenPart_statusFlags; source: the branch's own documentation.
_IS_LAST_COPY = 1 << 13
_TOP, _W = 6, 24
_ELECTRON, _TAU_NEUTRINO = 11, 16

# What a quark comes from.
NOTHING, FROM_W, B_HADRONIC, B_LEPTONIC = 0, 1, 2, 3
# Jets that must be matched: the leading ones.
N_MATCHED = 4


class ParticleArrays(NamedTuple):
    """Generator particles of some events, one after the other.

    Attributes:
        offsets: ``events + 1``; the particles of event ``i`` are ``offsets[i]:offsets[i + 1]``.
        eta: pseudorapidity.
        phi: azimuth.
        pdg_id: kind, in the numbering of the Particle Data Group.
        flags: NanoAOD's statusFlags.
        mother: position of the mother among the particles of the event, negative if none.
    """

    offsets: Array
    eta: Array
    phi: Array
    pdg_id: Array
    flags: Array
    mother: Array


@kernel
def parent_kinds(particles: ParticleArrays) -> Array:
    """Kind of the nearest ancestor of another kind: ``particles * int64``, 0 if there is none."""
    pdg_id, mother = particles.pdg_id, particles.mother
    kinds = np.zeros(len(pdg_id), np.int64)
    for event in range(len(particles.offsets) - 1):
        start, stop = particles.offsets[event], particles.offsets[event + 1]
        for i in range(start, stop):
            at = i
            # No chain is longer than the event has particles, whatever the file says.
            for _ in range(stop - start):
                position = np.int64(mother[at])
                if position < 0 or position >= stop - start:
                    break
                at = start + position
                if pdg_id[at] != pdg_id[i]:
                    kinds[i] = pdg_id[at]
                    break
    return kinds


@kernel
def roles(particles: ParticleArrays) -> Array:
    """What each particle stands for: ``particles * int64``.

    ``FROM_W``, ``B_HADRONIC`` and ``B_LEPTONIC`` are last copies of quarks from W bosons, and from
    top quarks that decay without and with leptons; all else is ``NOTHING``. There are none in
    events in which not exactly one W boson decays to leptons.
    """
    pdg_id = particles.pdg_id
    parents = parent_kinds(particles)
    origins = np.zeros(len(pdg_id), np.int64)
    for event in range(len(particles.offsets) - 1):
        start, stop = particles.offsets[event], particles.offsets[event + 1]
        leptonic_plus, leptonic_minus = False, False
        for i in range(start, stop):
            if _ELECTRON <= abs(pdg_id[i]) <= _TAU_NEUTRINO:
                leptonic_plus = leptonic_plus or parents[i] == _W
                leptonic_minus = leptonic_minus or parents[i] == -_W
        if leptonic_plus == leptonic_minus:
            continue
        leptonic_top = _TOP if leptonic_plus else -_TOP
        for i in range(start, stop):
            if not 0 < abs(pdg_id[i]) < _TOP or not particles.flags[i] & _IS_LAST_COPY:
                continue
            if abs(parents[i]) == _W:
                origins[i] = FROM_W
            elif abs(parents[i]) == _TOP:
                origins[i] = B_LEPTONIC if parents[i] == leptonic_top else B_HADRONIC
    return origins


@kernel
def right_assignments(
    particles: ParticleArrays, offsets: Array, eta: Array, phi: Array, delta_r_max: float
) -> Array:
    """The right assignment of the jets of each event, where the truth is known.

    Args:
        particles: of the events.
        offsets: of the good jets of the events, ``events + 1``.
        eta: pseudorapidity of the jets.
        phi: azimuth of the jets.
        delta_r_max: exclusive upper bound on the distance of a jet and its quark.

    Returns:
        ``events * 4 * int64``: positions, among the jets of the event, of the two jets of the W
        boson in falling order, of the b of the hadronic top and of the b of the leptonic top;
        -1 for all four where the four leading jets are not matched to just these.
    """
    roles_of = roles(particles)
    n_events = len(offsets) - 1
    right = np.full((n_events, N_MATCHED), -1, np.int64)
    for event in range(n_events):
        if offsets[event + 1] - offsets[event] < N_MATCHED:
            continue
        assignment = np.full(N_MATCHED, -1, np.int64)
        for position in range(N_MATCHED):
            jet = offsets[event] + position
            nearest, role = delta_r_max * delta_r_max, NOTHING
            for i in range(particles.offsets[event], particles.offsets[event + 1]):
                if roles_of[i] == NOTHING:
                    continue
                d_eta = np.float64(eta[jet]) - np.float64(particles.eta[i])
                d_phi = abs(np.float64(phi[jet]) - np.float64(particles.phi[i]))
                d_phi = min(d_phi, abs(2.0 * math.pi - d_phi))
                squared = d_eta * d_eta + d_phi * d_phi
                if squared < nearest:
                    nearest, role = squared, roles_of[i]
            if role == FROM_W:
                assignment[1 if assignment[1] < 0 else 0] = position
            elif role != NOTHING:
                assignment[role] = position
        if assignment.min() >= 0:
            right[event] = assignment
    return right
