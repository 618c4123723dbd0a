"""Pythia's event records as flat arrays, and the ancestry of the particles in them."""

from dataclasses import dataclass
from functools import cached_property

import awkward as ak
import numpy as np

_W, _CHARGED_HIGGS = 24, 37
_INCOMING = -21


@dataclass(frozen=True, eq=False)
class Record:
    """All particles of a batch of events, flat; GeV.

    A particle that only changes its momentum appears again in the record. Those copies make a
    chain, known by the position of its first particle.

    Attributes:
        counts: particles in each event.
        event: position of each particle's event.
        pdg_id: PDG code; a charged Higgs boson is called W, which it stands for.
        status: Pythia's status code, positive for final particles.
        energy: energy.
        px: momentum component, as ``py`` and ``pz``.
        py: see ``px``.
        pz: see ``px``.
        mass: mass.
        first: position of the first copy.
        last: position of the last copy.
        parent: position of the first copy of the mother of the chain; -1 if it has none.
    """

    counts: np.ndarray
    event: np.ndarray
    pdg_id: np.ndarray
    status: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    mass: np.ndarray
    first: np.ndarray
    last: np.ndarray
    parent: np.ndarray

    @cached_property
    def pt(self) -> np.ndarray:
        """Transverse momentum."""
        pt: np.ndarray = np.hypot(self.px, self.py)
        return pt

    @cached_property
    def eta(self) -> np.ndarray:
        """Pseudorapidity; large but finite along the beam."""
        eta: np.ndarray = np.arcsinh(self.pz / np.maximum(self.pt, 1e-6))
        return eta

    @cached_property
    def phi(self) -> np.ndarray:
        """Azimuth in [-pi, pi]."""
        phi: np.ndarray = np.arctan2(self.py, self.px)
        return phi

    @cached_property
    def final(self) -> np.ndarray:
        """Whether nothing happens to the particle any more."""
        return self.status > 0

    @cached_property
    def parent_id(self) -> np.ndarray:
        """PDG code, without sign, of the mother of the chain; 0 if it has none."""
        return np.where(self.parent >= 0, np.abs(self.pdg_id[self.parent]), 0)


def read(events: ak.Array) -> Record:
    """Flatten what ``Pythia.nextBatch`` returned."""
    particles = events.prt
    counts = ak.to_numpy(ak.num(particles.id))
    start = np.repeat(np.cumsum(counts) - counts, counts)

    def flat(values: ak.Array) -> np.ndarray:
        array: np.ndarray = ak.to_numpy(ak.flatten(values))
        return array

    pdg_id, status = flat(particles.id), flat(particles.status)
    pdg_id = np.where(np.abs(pdg_id) == _CHARGED_HIGGS, np.sign(pdg_id) * _W, pdg_id)
    mother1, mother2 = flat(particles.mother1), flat(particles.mother2)
    first, last, parent = chains(pdg_id, status, start + mother1, mother1, mother2)
    return Record(
        counts=counts,
        event=np.repeat(np.arange(len(counts)), counts),
        pdg_id=pdg_id,
        status=status,
        px=flat(particles.p.px),
        py=flat(particles.p.py),
        pz=flat(particles.p.pz),
        energy=flat(particles.p.e),
        mass=flat(particles.m),
        first=first,
        last=last,
        parent=parent,
    )


def chains(
    pdg_id: np.ndarray,
    status: np.ndarray,
    mother: np.ndarray,
    mother1: np.ndarray,
    mother2: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First copy, last copy and parent of each particle.

    Args:
        pdg_id: PDG codes.
        status: Pythia's status codes.
        mother: position of the first mother in the flat record.
        mother1: position of the first mother in its event; 0 is none.
        mother2: the same of the last mother.
    """
    indices = np.arange(len(pdg_id))
    # Pythia gives a single mother as (m, 0) or (m, m). The incoming partons of the hard process
    # descend from the shower before it, in which nobody looks for ancestors.
    single = (mother1 > 0) & ((mother2 == 0) | (mother2 == mother1)) & (status != _INCOMING)
    is_copy = single & (pdg_id == pdg_id[mother])
    first = np.where(is_copy, mother, indices)
    while not np.array_equal(first[first], first):
        first = first[first]
    continued = np.zeros(len(pdg_id), dtype=bool)
    continued[mother[is_copy]] = True
    last_of_chain = indices.copy()
    # A gluon that splits into two has two copies; the later one in the record stands for it.
    last_of_chain[first[~continued]] = indices[~continued]
    has_parent = (mother1[first] > 0) & (status[first] != _INCOMING)
    parent = np.where(has_parent, first[mother[first]], -1)
    return first, last_of_chain[first], parent
