"""Speed of scoring by forests of large trees, against xgboost and row by row.

    python benchmarks/forest.py [--leaves 1100] [--trees 60] [--rows 200000] [--repeat 5]

The forest is trained on random labels, of which trees grow as large as they may. CPU time of one
thread, the best of each; the three take turns, and give the same scores to the bit.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost

import command_line
from agc_pipeline.learning import forest, trees
from agc_pipeline.stages.command import errors_told

FEATURES = 20


def by_nodes(model: forest.Forest, rows: Any) -> Any:
    """Scores by descending row by row."""
    sums = np.full(len(rows), model.base, np.float32)
    trees.add_leaves_by_nodes(model.nodes, rows, np.array([0, len(rows)]), np.arange(1), sums)
    trees.to_probabilities(sums)
    return sums


def main() -> None:
    """Measure, and print a table."""
    arguments = command_line.parser(__doc__)
    arguments.add_argument("--leaves", type=command_line.count, default=1100)
    arguments.add_argument("--trees", type=command_line.count, default=60)
    arguments.add_argument("--rows", type=command_line.count, default=200_000)
    arguments.add_argument("--repeat", type=command_line.count, default=5)
    options = arguments.parse_args()
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(options.rows, FEATURES)).astype(np.float32)
    labels = rng.random(len(rows)) < 1 / (1 + np.exp(-rows[:, 0]))
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "nthread": 1,
            "grow_policy": "lossguide",
            "max_depth": 0,
            "max_leaves": options.leaves,
        },
        xgboost.DMatrix(rows, label=labels),
        options.trees,
    )
    with errors_told(output="the command line"):
        model = forest.parse(bytes(booster.save_raw("json")), place="the benchmark's model")
    ways: dict[str, Callable[[], Any]] = {
        "xgboost": lambda: booster.predict(xgboost.DMatrix(rows)),
        "row by row": lambda: by_nodes(model, rows),
        "package": lambda: forest.scores(model, rows),
    }
    # The first time compiles.
    expected = ways["xgboost"]()
    for name, way in ways.items():
        if not (way() == expected).all():
            sys.exit(f"error: {name} gives other scores than xgboost")
    best: dict[str, float] = {}
    for _ in range(options.repeat):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds = time.process_time() - start
            best[name] = min(seconds, best.get(name, seconds))
    print("| way | CPU seconds | over xgboost |")
    print("| --- | --- | --- |")
    for name, seconds in best.items():
        print(f"| {name} | {seconds:.3g} | {best['xgboost'] / seconds:.2f} |")


if __name__ == "__main__":
    main()
