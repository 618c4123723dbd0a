"""Kernels that score rows by decision trees: the numbers of xgboost to the bit, and faster.

``add_leaves_by_masks`` exploits that consecutive rows share most of their values, as the candidates
of one event do: a test is evaluated once for each distinct value, and a row then only looks up
which leaves its values exclude. ``add_leaves_by_steps`` lets many rows descend a tree together,
one step at a time, for trees with more leaves than a mask has bits. ``add_leaves_by_nodes``
descends row by row, and knows missing values. All add the leaves in single precision in the order
of the trees, as xgboost does.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agc_pipeline.compiling import kernel

Array = npt.NDArray[Any]

# Bits of a mask, one for each leaf.
LEAVES_MAX = 64
# Rows that are scored together: their values stay in the fastest cache of the processor.
_BLOCK = 1024
# The same for rows that descend together, beside a large tree.
_STEPPING = 256
# Steps until rows that are at a leaf are taken out.
_STRIDE = 4

_NONE = np.uint64(0)
_ALL = ~_NONE
_ONE = np.uint64(1)
# The product of a single bit with this number of de Bruijn has the position of the bit on top.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_TOP = np.uint64(58)
_POSITIONS = np.zeros(64, np.uint8)
for _bit in range(64):
    _POSITIONS[(0x03F79D71B4CB0A89 << _bit & 2**64 - 1) >> 58] = _bit


class Tests(NamedTuple):
    """The tests ``value < threshold`` of all trees, for scoring with masks of leaves.

    A test that fails excludes the leaves below its left branch: of those that no test excludes,
    the first is the leaf of the row (Lucchese et al., QuickScorer, SIGIR 2015).

    Attributes:
        column: position of the tested feature in its group.
        threshold: single precision.
        mask: bits of the leaves that remain if the test fails.
        starts: ``trees * groups + 1``; the tests of tree ``t`` on features of group ``g`` are
            ``starts[t * groups + g]`` to the next.
        leaves: ``trees * 64`` values of leaves, from left to right.
    """

    column: Array
    threshold: Array
    mask: Array
    starts: Array
    leaves: Array


class Nodes(NamedTuple):
    """The nodes of all trees, for descending from the root.

    Attributes:
        roots: of the trees.
        feature: that is tested; -1 for a leaf.
        threshold: single precision.
        left: node where ``value < threshold``.
        right: node where not.
        missing: node for a missing value.
        value: of a leaf, single precision.
    """

    roots: Array
    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing: Array
    value: Array


class Steps(NamedTuple):
    """The same nodes for descending without branches: those below a node stand side by side.

    A row goes on to ``below``, or to the node behind it if its value is not smaller than the
    threshold. A leaf has itself below and NaN as threshold, from which no value leads away.

    Attributes:
        roots: of the trees.
        feature: that is tested; 0 for a leaf.
        threshold: single precision.
        below: node for smaller values.
        value: of a leaf, single precision; 0 for others.
    """

    roots: Array
    feature: Array
    threshold: Array
    below: Array
    value: Array


@kernel
def to_probabilities(sums: Array) -> None:
    """The sigmoid in single precision, in place, with the constants of xgboost."""
    one, nearly_nothing, largest = np.float32(1.0), np.float32(1e-16), np.float32(88.7)
    for i in range(len(sums)):
        exponential = np.float32(math.exp(min(-sums[i], largest)))
        sums[i] = one / (exponential + one + nearly_nothing)


@kernel
def add_leaves_by_nodes(
    nodes: Nodes, rows: Array, offsets: Array, events: Array, sums: Array
) -> None:
    """Add the leaves of all trees to the sum of each row of some events."""
    n = 0
    for event in events:
        for row in range(offsets[event], offsets[event + 1]):
            for root in nodes.roots:
                node = root
                while nodes.feature[node] >= 0:
                    value = rows[row, nodes.feature[node]]
                    if value < nodes.threshold[node]:
                        node = nodes.left[node]
                    elif math.isnan(value):
                        node = nodes.missing[node]
                    else:
                        node = nodes.right[node]
                sums[n] += nodes.value[node]
            n += 1


@kernel
def add_leaves_by_steps(
    steps: Steps, rows: Array, offsets: Array, events: Array, sums: Array
) -> None:
    """The same, for rows without missing values."""
    n_features = rows.shape[1]
    values = np.empty(_STEPPING * n_features, np.float32)
    # Of the rows that are on their way: where they are, and where their values begin.
    nodes = np.empty(_STEPPING, np.int32)
    begins = np.empty(_STEPPING, np.int32)
    n, filled = 0, 0
    for position in range(len(events)):
        event = events[position]
        for row in range(offsets[event], offsets[event + 1]):
            for feature in range(n_features):
                values[filled * n_features + feature] = rows[row, feature]
            filled += 1
            last = position == len(events) - 1 and row == offsets[event + 1] - 1
            if filled < _STEPPING and not last:
                continue
            block = sums[n : n + filled]
            for root in steps.roots:
                for i in range(filled):
                    nodes[i] = root
                    begins[i] = i * n_features
                left = filled
                while left:
                    for _ in range(_STRIDE):
                        _step(
                            steps.feature, steps.threshold, steps.below, values, nodes, begins, left
                        )
                    left = _arrived(
                        steps.below, steps.value, nodes, begins, left, block, n_features
                    )
            n += filled
            filled = 0


@kernel
def _step(
    feature: Array,
    threshold: Array,
    below: Array,
    values: Array,
    nodes: Array,
    begins: Array,
    n_rows: int,
) -> None:
    """Let rows go on by one node."""
    for i in range(n_rows):
        node = nodes[i]
        value = values[begins[i] + feature[node]]
        nodes[i] = below[node] + np.int32(value >= threshold[node])


@kernel
def _arrived(
    below: Array,
    value: Array,
    nodes: Array,
    begins: Array,
    n_rows: int,
    sums: Array,
    n_features: int,
) -> int:
    """Add the leaves of rows that are at one; gives the number of the others, which move up."""
    n = 0
    for i in range(n_rows):
        node, begin = nodes[i], begins[i]
        # Other nodes have the value 0, which changes no sum.
        sums[begin // n_features] += value[node]
        nodes[n] = node
        begins[n] = begin
        n += below[node] != node
    return n


@kernel
def add_leaves_by_masks(
    tests: Tests, groups: Array, rows: Array, offsets: Array, events: Array, sums: Array
) -> None:
    """The same, for rows without missing values; ``groups`` as in ``forest.Forest``."""
    n_groups, width = groups.shape
    # Of a block of rows: the row, and whether its event begins there.
    block_rows = np.empty(_BLOCK, np.int64)
    begins = np.empty(_BLOCK, np.bool_)
    # The distinct values of each group, which of them a row has, and the leaves that remain.
    values = np.empty((n_groups, width, _BLOCK), np.float32)
    kinds = np.empty((n_groups, _BLOCK), np.uint32)
    masks = np.empty((n_groups, _BLOCK), np.uint64)
    n_kinds = np.empty(n_groups, np.int64)
    # Runs of rows that differ only in the last group.
    run_of = np.empty(_BLOCK, np.uint32)
    run_kinds = np.empty((n_groups, _BLOCK), np.uint32)
    run_masks = np.empty(_BLOCK, np.uint64)
    n, filled = 0, 0
    for position in range(len(events)):
        event = events[position]
        for row in range(offsets[event], offsets[event + 1]):
            block_rows[filled] = row
            begins[filled] = row == offsets[event]
            filled += 1
            last = position == len(events) - 1 and row == offsets[event + 1] - 1
            if filled < _BLOCK and not last:
                continue
            block = sums[n : n + filled]
            for group in range(n_groups):
                n_kinds[group] = _find_kinds(
                    rows, block_rows, begins, groups[group], values[group], kinds[group], filled
                )
            n_runs = _find_runs(kinds, filled, run_of, run_kinds)
            for tree in range(len(tests.leaves)):
                for group in range(n_groups):
                    first = tree * n_groups + group
                    _test(
                        tests,
                        tests.starts[first],
                        tests.starts[first + 1],
                        values[group],
                        masks[group],
                        n_kinds[group],
                    )
                _combine(masks, run_kinds, run_masks, n_runs)
                _add_leaves(
                    tests.leaves[tree], run_masks, run_of, masks[-1], kinds[-1], block, filled
                )
            n += filled
            filled = 0


@kernel
def _find_kinds(
    rows: Array,
    block_rows: Array,
    begins: Array,
    group: Array,
    values: Array,
    kinds: Array,
    n_rows: int,
) -> int:
    """Number the distinct values of a group of features, event by event."""
    n, first = 0, 0
    for i in range(n_rows):
        row = block_rows[i]
        if begins[i]:
            first = n
        position = -1
        # Most often it is that of the previous row.
        if i > 0 and first < n and _is_kind(values, kinds[i - 1], rows, row, group):
            position = int(kinds[i - 1])
        else:
            for kind in range(first, n):
                if _is_kind(values, kind, rows, row, group):
                    position = kind
                    break
        if position < 0:
            position = n
            for place in range(len(group)):
                if group[place] >= 0:
                    values[place, n] = rows[row, group[place]]
            n += 1
        kinds[i] = position
    return n


@kernel
def _is_kind(values: Array, kind: int, rows: Array, row: int, group: Array) -> bool:
    for place in range(len(group)):
        if group[place] >= 0 and values[place, kind] != rows[row, group[place]]:
            return False
    return True


@kernel
def _find_runs(kinds: Array, n_rows: int, run_of: Array, run_kinds: Array) -> int:
    n = 0
    for i in range(n_rows):
        starts = i == 0
        for group in range(len(kinds) - 1):
            starts = starts or kinds[group, i] != kinds[group, i - 1]
        if starts:
            for group in range(len(kinds) - 1):
                run_kinds[group, n] = kinds[group, i]
            n += 1
        run_of[i] = n - 1
    return n


@kernel
def _test(tests: Tests, start: int, stop: int, values: Array, masks: Array, n: int) -> None:
    """Leaves of a tree that remain for each distinct value of a group."""
    for i in range(n):
        masks[i] = _ALL
    for test in range(start, stop):
        threshold, mask = tests.threshold[test], tests.mask[test]
        column = values[tests.column[test]]
        for i in range(n):
            masks[i] &= _ALL if column[i] < threshold else mask


@kernel
def _combine(masks: Array, run_kinds: Array, run_masks: Array, n_runs: int) -> None:
    """Leaves that remain for all groups but the last one."""
    for run in range(n_runs):
        run_masks[run] = _ALL
    for group in range(len(masks) - 1):
        kinds, mask = run_kinds[group], masks[group]
        for run in range(n_runs):
            run_masks[run] &= mask[kinds[run]]


@kernel
def _add_leaves(
    leaves: Array,
    run_masks: Array,
    run_of: Array,
    masks: Array,
    kinds: Array,
    sums: Array,
    n_rows: int,
) -> None:
    for i in range(n_rows):
        remaining = run_masks[run_of[i]] & masks[kinds[i]]
        lowest = remaining & (~remaining + _ONE)
        sums[i] += leaves[_POSITIONS[(lowest * _DE_BRUIJN) >> _TOP]]


@kernel
def first_highest(scores: Array, offsets: Array, events: Array) -> Array:
    """Row of the highest score of each event, the first of equal ones: ``int64``.

    Args:
        scores: of the rows of ``events``, as returned by ``forest.scores``.
        offsets: of the rows of all events.
        events: positions of the events; each has a row.
    """
    best = np.empty(len(events), np.int64)
    n = 0
    for i in range(len(events)):
        first, stop = offsets[events[i]], offsets[events[i] + 1]
        best[i] = first
        for row in range(first + 1, stop):
            if scores[n + row - first] > scores[n + best[i] - first]:
                best[i] = row
        n += stop - first
    return best
