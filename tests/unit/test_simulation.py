"""Simulated events from Pythia to NanoAOD: determinism, content, physics."""

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from agc_pipeline.analyses.cms_ttbar import ANALYSIS
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.analyses.cms_ttbar.simulation import RECIPES, SUBSETS
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.errors import PipelineError
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.simulation import nanoaod, particles, production, subsets
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.generator import Generator
from agc_pipeline.simulation.nanoaod import NanoEvents
from agc_pipeline.simulation.production import Simulated
from agc_pipeline.simulation.settings import SimulationJob

pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
pytest.importorskip("fastjet", reason="the extra `simulation` is not installed")

# Of `job(dataset, showers=60)`. They change with the physics settings of the simulation and with
# the versions of pythia8mc, fastjet and numpy; after an intended change print them anew with
# `python -m pytest tests/unit/test_simulation.py -k golden`, which shows both.
GOLDEN = {
    "ttbar__nominal": "6386d939e251720163e25f7c65906d8edf9d6fbd58459280ee4c6afd908f3856",
    "single_top_tW__nominal": "c7cb163d5043705e375e2fd405d54fd92b89bb05499ce9df542e8db35d2a6937",
    "wjets__nominal": "70b45bab65ff65698782f751d0216636ce4aad97059e609e873be2c4c4b667cf",
}


def job(dataset: str = "ttbar__nominal", **changes: object) -> SimulationJob:
    values = {
        "dataset": dataset,
        "seed": 20150613,
        "muon_identification": False,
        "first_chunk": 0,
        "n_chunks": 1,
        "showers": 60,
    }
    return SimulationJob.model_validate(values | changes)


def simulate(job: SimulationJob) -> Simulated:
    return production.simulate(job, RECIPES[job.dataset])


@pytest.fixture(scope="module")
def ttbar() -> Simulated:
    return simulate(job(showers=1500))


@pytest.fixture(scope="module")
def nano(ttbar: Simulated, tmp_path_factory: pytest.TempPathFactory) -> ak.Array:
    path = tmp_path_factory.mktemp("simulation") / "ttbar.root"
    nanoaod.write(path, ttbar.events, n_generated=ttbar.n_generated)
    with pytest.MonkeyPatch.context() as patch:
        # The files hold no photons or taus to refer to, like every skim.
        patch.setattr(NanoAODSchema, "warn_missing_crossrefs", False)
        return NanoEventsFactory.from_root(
            {str(path): "Events"}, schemaclass=NanoAODSchema
        ).events()


@pytest.mark.parametrize("dataset", GOLDEN)
def test_golden_content(dataset: str) -> None:
    assert nanoaod.content_hash(simulate(job(dataset)).events) == GOLDEN[dataset]


def test_content_does_not_depend_on_the_division_into_files() -> None:
    both = simulate(job(first_chunk=3, n_chunks=2))
    one = simulate(job(first_chunk=3))
    other = simulate(job(first_chunk=4))
    together = nanoaod.append([one.events, other.events])
    assert nanoaod.content_hash(both.events) == nanoaod.content_hash(together)
    assert both.n_generated == one.n_generated + other.n_generated


def test_seed_dataset_and_chunk_give_different_events() -> None:
    jobs = (job(), job(seed=1), job(first_chunk=1), job("single_top_s_chan__nominal"))
    content = {simulate(each).events.collections["Jet"]["pt"][:20].tobytes() for each in jobs}
    assert len(content) == len(jobs)


def test_events_are_numbered_uniquely() -> None:
    events = simulate(job(n_chunks=3)).events
    names = ("run", "luminosityBlock", "event")
    identity = set(zip(*(events.scalars[name].tolist() for name in names), strict=True))
    assert len(identity) == len(events)
    assert set(events.scalars["luminosityBlock"].tolist()) == {1, 2, 3}
    assert set(np.unique(events.scalars["event"] % 2)) == {0, 1}


def test_files_stand_for_more_events_than_they_hold(ttbar: Simulated) -> None:
    # The filter before the shower keeps one event in about seven.
    assert 4 * len(ttbar.events) < ttbar.n_generated < 12 * len(ttbar.events)
    assert isinstance(ttbar.n_generated, int)


