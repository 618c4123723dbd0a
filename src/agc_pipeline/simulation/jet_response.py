"""Jets behind the detector: smeared, with pile-up, identified, with their discriminants.

"2017 sample" and "2015 sample" are the public NanoAOD files NanoAODv5_sample.root
of JuliaHEP/UnROOT.jl (1000 events of ttbar) and nanoAOD_2015_CMS_Open_Data_ttbar.root of
scikit-hep/scikit-hep-testdata (200 events of W+jets).
"""

from typing import NamedTuple

import numpy as np

from agc_pipeline.simulation import discriminants, flat
from agc_pipeline.simulation.flat import Collection

# Lowest pt of jets that NanoAOD keeps, GeV.
_JET_PT_MIN = 15.0


class Response(NamedTuple):
    """Response to jets, with hadronisation, underlying event and pile-up, which Pythia leaves out.

    Adapted to the published shapes of ttbar; the tail and the angle are guesses.

    Attributes:
        scale: mean response of hard jets.
        offset: energy that every jet gains, GeV.
        noise: resolution of pt in GeV, dominating at low pt.
        stochastic: relative resolution times the root of pt.
        constant: relative resolution of hard jets.
        tail_fraction: share of the jets with a worse resolution.
        tail_factor: by how much it is worse.
        angle: resolution of eta and phi.
    """

    scale: float = 0.97
    offset: float = 2.5
    noise: float = 4.0
    stochastic: float = 0.90
    constant: float = 0.045
    tail_fraction: float = 0.04
    tail_factor: float = 1.8
    angle: float = 0.015


RESPONSE = Response()

# Jets without a counterpart in the generator: 0.39 an event below |eta| 2.4 in the 2015 sample,
# half of them below 17 GeV and a tenth above 25 GeV.
_PILE_UP_JETS = 0.75
_PILE_UP_ETA_MAX = 4.5
_PILE_UP_PT_MEAN = 4.0
# Mass over pt that hadronisation gives a jet, and its spread; 5, 50 and 95 % of the jets above
# 30 GeV in the 2017 sample are below 0.09, 0.16 and 0.23.
_PARTICLE_MASS_FRACTION = 0.15
_MASS_SPREAD = 0.25
# 8653 of 8836 jets that are no electrons in the 2017 sample, most of the others below 30 GeV.
_JET_ID_EFFICIENCY = 0.99
_JET_ID_LEPTON_VETO, _JET_ID_TIGHT, _JET_ID_NONE = 6, 2, 0
# Share of pt above which an electron or muon makes the jet fail the lepton veto.
_LEPTON_SHARE = 0.8


def measured_jets(
    particle_jets: Collection, generator: np.random.Generator, bottom_exponent: float
) -> Collection:
    """Jets as NanoAOD has them.

    Args:
        particle_jets: see ``ParticleLevel.jets``.
        generator: random numbers.
        bottom_exponent: see ``discriminants.draw``.

    Returns:
        Columns named as in NanoAOD, in falling pt; GeV.
    """
    n_jets = len(particle_jets)
    truth = particle_jets["pt"]
    relative = np.sqrt(
        (RESPONSE.noise / truth) ** 2 + RESPONSE.stochastic**2 / truth + RESPONSE.constant**2
    )
    relative *= np.where(
        generator.random(n_jets) < RESPONSE.tail_fraction, RESPONSE.tail_factor, 1.0
    )
    factor = RESPONSE.scale * (1.0 + RESPONSE.offset / truth)
    factor *= np.maximum(1.0 + relative * generator.standard_normal(n_jets), 0.05)
    pt = truth * factor
    spread = np.exp(_MASS_SPREAD * generator.standard_normal(n_jets))
    smeared = particle_jets.with_columns(
        pt=pt,
        eta=particle_jets["eta"] + RESPONSE.angle * generator.standard_normal(n_jets),
        phi=flat.wrap(particle_jets["phi"] + RESPONSE.angle * generator.standard_normal(n_jets)),
        mass=np.hypot(particle_jets["mass"] * factor, _PARTICLE_MASS_FRACTION * pt * spread),
    )
    pile_up = _pile_up(particle_jets, generator)
    all_jets = flat.merge(smeared, pile_up)
    jets = all_jets.objects(all_jets["pt"] > _JET_PT_MIN).sorted_by("pt")
    btag, qgl = discriminants.draw(jets, generator, bottom_exponent=bottom_exponent)
    return Collection(
        jets.counts,
        {
            "pt": jets["pt"],
            "eta": jets["eta"],
            "phi": jets["phi"],
            "mass": jets["mass"],
            "btagCSVV2": btag,
            "qgl": qgl,
            "jetId": _jet_id(jets, generator),
            "hadronFlavour": jets["hadron_flavour"],
            "partonFlavour": jets["parton_flavour"],
        },
    )


def _pile_up(like: Collection, generator: np.random.Generator) -> Collection:
    """Jets from pile-up, with the columns of ``like``."""
    counts = generator.poisson(_PILE_UP_JETS, len(like.counts))
    n_jets = int(counts.sum())
    pt = _JET_PT_MIN + generator.exponential(_PILE_UP_PT_MEAN, n_jets)
    zeros = {name: np.zeros(n_jets, column.dtype) for name, column in like.columns.items()}
    return Collection(
        counts,
        zeros
        | {
            "pt": pt,
            "eta": generator.uniform(-_PILE_UP_ETA_MAX, _PILE_UP_ETA_MAX, n_jets),
            "phi": generator.uniform(-np.pi, np.pi, n_jets),
            "mass": pt * generator.uniform(0.1, 0.25, n_jets),
        },
    )


def _jet_id(jets: Collection, generator: np.random.Generator) -> np.ndarray:
    """Bits of jetId: 6 passes everything, 2 fails the lepton veto, 0 is noise."""
    lepton_like = (jets["electron"] > _LEPTON_SHARE) | (jets["muon"] > _LEPTON_SHARE)
    noise = generator.random(len(lepton_like)) > _JET_ID_EFFICIENCY
    return np.where(noise, _JET_ID_NONE, np.where(lepton_like, _JET_ID_TIGHT, _JET_ID_LEPTON_VETO))
