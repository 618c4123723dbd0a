"""Variations of columns in a small analysis, against numpy on the same numbers."""

from typing import Any

import awkward as ak
import numpy as np
import pytest

from agc_pipeline.columnar.filling import complete
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.declaration import (
    Analysis,
    Change,
    Count,
    Cut,
    Dataset,
    EventCut,
    Flat,
    Free,
    Objects,
    Physics,
    Process,
    Region,
    Systematic,
    Variation,
)
from agc_pipeline.declaration.selection import Requirement
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.arrays import ArrayColumns

N = 400
FACTOR = 1.2
RANDOM = np.random.default_rng(7)
COUNTS = RANDOM.integers(0, 5, N)
PT = ak.unflatten(RANDOM.exponential(40.0, COUNTS.sum()), COUNTS)
TIGHT = ak.unflatten(RANDOM.integers(0, 5, COUNTS.sum()), COUNTS)
MET = RANDOM.exponential(50.0, N)
EVENTS = ak.zip(
    {"event": np.arange(N), "met": MET, "MET_pt": MET, "Jet_pt": PT, "Jet_tight": TIGHT},
    depth_limit=1,
)
EDGES = (0.0, 20.0, 40.0, 60.0, 80.0, 120.0)


def scaled(*column: str) -> tuple[Systematic, ...]:
    """A systematic that multiplies a column."""
    change = Change(
        (column[0], column[1]),
        lambda target, *_: target[column[1]] * FACTOR,
        lambda _: (1 / FACTOR, FACTOR),
    )
    return (Systematic("S", ("p",), up=Variation("up", changes=(change,))),)


def filled(
    values: Any, *requirements: Requirement, systematics: tuple[Systematic, ...] = ()
) -> Any:
    """By variation, the events in the bins, beyond the edges included."""
    analysis = Analysis(
        name="varied",
        settings=Physics,
        regions=(
            Region(
                *("R", "R", "x", "x", EDGES),
                mask=lambda events, _: np.ones(len(events), np.bool_),
                values=values,
            ),
        ),
        processes=(Process("p", "p"),),
        datasets=(Dataset("p", ("p",)),),
        systematics=systematics,
        free=(Free("mu", ("p",)),),
        events="columns",
        requirements=lambda *_: requirements,
        layout=Flat("events", identity=("event",), records=("MET",)),
    )
    processing = Processing(analysis, None, analysis.dataset("p"))
    output = complete(processing.process(ArrayColumns(EVENTS, analysis.layout)))
    histogram = output["histograms"]["p"]["R"]
    return {
        name: histogram[{"variation": name}].values(flow=True).tolist()
        for name in histogram.axes["variation"]
    }


def binned(values: Any) -> list[float]:
    edges = np.concatenate([[-np.inf], EDGES, [np.inf]])
    counts: list[float] = np.histogram(values, edges)[0].astype(np.float64).tolist()
    return counts


@pytest.mark.parametrize(
    ("column", "observable"),
    [
        (("", "met"), lambda events, _: events["met"]),
        (("MET", "pt"), lambda events, _: events["MET"]["pt"]),
        (("MET", "pt"), lambda events, _: events["MET_pt"]),
        (("MET", "pt"), lambda events, _: events.MET.pt),
    ],
)
@pytest.mark.parametrize("bound", [None, 30.0])
def test_columns_of_the_event(column: Any, observable: Any, bound: float | None) -> None:
    """Selection and observable follow, by whatever name the column is asked for."""
    requirements = () if bound is None else (EventCut(column[0], Cut(column[1], ">", bound)),)
    made = filled(observable, *requirements, systematics=scaled(*column))
    least = bound or 0.0
    expected = {}
    for name, values in (("nominal", MET), ("up", FACTOR * MET)):
        expected[name] = binned(values[values > least])
    assert made == expected


def good() -> Objects:
    return Objects("good", "Jet", (Cut("pt", ">", 30.0),))


def test_objects_that_are_declared_twice_are_the_same() -> None:
    """Also where others are among them: each function may make them anew."""
    requirements = (
        Count((good(),), ">=", 1),
        Count((good().among("best", Cut("tight", ">=", 2)),), ">=", 1),
    )
    made = filled(
        lambda events, _: 15.0 * events.count("best"),
        *requirements,
        systematics=scaled("Jet", "pt"),
    )
    expected = {}
    for name, factor in (("nominal", 1.0), ("up", FACTOR)):
        numbers = ak.sum((factor * PT > 30) & (TIGHT >= 2), axis=1).to_numpy()
        expected[name] = binned(15.0 * numbers[numbers >= 1])
    assert made == expected
    assert made["nominal"] != made["up"]


def test_stored_objects_have_no_variations() -> None:
    def sums(events: Any, _: Any) -> Any:
        return events.collection("Jet", ("pt",)).sum("pt")

    requirement = Count((good(),), ">=", 1)
    numbers = ak.sum(PT > 30, axis=1) >= 1
    assert filled(sums, requirement)["nominal"] == binned(ak.sum(PT, axis=1)[numbers].to_numpy())
    with pytest.raises(AnalysisError, match=r"Jet\.pt of all stored objects is asked for"):
        filled(sums, requirement, systematics=scaled("Jet", "pt"))


@pytest.mark.parametrize("least", [1, 2])
def test_one_object_of_each_event_must_be_there(least: int) -> None:
    requirement = Count((good(),), ">=", least)

    def second(events: Any, _: Any) -> Any:
        return events.good.nth(1, "pt")

    if least == 1:
        with pytest.raises(IndexError, match=r"number 1, counted from 0, .* an event has 1"):
            filled(second, requirement)
        return
    passing = PT[PT > 30]
    values = passing[ak.num(passing) >= 2][:, 1].to_numpy()
    assert filled(second, requirement)["nominal"] == binned(values)
