"""Jets and quarks: the compiled kernel against plain loops, on toy and on real events."""

import math
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.analyses.cms_ttbar import ANALYSIS
from agc_pipeline.analyses.cms_ttbar.jet_assignment import matching, training
from agc_pipeline.analyses.cms_ttbar.jet_assignment.permutations import permutations
from agc_pipeline.analyses.cms_ttbar.settings import JetAssignment, Selection
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.declaration.analysis import union
from agc_pipeline.readers.arrays import ArrayColumns
from oracle.matching import LAST_COPY, Particle, right_assignment

ASSIGNMENT = JetAssignment(n_jets_max=6, azimuth="wrapped", matching_delta_r=0.4)
Directions = list[tuple[float, float]]


def pack(events: list[list[Particle]]) -> matching.ParticleArrays:
    flat = [particle for particles in events for particle in particles]
    columns = {
        name: np.array([getattr(particle, name) for particle in flat], dtype)
        for name, dtype in (
            ("eta", np.float32),
            ("phi", np.float32),
            ("pdg_id", np.int32),
            ("flags", np.int32),
            ("mother", np.int32),
        )
    }
    return matching.ParticleArrays(np.cumsum([0, *map(len, events)]), **columns)


def found(events: list[list[Particle]], jets: list[Directions]) -> list[list[int] | None]:
    flat = np.array([jet for some in jets for jet in some], np.float64).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, jets)])
    rows = matching.right_assignments(pack(events), offsets, flat[:, 0], flat[:, 1], 0.4)
    return [None if row[0] < 0 else row.tolist() for row in rows]


_ETA = st.floats(-2.375, 2.375, width=32)
_PHI = st.floats(-3.125, 3.125, width=32)


@st.composite
def pairs(draw: st.DrawFn) -> list[Particle]:
    """A top-quark pair whose W bosons decay in any way, with copies of some of the particles."""
    event: list[Particle] = []

    def add(pdg_id: int, mother: int) -> int:
        copies = draw(st.integers(0, 2))
        for left in range(copies, -1, -1):
            flags = (LAST_COPY if left == 0 else 0) | draw(st.sampled_from([0, 1 << 12, 1 << 8]))
            event.append(Particle(pdg_id, draw(_ETA), draw(_PHI), flags, mother))
            mother = len(event) - 1
        return mother

    for sign in (1, -1):
        top = add(6 * sign, -1)
        w, _ = add(24 * sign, top), add(5 * sign, top)
        if draw(st.booleans()):
            flavour = draw(st.sampled_from([11, 13, 15]))
            lepton = add(-flavour * sign, w)
            add((flavour + 1) * sign, w)
            if flavour == 15 and draw(st.booleans()):
                add(-11 * sign, lepton)
        else:
            quark = add(2 * sign, w)
            add(-1 * sign, w)
            # Radiated off a quark: neither it nor what comes of it stands for a jet.
            add(5, add(21, quark))
    return event


@st.composite
def near(draw: st.DrawFn) -> tuple[list[Particle], Directions]:
    """An event with jets mostly near to the quarks, in any order."""
    event = draw(pairs())
    quarks = [particle for particle in event if 0 < abs(particle.pdg_id) < 6]
    jets = []
    for quark in draw(st.permutations(quarks)):
        shift = st.floats(-0.3, 0.3)
        phi = math.remainder(quark.phi + draw(shift), 2 * math.pi)
        jets.append((quark.eta + draw(shift), phi))
    return event, jets[: draw(st.integers(3, 8))]


@given(st.lists(near(), min_size=1, max_size=6))
def test_assignments_are_those_of_plain_loops(
    events: list[tuple[list[Particle], Directions]],
) -> None:
    particles = [event for event, _ in events]
    jets = [directions for _, directions in events]
    expected = [right_assignment(*event, 0.4) for event in events]
    assert found(particles, jets) == expected


def _semileptonic(*, sign: int) -> tuple[list[Particle], Directions]:
    """One top (sign 1) or antitop decays with a lepton; jets W, b, b, W at the quarks."""
    kinds = [
        (6, -1),
        (24, 0),
        (5, 0),
        (-6, -1),
        (-24, 3),
        (-5, 3),
        (-13, 1),
        (14, 1),
        (1, 4),
        (-2, 4),
    ]
    event = [
        Particle(sign * kind, 0.4 * position - 2, 0.6 * position - 3, LAST_COPY, mother)
        for position, (kind, mother) in enumerate(kinds)
    ]
    return event, [(event[i].eta, event[i].phi) for i in (8, 5, 2, 9)]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_lepton_tells_the_tops_apart(sign: int) -> None:
    event, jets = _semileptonic(sign=sign)
    assert found([event], [jets]) == [[3, 0, 1, 2]]


def test_a_fifth_jet_takes_no_part(selection: Selection) -> None:
    event, jets = _semileptonic(sign=1)
    assert found([event], [[(0.0, 0.0), *jets]]) == [None]
    assert found([event], [[*jets, (0.0, 0.0)]]) == [[3, 0, 1, 2]]


def test_azimuth_is_taken_the_short_way_round() -> None:
    event, jets = _semileptonic(sign=1)
    event[8] = event[8]._replace(eta=0.0, phi=3.1)
    jets[0] = (0.0, -3.1)
    assert found([event], [jets]) == [[3, 0, 1, 2]]


def test_a_circle_of_mothers_ends() -> None:
    event = [Particle(1, 0.0, 0.0, LAST_COPY, 1), Particle(1, 0.0, 0.0, 0, 0)]
    assert found([event], [[(0.0, 0.0)] * 4]) == [None]


def test_real_events(sample: Callable[[str], Path], selection: Selection) -> None:
    processing = Processing(ANALYSIS, selection, ANALYSIS.dataset("ttbar__nominal"))
    used = union([ANALYSIS.columns(processing.dataset, selection, learned=True), training.READS])
    path = sample("ttbar2017_NanoAODv5_1000ev.root")
    arrays = uproot.open(path)["Events"].arrays(ANALYSIS.layout.branches(used))
    columns = ArrayColumns(arrays, ANALYSIS.layout)
    examples = training.examples(processing.nominal(columns, training.MASK), ASSIGNMENT)
    assert len(examples) == 9
    assert np.add.reduceat(examples.right, examples.offsets[:-1], dtype=int).tolist() == [1] * 9
    # The same events, matched by plain loops over all good jets.
    numbers = ak.to_list(arrays["event"])
    for event, size, right in zip(
        examples.numbers.tolist(),
        examples.sizes,
        np.split(examples.right, examples.offsets[1:-1]),
        strict=True,
    ):
        row = arrays[numbers.index(event)]
        good = [
            (eta, phi)
            for pt, eta, phi, jet_id in zip(
                *(row[f"Jet_{name}"].tolist() for name in ("pt", "eta", "phi", "jetId")),
                strict=True,
            )
            if pt > 30 and abs(eta) < 2.4 and jet_id == 6
        ]
        fields = ("pdgId", "eta", "phi", "statusFlags", "genPartIdxMother")
        particles = [
            Particle(*values)
            for values in zip(*(row[f"GenPart_{name}"].tolist() for name in fields), strict=True)
        ]
        expected = right_assignment(particles, good, 0.4)
        assert permutations(int(size))[right].tolist() == [expected]
