"""The particle level: jets, leptons and generator particles of showered events."""

from typing import NamedTuple

import awkward as ak
import numpy as np

from agc_pipeline.simulation import flat, records, truth
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.generator import ELECTRON, MUON, library
from agc_pipeline.simulation.records import Record

_TAU, _W, _GLUON, _BOTTOM, _CHARM = 15, 24, 21, 5, 4

_JET_RADIUS = 0.4
# Lowest pt of jets in GeV: the detector hardly ever makes 30 GeV of less.
_JET_PT_MIN = 8.0
_LEPTON_PT_MIN = 3.0
_ISOLATION_RADIUS = 0.4
# Softest heavy quark that makes a jet a heavy-flavour jet; the hadron must have 5 GeV in CMS.
_HEAVY_PT_MIN = 5.0
_ACCEPTANCE = 5.0


class ParticleLevel(NamedTuple):
    """Events before the detector; GeV.

    Attributes:
        jets: pt, eta, phi, mass, hadron_flavour (0, 4, 5), parton_flavour (PDG code or 0), and
            electron and muon: fractions of pt carried by them.
        leptons: electrons and muons from W bosons and taus: pt, eta, phi, pdg_id, and
            activity: sum of pt within 0.4 around the lepton.
        particles: pt, eta, phi, mass, pdg_id, status, flags, mother (position in the event).
    """

    jets: Collection
    leptons: Collection
    particles: Collection


def particle_level(events: ak.Array) -> ParticleLevel:
    """Reduce what ``Pythia.nextBatch`` returned.

    Raises:
        PipelineError: if fastjet is not installed.
    """
    record = records.read(events)
    return ParticleLevel(
        jets=_jets(record), leptons=_leptons(record), particles=truth.particles(record)
    )


def append(parts: list[ParticleLevel]) -> ParticleLevel:
    """The events of several batches, one after the other."""
    return ParticleLevel(*(flat.append(collections) for collections in zip(*parts, strict=True)))


def charge_conjugate(level: ParticleLevel, mask: np.ndarray) -> ParticleLevel:
    """Turn particles into antiparticles in the events where ``mask`` is true."""

    def conjugated(collection: Collection, name: str) -> Collection:
        sign = np.where(np.repeat(mask, collection.counts), -1, 1)
        code = collection[name]
        neutral = (np.abs(code) > 20) & (np.abs(code) != _W)
        return collection.with_columns(**{name: np.where(neutral, code, sign * code)})

    return ParticleLevel(
        conjugated(level.jets, "parton_flavour"),
        conjugated(level.leptons, "pdg_id"),
        conjugated(level.particles, "pdg_id"),
    )


def _visible(record: Record) -> np.ndarray:
    neutrino = np.isin(np.abs(record.pdg_id), (12, 14, 16))
    visible: np.ndarray = record.final & ~neutrino & (np.abs(record.eta) < _ACCEPTANCE)
    return visible


def _jets(record: Record) -> Collection:
    """Anti-kt jets of all visible particles."""
    fastjet = library("fastjet")
    # Its banner of a dozen lines would appear in the output of each job; the README cites it.
    library("fastjet._swig").ClusterSequence.set_fastjet_banner_stream(None)
    position = np.flatnonzero(_visible(record))
    counts = np.bincount(record.event[position], minlength=len(record.counts))
    momenta = ak.zip(
        {
            "px": record.px[position],
            "py": record.py[position],
            "pz": record.pz[position],
            "E": record.energy[position],
        },
        with_name="Momentum4D",
    )
    clusters = fastjet.ClusterSequence(
        ak.unflatten(momenta, counts),
        fastjet.JetDefinition(fastjet.antikt_algorithm, _JET_RADIUS),
    )
    jets = clusters.inclusive_jets(min_pt=_JET_PT_MIN)
    constituents = clusters.constituent_index(min_pt=_JET_PT_MIN)
    px, py, pz, energy = (ak.to_numpy(ak.flatten(jets[name])) for name in ("px", "py", "pz", "E"))
    pt = np.hypot(px, py)
    mass2 = energy**2 - px**2 - py**2 - pz**2
    # Position in the flat record of each constituent, and the jet that it belongs to.
    first = ak.Array(np.cumsum(counts) - counts)
    member = position[ak.to_numpy(ak.flatten(constituents + first, axis=None))]
    sizes = ak.to_numpy(ak.flatten(ak.num(constituents, axis=2)))
    jet = np.repeat(np.arange(len(pt)), sizes)
    hadron_flavour, parton_flavour = _flavours(record, member, jet, len(pt))
    code, member_pt = np.abs(record.pdg_id[member]), record.pt[member]

    def fraction(of: int) -> np.ndarray:
        weights = np.where(code == of, member_pt, 0.0)
        shares: np.ndarray = np.bincount(jet, weights=weights, minlength=len(pt)) / pt
        return shares

    return Collection(
        ak.to_numpy(ak.num(jets.px)),
        {
            "pt": pt,
            "eta": np.arcsinh(pz / pt),
            "phi": np.arctan2(py, px),
            "mass": np.sqrt(np.maximum(mass2, 0.0)),
            "hadron_flavour": hadron_flavour,
            "parton_flavour": parton_flavour,
            "electron": fraction(ELECTRON),
            "muon": fraction(MUON),
        },
    )


def _flavours(
    record: Record, member: np.ndarray, jet: np.ndarray, n_jets: int
) -> tuple[np.ndarray, np.ndarray]:
    """Flavours of jets from the partons in them.

    The hardest b quark wins, else the hardest c quark, else the hardest parton.

    Returns:
        Hadron flavour (0, 4, 5) and parton flavour (signed PDG code, 0 without a parton).
    """
    code, pt = record.pdg_id[member], record.pt[member]
    size = np.abs(code)
    heavy = ((size == _BOTTOM) | (size == _CHARM)) & (pt > _HEAVY_PT_MIN)
    rank = np.where(heavy, size, np.where((size <= _BOTTOM) | (size == _GLUON), 1, 0))
    order = np.lexsort((pt, rank, jet))
    winner = np.zeros(n_jets, dtype=np.int64)
    # Of repeated indices the last assignment counts: the highest rank, then the highest pt.
    winner[jet[order]] = np.where(rank[order] > 0, code[order], 0)
    won = np.zeros(n_jets, dtype=np.int64)
    won[jet[order]] = rank[order]
    return np.where(won > 1, won, 0), winner


def _leptons(record: Record) -> Collection:
    """Electrons and muons from W bosons and from taus, with what is around them."""
    mask = record.final & np.isin(np.abs(record.pdg_id), (ELECTRON, MUON))
    mask &= np.isin(record.parent_id, (_W, _TAU)) & (record.pt > _LEPTON_PT_MIN)
    lepton = np.flatnonzero(mask)
    other = np.flatnonzero(_visible(record))
    n_events = len(record.counts)
    counts = np.bincount(record.event[lepton], minlength=n_events)
    eta, phi, pt = record.eta, record.phi, record.pt
    left, right = flat.pairs(counts, np.bincount(record.event[other], minlength=n_events))
    one, two = lepton[left], other[right]
    near = flat.delta_r2(eta[one], phi[one], eta[two], phi[two]) < _ISOLATION_RADIUS**2
    near &= one != two
    activity = np.bincount(left[near], weights=pt[two[near]], minlength=len(lepton))
    return Collection(
        counts,
        {
            "pt": pt[lepton],
            "eta": eta[lepton],
            "phi": phi[lepton],
            "pdg_id": record.pdg_id[lepton],
            "activity": activity,
        },
    )
