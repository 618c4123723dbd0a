"""Forests of decision trees, as xgboost writes them, laid out for the kernels that score rows.

xgboost itself is not needed: importing it takes seconds, and the scores are its own to the bit.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agc_pipeline.errors import InputError
from agc_pipeline.learning import trees as kernels
from agc_pipeline.learning.trees import LEAVES_MAX, Array, Nodes, Steps, Tests

_ALL = 2**LEAVES_MAX - 1

# Objectives whose score is the sigmoid of the sum of leaves.
_LOGISTIC = ("binary:logistic", "reg:logistic")


class Forest(NamedTuple):
    """A forest whose score is the sigmoid of a sum of leaves, added in single precision.

    Attributes:
        n_features: columns of a row.
        base: initial value of the sum.
        groups: ``groups * widest group`` features, filled up with -1.
        tests: None if a tree has too many leaves for masks.
        nodes: the same trees, for rows with missing values.
        steps: the same trees, for larger ones.
    """

    n_features: int
    base: np.float32
    groups: Array
    tests: Tests | None
    nodes: Nodes
    steps: Steps


def parse(content: bytes, *, place: str, groups: Sequence[Sequence[int]] = ()) -> Forest:
    """Read a forest.

    Args:
        content: a model in xgboost's JSON, of any version.
        place: where the content is from, for errors.
        groups: the features, each once; those that change together from row to row in one group,
            the group that changes most often last. They change the time, but no score.

    Raises:
        InputError: if it is not a forest of that kind, or its features are not those of the groups.
    """
    refuse = _Refusal(place)
    try:
        learner = json.loads(content)["learner"]
        parameters = learner["learner_model_param"]
        booster = learner["gradient_booster"]
        objective = learner["objective"]["name"]
        if objective not in _LOGISTIC:
            raise refuse(f"its objective is {objective}, not {_LOGISTIC[0]}")
        if booster["name"] != "gbtree":
            raise refuse(f"it is a {booster['name']}, not a gbtree")
        n_features = int(parameters["num_feature"])
        trees = [_Tree(tree, n_features, refuse) for tree in booster["model"]["trees"]]
        if not trees:
            raise refuse("it has no trees")
        base = _base(parameters["base_score"], refuse)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise refuse(f"not a model in xgboost's JSON: {type(error).__name__} {error}") from error
    groups = groups or [range(n_features)]
    if sorted(feature for group in groups for feature in group) != list(range(n_features)):
        raise refuse(f"it has {n_features} features, not {sum(map(len, groups))}")
    table = np.full((len(groups), max(map(len, groups))), -1, np.int64)
    for row, group in zip(table, groups, strict=True):
        row[: len(group)] = group
    return Forest(n_features, base, table, _tests(trees, groups), _nodes(trees), _steps(trees))


def scores(
    forest: Forest, rows: Array, offsets: Array | None = None, events: Array | None = None
) -> Array:
    """Scores of rows, which are those of xgboost's ``Booster.predict``.

    Args:
        forest: the model.
        rows: ``rows * features``, single precision; NaN is a missing value.
        offsets: of the events' rows, ``events + 1``; None means that all rows belong to one event.
        events: positions of the events to score, in rising order; None is all.

    Returns:
        One score for each row of these events, single precision.
    """
    if offsets is None:
        offsets = np.array([0, len(rows)])
    if events is None:
        events = np.arange(len(offsets) - 1)
    sums = np.full((offsets[events + 1] - offsets[events]).sum(), forest.base, np.float32)
    if np.isnan(rows).any():
        kernels.add_leaves_by_nodes(forest.nodes, rows, offsets, events, sums)
    elif forest.tests is None:
        kernels.add_leaves_by_steps(forest.steps, rows, offsets, events, sums)
    else:
        kernels.add_leaves_by_masks(forest.tests, forest.groups, rows, offsets, events, sums)
    kernels.to_probabilities(sums)
    return sums


class _Refusal:
    """Errors about one model."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __call__(self, problem: str) -> InputError:
        return InputError(
            problem,
            place=self._place,
            remedy="use a model of this kind that xgboost saved as JSON, or train again",
        )


