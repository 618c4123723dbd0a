"""The query to a service keeps every event that the preselection keeps, and few others."""

import ast
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from agc_pipeline.analyses.cms_ttbar.objects import good_jets
from agc_pipeline.declaration import query as queries
from oracle.strategies import Arrays, around, nanoaod, to_arrays
from processed import ANALYSIS, COLUMNS, SELECTION, in_memory, processing

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.BitAnd: operator.and_,
    ast.Add: operator.add,
}
_REDUCERS: dict[str, Callable[[Any], Any]] = {"any": np.any, "count_nonzero": np.count_nonzero}


def passes(  # noqa: PLR0911 - one for each kind of node
    node: ast.AST, event: dict[str, Any], bound: type[np.floating]
) -> Any:
    """Evaluate an expression on one event.

    Args:
        node: of the expression's tree.
        event: column name to numpy array or number.
        bound: type that constants and columns of real numbers are compared in.
    """
    match node:
        case ast.Expression(body=body):
            return passes(body, event, bound)
        case ast.Name(id=name):
            column = event[name]
            real = np.issubdtype(np.asarray(column).dtype, np.floating)
            return column.astype(bound) if real else column
        case ast.Constant(value=value):
            return bound(value) if isinstance(value, float) else value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -passes(operand, event, bound)
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](passes(left, event, bound), passes(right, event, bound))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _OPERATORS[type(op)](passes(left, event, bound), passes(right, event, bound))
        case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
            return np.abs(passes(argument, event, bound))
        case ast.Call(
            func=ast.Name(id=name),
            args=[argument],
            keywords=[ast.keyword(arg="axis", value=ast.Constant(value=1))],
        ):
            return _REDUCERS[name](passes(argument, event, bound))
    raise ValueError(f"not in the language: {ast.dump(node)}")


def kept(cut: str, arrays: Arrays, bound: type[np.floating]) -> list[bool]:
    tree = ast.parse(cut, mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & set(arrays)
    columns = {name: per_event(arrays[name]) for name in names}
    return [
        bool(passes(tree, {name: columns[name][i] for name in names}, bound))
        for i in range(len(arrays["event"]))
    ]


def per_event(column: Any) -> list[np.ndarray]:
    """The values of each event."""
    ends = np.cumsum(ak.to_numpy(ak.num(column)))
    return np.split(ak.to_numpy(ak.flatten(column)), ends)[:-1]


DATASET = ANALYSIS.dataset("ttbar__nominal")
QUERY = queries.query(ANALYSIS, SELECTION, DATASET)
(LOOSEST_JET_PT,) = (
    cut.loosest(ANALYSIS.factors(("Jet", "pt"), SELECTION)).bound
    for cut in good_jets(SELECTION).cuts
    if cut.field == "pt"
)


def preselected(arrays: Any) -> np.ndarray:
    mask = np.zeros(len(arrays["event"]), np.bool_)
    mask[processing().preselect(in_memory(arrays))[0]] = True
    return mask


@settings(max_examples=30)
@given(nanoaod(max_events=4), st.sampled_from([np.float32, np.float64]))
def test_keeps_what_the_preselection_keeps(arrays: Arrays, bound: type[np.floating]) -> None:
    for wanted, found in zip(preselected(arrays), kept(QUERY.cut, arrays, bound), strict=True):
        assert found or not wanted


_ELECTRON = (50.0, 0.5, 0.1, 0.0, 1, 4, 1.0)
_MUON = (50.0, 0.5, 0.1, 0.1, 1, True, 1.0, 0.01)


@st.composite
def _at_the_bounds(draw: st.DrawFn) -> dict[str, Any]:
    """An event with every value at a bound or clear of it."""

    def near(bound: float, clear: float) -> float:
        return draw(st.sampled_from([clear, clear, *around(bound), *around(-bound)]))

    def jet() -> tuple[Any, ...]:
        pt = near(LOOSEST_JET_PT, 50.0)
        return (pt, near(2.4, 0.3), 0.0, 5.0, near(0.5, 0.9), 0.0, 6)

    def electron() -> tuple[Any, ...]:
        return (near(30.0, 50.0), near(2.1, 0.1), 0.0, 0.0, 1, 4, near(4.0, 1.0))

    def muon() -> tuple[Any, ...]:
        return (near(30.0, 50.0), near(2.1, 0.1), 0, 0.1, 1, True, near(4.0, 1.0), near(0.15, 0.01))

    return {
        "run": 1,
        "luminosityBlock": 1,
        "event": 1,
        "Jet": [jet() for _ in range(draw(st.integers(3, 5)))],
        "Electron": [electron() for _ in range(draw(st.integers(0, 2)))],
        "Muon": [muon() for _ in range(draw(st.integers(0, 2)))],
    }


@settings(max_examples=30)
@given(_at_the_bounds(), st.sampled_from([np.float32, np.float64]))
def test_keeps_what_the_preselection_keeps_at_the_bounds(
    event: dict[str, Any], bound: type[np.floating]
) -> None:
    arrays = to_arrays([event])
    (found,) = kept(QUERY.cut, arrays, bound)
    (wanted,) = preselected(arrays)
    assert found or not wanted


@pytest.mark.parametrize("name", ["ttbar2017_NanoAODv5_1000ev.root", "cms2015_wjets_200ev.root"])
def test_keeps_no_other_real_events(sample: Callable[[str], Path], name: str) -> None:
    # The bounds are moved by 1e-5 of their value: nothing lies in between in so few events.
    with uproot.open({sample(name): "Events"}) as tree:
        columns = [f"{c}_{f}" if c else f for c, fields in COLUMNS.items() for f in fields]
        arrays = {column: tree[column].array() for column in columns}
    wanted = preselected(arrays)
    assert kept(QUERY.cut, arrays, np.float32) == wanted.tolist()


def test_exactly_one_lepton_is_not_lost_to_a_second_at_a_bound() -> None:
    jets = [(50.0, 0.3, 0.0, 5.0, 0.9, 0.0, 6)] * 4
    just_bad = (*_MUON[:6], around(4.0)[1], _MUON[7])
    cases = {
        "one": [{"Electron": [_ELECTRON]}, True],
        "a second one at the bound": [{"Electron": [_ELECTRON], "Muon": [just_bad]}, True],
        "two": [{"Electron": [_ELECTRON], "Muon": [_MUON]}, False],
        "none": [{}, False],
    }
    for leptons, expected in cases.values():
        arrays = to_arrays([{"run": 1, "luminosityBlock": 1, "event": 1, "Jet": jets, **leptons}])
        assert kept(QUERY.cut, arrays, np.float32) == [expected]


def test_has_the_columns_that_the_analysis_reads() -> None:
    names = set(QUERY.layout.all_branches(QUERY.columns))
    assert {"run", "luminosityBlock", "event", "nElectron", "nMuon", "nJet"} < names
    assert "Jet_btagCSVV2" in names
    # Only the learned observables need it.
    assert "Jet_qgl" not in names
    learned = queries.query(ANALYSIS, SELECTION, DATASET, learned=True)
    assert learned.cut == QUERY.cut
    assert set(learned.layout.all_branches(learned.columns)) - names == {
        "Jet_qgl",
        *(f"{lepton}_{field}" for lepton in ("Electron", "Muon") for field in ("phi", "mass")),
    }
