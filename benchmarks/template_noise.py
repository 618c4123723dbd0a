r"""Is the stated uncertainty honest? Runs with other simulated events judge each other's fits.

Templates of one run are fitted to measurements that are thrown from the templates of another: true
values of the systematics within their uncertainties, auxiliary measurements around them, Poisson
numbers of events. What the best fits miss the truth by is compared with what the fit states,
without and with the statistics of varied templates. The judges are finite, too: their own noise is
part of what is expected of the scatter, not of the uncertainty. Two simulations differ in one way
only, however many measurements are thrown, so that it takes several to judge. Last, the pseudodata
of one run are fitted with the templates of the other: they differ by their statistics.

    snakemake --cores 2
    for seed in 4711 4712 4713 4714; do
        snakemake --cores 2 --config results=results/$seed "simulation={\"seed\": $seed}"
    done
    python benchmarks/template_noise.py results results/47*
"""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erf

import command_line
from agc_pipeline.config import load_config
from agc_pipeline.errors import InputError, ModelError
from agc_pipeline.files import read_json
from agc_pipeline.inference import fit_records
from agc_pipeline.inference.fit_records import ModelRecord
from agc_pipeline.inference.result import FitResult, fit_workspace
from agc_pipeline.inference.settings import MinimiserSettings, NoiseSettings
from agc_pipeline.inference.template_noise import template_noise
from agc_pipeline.inference.templates import select
from agc_pipeline.inference.workspace import quieten
from agc_pipeline.results import open_results
from agc_pipeline.stages.command import errors_told

MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=2)
NOISE = NoiseSettings(in_total=True, warn_above=0.3)


def misses(fit: FitResult, truth: FitResult, count: int, seed: int) -> tuple[Any, Any, int]:
    """Best fits minus truth, uncertainties of the fits, and how many failed."""
    task, other = fit.problem, truth.problem
    if task.names != other.names:
        sys.exit("error: the runs have different models")
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
    if not differences:
        sys.exit(f"error: none of {count} fits has a minimum")
    return np.array(differences), np.array(uncertainties), failures


class Run(NamedTuple):
    """A run: its fit, and the statistical variances of its data."""

    name: str
    fit: FitResult
    data_variances: Any


def opened(folder: Path) -> Run:
    """The run in a folder of results."""
    workspace = read_json(folder / "workspace.json")
    description = fit_records.read(ModelRecord, folder / "model.json", workspace)
    fit = fit_workspace(workspace, MINIMISER, description=description, noise=NOISE)
    config = load_config()
    histograms = open_results(folder, config).histograms.by_name
    data = select(config.declaration, histograms, config.fit.model).data
    regions = {entry.region: title for title, entry in description.channels.items()}
    by_title = {regions[name]: template for name, template in data.items()}
    templates = [by_title[title] for title in fit.model.config.channels]
    yields = np.concatenate([template.yields for template in templates])
    if not np.array_equal(yields, fit.problem.likelihood.data):
        raise InputError(
            "the data of the workspace are not those of the default configuration",
            place=str(folder),
            remedy="take runs of the default configuration, with other simulated events only",
        )
    variances = np.concatenate([template.stdev**2 for template in templates])
    return Run(str(folder), fit, variances)


def slopes_of(run: Run) -> Any:
    """Derivative of the run's best fit by the data of each bin."""
    task, start = run.fit.problem, run.fit.minimum.parameters
    data = task.likelihood.data

    def best(changed: Any) -> float:
        found = task.with_data(changed, task.likelihood.constraints).lowest([start]).minimum
        return float(found.parameters[task.poi])

    return np.array(
        [
            (best(data + step) - best(data - step)) / (2 * step.sum())
            for step in np.diag(1e-3 * data)
        ]
    )


def nominal_variances(run: Run) -> Any:
    """Statistical variances of the sum of the nominal templates, by bin."""
    return np.concatenate(
        [
            sum(
                np.array(sample.nominal.variances)
                for sample in run.fit.description.contents
                if sample.channel == title
            )
            for title in run.fit.model.config.channels
        ]
    )


class Judgement(NamedTuple):
    """Measurements of the truth of one run, fitted with the templates of another.

    Attributes:
        task, truth: names of the runs.
        missed: best fits minus truth, of each measurement.
        fit: uncertainties of the fits, of each measurement.
        total: what the run states with the statistics of varied templates.
        expected: root mean square of the misses, with the noise of the judge.
        failed: fits without a minimum.
    """

    task: str
    truth: str
    missed: Any
    fit: Any
    total: float
    expected: float
    failed: int

    def __str__(self) -> str:
        return (
            f"{len(self.missed)} measurements from {self.truth}, fitted with {self.task} "
            f"({self.failed} failed): root mean square of the misses {rms(self.missed):.4f}, mean "
            f"{np.mean(self.missed):+.4f}; uncertainty of the fit {rms(self.fit):.4f}, expected of "
            f"the misses {self.expected:.4f}; within the stated {self.total:.4f}: "
            f"{np.mean(abs(self.missed) < self.total):.0%}, within that of the fit: "
            f"{np.mean(abs(self.missed) < self.fit):.0%}"
        )