class _Tree:
    """One tree, checked, with its nodes numbered as in the file.

    Attributes:
        leaves: of each node, the numbers of the first leaf below it and of the one behind the last,
            from left to right; both 0 for a node that was pruned from the tree.
    """

    def __init__(
        self, tree: Mapping[str, Any], n_features: int, refuse: Callable[[str], InputError]
    ) -> None:
        if int(tree["tree_param"].get("size_leaf_vector", 0)) > 1:
            raise refuse("its leaves hold several values each")
        if any(map(int, tree.get("split_type", ()))):
            raise refuse("it tests categories")
        self.left = np.array(tree["left_children"], np.int64)
        self.right = np.array(tree["right_children"], np.int64)
        self.feature = np.array(tree["split_indices"], np.int64)
        # Also the value of a leaf.
        self.threshold = np.array(tree["split_conditions"], np.float32)
        self.missing = np.where(np.array(tree["default_left"], bool), self.left, self.right)
        self.is_leaf = self.left == -1
        self.leaves = np.zeros((len(self.left), 2), np.int64)
        self._seen = np.zeros(len(self.left), bool)
        self.n_leaves = self._number(0, 0)
        # Nodes that were pruned have a number that is of no feature.
        tested = self.feature[~self.is_leaf & (self.leaves[:, 1] > 0)]
        unknown = tested[(tested < 0) | (tested >= n_features)]
        if len(unknown):
            raise refuse(f"it tests feature {unknown[0]} of {n_features}")

    def _number(self, node: int, first: int) -> int:
        """Number the leaves below a node; returns the number of the next leaf."""
        if self._seen[node]:
            raise ValueError("its nodes are in a loop")
        self._seen[node] = True
        if self.is_leaf[node]:
            stop = first + 1
        else:
            stop = self._number(self.right[node], self._number(self.left[node], first))
        self.leaves[node] = first, stop
        return stop


def _base(text: Any, refuse: Callable[[str], InputError]) -> np.float32:
    """Initial value of the sum: the base score is a probability, and since version 3.1 a list."""
    value = json.loads(text) if isinstance(text, str) else text
    probabilities = value if isinstance(value, list) else [value]
    if len(probabilities) != 1 or not 0.0 < probabilities[0] < 1.0:
        raise refuse(f"its base score is {text}, not a probability")
    odds = np.float32(1.0) / np.float32(probabilities[0]) - np.float32(1.0)
    return np.float32(-np.log(np.float64(odds)))


def _tests(trees: Sequence[_Tree], groups: Sequence[Sequence[int]]) -> Tests | None:
    if any(tree.n_leaves > LEAVES_MAX for tree in trees):
        return None
    place = {feature: place for group in groups for place, feature in enumerate(group)}
    leaves = np.zeros((len(trees), LEAVES_MAX), np.float32)
    columns, thresholds, masks, starts = [], [], [], [0]
    for tree, values in zip(trees, leaves, strict=True):
        inner = np.flatnonzero(~tree.is_leaf & (tree.leaves[:, 1] > 0))
        ends = np.flatnonzero(tree.is_leaf & (tree.leaves[:, 1] > 0))
        values[tree.leaves[ends, 0]] = tree.threshold[ends]
        for group in groups:
            for node in inner[np.isin(tree.feature[inner], group)]:
                first, stop = tree.leaves[tree.left[node]].tolist()
                columns.append(place[tree.feature[node]])
                thresholds.append(tree.threshold[node])
                masks.append(_ALL & ~((1 << stop) - (1 << first)))
            starts.append(len(masks))
    return Tests(
        column=np.array(columns, np.int64),
        threshold=np.array(thresholds, np.float32),
        mask=np.array(masks, np.uint64),
        starts=np.array(starts, np.int64),
        leaves=leaves,
    )


def _nodes(trees: Sequence[_Tree]) -> Nodes:
    """The nodes of all trees, one tree after the other."""
    sizes = [len(tree.left) for tree in trees]
    roots = np.cumsum([0, *sizes])[:-1]
    shift = np.repeat(roots, sizes)
    feature = np.concatenate([np.where(tree.is_leaf, -1, tree.feature) for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    return Nodes(
        roots=roots,
        feature=feature,
        threshold=threshold,
        left=np.concatenate([tree.left for tree in trees]) + shift,
        right=np.concatenate([tree.right for tree in trees]) + shift,
        missing=np.concatenate([tree.missing for tree in trees]) + shift,
        value=np.where(feature < 0, threshold, np.float32(0.0)),
    )


def _steps(trees: Sequence[_Tree]) -> Steps:
    """The nodes of all trees, level by level."""
    roots, parts = [], []
    first = 0
    for tree in trees:
        order = [np.zeros(1, np.int64)]
        while len(inner := order[-1][~tree.is_leaf[order[-1]]]):
            order.append(np.column_stack([tree.left[inner], tree.right[inner]]).ravel())
        nodes = np.concatenate(order)
        place = np.zeros(len(tree.left), np.int64)
        place[nodes] = np.arange(first, first + len(nodes))
        leaf = tree.is_leaf[nodes]
        threshold, zero = tree.threshold[nodes], np.float32(0.0)
        parts.append(
            (
                np.where(leaf, 0, tree.feature[nodes]).astype(np.int32),
                np.where(leaf, np.float32(np.nan), threshold),
                np.where(leaf, place[nodes], place[tree.left[nodes]]).astype(np.int32),
                np.where(leaf, threshold, zero),
            )
        )
        roots.append(first)
        first += len(nodes)
    return Steps(
        np.array(roots, np.int32),
        *(np.concatenate(columns) for columns in zip(*parts, strict=True)),
    )
