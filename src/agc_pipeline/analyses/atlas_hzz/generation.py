"""Events of the embedded input: Pythia, and a detector by efficiencies and resolutions."""

import logging
import zlib
from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.simulation.generator import MAX_SEED, initialise, library, read_cards

from .recipes import COMMON, RECIPES, Component

log = logging.getLogger(__name__)

_ELECTRON, _MUON, _PHOTON = 11, 13, 22
_NEUTRINOS = (12, 14, 16)
_CHARGED = (11, 13, 211, 321, 2212)
# Events that are showered at a time, which bounds memory.
_BATCH = 2000
# Streams of random numbers.
_SIMULATION, _PSEUDODATA = range(2)

# Detector; GeV, mm. The smallest pt of a lepton in the data of the collection is 7.0003 GeV.
_PT_MIN = 7.0
_ETA_MAX = {_ELECTRON: 2.47, _MUON: 2.7}
# Hadrons of 10 GeV that are taken for leptons; fewer of larger pt, by its square.
_FAKES, _FAKE_PT = {_ELECTRON: 0.025, _MUON: 0.008}, 10.0
_TRIGGER_PT, _TRIGGER_EFFICIENCY = 26.0, {_ELECTRON: 0.92, _MUON: 0.80}
# Relative uncertainties of the momentum scale.
_SCALE = {_ELECTRON: 0.005, _MUON: 0.002}


def simulated(dataset: str, seed: int, scale: float) -> tuple[ak.Array, int]:
    """Selected events of a dataset, and the number of generated events that they stand for.

    Args:
        dataset: with a recipe.
        seed: master seed.
        scale: factor on the number of events.

    Raises:
        PipelineError: if pythia8mc is not installed, or Pythia refuses its settings.
    """
    recipe = RECIPES[dataset]
    showers = max(10, round(scale * recipe.showers))
    events = _events(dataset, showers, seed, _SIMULATION)
    log.info("%s: %d of %d events have four leptons", dataset, len(events), showers)
    return events, round(showers * recipe.per_shower)


def pseudodata(seed: int) -> ak.Array:
    """Events of all datasets, as many of each as the luminosity gives."""
    numbers = _numbers("pseudodata", seed, _PSEUDODATA)
    parts = []
    for dataset, recipe in RECIPES.items():
        showers = int(numbers.poisson(recipe.expected))
        if showers:
            parts.append(_events(dataset, showers, seed, _PSEUDODATA))
    events = ak.concatenate(parts)
    return events[numbers.permutation(len(events))]


def _events(dataset: str, showers: int, seed: int, stream: int) -> ak.Array:
    numbers = _numbers(dataset, seed, stream)
    components = RECIPES[dataset].components
    shares = numbers.multinomial(showers, [component.share for component in components])
    parts = []
    for component, n_events in zip(components, shares, strict=True):
        if n_events == 0:
            continue
        pythia = _pythia(component, dataset, int(numbers.integers(1, MAX_SEED)))
        for start in range(0, n_events, _BATCH):
            batch = pythia.nextBatch(int(min(_BATCH, n_events - start)))
            parts.append(_detected(batch.prt, RECIPES[dataset].fakes, numbers))
    return ak.concatenate(parts)


def _numbers(dataset: str, seed: int, stream: int) -> np.random.Generator:
    sequence = np.random.SeedSequence([seed, zlib.crc32(dataset.encode()), stream])
    return np.random.Generator(np.random.Philox(sequence))


def _pythia(component: Component, dataset: str, seed: int) -> Any:
    pythia = library("pythia8mc").Pythia("", False)
    random = ("Random:setSeed = on", f"Random:seed = {seed}")
    read_cards(pythia, ("Print:quiet = on", *COMMON, *component.cards, *random), dataset)
    initialise(pythia, dataset)
    return pythia


def _detected(particles: Any, fakes: float, numbers: np.random.Generator) -> ak.Array:
    """Triggered events with four leptons or more, ``events * {lep: var * {...}, trigE, trigM}``."""
    particles = particles[(particles.status > 0) & ~_among(particles.id, _NEUTRINOS)]
    momenta = particles.p
    particles = ak.zip(
        {
            "code": abs(particles.id),
            "charge": _charge(particles.id),
            "pt": np.hypot(momenta.px, momenta.py),
            "eta": np.arcsinh(momenta.pz / np.maximum(np.hypot(momenta.px, momenta.py), 1e-9)),
            "phi": np.arctan2(momenta.py, momenta.px),
            "x": _position(particles, "px"),
            "y": _position(particles, "py"),
            "z": _position(particles, "pz"),
        }
    )
    leptons = _leptons(particles, fakes, numbers)
    several = ak.num(leptons) >= 4
    particles, leptons = particles[several], leptons[several]
    leptons = _isolated(leptons, particles, numbers)
    leptons = leptons[ak.argsort(leptons.pt, axis=1, ascending=False)]
    triggers = {
        code: ak.any(
            (leptons.type_ == code)
            & (leptons.pt > _TRIGGER_PT)
            & (_like(leptons.pt, numbers.random) < _TRIGGER_EFFICIENCY[code]),
            axis=1,
        )
        for code in (_ELECTRON, _MUON)
    }
    events = ak.zip(
        {"lep": leptons, "trigE": triggers[_ELECTRON], "trigM": triggers[_MUON]}, depth_limit=1
    )
    return events[triggers[_ELECTRON] | triggers[_MUON]]


