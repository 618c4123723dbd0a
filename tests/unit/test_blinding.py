"""Data in blinded windows, from the preselection to what a region shows of another."""

from dataclasses import replace
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
import pytest

from agc_pipeline.columnar.processing import Processing
from agc_pipeline.declaration import (
    Analysis,
    Columns,
    Cut,
    Dataset,
    EventCut,
    Physics,
    Process,
    Region,
)
from agc_pipeline.readers.arrays import EventColumns
from agc_pipeline.settings import Settings

EVENTS = ak.zip(
    {
        "x": [5.0, 15.0, 15.0, 25.0, 25.0, 99.0, 15.0],
        "signal": [True, True, True, True, False, True, False],
        "run": [1] * 7,
        "luminosityBlock": [1] * 7,
        "event": list(range(7)),
    }
)


class Selection(Settings):
    pass


def reads(_: Dataset) -> Columns:
    return {"": ("x", "signal")}


def column(name: str, events: Any, _: Selection) -> Any:
    return np.asarray(events[name])


def signal(wanted: bool, events: Any, _: Selection) -> Any:
    return (np.asarray(events["signal"]) == wanted) & (np.asarray(events["x"]) < 50.0)


def at_all(events: Any, _: Selection) -> Any:
    return np.asarray(events["x"]) < 50.0


def region(name: str, mask: Any, **changes: Any) -> Region:
    values = partial(column, "x")
    edges = (0.0, 10.0, 20.0, 30.0)
    return Region(name, name, "x", "x", edges, mask=mask, values=values, **changes)


WINDOW = (10.0, 20.0)
SR = region("SR", partial(signal, True), blinded=WINDOW)
CR = region("CR", partial(signal, False))
VR = region("VR", at_all, fitted=False)


def analysis(*regions: Region, kind: Any = "records", **changes: Any) -> Analysis:
    return Analysis(
        name="blind",
        settings=Physics,
        regions=regions,
        processes=(Process("p", "p"),),
        datasets=(Dataset("mc", ("p",)), Dataset("data", kind="data")),
        systematics=(),
        events=kind,
        reads=reads,
        **changes,
    )


def processing(declared: Analysis, dataset: str = "data", *, blinded: bool = True) -> Processing:
    return Processing(declared, Selection(), declared.dataset(dataset), blinded=blinded)


def test_preselected_data_do_not_tell_what_is_blinded() -> None:
    """All that meet the requirements, whether or not they are in a region."""
    declared = analysis(SR, CR)
    positions, cutflow = processing(declared).preselect_records(EVENTS)
    assert (positions.tolist(), cutflow) == (list(range(7)), {"all": 7})
    # Simulation, and data of regions without windows, are those in some region.
    for other, dataset in ((declared, "mc"), (analysis(replace(SR, blinded=None), CR), "data")):
        positions, _ = processing(other, dataset).preselect_records(EVENTS)
        assert positions.tolist() == [0, 1, 2, 3, 4, 6]


def test_preselected_data_meet_the_requirements() -> None:
    cut = EventCut("", Cut("x", "<", 20.0), label="x")
    declared = analysis(SR, CR, requirements=lambda *_: (cut,))
    positions, cutflow = processing(declared).preselect_records(EVENTS)
    assert (positions.tolist(), cutflow) == ([0, 1, 2, 6], {"all": 7, "x": 4})


def filled(declared: Analysis, dataset: str, *, blinded: bool) -> Any:
    made = processing(declared, dataset, blinded=blinded)
    if declared.events == "records":
        return made.process_records(EVENTS)
    return made.process(EventColumns(EVENTS, declared.layout))


@pytest.mark.parametrize("kind", ["records", "columns"])
def test_regions_that_show_blinded_data_of_others_are_known(kind: str) -> None:
    declared = analysis(SR, CR, VR, kind=kind)

    def exposed(declared: Analysis, dataset: str = "data", *, blinded: bool = True) -> Any:
        return filled(declared, dataset, blinded=blinded)["exposed"]

    assert exposed(declared) == {"VR": {"SR": 2}}
    hidden = replace(VR, blinded=WINDOW)
    assert exposed(analysis(SR, hidden, kind=kind)) == {}
    wider = replace(VR, blinded=(0.0, 20.0))
    assert exposed(analysis(SR, CR, wider, kind=kind)) == {"SR": {"VR": 1}, "CR": {"VR": 1}}
    assert exposed(declared, blinded=False) == exposed(declared, "mc") == {}


@pytest.mark.parametrize("kind", ["records", "columns"])
def test_data_outside_of_windows_are_compared(kind: str) -> None:
    """With those of other files, as simulated events are; what is blinded is not."""
    declared = analysis(SR, CR, VR, kind=kind)
    samples = {
        (dataset, blinded): filled(declared, dataset, blinded=blinded)["sample"]
        for dataset in ("mc", "data")
        for blinded in (False, True)
    }
    # Of six events in regions, two are in the window, and all are in VR.
    sizes = [len(sample.digests) for sample in samples.values()]
    assert sizes == [12, 12, 12, 10]
    assert samples["data", False].n_repeated == 0
    assert (samples["data", False] + samples["data", True]).n_repeated == 10
