"""Jets assigned to partons by models, and the observables of the assigned jets."""

from pathlib import Path
from typing import Any

from agc_pipeline.declaration import Learned

from .observables import ASSIGNED_REGIONS, CONVENTION


def _scoring(settings: Any, models: Path, scoring: Any) -> Any:
    # Forests take long to import, and most jobs have none.
    from .assign import assignment  # noqa: PLC0415

    return assignment(settings, models, scoring)


JET_ASSIGNMENT = Learned(
    name="jet_assignment",
    title="Assigned jets",
    regions=ASSIGNED_REGIONS,
    trained_on="ttbar__nominal",
    reads={
        "Electron": ("phi", "mass"),
        "Muon": ("phi", "mass"),
        "Jet": ("qgl",),
    },
    scorer=_scoring,
    training=f"{__name__}.training",
    convention=CONVENTION,
)
