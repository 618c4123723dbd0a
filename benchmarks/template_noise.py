"""Is the stated uncertainty honest? A fit, judged by an independent simulation.

Templates of one run are fitted to measurements that are thrown from the templates of another run
with other simulated events: true values of the systematics within their uncertainties, auxiliary
measurements around them, Poisson numbers of events. What the best fits miss the truth by is
compared with what the fit states, without and with the statistics of varied templates. The judge is
finite, too: its own noise, as large as the first one's for runs of the same size, is part of what
is expected of the scatter, not of the uncertainty.

    snakemake --cores 2
    snakemake --cores 2 --config results=results/independent 'simulation={"seed": 4711}'
    python benchmarks/template_noise.py results results/independent
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.files import read_json
from agc_pipeline.inference import fit_records
from agc_pipeline.inference.fit_records import ModelRecord
from agc_pipeline.inference.result import FitResult, fit_workspace
from agc_pipeline.inference.settings import MinimiserSettings, NoiseSettings
from agc_pipeline.inference.template_noise import template_noise
from agc_pipeline.inference.workspace import quieten

MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=2)
NOISE = NoiseSettings(in_total=True, warn_above=0.3)


def fitted(folder: Path) -> FitResult:
    """The fit of a run's workspace."""
    workspace = read_json(folder / "workspace.json")
    description = fit_records.read(ModelRecord, folder / "model.json", workspace)
    return fit_workspace(workspace, MINIMISER, description=description, noise=NOISE)


def misses(fit: FitResult, truth: FitResult, count: int, seed: int) -> tuple[Any, Any, int]:
    """Best fits minus truth, uncertainties of the fits, and how many failed."""
    task, other = fit.problem, truth.problem
    if task.names != other.names:
        raise SystemExit("the runs have different models")
    random = np.random.default_rng(seed)
    systematics = np.array(
        [
            constrained and not name.startswith("staterror")
            for name, constrained in zip(
                task.names, task.likelihood.constraints.widths() > 0, strict=True
            )
        ]
    )
    differences, uncertainties, failures = [], [], 0
    for _ in range(count):
        at = other.start.copy()
        at[systematics] += random.normal(size=systematics.sum())
        centre = task.likelihood.constraints.centre.copy()
        centre[systematics] = at[systematics] + random.normal(size=systematics.sum())
        data = random.poisson(np.maximum(other.likelihood.rates(at), 0.0)).astype(np.float64)
        constraints = task.likelihood.constraints.__class__(
            centre,
            task.likelihood.constraints.weight,
            task.likelihood.constraints.counts,
            task.likelihood.constraints.rate,
        )
        try:
            best = task.with_data(data, constraints).lowest([task.start, at]).minimum
        except ModelError:
            failures += 1
            continue
        differences.append(best.parameters[task.poi] - at[task.poi])
        uncertainties.append(np.sqrt(best.covariance[task.poi, task.poi]))
    return np.array(differences), np.array(uncertainties), failures


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="results of the run whose fit is judged")
    parser.add_argument("judge", type=Path, help="results of a run with other simulated events")
    parser.add_argument("--measurements", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    quieten()
    fit, judge = fitted(options.run), fitted(options.judge)
    noise = fit.template_noise
    theirs = template_noise(
        fit.model,
        fit.problem,
        fit.minimum,
        judge.description.contents,
        breakdown=fit.breakdown,
        settings=NOISE,
    )
    if noise is None or theirs is None:
        raise SystemExit("the runs know nothing of the statistics of their templates")
    print(f"{fit.poi.name} = {fit.poi.bestfit:.4f} +- {fit.poi.uncertainty:.4f} (fit)")
    print(f"varied templates: {noise.observed:.4f} for these data, {noise.expected:.4f} expected")
    print(f"stated: +- {noise.total:.4f}")
    for name, truth, extra in (("itself", fit, None), ("the independent run", judge, theirs)):
        missed, uncertainty, failures = misses(fit, truth, options.measurements, options.seed)
        stated = float(np.sqrt(np.mean(uncertainty**2)))
        expected = stated
        if extra is not None:
            expected = float(np.sqrt(stated**2 + noise.expected**2 + extra.expected**2))
        print(
            f"{len(missed)} measurements from {name} ({failures} failed): root mean square of the "
            f"misses {np.sqrt(np.mean(missed**2)):.4f}, median size {np.median(abs(missed)):.4f}; "
            f"uncertainty of the fit {stated:.4f}, with the noise of the templates of both "
            f"{expected:.4f}; within the stated {noise.total:.4f}: "
            f"{np.mean(abs(missed) < noise.total):.0%}, within that of the fit: "
            f"{np.mean(abs(missed) < uncertainty):.0%}"
        )


if __name__ == "__main__":
    main()
