"""The detector: known particles in, known properties out. Needs no generator."""

import numpy as np
import pytest

from agc_pipeline.simulation import detector, discriminants
from agc_pipeline.simulation.detector import Reconstructed
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.jet_response import RESPONSE
from agc_pipeline.simulation.particles import ParticleLevel

N = 20_000


def level(
    *, pt: float = 60.0, flavour: int = 0, electron_share: float = 0.0, lepton: int = 11
) -> ParticleLevel:
    """Events with one central jet and one central lepton each."""
    one = np.ones(N, dtype=np.int64)
    azimuth = np.linspace(-3.0, 3.0, N)
    return ParticleLevel(
        jets=Collection(
            one,
            {
                "pt": np.full(N, pt),
                "eta": np.full(N, 0.5),
                "phi": azimuth,
                "mass": np.full(N, 6.0),
                "hadron_flavour": np.full(N, flavour),
                "parton_flavour": np.full(N, flavour or 1),
                "electron": np.full(N, electron_share),
                "muon": np.zeros(N),
            },
        ),
        leptons=Collection(
            one,
            {
                "pt": np.full(N, 45.0),
                "eta": np.full(N, -0.3),
                "phi": azimuth,
                "pdg_id": np.where(np.arange(N) % 2, lepton, -lepton),
                "activity": np.zeros(N),
            },
        ),
        particles=Collection(np.zeros(N, dtype=np.int64), {}),
    )


def measure(given: ParticleLevel, *, muons: bool = False, exponent: float = 1.0) -> Reconstructed:
    generator = np.random.Generator(np.random.Philox(5))
    return detector.reconstruct(
        given, generator, muon_identification=muons, bottom_exponent=exponent
    )


def leading(measured: Reconstructed, name: str) -> np.ndarray:
    """A column of the jet that is not from pile-up."""
    jets = measured.jets.objects(measured.jets["partonFlavour"] != 0)
    assert len(jets) > 0.99 * N
    return jets[name]


def test_jet_response() -> None:
    pt = leading(measure(level(pt=60.0)), "pt")
    response = RESPONSE
    assert np.median(pt) == pytest.approx(
        60.0 * response.scale * (1.0 + response.offset / 60.0), rel=0.01
    )
    width = np.diff(np.percentile(pt, [16, 84]))[0] / 2.0 / 60.0
    expected = np.hypot(
        np.hypot(response.noise / 60.0, response.constant), response.stochastic / 60.0**0.5
    )
    assert width == pytest.approx(expected, rel=0.05)


def test_jets_are_in_falling_pt_and_above_the_threshold() -> None:
    jets = measure(level()).jets
    assert jets["pt"].min() > 15.0
    same_event = np.diff(jets.event) == 0
    assert (np.diff(jets["pt"])[same_event] <= 0).all()
    assert (jets["mass"] > 0).all()


@pytest.mark.parametrize(("flavour", "efficiency"), [(0, 0.092), (4, 0.45), (5, 0.85)])
def test_btag_efficiency_is_the_measured_one(flavour: int, efficiency: float) -> None:
    # Fractions of jets above 0.5 in the 1000 events that the tables are from; 50 to 100 GeV.
    tagged = np.mean(leading(measure(level(pt=75.0, flavour=flavour)), "btagCSVV2") > 0.5)
    assert tagged == pytest.approx(efficiency, rel=0.1)


def test_bottom_exponent_lowers_the_efficiency_of_b_jets_only() -> None:
    for flavour, falls in ((5, True), (4, False), (0, False)):
        normal = leading(measure(level(flavour=flavour)), "btagCSVV2")
        lower = leading(measure(level(flavour=flavour), exponent=1.5), "btagCSVV2")
        assert (np.mean(lower) < np.mean(normal) - 0.02) == falls


def test_sentinels_occur_where_they_do_in_real_files() -> None:
    jets = measure(level(pt=25.0)).jets
    btag, qgl = jets["btagCSVV2"], jets["qgl"]
    assert ((btag == discriminants.BTAG_MISSING) | ((btag >= 0.0) & (btag <= 1.0))).all()
    assert ((qgl == discriminants.QGL_MISSING) | ((qgl >= 0.0) & (qgl <= 1.0))).all()
    outside = np.abs(jets["eta"]) > 2.4
    assert np.mean(btag[outside] == -10.0) > 0.9
    assert 0.0 < np.mean(btag[~outside] == -10.0) < 0.2
    assert (qgl[jets["pt"] < 20.0] == -1.0).all()
    assert 0.0 < np.mean(qgl[jets["pt"] > 20.0] == -1.0) < 0.1


def test_gluons_look_less_like_quarks() -> None:
    given = level()
    gluons = given._replace(jets=given.jets.with_columns(parton_flavour=np.full(N, 21)))
    assert np.mean(leading(measure(gluons), "qgl")) < np.mean(leading(measure(given), "qgl")) - 0.1


def test_electrons_in_the_jet_collection_fail_the_lepton_veto() -> None:
    ids = leading(measure(level(electron_share=0.97)), "jetId")
    assert set(np.unique(ids)) == {0, 2}
    assert np.mean(leading(measure(level()), "jetId") == 6) == pytest.approx(0.99, abs=0.005)


def test_electrons() -> None:
    electrons = measure(level()).electrons
    prompt = electrons.objects(np.abs(electrons["pt"] - 45.0) < 5.0)
    assert set(np.unique(electrons["cutBased"])) == {0, 1, 2, 3, 4}
    assert np.mean(prompt["cutBased"] == 4) > 0.85
    assert np.mean(prompt["sip3d"] < 4.0) > 0.95
    assert (electrons["charge"] == -np.sign(electrons["pdgId"])).all()
    assert abs(np.mean(electrons["charge"])) < 0.03


def test_electrons_in_jets_are_not_identified() -> None:
    given = level(pt=200.0, flavour=5)
    none = Collection(
        np.zeros(N, dtype=np.int64),
        {name: values[:0] for name, values in given.leptons.columns.items()},
    )
    electrons = measure(given._replace(leptons=none)).electrons
    assert len(electrons) > 0.05 * N
    assert (electrons["cutBased"] == 0).all()
    assert np.mean(electrons["sip3d"] > 4.0) > 0.4


def test_isolation() -> None:
    given = level()
    crowded = given._replace(leptons=given.leptons.with_columns(activity=np.full(N, 10.0)))
    electrons = measure(crowded).electrons
    prompt = electrons.objects(np.abs(electrons["pt"] - 45.0) < 5.0)
    assert (prompt["pfRelIso03_all"] > 0.15).all()
    assert (prompt["cutBased"] < 4).all()


def test_muon_switch() -> None:
    given = level(lepton=13)
    off, on = measure(given).muons, measure(given, muons=True).muons
    assert len(off) == len(on) > 0.95 * N
    # As in the two slices of real 2015 files: 0 of 41 muons of the W+jets slice are identified.
    assert not off["tightId"].any()
    assert np.mean(on["tightId"]) > 0.9
    for name in ("pt", "eta", "sip3d", "pfRelIso04_all"):
        assert np.array_equal(off[name], on[name])