def test_types_of_nanoaod(ttbar: Simulated) -> None:
    scalars = {name: values.dtype for name, values in ttbar.events.scalars.items()}
    assert scalars == {
        "run": np.uint32,
        "luminosityBlock": np.uint32,
        "event": np.uint64,
        "genWeight": np.float32,
    }
    for name, collection in ttbar.events.collections.items():
        for field, values in collection.columns.items():
            if field in nanoaod.PRECISION[name]:
                assert values.dtype == np.float32, (name, field)
                rounded = nanoaod.reduce_mantissa(values, nanoaod.PRECISION[name][field])
                assert np.array_equal(rounded, values), (name, field)
            else:
                expected = np.bool_ if field == "tightId" else np.int32
                assert values.dtype == expected, (name, field)
            assert np.isfinite(values).all(), (name, field)


def test_sentinels_occur(ttbar: Simulated) -> None:
    jets = ttbar.events.collections["Jet"]
    assert 0.02 < np.mean(jets["btagCSVV2"] == -10.0) < 0.5
    assert 0.02 < np.mean(jets["qgl"] == -1.0) < 0.5


def selected(events: NanoEvents, selection: Selection) -> dict[str, int]:
    """Number of events in each region of the analysis."""
    branches = {
        f"{name}_{field}": ak.unflatten(values, c.counts)
        for name, c in events.collections.items()
        for field, values in c.columns.items()
    }
    processing = Processing(ANALYSIS, selection, ANALYSIS.dataset("ttbar__nominal"))
    columns = ArrayColumns(ak.zip(branches, depth_limit=1), ANALYSIS.layout)
    return {
        region.name: len(processing.nominal(columns, region.mask))
        for region in ANALYSIS.regions
        if region.mask is not None
    }


def test_acceptances_are_those_of_the_published_histograms(
    ttbar: Simulated, selection: Selection
) -> None:
    # Entries over generated events of the published ttbar histograms, all files: 0.951 % and
    # 2.127 %. About 120 and 270 events here.
    found = selected(ttbar.events, selection)
    assert found["4j1b"] / ttbar.n_generated == pytest.approx(0.00951, rel=0.25)
    assert found["4j2b"] / ttbar.n_generated == pytest.approx(0.02127, rel=0.15)


@pytest.mark.parametrize("dataset", SUBSETS)
def test_a_variation_is_a_part_of_the_nominal_sample(
    ttbar: Simulated, selection: Selection, dataset: str
) -> None:
    whole = ttbar
    (part,) = production.take([job(dataset, showers=1500)], SUBSETS, whole)
    # The same events with all their columns.
    number, numbers = part.events.scalars["event"], whole.events.scalars["event"]
    assert 0.3 < len(number) / len(numbers) < 1
    again = whole.events.select(np.isin(numbers, number))
    assert nanoaod.content_hash(again) == nanoaod.content_hash(part.events)
    # Acceptances of the published histograms, all files, relative to those of the nominal sample;
    # half of some 400 selected events are in both.
    published = {"ME_var": 1.227, "PS_var": 1.001, "scaleup": 1.037, "scaledown": 0.936}
    ratios = [
        sum(selected(simulated.events, selection).values()) / simulated.n_generated
        for simulated in (part, whole)
    ]
    expected = published[dataset.removeprefix("ttbar__")]
    assert ratios[0] / ratios[1] == pytest.approx(expected, rel=0.12)


def test_a_part_does_not_depend_on_the_division_into_files(tmp_path: Path) -> None:
    whole = simulate(job(n_chunks=2))
    nanoaod.write(tmp_path / "whole.root", whole.events, n_generated=whole.n_generated)
    read = Simulated(*nanoaod.read(tmp_path / "whole.root"))
    assert nanoaod.content_hash(read.events) == nanoaod.content_hash(whole.events)
    assert read.n_generated == whole.n_generated
    (both,) = production.take([job("ttbar__ME_var", n_chunks=2)], SUBSETS, read)
    parts = [
        production.take(
            [job("ttbar__ME_var", first_chunk=n)], SUBSETS, simulate(job(first_chunk=n))
        )
        for n in range(2)
    ]
    together = nanoaod.append([part.events for (part,) in parts])
    assert nanoaod.content_hash(both.events) == nanoaod.content_hash(together)
    assert 0 < len(both.events) < len(whole.events)


