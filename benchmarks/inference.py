"""Time of the fit and of the ranking, with exact derivatives and with cabinetry.

Both fit the same model: the published histograms for N files per dataset. Run it as
`python benchmarks/inference.py --n-files 5`. Times are CPU seconds of one process with one thread,
the median of some repetitions for the fit; there is nothing to compile. cabinetry's ranking takes
a minute or two, and is left out with `--no-ranking`.
"""

import os

# Before the first import of numpy: threads that wait for each other would count as CPU time.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cabinetry
import numpy as np
import pyhf
import yaml

from agc_pipeline import analyses
from agc_pipeline.errors import PipelineError
from agc_pipeline.inference import fit, ranking, workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.problem import problem
from agc_pipeline.inference.settings import FitSettings
from agc_pipeline.validation import published

CONFIG = Path(__file__).resolve().parent.parent / "config"


def timed(call: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """Median of the CPU seconds of a call, and what it gives."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def measure(n_files: int, repeat: int, with_ranking: bool) -> dict[str, Any]:
    """Times of both methods, and what they find."""
    values = yaml.safe_load((CONFIG / "fit.yaml").read_text())["fit"]
    values["model"] |= yaml.safe_load((CONFIG / "cms_ttbar" / "fit.yaml").read_text())["fit"][
        "model"
    ]
    settings = FitSettings.model_validate(values)
    analysis = analyses.load("cms_ttbar")
    histograms = published.load(analysis, n_files)
    spec = build_workspace(analysis, histograms, settings.model).workspace
    model, data = workspace.load(spec, place="published histograms")
    poi = model.config.poi_index

    exact_s, exact = timed(lambda: fit.fit(model, data, settings.minimiser), repeat)
    plain_s, plain = timed(lambda: cabinetry.fit.fit(model, data), repeat)
    measured = {
        "n_files": n_files,
        "fit": {
            "exact_s": exact_s,
            "cabinetry_s": plain_s,
            "exact": [exact.results.bestfit[poi], exact.results.uncertainty[poi]],
            "cabinetry": [plain.bestfit[poi], plain.uncertainty[poi]],
        },
    }
    if with_ranking:
        exact_fit = problem(model, data, settings.minimiser)
        ours_s, rows = timed(lambda: ranking.rank(exact_fit, fit.minimum(exact_fit).minimum, {}))
        theirs_s, theirs = timed(lambda: _ranking(model, data, plain))
        measured["ranking"] = {
            "exact_s": ours_s,
            "cabinetry_s": theirs_s,
            "fits": 4 * len(rows),
            "exact_failed": sum(len(row.failures) for row in rows),
            "cabinetry_failed": theirs,
        }
    return measured


def _ranking(model: pyhf.Model, data: list[float], results: Any) -> str:
    """Run cabinetry's ranking; gives how it failed, empty if it did not."""
    try:
        cabinetry.fit.ranking(model, data, fit_results=results)
    except (pyhf.exceptions.FailedMinimization, ValueError) as error:
        return str(error).splitlines()[-1]
    return ""


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-files", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-ranking", dest="ranking", action="store_false")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    workspace.quieten()
    try:
        measured = measure(options.n_files, options.repeat, options.ranking)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    print(f"{'':26}{'exact [s]':>12}{'cabinetry [s]':>15}{'factor':>9}")
    for name in [key for key in ("fit", "ranking") if key in measured]:
        ours, theirs = measured[name]["exact_s"], measured[name]["cabinetry_s"]
        print(f"{name:26}{ours:12.3f}{theirs:15.2f}{theirs / ours:9.1f}")
    for name in ("exact", "cabinetry"):
        value, uncertainty = np.array(measured["fit"][name])
        print(f"ttbar_norm, {name:14}{value:.4f} +- {uncertainty:.4f}")
    if "ranking" in measured:
        row = measured["ranking"]
        print(f"ranking: {row['fits'] - row['exact_failed']} of {row['fits']} exact fits converged")
        print(f"cabinetry's ranking: {row['cabinetry_failed'] or 'complete'}")
    if options.json is not None:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