def rms(values: Any) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def judged(run: Run, judge: Run, count: int, seed: int) -> Judgement:
    """Measurements of a truth by other simulated events."""
    fit, noise = run.fit, run.fit.template_noise
    theirs = template_noise(
        fit.model,
        fit.problem,
        fit.minimum,
        judge.fit.description.contents,
        breakdown=fit.breakdown,
        settings=NOISE,
    )
    if noise is None or theirs is None:
        sys.exit("error: the runs know nothing of the statistics of their templates")
    missed, uncertainty, failures = misses(fit, judge.fit, count, seed)
    extra = 0.0
    if run.name != judge.name:
        # The nominal templates of the judge are the truth, and not known any better.
        nominal = np.square(slopes_of(run)) @ nominal_variances(judge)
        extra = np.sqrt(noise.expected**2 + theirs.expected**2 + nominal)
    expected = float(np.hypot(rms(uncertainty), extra))
    return Judgement(run.name, judge.name, missed, uncertainty, noise.total, expected, failures)


def overall(judgements: Sequence[Judgement]) -> str:
    """All of them together."""

    def share(bound: str) -> float:
        return float(np.mean([np.mean(abs(e.missed) < getattr(e, bound)) for e in judgements]))

    # The truth has statistics of its own, which are not the run's to state.
    gaussian = np.mean([erf(each.total / each.expected / np.sqrt(2)) for each in judgements])
    pairs = [rms(each.missed) for each in judgements]
    return (
        f"all {len(judgements)} pairs of runs: root mean square of the misses "
        f"{rms(np.concatenate([each.missed for each in judgements])):.4f} "
        f"({min(pairs):.4f} to {max(pairs):.4f}), expected "
        f"{rms([each.expected for each in judgements]):.4f}; within the expected: "
        f"{share('expected'):.0%} (68% if Gaussian); within the stated total: {share('total'):.0%} "
        f"({gaussian:.0%} if Gaussian); within that of the fit: {share('fit'):.0%}"
    )


def shifted(run: Run, judge: Run) -> str:
    """The run's fit of the pseudodata of another one."""
    task, start = run.fit.problem, run.fit.minimum.parameters
    own, other = task.likelihood.data, judge.fit.problem.likelihood.data

    def best(data: Any) -> float:
        found = task.with_data(data, task.likelihood.constraints).lowest([start]).minimum
        return float(found.parameters[task.poi])

    variances = run.data_variances + judge.data_variances
    expected = np.sqrt(np.square(slopes_of(run)) @ variances)
    return (
        f"pseudodata of {judge.name}, fitted with {run.name}: {best(other):.4f}, "
        f"{best(other) - best(own):+.4f} from {best(own):.4f}; expected of their statistics: "
        f"{expected:.4f}"
    )


def main() -> None:
    """Print the comparison."""
    arguments = command_line.parser(__doc__)
    arguments.add_argument("runs", type=Path, nargs="+", help="results with other simulated events")
    arguments.add_argument("--measurements", type=command_line.count, default=300)
    arguments.add_argument("--seed", type=command_line.count, default=1)
    options = arguments.parse_args()
    quieten()
    with errors_told(output="the command line"):
        report([opened(folder) for folder in options.runs], options.measurements, options.seed)


def report(runs: Sequence[Run], count: int, seed: int) -> None:
    """Print what the runs state, and how they judge each other."""
    for each in runs:
        fit, noise = each.fit, each.fit.template_noise
        if fit.poi is not None and noise is not None:
            print(
                f"{each.name}: {fit.poi.name} = {fit.poi.bestfit:.4f} +- {noise.total:.4f}: fit "
                f"{fit.poi.uncertainty:.4f}, varied templates {noise.observed:.4f} for these data, "
                f"{noise.expected:.4f} expected"
            )
    for run in runs:
        print(judged(run, run, count, seed))
    judgements = []
    for run, judge in itertools.permutations(runs, 2):
        judgements.append(judged(run, judge, count, seed))
        print(judgements[-1])
        print(shifted(run, judge))
    if judgements:
        print(overall(judgements))


if __name__ == "__main__":
    main()
