"""Assignments and their features: the compiled kernel against plain loops."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import (
    FEATURES,
    Jets,
    Leptons,
    features,
)
from agc_pipeline.analyses.cms_ttbar.jet_assignment.permutations import n_permutations, permutations
from oracle import assignment as oracle
from oracle.events import Electron, Event, Jet, events_from_arrays
from oracle.strategies import Arrays, nanoaod


def packed(events: list[Event]) -> tuple[Jets, Leptons]:
    """All jets, and the first lepton, of events."""
    jets = [jet for event in events for jet in event.jets]
    leptons = [(event.electrons + event.muons)[0] for event in events]

    def column(objects: list[Any], name: str) -> Any:
        return np.array([getattr(each, name) for each in objects], np.float64)

    offsets = np.cumsum([0, *(len(event.jets) for event in events)])
    names = ("pt", "eta", "phi", "mass", "btag", "qgl")
    return (
        Jets(offsets, *(column(jets, name) for name in names)),
        Leptons(*(column(leptons, name) for name in names[:4])),
    )


@pytest.mark.parametrize(("n_jets", "n"), [(0, 0), (3, 0), (4, 12), (5, 60), (6, 180), (7, 420)])
def test_permutations(n_jets: int, n: int) -> None:
    assert permutations(n_jets).tolist() == [list(each) for each in oracle.assignments(n_jets)]
    assert permutations(n_jets).shape == (n, 4)
    assert n_permutations(np.array([n_jets])).tolist() == [n]


def test_features_have_the_names_of_the_task() -> None:
    assert len(FEATURES) == 20
    assert FEATURES[0] == "deltar_leptonbtoplep"
    assert FEATURES[6:8] == ("mass_w1w2btophad", "pt_w1w2btophad")
    assert FEATURES[14] == "btag_btophad"


@pytest.mark.parametrize("wrapped", [True, False])
@settings(max_examples=40)
@given(arrays=nanoaod(max_events=4))
def test_features_are_those_of_plain_loops(wrapped: bool, arrays: Arrays) -> None:
    events = [event for event in events_from_arrays(arrays) if event.electrons + event.muons]
    all_jets, leptons = packed(events)
    jets = all_jets.leading(6)
    rows, offsets = features(jets, leptons, wrapped=wrapped)
    expected = [
        [
            oracle.features(list(event.jets[:6]), lepton, chosen, wrapped=wrapped)
            for chosen in oracle.assignments(min(len(event.jets), 6))
        ]
        for event in events
        for lepton in (event.electrons + event.muons)[:1]
    ]
    assert rows.dtype == np.float32
    assert np.diff(offsets).tolist() == [len(each) for each in expected]
    for event, first, stop in zip(expected, offsets[:-1], offsets[1:], strict=True):
        for row, values in zip(rows[first:stop], event, strict=True):
            # Masses of light systems are small differences of large numbers.
            assert row.tolist() == pytest.approx(values, rel=1e-6, abs=2e-3)
    assert np.isfinite(rows).all()


def jet(pt: float, eta: float, phi: float) -> Jet:
    return Jet(0, pt, eta, phi, mass=0.0, btag=0.5, jet_id=6, qgl=0.25)


def test_azimuth_goes_the_short_way_round() -> None:
    jets = (jet(40.0, 0.0, 3.0), jet(50.0, 0.0, -3.0), jet(60.0, 0.0, 0.5), jet(70.0, 1.0, -3.0))
    lepton = Electron(30.0, 0.0, 4, 0.0, phi=3.0)
    packed_jets, leptons = packed([Event(1, 2, 3, electrons=(lepton,), jets=jets)])
    row = permutations(4).tolist().index([1, 0, 2, 3])
    wrapped, _ = features(packed_jets, leptons, wrapped=True)
    reference, _ = features(packed_jets, leptons, wrapped=False)
    short, other = 2 * math.pi - 6.0, 2 * math.pi - 3.5
    assert wrapped[row, :4] == pytest.approx([math.hypot(1.0, short), short, other, 2.5])
    # As the reference implementation has it, which forgets to go round.

    assert reference[row, :4] == pytest.approx([math.hypot(1.0, 6.0), 6.0, 3.5, 2.5])
    assert (wrapped[:, 4:] == reference[:, 4:]).all()


def test_the_first_jet_of_the_w_is_the_later_one() -> None:
    # Of two assignments that differ in the order of these jets, the task keeps the second.
    jets = tuple(
        Jet(0, 40.0 + i, 0.1 * i, 0.2 * i, mass=0.0, btag=0.1 * i, jet_id=6, qgl=0.2 * i)
        for i in range(4)
    )
    packed_jets, leptons = packed([Event(1, 2, 3, (Electron(30.0, 0.0, 4, 0.0),), jets=jets)])
    rows, _ = features(packed_jets, leptons, wrapped=True)
    columns = dict(zip(FEATURES, rows.T.tolist(), strict=True))
    # The order of ``argcartesian``, without the first of each two.
    pairs = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    for name, first in (("pt", 40.0), ("btag", 0.0), ("qgl", 0.0)):
        step = {"pt": 1.0, "btag": 0.1, "qgl": 0.2}[name]
        for jet_of, position in (("w1", 0), ("w2", 1)):
            expected = [first + step * pair[position] for pair in pairs for _ in range(2)]
            assert columns[f"{name}_{jet_of}"] == pytest.approx(expected, abs=1e-6)
    near, far = columns["deltar_w1btophad"], columns["deltar_w2btophad"]
    # Jets 1 and 0 of the W, jet 2 of the b.
    assert near[0] == pytest.approx(math.hypot(0.1, 0.2))
    assert far[0] == pytest.approx(math.hypot(0.2, 0.4))


def test_only_leading_jets_are_considered() -> None:
    jets = tuple(jet(40.0 + i, 0.1 * i, 0.2 * i) for i in range(8))
    lepton = Electron(30.0, 0.0, 4, 0.0)
    eight, leptons = packed([Event(1, 2, 3, (lepton,), jets=jets)] * 2)
    six, _ = packed([Event(1, 2, 3, (lepton,), jets=jets[:6])] * 2)
    rows, offsets = features(eight.leading(6), leptons, wrapped=True)
    expected, _ = features(six, leptons, wrapped=True)
    assert offsets.tolist() == [0, 180, 360]
    assert (rows == expected).all()
