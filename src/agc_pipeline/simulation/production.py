"""Simulated files from chunks of events."""

import logging
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from agc_pipeline.simulation import detector, nanoaod, particles, subsets
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.generator import ELECTRON, MUON, Generator
from agc_pipeline.simulation.nanoaod import NanoEvents
from agc_pipeline.simulation.particles import ParticleLevel
from agc_pipeline.simulation.settings import (
    JET_ETA_MAX,
    JET_PT_MIN,
    MAX_SHOWERS,
    N_JETS_MIN,
    Recipe,
    SimulationJob,
    Subset,
)

log = logging.getLogger(__name__)

# Streams of random numbers of a chunk.
_PYTHIA, _CHARGE, _DETECTOR, _SUBSET = range(4)
# Events are reduced to the particle level in batches, which bounds the memory.
_BATCH = 1000

# Written are events that come near the selection; GeV.
_LEPTON_PT_MIN = 20.0


class Simulated(NamedTuple):
    """Events of one or more chunks, and the number of inclusive events that they stand for."""

    events: NanoEvents
    n_generated: int


def simulate(job: SimulationJob, recipe: Recipe) -> Simulated:
    """All chunks of a job, with a line in the log for each.

    Args:
        job: the chunks of one file.
        recipe: of the job's dataset.

    Raises:
        PipelineError: if a package that the simulation needs is not installed.
    """
    generator = _generator(job, recipe)
    chunks = []
    for number, chunk in enumerate(range(job.first_chunk, job.first_chunk + job.n_chunks), 1):
        start = time.monotonic()
        chunks.append(_chunk(job, recipe, generator, chunk))
        rate = job.showers / (time.monotonic() - start)
        log.info("%s: chunk %d of %d, %.0f events/s", job.dataset, number, job.n_chunks, rate)
    return Simulated(
        nanoaod.append([chunk.events for chunk in chunks]),
        sum(chunk.n_generated for chunk in chunks),
    )


def take(
    jobs: Sequence[SimulationJob], parts: Mapping[str, Subset], source: Simulated
) -> Iterator[Simulated]:
    """The events of datasets that are parts of another one.

    Args:
        jobs: of one file each, with the same chunks.
        parts: what is taken, by dataset.
        source: the same chunks of the other dataset.
    """
    events = source.events
    quantities = subsets.quantities(events.collections["GenPart"])
    chunk = events.scalars["luminosityBlock"].astype(np.int64) - 1
    within = events.scalars["event"].astype(np.int64) - 1 - chunk * MAX_SHOWERS
    for job in jobs:
        subset = parts[job.dataset]
        numbers = np.empty(len(events))
        for number in range(job.first_chunk, job.first_chunk + job.n_chunks):
            here = chunk == number
            numbers[here] = _numbers(job, number, _SUBSET).random(job.showers)[within[here]]
        yield Simulated(
            events.select(numbers < subsets.acceptance(quantities, subset)),
            round(source.n_generated * subset.n_generated_factor),
        )


def _generator(job: SimulationJob, recipe: Recipe) -> Generator:
    """One for all chunks: Pythia takes as long to start as to generate hundreds of events."""
    leptons = (ELECTRON, MUON) if job.muon_identification else (ELECTRON,)
    seed = _seed(np.random.SeedSequence(_identity(job)))
    return Generator(recipe, job.dataset, seed=seed, leptons=leptons)


def _chunk(job: SimulationJob, recipe: Recipe, generator: Generator, chunk: int) -> Simulated:
    """One chunk: a function of the recipe, dataset, seed, muons and showers and of its number."""
    level, n_generated = _generate(job, recipe, generator, chunk)
    measured = detector.reconstruct(
        level,
        _numbers(job, chunk, _DETECTOR),
        muon_identification=job.muon_identification,
        bottom_exponent=recipe.bottom_exponent,
    )
    return Simulated(
        _near_selection(_nano(level, measured, chunk)),
        round(n_generated * recipe.n_generated_factor),
    )


def _generate(
    job: SimulationJob, recipe: Recipe, generator: Generator, chunk: int
) -> tuple[ParticleLevel, float]:
    generator.start(_seed(_sequence(job, chunk, _PYTHIA)))
    batches = [
        particles.particle_level(generator.shower(min(_BATCH, job.showers - start)))
        for start in range(0, job.showers, _BATCH)
    ]
    level = particles.append(batches)
    if recipe.decays == "plus":
        conjugated = _numbers(job, chunk, _CHARGE).random(len(level.jets.counts)) < 0.5
        level = particles.charge_conjugate(level, conjugated)
    return level, generator.n_generated


def _identity(job: SimulationJob) -> list[int]:
    return [job.seed, zlib.crc32(job.dataset.encode())]


def _sequence(job: SimulationJob, chunk: int, stream: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([*_identity(job), chunk, stream])


def _seed(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1)[0])


def _numbers(job: SimulationJob, chunk: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(_sequence(job, chunk, stream)))


def _nano(level: ParticleLevel, measured: detector.Reconstructed, chunk: int) -> NanoEvents:
    n_events = len(level.jets.counts)
    truth = level.particles
    collections = {
        "Jet": measured.jets,
        "Electron": measured.electrons,
        "Muon": measured.muons,
        "GenPart": Collection(
            truth.counts,
            {
                "pt": truth["pt"],
                "eta": truth["eta"],
                "phi": truth["phi"],
                "mass": truth["mass"],
                "pdgId": truth["pdg_id"],
                "genPartIdxMother": truth["mother"],
                "status": truth["status"],
                "statusFlags": truth["flags"],
            },
        ),
    }
    first = chunk * MAX_SHOWERS + 1
    return NanoEvents(
        {
            "run": np.full(n_events, nanoaod.RUN, dtype=np.uint32),
            "luminosityBlock": np.full(n_events, chunk + 1, dtype=np.uint32),
            "event": np.arange(first, first + n_events, dtype=np.uint64),
            "genWeight": np.ones(n_events, dtype=np.float32),
        },
        {name: nanoaod.typed(name, collection) for name, collection in collections.items()},
    )


def _near_selection(events: NanoEvents) -> NanoEvents:
    """The events with a lepton and three jets, whatever their identification."""
    jets = events.collections["Jet"]
    near = (jets["pt"] > JET_PT_MIN) & (np.abs(jets["eta"]) < JET_ETA_MAX)
    leptons = sum(
        events.collections[name].objects(events.collections[name]["pt"] > _LEPTON_PT_MIN).counts
        for name in ("Electron", "Muon")
    )
    mask = (jets.objects(near).counts >= N_JETS_MIN) & (leptons >= 1)
    return events.select(mask)
