"""Cuts that may be optimised.

Systematics know of momenta of jets, and of the number of jets by simulations of their own. None
knows of the working point of the b-tagging, whose uncertainties are measured for one at a time, nor
of the trigger of leptons.
"""

from agc_pipeline.declaration import Threshold

from .regions import lepton_pt, number_of_jets

JETS = ("Jet energy scale", "Jet energy resolution")
MODELLING = ("ME variation", "PS variation", "ttbar scale variation")

THRESHOLDS = (
    Threshold(
        "jet pt",
        "jet.pt_min",
        ">",
        (20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0),
        parameters=(*JETS, *MODELLING),
        unit="GeV",
    ),
    Threshold(
        "b-tag",
        "jet.btag_min",
        ">",
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    ),
    Threshold(
        "lepton pt",
        "lepton_pt_min",
        ">",
        (26.0, 30.0, 35.0, 40.0, 50.0),
        observed=lepton_pt,
        unit="GeV",
    ),
    Threshold(
        "number of jets",
        "jet.n_min",
        ">=",
        (4, 5, 6),
        observed=number_of_jets,
        parameters=(*JETS, *MODELLING),
    ),
)
