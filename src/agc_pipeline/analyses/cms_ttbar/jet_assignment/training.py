"""From events to examples for training: the assignments of jets, of which the truth says one."""

from typing import Any

import numpy as np

from agc_pipeline.learning.examples import Examples, Wording
from agc_pipeline.readers.columns import offsets_of

from .. import kernels
from ..kernels import Array
from ..regions import momenta, two_tags
from ..settings import JetAssignment
from . import matching
from .features import FEATURES, considered_jets, features, the_leptons
from .permutations import N_PARTONS, permutations

__all__ = ["FEATURES", "MASK", "READS", "WORDING", "examples"]

# Beside the columns of the analysis and of its features.
READS = matching.COLUMNS
# Of the events to learn from.
MASK = two_tags

WORDING = Wording(
    whole="all four jets",
    part="the three jets of the hadronic top",
    baseline="trijet with the largest pt",
    size="jets",
)


def examples(events: Any, assignment: JetAssignment) -> Examples:
    """The matched events of the signal region with all their assignments.

    Args:
        events: of the signal region.
        assignment: which jets are considered, and how.
    """
    jets = events.jets
    truth = matching.right_assignments(
        _particles(events), jets.offsets, jets.eta, jets.phi, assignment.matching_delta_r
    )
    matched = np.flatnonzero(truth[:, 0] >= 0)
    events, truth = events.take(matched), truth[matched]
    # By the same jets as the observable, not only by the leading ones.
    momentum = momenta(events.jets)
    trijets = kernels.trijets(momentum) - momentum.offsets[:-1, np.newaxis]
    leading = considered_jets(events).leading(assignment.n_jets_max)
    rows, offsets = features(leading, the_leptons(events), wrapped=assignment.azimuth == "wrapped")
    sizes = np.diff(leading.offsets)
    assigned, event = _assigned(sizes)
    return Examples(
        features=rows,
        offsets=offsets,
        right=(assigned == truth[event]).all(axis=1),
        in_part=_bits(assigned[:, :3]) == _bits(truth[:, :3])[event],
        baseline=_bits(trijets) == _bits(truth[:, :3]),
        sizes=sizes,
        numbers=events.event.astype(np.uint64),
    )


def _assigned(sizes: Array) -> tuple[Array, Array]:
    """All assignments of all events, ``rows * 4``, and the position of each one's event."""
    numbers = range(N_PARTONS, max(sizes.max(initial=0), N_PARTONS) + 1)
    tables = [permutations(n) for n in numbers]
    lengths = np.array([len(table) for table in tables])
    counts = lengths[sizes - N_PARTONS]
    event = np.repeat(np.arange(len(sizes)), counts)
    within = np.arange(len(event)) - offsets_of(counts)[event]
    start = offsets_of(lengths)[sizes - N_PARTONS]
    return np.concatenate(tables)[start[event] + within], event


def _bits(positions: Array) -> Array:
    """Sets of positions of jets as numbers: the order does not count."""
    bits: Array = np.bitwise_or.reduce(1 << positions, axis=1)
    return bits


def _particles(events: Any) -> matching.ParticleArrays:
    particles = events.collection("GenPart", matching.COLUMNS["GenPart"])
    return matching.ParticleArrays(
        offsets=particles.offsets,
        eta=particles.eta,
        phi=particles.phi,
        pdg_id=particles.pdgId,
        flags=particles.statusFlags,
        mother=particles.genPartIdxMother,
    )
