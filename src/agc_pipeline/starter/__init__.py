"""Z bosons in pairs of muons, on toy events: a start for an analysis of one's own."""

from functools import partial

from agc_pipeline.declaration import (
    Analysis,
    Columns,
    Dataset,
    Free,
    Process,
    Region,
    Systematic,
    Variation,
)

from .events import opposite_charges, pair_mass, scaled_muons
from .settings import StarterPhysics


def reads(_: Dataset) -> Columns:
    """Collection to the fields that the functions in ``events.py`` read."""
    return {"Muon": ("pt", "eta", "phi", "mass", "charge")}


ANALYSIS = Analysis(
    name="starter",
    settings=StarterPhysics,
    regions=(
        Region(
            name="2mu",
            title="2mu",
            observable="mass",
            label=r"$m_{\mu\mu}$ [GeV]",
            edges=tuple(float(edge) for edge in range(60, 121, 5)),
            mask=opposite_charges,
            values=pair_mass,
        ),
    ),
    processes=(Process("continuum", "continuum"), Process("zmumu", "Z to muons")),
    datasets=(
        Dataset("zmumu", ("zmumu",)),
        Dataset("continuum", ("continuum",)),
        Dataset("data", kind="data"),
    ),
    systematics=(
        Systematic(
            "Muon momentum scale",
            ("zmumu", "continuum"),
            up=Variation("muon_scale_up", records=partial(scaled_muons, 1.0)),
            down=Variation("muon_scale_down", records=partial(scaled_muons, -1.0)),
        ),
        Systematic("Luminosity", effects={"zmumu": 0.03, "continuum": 0.03}),
    ),
    free=(Free("zmumu_norm", ("zmumu",)),),
    reads=reads,
)
