"""Files in the format of the 4lep collection: the tree ``mini``, in MeV."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from .leptons import GEV
from .recipes import Recipe

_RUN = 300_000


def write(path: Path, events: Any, recipe: Recipe | None, n_generated: int | None) -> None:
    """Write events.

    Lists have a counter, where the collection has vectors: uproot does not write these.

    Args:
        path: of the file.
        events: ``events * {lep: var * {pt, ...}, trigE, trigM}``, GeV and mm.
        recipe: of the dataset; None for pseudodata.
        n_generated: events that the file stands for; None likewise.
    """
    n_events = len(events)
    leptons = events.lep
    ones = np.ones(n_events, np.float32)
    weight = 0.0 if recipe is None else recipe.weight
    lists = {
        "pt": leptons.pt * GEV,
        "eta": leptons.eta,
        "phi": leptons.phi,
        "E": leptons.pt * np.cosh(leptons.eta) * GEV,
        "ptcone30": leptons.ptcone30 * GEV,
        "etcone20": leptons.etcone20 * GEV,
        "z0": leptons.z0,
        "trackd0pvunbiased": leptons.d0,
        "tracksigd0pvunbiased": leptons.d0_significance,
        "pt_syst": leptons.pt * leptons.scale * GEV,
    }
    fields = {name: ak.values_astype(values, np.float32) for name, values in lists.items()}
    fields["charge"] = ak.values_astype(leptons.charge, np.int32)
    fields["type"] = ak.values_astype(leptons.type_, np.uint32)
    columns = {
        "runNumber": np.full(n_events, _RUN, np.int32),
        "eventNumber": np.arange(n_events, dtype=np.int32),
        "mcWeight": ones * np.float32(weight),
        **{
            f"scaleFactor_{name}": ones if recipe is not None else 0 * ones
            for name in ("ELE", "MUON", "LepTRIGGER", "PILEUP")
        },
        "trigE": ak.to_numpy(events.trigE),
        "trigM": ak.to_numpy(events.trigM),
        "lep_n": ak.to_numpy(ak.num(leptons)).astype(np.uint32),
        "XSection": ones * np.float32(0.0 if recipe is None else recipe.xsec_pb),
        "SumWeights": ones * np.float32(weight * (n_generated or 0)),
        "lep": ak.zip(fields),
    }
    with uproot.recreate(path) as file:
        file.mktree("mini", columns)
