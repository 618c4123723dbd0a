"""Stands in for the FIL backend, which the package index does not have: scores by xgboost.

Triton's Python backend runs it, in the environment of the server; so a server loads the exported
repository as it is.
"""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as backend
import xgboost


class TritonPythonModel:
    def initialize(self, arguments):
        folder = Path(arguments["model_repository"]) / arguments["model_version"]
        self._model = xgboost.Booster({"nthread": 1}, model_file=folder / "xgboost.json")

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        rows = backend.get_input_tensor_by_name(request, "input__0").as_numpy()
        # The exported models have the names of their columns.
        scores = self._model.predict(xgboost.DMatrix(rows), validate_features=False)
        tensor = backend.Tensor("output__0", scores.astype(np.float32)[:, np.newaxis])
        return backend.InferenceResponse([tensor])
