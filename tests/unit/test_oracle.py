"""The oracle itself: against numbers worked out by hand, and counts known for real files."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from oracle.analysis import (
    EDGES,
    REGIONS,
    Entry,
    analyse,
    cutflow,
    filled,
    four_momentum,
    good_electron,
    good_jet,
    good_muon,
    histogram,
    leading_trijet,
    undecided,
    variations,
    weight,
)
from oracle.events import COLUMNS, Electron, Event, Jet, Muon, events_from_arrays, read_events
from oracle.strategies import OBJECT_TYPES, Arrays, around, nanoaod, to_arrays, write_nanoaod

SAMPLES = Path(__file__).parents[2] / ".." / "shared" / "samples"

Kind = Literal["ttree", "rntuple"]
KINDS: tuple[Kind, ...] = ("ttree", "rntuple")

ELECTRON = Electron(pt=40.0, eta=0.0, cut_based=4, sip3d=1.0)
MUON = Muon(pt=40.0, eta=0.0, tight_id=True, sip3d=1.0, relative_isolation=0.1)


class QuietSchema(NanoAODSchema):  # type: ignore[misc]
    """Our files have no cross-references, and none are needed."""

    warn_missing_crossrefs = False


def unsmeared(run: int, lumi: int, event: int, jet: int) -> float:
    return 0.0


def jet(index: int, pt: float, **changes: Any) -> Jet:
    values = {"eta": 0.0, "phi": 0.0, "mass": 0.0, "btag": 0.0, "jet_id": 6} | changes
    return Jet(index, pt, **values)


def event_of(*jets: Jet) -> Event:
    return Event(run=1, lumi=2, number=3, electrons=(ELECTRON,), jets=jets)


def cross(*tagged: int) -> list[Jet]:
    """Massless jets in the transverse plane: along +x, +y, -x, -y and -x again."""
    pts = (40.0, 60.0, 80.0, 100.0, 90.0)
    phis = (0.0, math.pi / 2, math.pi, -math.pi / 2, math.pi)
    return [
        jet(i, pt, phi=phi, btag=0.9 if i in tagged else 0.1)
        for i, (pt, phi) in enumerate(zip(pts, phis, strict=True))
    ]


def filled_bins(contents: list[float] | list[int]) -> dict[int, float]:
    return {index: content for index, content in enumerate(contents) if content != 0}


# Events with exactly one good lepton, those with four good jets too, and the two regions:
# counted when the samples were collected, independently of this repository (README beside them).
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ttbar2017_NanoAODv5_1000ev.root", (1000, 190, 113, 35, 73)),
        ("cms2015_wjets_200ev.root", (200, 14, 0, 0, 0)),
        ("cms2015_ttbar_10ev_rntuple.root", (10, 0, 0, 0, 0)),
    ],
)
def test_cutflow_of_real_files(name: str, expected: tuple[int, ...]) -> None:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"needs the real NanoAOD sample {name} in ../shared/samples")
    events = read_events(path)
    assert tuple(cutflow(events).values()) == expected

    nominal = filled(events, "ttbar", "nominal", smear=unsmeared)
    assert tuple(len(nominal[region, "nominal"]) for region in REGIONS) == expected[3:]
    assert not undecided(events, smear=unsmeared)


def test_ht_of_one_event_on_a_bin_edge() -> None:
    # 35 + 35 + 40 + 40 = 150 = 50 + 5 * 20: bin 5 from zero, 6 with the underflow.
    jets = [jet(0, 35.0), jet(1, 35.0, btag=0.9), jet(2, 40.0), jet(3, 40.0)]
    found = analyse([event_of(*jets)], "ttbar", "nominal", smear=unsmeared)
    nominal = found["4j1b", "nominal"]
    assert filled_bins(nominal.entries) == {6: 1}
    assert filled_bins(nominal.sumw) == {6: 1.0}
    assert filled_bins(nominal.sumw2) == {6: 1.0}
    assert len(nominal.entries) == 27
    # 1.03 * 150 = 154.5 stays in the bin.
    assert filled_bins(found["4j1b", "pt_scale_up"].entries) == {6: 1}
    # 1 +- 0.075 * 35 / 50 = 1 +- 0.0525 and 1 +- 0.075 * 40 / 50 = 1 +- 0.06.
    for index, size in enumerate((0.0525, 0.0525, 0.06, 0.06)):
        up = found["4j1b", f"btag_var_{index}_up"]
        down = found["4j1b", f"btag_var_{index}_down"]
        assert filled_bins(up.sumw) == pytest.approx({6: 1 + size}, rel=1e-15)
        assert filled_bins(up.sumw2) == pytest.approx({6: (1 + size) ** 2}, rel=1e-15)
        assert filled_bins(down.sumw) == pytest.approx({6: 1 - size}, rel=1e-15)
    assert all(sum(found["4j2b", name].entries) == 0 for name in variations("ttbar", "nominal"))


def test_trijet_of_four_jets() -> None:
    # Largest pt: jets 0, 2, 3 with px = 40 - 80, py = -100, E = 220: m^2 = 48400 - 11600.
    found = leading_trijet(cross(0, 1)[:4])
    assert found.pt == pytest.approx(math.sqrt(11600.0), rel=1e-14)
    assert found.mass == pytest.approx(math.sqrt(36800.0), rel=1e-14)


def test_trijet_needs_a_tagged_jet() -> None:
    # Jets 2, 3, 4 have the largest pt (px = -170, py = -100) but no tag; next are
    # 1, 2, 4 with px = -170, py = 60, E = 230: m^2 = 52900 - 32500.
    jets = cross(0, 1)
    found = leading_trijet(jets)
    assert found.pt == pytest.approx(math.sqrt(32500.0), rel=1e-14)
    assert found.mass == pytest.approx(math.sqrt(20400.0), rel=1e-14)
    # sqrt(20400) = 142.8 is in 130 to 150.
    histograms = analyse([event_of(*jets)], "ttbar", "nominal", smear=unsmeared)
    assert filled_bins(histograms["4j2b", "nominal"].entries) == {5: 1}


def test_first_of_equal_triplets_wins() -> None:
    # Jets 2 and 3 differ in mass only, so that 0, 1, 2 and 0, 1, 3 have the same pt.
    jets = [jet(0, 50.0, btag=0.9), jet(1, 50.0, btag=0.9)]
    jets += [jet(2, 40.0, mass=30.0, phi=0.0), jet(3, 40.0, mass=9.0, phi=0.0)]
    # px = 140, E = 100 + sqrt(40^2 + 30^2) = 150: m^2 = 22500 - 19600.
    assert leading_trijet(jets).mass == pytest.approx(math.sqrt(2900.0), rel=1e-14)
    # Swapped: E = 100 + sqrt(40^2 + 9^2) = 100 + 41: m^2 = 19881 - 19600.
    jets[2:] = reversed(jets[2:])
    assert leading_trijet(jets).mass == pytest.approx(math.sqrt(281.0), rel=1e-14)
    assert undecided([event_of(*jets)], smear=unsmeared)


def test_mass_and_pseudorapidity() -> None:
    # sinh(eta) = 3/4: pt 40 has pz 30 and p 50; with a mass of 120 the energy is 130.
    eta = math.asinh(0.75)
    massive = jet(0, 40.0, eta=eta, mass=120.0)
    assert four_momentum(massive) == pytest.approx((40.0, 0.0, 30.0, 130.0), rel=1e-14)

    jets = [
        massive,
        jet(1, 40.0, eta=-eta),
        jet(2, 60.0, phi=math.pi / 2, mass=80.0, btag=0.9),
        jet(3, 30.5, phi=math.pi, btag=0.9),
    ]
    # Jets 0, 1, 2: px = 80, py = 60, pz = 0, E = 130 + 50 + 100.
    found = filled([event_of(*jets)], "ttbar", "nominal", smear=unsmeared)
    (nominal,) = found["4j2b", "nominal"]
    assert nominal.value == pytest.approx(math.sqrt(280.0**2 - 100.0**2), rel=1e-14)
    assert nominal.weight == 1.0
    # Scaled: momenta 51.5, 51.5, 61.8 and a sum of 103, but the masses are still 120, 0, 80.
    (scaled,) = found["4j2b", "pt_scale_up"]
    energy = math.sqrt(51.5**2 + 120.0**2) + 51.5 + math.sqrt(61.8**2 + 80.0**2)
    assert scaled.value == pytest.approx(math.sqrt(energy**2 - 103.0**2), rel=1e-14)


def test_negative_mass_enters_squared() -> None:
    assert four_momentum(jet(0, 40.0, mass=-9.0))[3] == pytest.approx(41.0, rel=1e-14)


def test_collinear_massless_jets_have_no_mass() -> None:
    jets = [jet(i, 31.1 + 0.7 * i, eta=1.234, phi=0.567, btag=0.9) for i in range(4)]
    assert 0.0 <= leading_trijet(jets).mass < 1e-4


def test_resolution_moves_each_jet_by_its_own_number() -> None:
    def smear(run: int, lumi: int, event: int, index: int) -> float:
        assert (run, lumi, event) == (1, 2, 3)
        return {0: 9.0, 1: 1.0, 2: -1.0, 3: 2.0, 4: 4.0}[index]

    # Jet 0 is never good: the numbers belong to the stored jets, not to the selected ones.
    jets = [jet(0, 50.0, jet_id=2)]
    jets += [jet(1, 40.0, btag=0.9), jet(2, 40.0), jet(3, 40.0), jet(4, 40.0)]
    found = filled([event_of(*jets)], "wjets", "nominal", smear=smear)
    assert found["4j1b", "nominal"] == [Entry(160.0, 1.0)]
    # 40 * (1 + 0.05 * z): 42 + 38 + 44 + 48
    ((value, _),) = found["4j1b", "pt_res_up"]
    assert value == pytest.approx(172.0, rel=1e-14)
    # The weight variations have the nominal pt; 1 + 0.075 * 40 / 50.
    assert found["4j1b", "btag_var_0_up"] == [Entry(160.0, 1.06)]
    assert found["4j1b", "scale_var_up"] == [Entry(160.0, 1.025)]
    assert found["4j1b", "scale_var_down"] == [Entry(160.0, 0.975)]


def test_object_variation_redoes_selection_and_region() -> None:
    # 29.2 * 1.03 = 30.076: the scale adds a fourth jet, and with it the second tag.
    jets = [jet(i, 40.0, btag=0.9 if i == 0 else 0.1) for i in range(3)]
    few = filled([event_of(*jets, jet(3, 29.2))], "ttbar", "nominal", smear=unsmeared)
    assert few["4j1b", "nominal"] == []
    assert len(few["4j1b", "pt_scale_up"]) == 1
    jets.append(jet(3, 40.0))
    more = filled([event_of(*jets, jet(4, 29.2, btag=0.9))], "ttbar", "nominal", smear=unsmeared)
    assert [len(more[region, "nominal"]) for region in REGIONS] == [1, 0]
    assert [len(more[region, "pt_scale_up"]) for region in REGIONS] == [0, 1]


def test_weight_of_a_hard_jet_is_negative() -> None:
    # 1 - 0.075 * 1000 / 50
    assert weight([jet(0, 1000.0)], "btag_var_0_down") == -0.5


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"pt": 30.0}, False),
        ({"pt": math.nextafter(30.0, 31.0)}, True),
        ({"eta": 2.4}, False),
        ({"eta": -2.4}, False),
        ({"eta": around(2.4)[0]}, True),
        ({"eta": around(2.4)[1]}, False),
        ({"jet_id": 2}, False),
        ({"jet_id": 0}, False),
    ],
)
def test_edges_of_jet_cuts(changes: dict[str, Any], good: bool) -> None:
    assert good_jet(jet(**({"index": 0, "pt": 40.0} | changes))) is good


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"pt": 30.0}, False),
        ({"eta": 2.1}, False),
        # float32 of 2.1 is 2.0999999: below the cut in double precision.
        ({"eta": around(2.1)[1]}, True),
        ({"eta": around(-2.1)[1]}, True),
        ({"sip3d": 4.0}, False),
        ({"cut_based": 3}, False),
    ],
)
def test_edges_of_electron_cuts(changes: dict[str, Any], good: bool) -> None:
    values = {"pt": 40.0, "eta": 0.0, "cut_based": 4, "sip3d": 1.0} | changes
    assert good_electron(Electron(**values)) is good


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"pt": 30.0}, False),
        ({"eta": -2.1}, False),
        ({"sip3d": 4.0}, False),
        ({"tight_id": False}, False),
        ({"relative_isolation": 0.15}, False),
        ({"relative_isolation": around(0.15)[0]}, True),
    ],
)
def test_edges_of_muon_cuts(changes: dict[str, Any], good: bool) -> None:
    values = {"pt": 40.0, "eta": 0.0, "tight_id": True, "sip3d": 1.0, "relative_isolation": 0.1}
    assert good_muon(Muon(**(values | changes))) is good


@pytest.mark.parametrize(
    ("tags", "region"),
    [
        ((0.5, 0.5, 0.5, 0.5), None),
        ((around(0.5)[2], 0.5, 0.5, 0.5), "4j1b"),
        ((0.9, 0.9, 0.5, -10.0), "4j2b"),
        ((0.9, 0.9, 0.9, 0.9), "4j2b"),
    ],
)
def test_regions(tags: tuple[float, ...], region: str | None) -> None:
    event = event_of(*(jet(i, 40.0, phi=float(i), btag=tag) for i, tag in enumerate(tags)))
    counts = cutflow([event])
    assert counts["four jets"] == 1
    assert {name for name in REGIONS if counts[name]} == ({region} - {None})


@pytest.mark.parametrize(
    ("electrons", "muons", "selected"),
    [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0), (2, 0, 0), (0, 2, 0)],
)
def test_exactly_one_lepton_in_total(electrons: int, muons: int, selected: int) -> None:
    event = Event(1, 2, 3, electrons=(ELECTRON,) * electrons, muons=(MUON,) * muons)
    assert cutflow([event])["one lepton"] == selected


@pytest.mark.parametrize("index", range(26))
def test_bin_edges_are_inclusive_below(index: int) -> None:
    edge = EDGES[index]
    below = math.nextafter(edge, -math.inf)
    assert filled_bins(histogram([Entry(edge, 1.0)]).entries) == {index + 1: 1}
    assert filled_bins(histogram([Entry(below, 1.0)]).entries) == {index: 1}


def test_variations_of_the_datasets() -> None:
    assert len(variations("wjets", "nominal")) == 13
    assert len(variations("single_top_tW", "nominal")) == 11
    assert variations("ttbar", "PS_var") == ("PS_var",)
    with pytest.raises(ValueError, match="wjets__PS_var"):
        variations("wjets", "PS_var")
    # An alternative sample has the nominal selection, and a template even without events.
    jets = [jet(i, 40.0, btag=0.9 if i == 0 else 0.1) for i in range(4)]
    found = analyse([event_of(*jets)], "ttbar", "ME_var", smear=unsmeared)
    assert {key: sum(made.entries) for key, made in found.items()} == {
        ("4j1b", "ME_var"): 1,
        ("4j2b", "ME_var"): 0,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("events_per_piece", [None, 2])
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arrays=nanoaod())
def test_files_hold_what_was_written(
    arrays: Arrays, kind: Kind, events_per_piece: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "events.root"
    write_nanoaod(path, arrays, kind=kind, events_per_piece=events_per_piece)
    assert read_events(path) == events_from_arrays(arrays)
    loaded = load(path)
    assert len(loaded) == len(arrays["event"])
    for name, array in arrays.items():
        # "Jet_pt" is Jet.pt, "event" is event.
        assert loaded[tuple(name.split("_", 1))].tolist() == array.tolist(), name


@pytest.mark.parametrize("kind", KINDS)
def test_file_without_events(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "events.root"
    write_nanoaod(path, to_arrays([]), kind=kind)
    assert read_events(path) == []
    loaded = load(path)
    assert len(loaded) == 0
    assert loaded.Jet.pt.tolist() == []
    assert cutflow([]) == dict.fromkeys(cutflow([]), 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [None, uproot.ZLIB(1), uproot.LZMA(1), uproot.ZSTD(1)])
def test_compressed_files_of_many_pieces(
    kind: Kind, compression: uproot.compression.Compression | None, tmp_path: Path
) -> None:
    row = (50.0, 1.0, 0.5, 5.0, 0.7, 0.2, 6)
    arrays = to_arrays(
        [{"run": 1, "luminosityBlock": 1, "event": n, "Jet": [row] * (n % 3)} for n in range(50)]
    )
    path = tmp_path / "events.root"
    write_nanoaod(path, arrays, kind=kind, events_per_piece=4, compression=compression)
    assert read_events(path) == events_from_arrays(arrays)
    if kind == "ttree":
        with uproot.open(path) as file:
            assert file["Events/Jet_pt"].num_baskets == 13


def test_columns_become_the_fields_of_the_same_name() -> None:
    (event,) = events_from_arrays(
        to_arrays(
            [
                {
                    "run": 1,
                    "luminosityBlock": 2,
                    "event": 2**64 - 1,
                    "Jet": [
                        (9.0, 9.5, 9.25, 9.75, 9.0, 9.0, 9),
                        (0.1, 1.5, 2.5, 3.5, 0.75, 0.25, 6),
                    ],
                    "Electron": [(40.5, 0.25, 1.25, 0.0, -1, 4, 3.5)],
                    "Muon": [(50.5, 0.75, 1.75, 0.125, 1, True, 2.5, 0.5)],
                }
            ]
        )
    )
    assert (event.run, event.lumi, event.number) == (1, 2, 2**64 - 1)
    assert event.electrons == (
        Electron(pt=40.5, eta=0.25, cut_based=4, sip3d=3.5, phi=1.25, mass=0.0),
    )
    assert event.muons == (
        Muon(50.5, 0.75, tight_id=True, sip3d=2.5, relative_isolation=0.5, phi=1.75, mass=0.125),
    )
    # 0.1 is stored as float32, and that value is kept to the last bit.
    pt = float(np.float32(0.1))
    assert event.jets[1] == Jet(1, pt=pt, eta=1.5, phi=2.5, mass=3.5, btag=0.75, jet_id=6, qgl=0.25)
    assert pt != 0.1


def test_columns_have_the_types_of_nanoaod() -> None:
    arrays = to_arrays([])
    assert set(COLUMNS) <= set(arrays)
    assert arrays["event"].dtype == np.uint64
    for collection, fields in OBJECT_TYPES.items():
        for field, dtype in fields.items():
            assert arrays[f"{collection}_{field}"].type.content.content.primitive == np.dtype(dtype)


@pytest.mark.parametrize("region", REGIONS)
def test_strategy_reaches_selected_events_and_near_misses(region: str) -> None:
    # Fails with NoSuchExample if the random events never get there.
    def shifted_only(arrays: Arrays) -> bool:
        found = filled(events_from_arrays(arrays), "ttbar", "nominal", smear=unsmeared)
        return len(found[region, "pt_scale_up"]) > len(found[region, "nominal"])

    find(
        nanoaod(max_events=3),
        shifted_only,
        settings=settings(max_examples=500, phases=[Phase.generate], deadline=None, database=None),
    )


@settings(max_examples=25, deadline=None)
@given(nanoaod(), st.sampled_from(["ttbar", "wjets"]))
def test_regions_of_random_events_agree_with_the_cutflow(arrays: Arrays, process: str) -> None:
    events = events_from_arrays(arrays)
    counts = cutflow(events)
    found = analyse(events, process, "nominal", smear=unsmeared)
    for region in REGIONS:
        assert sum(found[region, "nominal"].entries) == counts[region]
        # Without smearing the resolution changes nothing.
        assert found[region, "pt_res_up"] == found[region, "nominal"]
        assert found[region, "btag_var_3_up"].entries == found[region, "nominal"].entries


def load(path: Path) -> Any:
    return NanoEventsFactory.from_root(
        {str(path): "Events"}, schemaclass=QuietSchema, mode="virtual"
    ).events()
