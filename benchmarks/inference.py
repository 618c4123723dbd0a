"""Time of the fit and of the ranking, with exact derivatives and with cabinetry.

Both fit the same model: the published histograms for N files per dataset. Run it as
`python benchmarks/inference.py --n-files 5`. Times are CPU seconds of one process with one thread,
the median of some repetitions for the fit; there is nothing to compile. cabinetry's ranking takes
a minute or two, and is left out with `--no-cabinetry-ranking`.
"""

import os

# Before the first import of numpy: threads that wait for each other would count as CPU time.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cabinetry
import pyhf
import yaml

import command_line
from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.inference import fit, ranking, workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.settings import FitSettings
from agc_pipeline.stages.command import errors_told
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


def measure(n_files: int, repeat: int, *, cabinetry_ranks: bool) -> dict[str, Any]:
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
    ranking_s, rows = timed(lambda: ranking.rank(exact.problem, exact.minimum, {}))
    measured: dict[str, Any] = {
        "n_files": n_files,
        "fit": {
            "exact_s": exact_s,
            "cabinetry_s": plain_s,
            "exact": [exact.results.bestfit[poi], exact.results.uncertainty[poi]],
            "cabinetry": [plain.bestfit[poi], plain.uncertainty[poi]],
        },
        "ranking": {
            "exact_s": ranking_s,
            "fits": 4 * len(rows),
            "exact_failed": sum(len(row.failures) for row in rows),
        },
    }
    if cabinetry_ranks:
        seconds, failure = timed(lambda: _ranking(model, data, plain))
        measured["ranking"] |= {"cabinetry_s": seconds, "cabinetry_failed": failure}
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
    arguments = command_line.parser(__doc__)
    arguments.add_argument("--n-files", type=int, default=5)
    arguments.add_argument("--repeat", type=command_line.count, default=5)
    arguments.add_argument("--no-cabinetry-ranking", dest="cabinetry_ranks", action="store_false")
    arguments.add_argument("--json", type=command_line.output)
    options = arguments.parse_args()
    workspace.quieten()
    with errors_told(output="the command line"):
        measured = measure(options.n_files, options.repeat, cabinetry_ranks=options.cabinetry_ranks)
        print("\n".join(lines(measured)))
        if options.json is not None:
            write_json(options.json, measured)


def lines(measured: dict[str, Any]) -> Iterator[str]:
    """What was measured."""
    yield f"{'':26}{'exact [s]':>12}{'cabinetry [s]':>15}{'factor':>9}"
    for name in ("fit", "ranking"):
        ours, theirs = measured[name]["exact_s"], measured[name].get("cabinetry_s")
        others = "" if theirs is None else f"{theirs:15.2f}{theirs / ours:9.1f}"
        yield f"{name:26}{ours:12.3f}{others}"
    for name in ("exact", "cabinetry"):
        value, uncertainty = measured["fit"][name]
        yield f"ttbar_norm, {name:14}{value:.4f} +- {uncertainty:.4f}"
    ranked = measured["ranking"]
    converged = ranked["fits"] - ranked["exact_failed"]
    yield f"ranking: {converged} of {ranked['fits']} exact fits converged"
    if "cabinetry_failed" in ranked:
        yield f"cabinetry's ranking: {ranked['cabinetry_failed'] or 'complete'}"


if __name__ == "__main__":
    main()