def _leptons(particles: Any, fakes: float, numbers: np.random.Generator) -> Any:
    """Reconstructed leptons with their tracks; GeV, mm."""
    prompt = _among(particles.code, (_ELECTRON, _MUON))
    hadron = _among(particles.code, (211, 321, 2212)) & (particles.pt > _PT_MIN)
    draw = _like(particles.pt, numbers.random)
    # The pt of no hadron below the minimum matters.
    frequency = fakes * (_FAKE_PT / np.maximum(particles.pt, _PT_MIN)) ** 2
    as_electron = hadron & (draw < frequency * _FAKES[_ELECTRON])
    as_muon = hadron & ~as_electron & (draw < frequency * (_FAKES[_ELECTRON] + _FAKES[_MUON]))
    code = ak.where(as_electron, _ELECTRON, ak.where(as_muon, _MUON, particles.code))
    efficiency = ak.where(
        code == _ELECTRON, 0.93 - 0.3 * np.exp(-(particles.pt - _PT_MIN) / 8.0), 0.96
    )
    reach = ak.where(code == _ELECTRON, _ETA_MAX[_ELECTRON], _ETA_MAX[_MUON])
    taken = (prompt & (draw < efficiency)) | as_electron | as_muon
    taken = taken & (abs(particles.eta) < reach) & (particles.pt > 0.8 * _PT_MIN)
    leptons, code = particles[taken], code[taken]
    resolution = ak.where(
        code == _ELECTRON,
        np.sqrt(0.10**2 / leptons.pt + 0.008**2),
        np.sqrt(0.014**2 + (0.0002 * leptons.pt) ** 2),
    )
    pt = leptons.pt * (1.0 + resolution * _like(leptons.pt, numbers.standard_normal))
    sine, cosine = np.sin(leptons.phi), np.cos(leptons.phi)
    d0_error = np.sqrt(0.012**2 + (0.10 / leptons.pt) ** 2)
    d0 = leptons.y * cosine - leptons.x * sine
    d0 = d0 + d0_error * _like(leptons.pt, numbers.standard_normal)
    z0 = leptons.z - (leptons.x * cosine + leptons.y * sine) * np.sinh(leptons.eta)
    z0 = z0 + 0.08 * _like(leptons.pt, numbers.standard_normal)
    columns = {
        "true_pt": leptons.pt,
        "pt": pt,
        "eta": leptons.eta,
        "phi": leptons.phi,
        "type_": code,
        "charge": leptons.charge,
        "d0": d0,
        "d0_significance": abs(d0) / d0_error,
        "z0": z0,
        "scale": ak.where(code == _ELECTRON, _SCALE[_ELECTRON], _SCALE[_MUON]),
        # A hadron that is taken for a lepton has most of the energy around it.
        "activity": ak.where((as_electron | as_muon)[taken], 0.2, 1.0),
    }
    leptons = ak.zip(columns)
    return leptons[leptons.pt > _PT_MIN]


def _isolated(leptons: Any, particles: Any, numbers: np.random.Generator) -> Any:
    """The leptons with what is around them."""
    near = particles[(particles.pt > 0.5) & (abs(particles.eta) < 3.0)]
    pairs = ak.cartesian({"lepton": leptons, "other": near}, axis=1, nested=True)
    lepton, other = pairs.lepton, pairs.other
    azimuth = (other.phi - lepton.phi + np.pi) % (2 * np.pi) - np.pi
    distance = np.hypot(other.eta - lepton.eta, azimuth)
    # The lepton itself, and what it radiates.
    around = distance > 1e-6
    tracks = around & (distance < 0.3) & (other.charge != 0) & (other.pt > 1.0)
    energy = around & (distance < 0.2) & (distance > 0.05)
    noise = 0.4 * _like(leptons.pt, numbers.standard_normal)
    sums = {
        "ptcone30": ak.sum(ak.where(tracks, other.pt, 0.0), axis=-1) * leptons.activity,
        "etcone20": ak.sum(ak.where(energy, other.pt, 0.0), axis=-1) * leptons.activity + noise,
    }
    for name, values in sums.items():
        leptons = ak.with_field(leptons, values, name)
    return leptons


def _charge(codes: Any) -> Any:
    """Charge by PDG code: that of negative leptons is the other way round."""
    sign = np.sign(codes)
    return ak.where(_among(codes, _CHARGED), ak.where(_among(codes, (11, 13)), -sign, sign), 0)


def _among(codes: Any, values: tuple[int, ...]) -> Any:
    mask = abs(codes) == values[0]
    for value in values[1:]:
        mask = mask | (abs(codes) == value)
    return mask


def _position(particles: Any, axis: str) -> Any:
    return ak.fill_none(particles.vProd[axis], 0.0)


def _like(array: Any, draw: Any) -> Any:
    """Random numbers in the shape of an array."""
    counts = ak.num(array)
    return ak.unflatten(draw(int(ak.sum(counts))), counts)
