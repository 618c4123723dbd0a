"""Generator particles as NanoAOD keeps them: the hard process, its resonances and their decays."""

import numpy as np

from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.records import Record

_TAU, _GLUON, _TOP = 15, 21, 6
_RESONANCES = (_TOP, 23, 24, 25)

# Bits of NanoAOD's GenPart_statusFlags; source: the branch's own documentation.
_IS_PROMPT = 1 << 0
_IS_TAU_DECAY_PRODUCT = 1 << 2
_IS_PROMPT_TAU_DECAY_PRODUCT = 1 << 3
_IS_DIRECT_TAU_DECAY_PRODUCT = 1 << 4
_IS_DIRECT_PROMPT_TAU_DECAY_PRODUCT = 1 << 5
_IS_HARD_PROCESS = 1 << 7
_FROM_HARD_PROCESS = 1 << 8
_IS_HARD_PROCESS_TAU_DECAY_PRODUCT = 1 << 9
_IS_DIRECT_HARD_PROCESS_TAU_DECAY_PRODUCT = 1 << 10
_FROM_HARD_PROCESS_BEFORE_FSR = 1 << 11
IS_FIRST_COPY = 1 << 12
IS_LAST_COPY = 1 << 13
_IS_LAST_COPY_BEFORE_FSR = 1 << 14

_TAU_FLAGS = (
    _IS_TAU_DECAY_PRODUCT
    | _IS_PROMPT_TAU_DECAY_PRODUCT
    | _IS_DIRECT_TAU_DECAY_PRODUCT
    | _IS_DIRECT_PROMPT_TAU_DECAY_PRODUCT
    | _IS_HARD_PROCESS_TAU_DECAY_PRODUCT
    | _IS_DIRECT_HARD_PROCESS_TAU_DECAY_PRODUCT
)
_HARD_STATUS = (21, 22, 23, 24)
_HADRONISING = 71


def particles(record: Record) -> Collection:
    """First and last copies of the particles of the hard process, and leptons from taus.

    Returns:
        pt, eta, phi, mass in GeV; pdg_id; status and flags as in NanoAOD; mother: position of
        the mother among the particles of the event, always before its daughters, -1 if none.
    """
    indices = np.arange(len(record.pdg_id))
    kind = np.abs(record.pdg_id)
    is_first, is_last = record.first == indices, record.last == indices
    hard = np.isin(np.abs(record.status[record.first]), _HARD_STATUS)
    # Not of the taus that photons of the shower turn into.
    from_tau = (record.parent_id == _TAU) & (kind >= 11) & (kind <= 16) & hard[record.parent]
    positions = np.flatnonzero((hard | from_tau) & (is_first | is_last))

    event = record.event[positions]
    counts = np.bincount(event, minlength=len(record.counts))
    place = np.full(len(kind), -1)
    place[positions] = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
    # A later copy descends from the first one, the first one from its parent's last copy.
    parent = record.parent[positions]
    ancestor = np.where(
        is_first[positions],
        np.where(parent >= 0, place[record.last[parent]], -1),
        place[record.first[positions]],
    )
    pt, eta = record.pt[positions], record.eta[positions]
    code = kind[positions]
    massless = (code < _TOP) | (code == _GLUON) | ((code >= 11) & (code <= 16))
    return Collection(
        counts,
        {
            "pt": pt,
            "eta": eta,
            "phi": record.phi[positions],
            "mass": np.where(massless, 0.0, record.mass[positions]),
            "pdg_id": record.pdg_id[positions],
            "status": _status(record, positions),
            "flags": _flags(
                record, positions, is_first[positions], is_last[positions], from_tau[positions]
            ),
            "mother": ancestor,
        },
    )


def _status(record: Record, positions: np.ndarray) -> np.ndarray:
    """Status codes: 1 final, 2 decayed tau, 71 parton about to hadronise, else Pythia's own."""
    code = np.abs(record.pdg_id[positions])
    parton = (code < _TOP) | (code == _GLUON)
    size = np.abs(record.status[positions])
    status = np.where(record.final[positions], np.where(parton, _HADRONISING, 1), size)
    return np.where((code == _TAU) & ~record.final[positions], 2, status)


def _flags(
    record: Record,
    positions: np.ndarray,
    is_first: np.ndarray,
    is_last: np.ndarray,
    from_tau: np.ndarray,
) -> np.ndarray:
    resonance = np.isin(np.abs(record.pdg_id[positions]), _RESONANCES)
    before_shower = np.where(resonance, is_last, is_first)
    hard = (
        _IS_PROMPT
        | _FROM_HARD_PROCESS
        | np.where(is_first, _IS_HARD_PROCESS, 0)
        | np.where(before_shower, _FROM_HARD_PROCESS_BEFORE_FSR, 0)
        | np.where(before_shower & ~resonance, _IS_LAST_COPY_BEFORE_FSR, 0)
    )
    return (
        np.where(from_tau, _TAU_FLAGS, hard)
        | np.where(is_first, IS_FIRST_COPY, 0)
        | np.where(is_last, IS_LAST_COPY, 0)
    )
