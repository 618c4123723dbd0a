"""What is read of a collection: it is enough for coffea, and nobody can change it."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from agc_pipeline.declaration import NANOAOD
from agc_pipeline.readers.columns import Collection
from agc_pipeline.readers.nano_events import of_root


@pytest.mark.parametrize("name", sorted(NANOAOD.complete))
def test_a_single_field_of_anything_in_nanoaod(tmp_path: Path, name: str) -> None:
    fields = (*NANOAOD.complete[name], "other")
    columns = {column: np.ones(3, np.uint32) for column in NANOAOD.identity}
    if NANOAOD.is_collection(name):
        columns[name] = ak.zip({field: ak.Array([[1.0, 2.0], [], [3.0]]) for field in fields})
    else:
        columns |= {f"{name}_{field}": np.ones(3) for field in fields}
    with uproot.recreate(tmp_path / "events.root") as file:
        file.mktree("Events", columns)
    with uproot.open(tmp_path / "events.root") as file:
        events = of_root(
            file["Events"], {**NANOAOD.identity_columns, name: fields}, NANOAOD, (0, 3)
        )
        assert len(ak.to_list(events[name].other)) == 3


def test_functions_cannot_change_what_others_read(tmp_path: Path) -> None:
    """Arithmetic in place would change the events of the next variation, and of the nominal one."""
    path = tmp_path / "events.root"
    pt = ak.Array([[30.0, 20.0], [], [50.0]])
    with uproot.recreate(path) as file:
        columns = {"run": np.ones(3, np.uint32), "luminosityBlock": np.ones(3, np.uint32)}
        file["Events"] = {**columns, "event": np.arange(3, dtype=np.uint64), "Thing_pt": pt}
    with uproot.open(path) as file:
        columns = {**NANOAOD.identity_columns, "Thing": ("pt",)}
        events = of_root(file["Events"], columns, NANOAOD, (0, 3))
        for given in (ak.to_numpy(ak.flatten(events.Thing.pt)), ak.to_numpy(events.event)):
            with pytest.raises(ValueError, match="read-only"):
                np.multiply(given, 2, out=given)
        assert events.Thing.pt.tolist() == pt.tolist()
    offsets = np.array([0, 2, 2, 3])
    jets = Collection(offsets, {"pt": ak.to_numpy(ak.flatten(pt))})
    for collection in (jets, jets.take(np.array([0, 2])), jets.extended(mass=jets.pt * 0.1)):
        for field in collection.fields or ("pt",):
            given = collection[field]
            with pytest.raises(ValueError, match="read-only"):
                np.multiply(given, 2, out=given)
    assert jets.pt.tolist() == [30.0, 20.0, 50.0]
