"""Electrons and muons behind the detector: smeared, identified, and those from hadrons in jets.

"2017 sample" and "2015 sample" are the public NanoAOD files NanoAODv5_sample.root
of JuliaHEP/UnROOT.jl (1000 events of ttbar) and nanoAOD_2015_CMS_Open_Data_ttbar.root of
scikit-hep/scikit-hep-testdata (200 events of W+jets).
"""

from typing import NamedTuple

import numpy as np

from agc_pipeline.simulation import flat
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.generator import ELECTRON, MUON
from agc_pipeline.simulation.particles import ParticleLevel


class LeptonResponse(NamedTuple):
    """Response to prompt electrons or muons.

    Attributes:
        pdg_id: PDG code, without sign.
        mass: GeV.
        pt_min: lowest pt that NanoAOD keeps, GeV.
        eta_max: reach of the detector.
        resolution: relative resolution of pt.
        reconstruction: efficiency of reconstruction.
        identification: efficiency of the tight identification, isolation apart.
        sip3d: scale of the significance of the impact parameter.
        pile_up: mean energy of pile-up and underlying event in the isolation cone, GeV.
    """

    pdg_id: int
    mass: float
    pt_min: float
    eta_max: float
    resolution: float
    reconstruction: float
    identification: float
    sip3d: float
    pile_up: float


# In the 2017 sample 87 of 126 prompt electrons and 131 of 136 prompt muons above 30 GeV pass the
# tight identification. Here more electrons pass it, because every event that fails is a wasted
# shower: the efficiency that is left out is part of `Recipe.n_generated_factor`.
ELECTRONS = LeptonResponse(ELECTRON, 0.000511, 5.0, 2.5, 0.018, 0.98, 0.94, 1.25, 0.5)
MUONS = LeptonResponse(MUON, 0.10566, 3.0, 2.4, 0.013, 0.99, 0.97, 0.85, 0.5)
# Relative isolation that the tight identification of electrons requires, about that of 2015.
_ELECTRON_ISOLATION_MAX = 0.07
_CUT_BASED_TIGHT = 4

# Leptons in jets: probability for each jet by hadron flavour, a third of what the 2017 sample has,
# in which most are softer; and the mean of the share of the jet's pt that they carry.
_NON_PROMPT = {0: 0.03, 4: 0.06, 5: 0.12}
_NON_PROMPT_PT_MEAN = 0.15


def measured_electrons(level: ParticleLevel, generator: np.random.Generator) -> Collection:
    """Electrons as NanoAOD has them, columns named as there, in falling pt; GeV."""
    electrons, identified = _measured(level, ELECTRONS, generator)
    tight = identified & (electrons["isolation"] < _ELECTRON_ISOLATION_MAX)
    # Electrons that fail the tight working point pass looser ones at random.
    looser = generator.integers(0, _CUT_BASED_TIGHT, len(tight)) * electrons["prompt"]
    return Collection(
        electrons.counts,
        _common(electrons, ELECTRONS)
        | {
            "cutBased": np.where(tight, _CUT_BASED_TIGHT, looser),
            "pfRelIso03_all": electrons["isolation"],
        },
    )


def measured_muons(
    level: ParticleLevel, generator: np.random.Generator, *, identification: bool
) -> Collection:
    """Muons as NanoAOD has them, columns named as there, in falling pt; GeV.

    Args:
        level: what is to be measured.
        generator: random numbers.
        identification: whether muons can pass ``tightId``.
    """
    muons, identified = _measured(level, MUONS, generator)
    return Collection(
        muons.counts,
        _common(muons, MUONS)
        | {
            "tightId": identified & identification,
            "pfRelIso04_all": muons["isolation"],
        },
    )


def _common(leptons: Collection, response: LeptonResponse) -> dict[str, np.ndarray]:
    """The columns that electrons and muons share."""
    return {
        "pt": leptons["pt"],
        "eta": leptons["eta"],
        "phi": leptons["phi"],
        "mass": np.full(len(leptons), response.mass),
        "charge": -np.sign(leptons["pdg_id"]),
        "pdgId": leptons["pdg_id"],
        "sip3d": leptons["sip3d"],
    }


def _measured(
    level: ParticleLevel, response: LeptonResponse, generator: np.random.Generator
) -> tuple[Collection, np.ndarray]:
    """Reconstructed leptons of one kind, in falling pt, and which of them are identified."""
    true = level.leptons.objects(np.abs(level.leptons["pdg_id"]) == response.pdg_id)
    n_true = len(true)
    pt = true["pt"] * (1.0 + response.resolution * generator.standard_normal(n_true))
    sip3d = response.sip3d * np.abs(generator.standard_normal(n_true))
    sip3d += response.sip3d * 0.4 * generator.exponential(1.0, n_true)
    around = true["activity"] + generator.exponential(response.pile_up, n_true)
    prompt = Collection(
        true.counts,
        {
            "pt": pt,
            "eta": true["eta"],
            "phi": true["phi"],
            "pdg_id": true["pdg_id"],
            "sip3d": sip3d,
            "isolation": around / np.maximum(pt, 1e-3),
            "prompt": np.ones(n_true, dtype=np.int64),
        },
    )
    seen = generator.random(n_true) < response.reconstruction
    leptons = flat.merge(prompt.objects(seen), _non_prompt(level.jets, response, generator))
    inside = (leptons["pt"] > response.pt_min) & (np.abs(leptons["eta"]) < response.eta_max)
    leptons = leptons.objects(inside).sorted_by("pt")
    lucky = generator.random(len(leptons)) < response.identification
    # A muon in a jet is a good muon, an electron in a jet hardly ever a good electron.
    eligible = (leptons["prompt"] == 1) | (response.pdg_id == MUON)
    return leptons, lucky & eligible


def _non_prompt(
    jets: Collection, response: LeptonResponse, generator: np.random.Generator
) -> Collection:
    """Leptons from hadrons in jets, and hadrons that look like leptons."""
    flavour = jets["hadron_flavour"]
    probability = np.select([flavour == kind for kind in _NON_PROMPT], list(_NON_PROMPT.values()))
    source = jets.objects(generator.random(len(flavour)) < probability)
    n_leptons = len(source)
    share = np.minimum(generator.exponential(_NON_PROMPT_PT_MEAN, n_leptons), 0.9)
    sign = np.where(generator.random(n_leptons) < 0.5, 1, -1)
    return Collection(
        source.counts,
        {
            "pt": source["pt"] * share,
            "eta": source["eta"],
            "phi": source["phi"],
            "pdg_id": sign * response.pdg_id,
            # Impact parameters in units of the resolution: median 6 to 10 in b jets, long tail.
            "sip3d": generator.lognormal(1.7, 1.2, n_leptons),
            "isolation": (1.0 - share) / np.maximum(share, 1e-3),
            "prompt": np.zeros(n_leptons, dtype=np.int64),
        },
    )
