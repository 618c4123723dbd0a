"""What is read of a collection is enough for coffea to make it."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from agc_pipeline.declaration import NANOAOD
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