def test_quantities_of_a_decay() -> None:
    """By hand: t -> b W with a W to quarks, of which one has radiated, and t -> b W to a lepton."""
    hard, first, last = 1 << 7, 1 << 12, 1 << 13
    rows = [
        # pt, eta, phi, pdgId, mother, flags
        (80, 0, 0.0, 6, -1, first | last | hard),
        (50, 0, np.pi, -6, -1, first | last | hard),
        (60, 1, 0.0, 5, 0, first | last),
        (40, 1, 0.0, 24, 0, first | last),
        (50, 1, 0.0, 2, 3, first),
        (30, 1, 0.0, 2, 4, last),
        (20, 1, 0.0, -1, 3, first | last),
        (31, 2.3, 0.0, -5, 1, first | last),
        (30, 1, 0.0, -24, 1, first | last),
        (30, 1, 0.0, 11, 8, first | last),
    ]
    names = ("pt", "eta", "phi", "pdgId", "genPartIdxMother", "statusFlags")
    columns = {
        name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
    two = {name: np.tile(column, 2) for name, column in columns.items()}
    two["eta"] = two["eta"].copy()
    two["eta"][-3] = 2.5
    found = subsets.quantities(Collection(np.array([10, 10]), two))
    assert found.recoil == pytest.approx(np.log1p(30 / 50))
    assert found.radiation == pytest.approx(20 / 161)
    assert found.hardness == pytest.approx(np.log(161 / 200))
    assert found.bottom.tolist() == [1, 0]
    assert found.hadronic.tolist() == [1, 1]


def test_muon_switch(ttbar: Simulated, selection: Selection) -> None:
    off = ttbar.events.collections["Muon"]
    assert len(off) > 0
    assert not off["tightId"].any()
    both = simulate(job(showers=1500, muon_identification=True))
    muons = both.events.collections["Muon"]
    hard = np.abs(muons["pt"] - 60.0) < 30.0
    assert np.mean(muons["tightId"][hard]) > 0.9
    # Electrons and muons decay from W bosons alike: the same showers stand for half the events.
    # Both are known to 2 %, from some 2000 trials each.
    assert both.n_generated == pytest.approx(0.5 * ttbar.n_generated, rel=0.1)
    with_muons, without = (
        sum(selected(simulated.events, selection).values()) for simulated in (both, ttbar)
    )
    assert with_muons == pytest.approx(without, rel=0.25)


def test_coffea_finds_the_decays_of_the_tops(nano: ak.Array) -> None:
    generated = nano.GenPart
    tops = generated[(abs(generated.pdgId) == 6) & generated.hasFlags("isLastCopy")]
    assert ak.all(ak.num(tops) == 2)
    assert ak.all(ak.sum(tops.pdgId, axis=1) == 0)
    decays = ak.sort(abs(tops.children.pdgId), axis=-1)
    # t -> b W; b' -> s W or d W are rare.
    assert ak.all(decays[..., 1] == 24)
    assert ak.mean(decays[..., 0] == 5) > 0.99
    # Width 1.4 GeV around the configured 172.5 GeV.
    assert np.median(ak.flatten(tops.mass)) == pytest.approx(172.5, abs=0.5)
    bosons = generated[(abs(generated.pdgId) == 24) & generated.hasFlags("isLastCopy")]
    assert ak.all(ak.num(bosons) == 2)
    assert np.median(ak.flatten(bosons.mass)) == pytest.approx(80.4, abs=0.5)
    daughters = bosons.children
    assert ak.all(ak.num(daughters, axis=2) == 2)
    one, other = (ak.flatten(daughters, axis=1)[:, which] for which in (0, 1))
    # GenPart keeps 8 bits of the mantissa, and quarks have no mass there.
    ratio = ak.to_numpy((one + other).mass / ak.flatten(bosons.mass), allow_missing=False)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    # Every event was asked for an electron from a W; half of the time from the W-.
    electrons = generated[(abs(generated.pdgId) == 11) & (generated.status == 1)]
    from_w = electrons[abs(electrons.distinctParent.pdgId) == 24]
    assert ak.all(ak.num(from_w) >= 1)
    assert abs(ak.mean(from_w.pdgId < 0) - 0.5) < 0.05


def test_generator_particles_point_backwards(nano: ak.Array) -> None:
    mother = nano.GenPart.genPartIdxMother
    assert ak.all(mother < ak.local_index(mother))
    assert ak.all(mother >= -1)
    # Only the incoming partons have no mother.
    orphans = nano.GenPart[mother == -1]
    assert set(np.unique(ak.flatten(orphans.status)).tolist()) == {21}
    assert ak.all(ak.num(orphans) == 2)


def test_quarks_of_the_tops_are_found_as_jets(nano: ak.Array) -> None:
    """The truth matching of the jet assignment has something to find."""
    quarks = nano.GenPart[(abs(nano.GenPart.pdgId) == 5) & nano.GenPart.hasFlags("isLastCopy")]
    parent = abs(quarks.distinctParent.pdgId)
    quarks = quarks[(parent == 6) & (quarks.pt > 40) & (abs(quarks.eta) < 2.0)]
    nearest = quarks.nearest(nano.Jet, threshold=0.4)
    matched = ak.drop_none(nearest)
    assert ak.sum(ak.num(matched)) > 0.9 * ak.sum(ak.num(quarks))
    assert ak.mean(matched.hadronFlavour == 5) > 0.85
    assert ak.mean(matched.btagCSVV2 > 0.5) > 0.7


def level(dataset: str, showers: int = 60) -> particles.ParticleLevel:
    generator = Generator(RECIPES[dataset], dataset, seed=5, leptons=(11,))
    return particles.particle_level(generator.shower(showers))


@pytest.mark.parametrize(
    ("dataset", "hard"),
    [
        ("single_top_s_chan__nominal", {6: 1, 24: 1}),
        ("single_top_t_chan__nominal", {6: 1, 24: 1}),
        # One W from the top and one beside it, which Pythia had as a charged Higgs boson.
        ("single_top_tW__nominal", {6: 1, 24: 2, 37: 0}),
        ("wjets__nominal", {6: 0, 24: 1}),
    ],
)
def test_hard_process(dataset: str, hard: dict[int, int]) -> None:
    truth = level(dataset).particles
    for code, number in hard.items():
        last = (np.abs(truth["pdg_id"]) == code) & (truth["flags"] & (1 << 13) > 0)
        assert (truth.objects(last).counts == number).all()
    electron = (np.abs(truth["pdg_id"]) == 11) & (truth["status"] == 1)
    assert (truth.objects(electron).counts >= 1).all()


def test_jets_hold_the_hard_partons() -> None:
    jets = level("single_top_s_chan__nominal", 200).jets
    bottom: Collection = jets.objects(jets["hadron_flavour"] == 5)
    # t -> b W and the b beside it; sometimes one is lost along the beam.
    assert np.mean(bottom.counts >= 2) > 0.7
    assert (np.abs(bottom["parton_flavour"]) == 5).all()
    # The electron is a jet of its own, as in CMS.
    electrons = jets.objects(jets["electron"] > 0.8)
    assert np.mean(electrons.counts >= 1) > 0.9


@pytest.mark.parametrize("package", ["pythia8mc", "fastjet"])
def test_missing_package(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PipelineError, match=package) as caught:
        simulate(job(showers=1))
    assert "pip install 'agc-pipeline[simulation]'" in caught.value.remedy
    assert "Linux x86_64 and macOS arm64" in caught.value.remedy


def test_nothing_selected_is_still_a_file(tmp_path: Path) -> None:
    simulated = simulate(job("wjets__nominal", showers=1, seed=3))
    empty = simulated.events.select(np.zeros(len(simulated.events), dtype=bool))
    nanoaod.write(tmp_path / "empty.root", empty, n_generated=simulated.n_generated)
    assert simulated.n_generated > 0
