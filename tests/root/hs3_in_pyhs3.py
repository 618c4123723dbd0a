"""Evaluate models in HS3 JSON: a program for an environment with pyhs3.

    python hs3_in_pyhs3.py < REQUEST > ANSWER

The request has paths of files, each with points: values of all parameters. The answer has for each
file the logarithm of the likelihood at the points. Each is validated, whether it has points or not.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyhs3
import pytensor


def answer(path, points):
    """About the model in a file."""
    workspace = pyhs3.Workspace(**json.loads(Path(path).read_text(encoding="utf-8")))
    (analysis,) = workspace.analyses
    if not points:
        return {"values": []}
    model = workspace.model(analysis, progress=False, mode="FAST_COMPILE")
    inputs = {
        variable.name: variable
        for variable in pytensor.graph.traversal.explicit_graph_inputs([model.log_prob])
        if variable.name is not None
    }
    function = pytensor.function(
        list(inputs.values()), model.log_prob, mode="FAST_COMPILE", on_unused_input="ignore"
    )
    values = []
    for point in points:
        known = {**model.free_params, **model.data, **point}
        arguments = [
            np.asarray(known[name], dtype=variable.dtype).reshape((-1,) * variable.ndim)
            for name, variable in inputs.items()
        ]
        values.append(float(np.sum(function(*arguments))))
    return {"values": values}


def main():
    answers = {}
    for path, points in json.load(sys.stdin).items():
        try:
            answers[path] = answer(path, points)
        except Exception as error:
            answers[path] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answers))


main()
