"""A detector in a few formulas: from jets and leptons of particles to those of NanoAOD."""

from typing import NamedTuple

import numpy as np

from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.jet_response import measured_jets
from agc_pipeline.simulation.lepton_response import measured_electrons, measured_muons
from agc_pipeline.simulation.particles import ParticleLevel


class Reconstructed(NamedTuple):
    """Events behind the detector; columns named as in NanoAOD, GeV, not yet rounded."""

    jets: Collection
    electrons: Collection
    muons: Collection


def reconstruct(
    level: ParticleLevel,
    generator: np.random.Generator,
    *,
    muon_identification: bool,
    bottom_exponent: float,
) -> Reconstructed:
    """Let the particles pass the detector.

    Args:
        level: what is to be measured.
        generator: random numbers.
        muon_identification: whether muons can pass ``tightId``. In the 2015 Open Data files in
            NanoAOD none does, so that the published histograms hold electrons only.
        bottom_exponent: see ``discriminants.draw``.
    """
    return Reconstructed(
        jets=measured_jets(level.jets, generator, bottom_exponent),
        electrons=measured_electrons(level, generator),
        muons=measured_muons(level, generator, identification=muon_identification),
    )
