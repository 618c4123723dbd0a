"""Collections of objects as flat columns, ancestry in event records, generator particles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.simulation import flat, truth
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.records import Record, chains

COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=8).map(np.array)


@st.composite
def collections(draw: st.DrawFn) -> Collection:
    counts = draw(COUNTS)
    size = int(counts.sum())
    pt = draw(st.lists(st.floats(1, 100), min_size=size, max_size=size))
    return Collection(counts, {"pt": np.array(pt, dtype=float), "id": np.arange(size)})


def as_lists(collection: Collection, name: str = "id") -> list[list[float]]:
    """The collection as Python sees it: one list for each event."""
    ends = np.cumsum(collection.counts)
    return [list(part) for part in np.split(collection[name], ends[:-1])]


@given(collections(), st.data())
def test_objects_and_events_keep_the_rest_in_place(given_: Collection, data: st.DataObject) -> None:
    objects = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(given_), max_size=len(given_)))
    )
    objects = objects.astype(bool)
    expected = [[i for i in event if objects[i]] for event in as_lists(given_)]
    assert as_lists(given_.objects(objects)) == expected
    n_events = len(given_.counts)
    events = np.array(data.draw(st.lists(st.booleans(), min_size=n_events, max_size=n_events)))
    kept = given_.events(events)
    if events.any():
        assert as_lists(kept) == [e for e, k in zip(as_lists(given_), events, strict=True) if k]
    assert len(kept) == kept.counts.sum()


@given(collections())
def test_sorting_is_within_events(given_: Collection) -> None:
    for before, after in zip(
        as_lists(given_, "pt"), as_lists(given_.sorted_by("pt"), "pt"), strict=True
    ):
        assert after == sorted(before, reverse=True)


@given(collections())
def test_merge_joins_events_and_append_queues_them(one: Collection) -> None:
    other = one.with_columns(id=one["id"] + 1000)
    merged = as_lists(flat.merge(one, other))
    assert merged == [a + b for a, b in zip(as_lists(one), as_lists(other), strict=True)]
    assert as_lists(flat.append([one, other])) == as_lists(one) + as_lists(other)


@given(COUNTS, st.data())
def test_pairs_are_all_pairs_within_events(left: np.ndarray, data: st.DataObject) -> None:
    right = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(left), max_size=len(left))))
    expected = {
        (i, j)
        for event in range(len(left))
        for i in range(left[:event].sum(), left[: event + 1].sum())
        for j in range(right[:event].sum(), right[: event + 1].sum())
    }
    one, two = flat.pairs(left, right)
    assert len(one) == len(expected)
    assert set(zip(one.tolist(), two.tolist(), strict=True)) == expected


@given(st.floats(-20, 20))
def test_wrap_keeps_the_direction(phi: float) -> None:
    wrapped = float(flat.wrap(np.array(phi)))
    assert -np.pi <= wrapped <= np.pi
    assert np.cos(wrapped - phi) == pytest.approx(1.0, abs=1e-12)


# One event, g g -> t (radiates) -> b W+, W+ -> e+ nu, the b radiates; written out by hand:
# position, PDG code, status, mother1, mother2 as Pythia numbers them.
EVENT = (
    (90, -11, 0, 0),  # 0 the system
    (21, -41, 0, 0),  # 1 gluon of the beam
    (21, -21, 1, 1),  # 2 incoming gluon
    (21, -21, 1, 1),  # 3 incoming gluon
    (6, -22, 2, 3),  # 4 top
    (6, -62, 4, 4),  # 5 the same top, later
    (24, -22, 5, 0),  # 6 W+
    (5, -23, 5, 0),  # 7 b
    (5, 51, 7, 0),  # 8 the b after radiation
    (21, 51, 7, 0),  # 9 what it radiated
    (-11, 23, 6, 0),  # 10 e+
    (12, 23, 6, 0),  # 11 neutrino
)


@pytest.fixture
def record() -> Record:
    pdg_id, status, mother1, mother2 = (np.array(column) for column in zip(*EVENT, strict=True))
    first, last, parent = chains(pdg_id, status, mother1, mother1, mother2)
    momentum = np.linspace(10.0, 60.0, len(pdg_id))
    return Record(
        counts=np.array([len(pdg_id)]),
        event=np.zeros(len(pdg_id), dtype=int),
        pdg_id=pdg_id,
        status=status,
        px=momentum,
        py=np.zeros_like(momentum),
        pz=np.zeros_like(momentum),
        energy=np.hypot(momentum, 5.0),
        mass=np.full_like(momentum, 5.0),
        first=first,
        last=last,
        parent=parent,
    )


def test_chains_follow_copies_and_parents(record: Record) -> None:
    assert record.first[5] == 4
    assert record.last[4] == 5
    assert record.first[8] == 7
    assert record.last[7] == 8
    # The radiated gluon is no copy, the incoming gluons are not copies of each other.
    assert record.first[[2, 3, 9]].tolist() == [2, 3, 9]
    # Parents are first copies; incoming partons have none.
    assert record.parent[[6, 7, 8, 10]].tolist() == [4, 4, 4, 6]
    assert record.parent[[2, 3]].tolist() == [-1, -1]
    assert record.parent_id[[10, 2]].tolist() == [24, 0]


def test_generator_particles_of_a_known_event(record: Record) -> None:
    particles = truth.particles(record)
    columns = [particles[name].tolist() for name in ("pdg_id", "mother", "status")]
    assert list(zip(*columns, strict=True)) == [
        (21, -1, 21),
        (21, -1, 21),
        (6, 0, 22),
        (6, 2, 62),
        (24, 3, 22),
        (5, 3, 23),
        (5, 5, 71),
        (-11, 4, 1),
        (12, 4, 1),
    ]
    last = particles["flags"] & truth.IS_LAST_COPY > 0
    assert particles["pdg_id"][last].tolist() == [21, 21, 6, 24, 5, -11, 12]
    first = particles["flags"] & truth.IS_FIRST_COPY > 0
    assert first.tolist() == [True, True, True, False, True, True, False, True, True]
    # The mass is kept only for particles that have one of their own, as in NanoAOD.
    assert particles["mass"].tolist() == [0, 0, 5, 5, 5, 0, 0, 0, 0]
