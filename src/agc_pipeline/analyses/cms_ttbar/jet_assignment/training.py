"""From events to examples for training: the assignments of jets, of which the truth says one."""

from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.analyses.cms_ttbar import objects
from agc_pipeline.analyses.cms_ttbar.jet_assignment import matching, packing
from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import FEATURES, features
from agc_pipeline.analyses.cms_ttbar.jet_assignment.observables import SIGNAL_REGION
from agc_pipeline.analyses.cms_ttbar.jet_assignment.permutations import N_PARTONS, permutations
from agc_pipeline.analyses.cms_ttbar.kernels import Array
from agc_pipeline.analyses.cms_ttbar.observables import trijets
from agc_pipeline.analyses.cms_ttbar.preselection import one_lepton
from agc_pipeline.analyses.cms_ttbar.regions import region_masks
from agc_pipeline.analyses.cms_ttbar.settings import JetAssignment, Selection
from agc_pipeline.columnar.columns import offsets_of
from agc_pipeline.learning.examples import Examples, Wording

__all__ = ["COLUMNS", "FEATURES", "WORDING", "examples"]

COLUMNS = {**objects.COLUMNS, **matching.COLUMNS}

WORDING = Wording(
    whole="all four jets",
    part="the three jets of the hadronic top",
    baseline="trijet with the largest pt",
    size="jets",
)


def examples(selection: Selection, assignment: JetAssignment, events: Any) -> Examples:
    """The matched events of the signal region with all their assignments.

    Args:
        selection: the cuts, nominal.
        assignment: which jets are considered, and how.
        events: NanoAOD collections with the columns in ``COLUMNS``.
    """
    kept = events[one_lepton(events, selection)]
    jets = packing.jet_columns(kept.Jet)
    cuts = selection.jet
    jets = jets[objects.good_jets(jets, cuts, pt_min=cuts.pt_min)]
    mask = region_masks(jets, cuts)[SIGNAL_REGION]
    kept, jets = kept[mask], jets[mask]
    truth = matching.right_assignments(
        _particles(kept.GenPart),
        offsets_of(ak.to_numpy(ak.num(jets.pt))),
        packing.flat(jets.eta),
        packing.flat(jets.phi),
        assignment.matching_delta_r,
    )
    matched = truth[:, 0] >= 0
    kept, jets, truth = kept[matched], jets[matched], truth[matched]
    # By the same jets as the observable, not only by the leading ones.
    found = _bits(trijets(jets, cuts)) == _bits(truth[:, :3])
    leading = packing.packed(jets).leading(assignment.n_jets_max)
    rows, offsets = features(
        leading, packing.the_leptons(kept, selection), wrapped=assignment.azimuth == "wrapped"
    )
    sizes = np.diff(leading.offsets)
    assigned, event = _assigned(sizes)
    return Examples(
        features=rows,
        offsets=offsets,
        right=(assigned == truth[event]).all(axis=1),
        in_part=_bits(assigned[:, :3]) == _bits(truth[:, :3])[event],
        baseline=found,
        sizes=sizes,
        numbers=packing.event_numbers(kept),
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


def _particles(particles: ak.Array) -> matching.ParticleArrays:
    return matching.ParticleArrays(
        offsets=offsets_of(ak.to_numpy(ak.num(particles.pdgId))),
        eta=packing.flat(particles.eta),
        phi=packing.flat(particles.phi),
        pdg_id=packing.flat(particles.pdgId),
        flags=packing.flat(particles.statusFlags),
        mother=packing.flat(particles.genPartIdxMother),
    )
