"""What would make numbers wrong without a word is refused, for both kinds of events."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
import pytest

from agc_pipeline.columnar import features, thresholds
from agc_pipeline.columnar.filling import complete
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.declaration import (
    Analysis,
    Change,
    Columns,
    Dataset,
    Feature,
    Fill,
    Free,
    Physics,
    Process,
    Region,
    Systematic,
    Threshold,
    Variation,
)
from agc_pipeline.declaration.checks import check
from agc_pipeline.declaration.thresholds import Trial
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.arrays import EventColumns
from agc_pipeline.settings import Settings

N = 12
IDENTITY = {"run": np.ones(N), "luminosityBlock": np.ones(N), "event": np.arange(N)}
NAN = np.where(np.arange(N) % 3 == 0, np.nan, 15.0)
INFINITE = np.array([np.inf, -np.inf, *[15.0] * (N - 2)])


class Selection(Settings):
    least: float = 0.0


def reads(_: Dataset) -> Columns:
    return {"": ("x", "w", "event")}


def everything(events: Any, _: Selection) -> Any:
    return np.ones(len(events), np.bool_)


def column(name: str, events: Any, _: Selection) -> Any:
    return np.asarray(events[name])


def masked(events: Any, _: Selection) -> Any:
    return np.ma.masked_invalid(np.asarray(events["x"]))


def undefined(events: Any, _: Selection) -> Any:
    return ak.with_field(events, NAN[: len(events)], "x")


def missing(events: Any, selection: Selection) -> Any:
    return ak.from_numpy(masked(events, selection))


OBSERVABLE = partial(column, "x")
WEIGHT = partial(column, "w")


def analysis(kind: Any, **region: Any) -> Analysis:
    return Analysis(
        name="numbers",
        settings=Physics,
        regions=(
            Region(
                "r",
                "r",
                "x",
                "x",
                (0.0, 10.0, 20.0),
                **({"mask": everything, "values": OBSERVABLE} | region),
            ),
        ),
        processes=(Process("p", "p"),),
        datasets=(Dataset("mc", ("p",)), Dataset("data", kind="data")),
        systematics=(Systematic("W", ("p",), up=Variation("w_up", weight=WEIGHT)),),
        events=kind,
        reads=reads,
    )


def filled(
    declaration: Analysis, arrays: Mapping[str, Any], dataset: str = "mc", **options: Any
) -> Any:
    events = ak.zip({"x": np.full(N, 15.0), "w": np.ones(N), **IDENTITY, **arrays})
    processing = Processing(declaration, Selection(), declaration.dataset(dataset), **options)
    if declaration.events == "records":
        return complete(processing.process_records(events))
    return complete(processing.process(EventColumns(events, declaration.layout)))


KINDS = pytest.mark.parametrize("kind", ["records", "columns"])


@KINDS
@pytest.mark.parametrize("what", ["weight", "values"])
@pytest.mark.parametrize("type_", ["complex128", "U4", "timedelta64[s]"])
def test_values_that_are_no_real_numbers_are_refused(kind: str, what: str, type_: str) -> None:
    def wrong(events: Any, _: Any) -> Any:
        return np.full(len(events), 1).astype(type_)

    declared = analysis(kind)
    if what == "weight":
        declared = replace(declared, weight=wrong)
    else:
        regions = (replace(declared.regions[0], values=wrong), *declared.regions[1:])
        declared = replace(declared, regions=regions)
    with pytest.raises(AnalysisError, match="returned values of the type") as error:
        filled(declared, {})
    assert error.value.place.endswith("wrong")


# The same events as a variation that redoes the selection.
VARIED: dict[str, dict[str, Any]] = {
    "records": {"records": lambda events, _: events},
    "columns": {
        "changes": (Change(("", "x"), lambda objects, *_: objects["x"], lambda _: (1, 1)),)
    },
}


@KINDS
def test_undefined_observables_are_refused_with_their_number_and_place(kind: Any) -> None:
    for values in (OBSERVABLE, masked, missing):
        with pytest.raises(AnalysisError, match="NaN for 4 of 12 selected events") as error:
            filled(analysis(kind, values=values), {"x": NAN})
        assert error.value.place == "dataset mc, process p, region r, variation nominal"
        assert "mask of the region" in error.value.remedy
    # Of data in front of a blinded window, too: NaN is not hidden by it.
    declaration = analysis(kind, blinded=(0.0, 30.0))
    with pytest.raises(AnalysisError, match="NaN for 4 of 4") as error:
        filled(declaration, {"x": NAN}, "data", blinded=True)
    assert "process data, region r" in error.value.place
    # Infinite ones are beyond the bins.
    histogram = filled(analysis(kind), {"x": INFINITE})["histograms"]["p"]["r"]
    assert histogram.view(flow=True)["value"][0].tolist() == [1, 0, N - 2, 1]


def test_observables_that_a_variation_makes_undefined_are_refused() -> None:
    shift = Systematic("S", ("p",), up=Variation("s_up", records=undefined))
    declaration = replace(analysis("records"), systematics=(shift,))
    with pytest.raises(AnalysisError, match="NaN for 4 of 12") as error:
        filled(declaration, {})
    assert error.value.place == "dataset mc, process p, region r, variation s_up"


@KINDS
@pytest.mark.parametrize(
    ("values", "what"),
    [(NAN, "4 of 12 weights of w_up are NaN"), (INFINITE, "2 of 12 weights of w_up are infinite")],
)
def test_weights_that_are_not_finite_are_refused(kind: Any, values: Any, what: str) -> None:
    with pytest.raises(AnalysisError, match=what) as error:
        filled(analysis(kind), {"w": values})
    assert error.value.place == "dataset mc, process p, region r, variation w_up"
    assert "finite number" in error.value.remedy
    assert "unit" not in error.value.remedy
    # The nominal weight is named where it is its fault.
    declaration = replace(analysis(kind), weight=WEIGHT, weight_reads={"": ("w",)})
    with pytest.raises(AnalysisError, match=what.replace("w_up", "nominal")):
        filled(declaration, {"w": values})
    # Rows for discriminants have the same weights.
    filler = partial(features.RowFiller, (Feature("x", OBSERVABLE),))
    with pytest.raises(AnalysisError, match=what):
        filled(analysis(kind), {"w": values}, filler=filler)


@KINDS
@pytest.mark.parametrize(
    "values",
    [np.ones(1), np.ones(N - 1), np.ones(2 * N), np.ones((N, 1))],
    ids=["one", "short", "long", "table"],
)
def test_weights_are_one_number_for_each_event(kind: Any, values: Any) -> None:
    def weights(*_: Any) -> Any:
        return values

    message = "a function of 12 events returned values of the shape " + re.escape(str(values.shape))
    (systematic,) = analysis(kind).systematics
    varied = replace(systematic, up=Variation("w_up", weight=weights))
    for changes in (
        {"systematics": (varied,)},
        # Products of these would have one number repeated.
        {"systematics": (varied,), "weight": WEIGHT, "weight_reads": {"": ("w",)}},
        {"weight": weights},
        {"datasets": (Dataset("mc", (Fill("p", weight=weights),)),)},
    ):
        with pytest.raises(AnalysisError, match=message) as error:
            filled(replace(analysis(kind), **changes), {})
        assert "weights" in error.value.place


@KINDS
def test_one_weight_for_all_events_is_taken(kind: Any) -> None:
    declaration = replace(analysis(kind), weight=lambda *_: 0.5)
    histogram = filled(declaration, {})["histograms"]["p"]["r"]
    assert histogram.view(flow=True)["value"][0].tolist() == [0, 0, 0.5 * N, 0]


@pytest.mark.parametrize("n", [1, N - 1, N + 1])
def test_changed_columns_have_one_number_for_each_event(n: int) -> None:
    def changed(*_: Any) -> Any:
        return np.full(n, 15.0)

    change = Change(("", "x"), changed, lambda _: (0.5, 2))
    shift = Systematic("S", ("p",), up=Variation("s_up", changes=(change,)))
    declaration = replace(analysis("columns"), systematics=(shift,))
    with pytest.raises(AnalysisError, match=rf"of 12 events returned .* shape \({n},\)") as error:
        filled(declaration, {})
    assert "changed" in error.value.place


@KINDS
def test_scans_of_thresholds_refuse_undefined_observables(kind: Any) -> None:
    def scan(observed: Any, x: Any) -> None:
        threshold = Threshold("least", "least", ">", (0.0, 0.5), observed=observed)
        declaration = replace(analysis(kind), thresholds=(threshold,))
        thresholds.scan(
            declaration,
            {},
            declaration.dataset("mc"),
            [Trial(threshold, (0.0, 0.5))],
            unit=1.0,
            fill=lambda processing: filled(processing.analysis, {"x": x}),
        )

    with pytest.raises(AnalysisError, match="NaN for 4 of 12") as error:
        scan(WEIGHT, NAN)
    assert error.value.place.startswith("dataset mc, region r")
    # One number is not that of all events.
    with pytest.raises(AnalysisError, match=r"12 events returned .* shape \(1,\)"):
        scan(lambda *_: np.ones(1), np.full(N, 15.0))


@KINDS
def test_thresholds_compare_as_cuts_do(kind: Any) -> None:
    """Single-precision values in double precision: 20.1 in single is more than 20.1."""
    threshold = Threshold(
        "least",
        "least",
        ">",
        (0.0, 20.1),
        observed=lambda events, _: np.full(len(events), 20.1, np.float32),
    )
    declaration = replace(analysis(kind), thresholds=(threshold,))
    events = ak.zip({"x": np.full(N, 15.0), "w": np.ones(N), **IDENTITY})

    def fill(processing: Processing) -> Any:
        if kind == "records":
            return processing.process_records(events)
        return processing.process(EventColumns(events, declaration.layout))

    trials = [Trial(threshold, (0.0, 20.1))]
    scans = thresholds.scan(declaration, {}, declaration.dataset("mc"), trials, unit=1.0, fill=fill)
    assert scans["p", "r"].contents[:, 0].sum(axis=-1).tolist() == [N, N]


def test_a_mask_with_missing_values_is_refused() -> None:
    def mask(events: Any, _: Selection) -> Any:
        return np.ma.masked_array(np.ones(len(events), np.bool_), np.arange(len(events)) < 2)

    for function in (mask, lambda events, selection: ak.from_numpy(mask(events, selection))):
        with pytest.raises(AnalysisError, match="2 of 12 events have no value"):
            filled(analysis("records", mask=function), {})


def even(events: Any, _: Selection) -> Any:
    return np.asarray(events["event"]) % 2 == 0


def fourth(events: Any, _: Selection) -> Any:
    return np.asarray(events["event"]) % 4 == 0


def moved(events: Any, _: Selection) -> Any:
    return ak.with_field(events, 2 * events["event"], "event")


@KINDS
def test_events_in_two_regions_of_a_fit_are_refused(kind: Any) -> None:
    declaration = analysis(kind, mask=even)
    (one,) = declaration.regions
    other = replace(one, name="other", title="other", mask=fourth)
    with pytest.raises(AnalysisError, match="3 events are in the region other and in r") as error:
        filled(replace(declaration, regions=(one, other)), {})
    assert error.value.place == "analysis numbers, dataset mc"
    assert "`fitted=False`" in error.value.remedy
    # Of one that is not fitted, or is fitted with other regions, an event may be as well.
    for change in ({"fitted": False}, {"selection": "tight"}):
        histograms = filled(replace(declaration, regions=(one, replace(other, **change))), {})[
            "histograms"
        ]["p"]
        assert [histograms[name].values()[0].sum() for name in ("r", "other")] == [6, 3]


def test_events_that_a_variation_moves_into_another_region_are_refused() -> None:
    declaration = analysis("records", mask=fourth)
    (one,) = declaration.regions

    def odd_or_low(events: Any, _: Selection) -> Any:
        event = np.asarray(events["event"])
        return (event % 2 == 1) | (event % 8 == 4) & (event > N)

    regions = (one, replace(one, name="other", title="other", mask=odd_or_low))
    filled(replace(declaration, regions=regions), {})
    shift = Systematic("S", ("p",), up=Variation("s_up", records=moved))
    with pytest.raises(AnalysisError, match="1 events are in the region other and in r"):
        filled(replace(declaration, regions=regions, systematics=(shift,)), {})


def of_processes(kind: Any, *fills: Fill) -> Analysis:
    names = [fill.process for fill in fills]
    return replace(
        analysis(kind),
        processes=tuple(Process(name, name) for name in names),
        datasets=(Dataset("mc", fills),),
        systematics=(),
    )


@KINDS
def test_events_that_are_of_two_processes_of_a_dataset_are_refused(kind: Any) -> None:
    declaration = of_processes(kind, Fill("light", mask=even), Fill("heavy", mask=fourth))
    with pytest.raises(AnalysisError, match="3 of 12 events of a chunk are of the process light"):
        filled(declaration, {})


@KINDS
def test_events_are_shared_out_by_masks_or_by_weights(kind: Any) -> None:
    def odd(events: Any, selection: Selection) -> Any:
        return ~even(events, selection)

    def share(value: float, events: Any, _: Selection) -> Any:
        return np.full(len(events), value)

    def contents(*fills: Fill) -> list[float]:
        histograms = filled(of_processes(kind, *fills), {})["histograms"]
        return [histograms[fill.process]["r"].values()[0].sum() for fill in fills]

    assert contents(Fill("light", mask=even), Fill("heavy", mask=odd)) == [6, 6]
    assert contents(
        Fill("light", even, partial(share, 0.25)), Fill("heavy", even, partial(share, 0.75))
    ) == [1.5, 4.5]
    # Those of no process are left out, and counted.
    fills = (Fill("light", mask=fourth), Fill("heavy", mask=odd))
    assert contents(*fills) == [3, 6]
    assert filled(of_processes(kind, *fills), {})["unassigned"] == {"r": 3}
    assert filled(of_processes(kind, Fill("light")), {})["unassigned"] == {"r": 0}


@KINDS
def test_masks_are_applied_to_variations_that_act_on_their_regions(kind: Any) -> None:
    seen: list[str] = []

    def mask(name: str) -> Any:
        def select(events: Any, _: Selection) -> Any:
            seen.append(name)
            return (np.asarray(events["event"]) % 2 == 0) == (name == "r")

        return select

    declaration = analysis(kind, mask=mask("r"))
    (one,) = declaration.regions
    other = replace(one, name="other", title="other", mask=mask("other"))
    varied = Variation("s_up", **VARIED[kind])
    shift = Systematic("S", ("p",), up=varied, regions=("other",))
    declaration = replace(declaration, regions=(one, other), systematics=(shift,))
    histograms = filled(declaration, {})["histograms"]["p"]
    assert sorted(seen) == ["other", "other", "r"]
    # In the other one, there is no template.
    content = {name: h.values().sum(axis=1).tolist() for name, h in histograms.items()}
    assert content == {"r": [6, 0], "other": [6, 6]}


def test_regions_of_a_fit_with_one_mask_are_refused_when_declared() -> None:
    free = (Free("p_norm", ("p",), nominal=1.0, bounds=(0.0, 10.0)),)
    declaration = replace(analysis("columns"), free=free)
    (one,) = declaration.regions
    other = replace(one, name="other", title="other")
    with pytest.raises(AnalysisError, match="the regions r and other have the same events"):
        check(replace(declaration, regions=(one, other)))
    check(replace(declaration, regions=(one, replace(other, fitted=False))))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        *(
            (lambda events, n=n: events[np.arange(n) % N], f"{n} of {N} events")
            for n in (0, 5, N + 1)
        ),
        (lambda _: None, "NoneType"),
        (lambda events: events.x, rf"{N} \* float64"),
    ],
)
@pytest.mark.parametrize("place", ["variation", "derived"])
def test_functions_of_records_return_all_events(place: str, returned: Any, message: str) -> None:
    def others(events: Any, _: Selection) -> Any:
        return returned(events)

    declared = analysis("records")
    if place == "derived":
        declared = replace(declared, derived=others)
    else:
        up = Variation("scale_up", records=others)
        declared = replace(declared, systematics=(Systematic("S", ("p",), up=up),))
    name = "the variation scale_up" if place == "variation" else "the function `derived`"
    events = ak.zip({"x": np.full(N, 15.0), "w": np.ones(N), **IDENTITY})
    processing = Processing(declared, Selection(), declared.dataset("mc"))
    for process in (processing.process_records, processing.preselect_records):
        with pytest.raises(AnalysisError, match=f"{name} returns {message}") as caught:
            process(events)
        assert "others" in str(caught.value.place)


# By awkward, where events are records with lists.
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (lambda events: events.lists > 1, rf"a mask of {N} events has the type {N} \* var \* bool"),
        (lambda events: events.pairs > 1, r"has the shape \(12, 2\) and the type bool"),
        (lambda events: ak.num(events.lists), "has the shape"),
        (lambda events: ak.firsts(events.lists) > 1, f"missing values: 6 of {N} events"),
        (lambda _: True, r"has the shape \(\) and the type bool"),
    ],
)
def test_masks_have_a_bool_for_each_event(mask: Any, message: str) -> None:
    def wrong(events: Any, _: Selection) -> Any:
        return mask(events)

    declared = analysis("records", mask=wrong)
    events = ak.zip(
        {
            "x": np.full(N, 15.0),
            "w": np.ones(N),
            "lists": ak.Array([[1.0, 2.0], []] * (N // 2)),
            "pairs": ak.from_regular(np.full((N, 2), 2.0)),
        },
        depth_limit=1,
    )
    processing = Processing(declared, Selection(), declared.dataset("mc"))
    for process in (processing.process_records, processing.preselect_records):
        with pytest.raises(AnalysisError, match=message) as caught:
            process(events)
        assert "wrong" in str(caught.value.place)
