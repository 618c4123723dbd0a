"""Random HistFactory models, and their minima by a minimiser that shares no code with the fit.

pyhf has the likelihood, scipy's SLSQP minimises it with derivatives from differences, within the
bounds and with no rate below zero.

`python tests/random_models.py --count 560` compares so many fits, and ends with an error if one
differs.
"""

import argparse
import json
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyhf
import scipy.optimize
from numpy.typing import NDArray

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import fit, workspace
from agc_pipeline.inference.settings import MinimiserSettings
from models import MU, sample, spec

Array = NDArray[np.float64]

SETTINGS = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=4)
# Values of -2 ln L that differ by less are the same; SLSQP with differences gets no closer.
SAME = 2e-5
_STEP = 1e-5
RIGHT = ("agrees", "lower")


class Comparison(NamedTuple):
    """The fit of a random model, and the independent one.

    Attributes:
        verdict: "agrees", "lower" where the independent fit ends higher and does not get below
            from there, or what is wrong: "refused", "not allowed" for a negative rate, "not the
            lowest", "other parameters".
        border: whether the minimum is where a rate is zero.
        undetermined: whether the data leave some parameters undetermined.
        detail: numbers.
    """

    verdict: str
    border: bool
    undetermined: bool
    detail: str


def random_workspace(seed: int) -> Any:
    """Channels, samples and modifiers of every type; some bins have no data, or next to nothing.

    Shapes take some bins below zero.
    """
    random = np.random.default_rng(seed)
    channels = []
    n_shapes, n_norms = int(random.integers(0, 4)), int(random.integers(0, 4))
    scale = float(10 ** random.uniform(-0.3, 2.7))
    empty = random.random() < 0.1
    lumi = bool(random.random() < 0.25)
    for c in range(int(random.integers(1, 4))):
        n_bins = int(random.integers(1, 7))
        samples = []
        total = np.zeros(n_bins)
        for s in range(int(random.integers(2, 4))):
            events = scale * random.gamma(1.5, 0.5, n_bins) * (0.4 if s == 0 else 1.0)
            events[random.random(n_bins) < 0.06] = 0.0
            total += events
            modifiers = _modifiers(random, events, c, s, n_shapes, n_norms)
            if s == 0:
                modifiers.insert(0, ("mu", *MU))
            if s == 1 and c > 0 and random.random() < 0.3:
                modifiers.append(("background", *MU))
            if lumi:
                modifiers.append(("lumi", "lumi", None))
            samples.append(sample(f"s{s}", events.tolist(), *modifiers))
        strength = random.uniform(0.3, 1.7)
        truth = total * (0.0 if empty else strength * random.uniform(0.5, 1.5))
        data = random.poisson(truth)
        data[(total == 0) | (random.random(n_bins) < 0.05)] = 0
        channels.append((f"c{c}", data.astype(float).tolist(), *samples))
    luminosity = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.03], "inits": [1.0]}
    return spec(
        *channels,
        parameters=({**luminosity, "bounds": [[0.5, 1.5]]},) if lumi else (),
        bounds=(0, 10) if random.random() < 0.5 else (-5, 20),
    )


def _modifiers(
    random: np.random.Generator, events: Array, c: int, s: int, n_shapes: int, n_norms: int
) -> list[tuple[str, str, Any]]:
    modifiers: list[tuple[str, str, Any]] = []
    for number in range(n_norms):
        if random.random() < 0.6:
            up, down = np.exp(random.normal(0, 0.2, 2))
            modifiers.append((f"n{number}", "normsys", {"hi": float(up), "lo": float(down)}))
    for number in range(n_shapes):
        if random.random() < 0.6:
            size = 1.3 if random.random() < 0.15 else 0.2
            up, down = (events * (1 + random.normal(0, size, len(events))) for _ in range(2))
            shapes = {"hi_data": up.tolist(), "lo_data": down.tolist()}
            modifiers.append((f"h{number}", "histosys", shapes))
    kind = random.random()
    errors = (events * random.uniform(0.02, 0.4, len(events))).tolist()
    if kind < 0.4:
        modifiers.append((f"stat_c{c}", "staterror", errors))
    elif kind < 0.6:
        modifiers.append((f"gamma_c{c}_s{s}", "shapesys", errors))
    elif kind < 0.65 and s == 1:
        modifiers.append((f"factor_c{c}", "shapefactor", None))
    return modifiers


class Independent:
    """pyhf's own likelihood of a workspace, for scipy.

    Args:
        content: the workspace.
    """

    def __init__(self, content: Any) -> None:
        codes = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
        unread = pyhf.Workspace(content)
        self.model = unread.model(modifier_settings=codes)
        config = self.model.config
        self.data = unread.data(self.model)
        self.free = ~np.array(config.suggested_fixed(), dtype=bool)
        self.start = np.array(config.suggested_init(), dtype=float)
        self.bounds = np.array(config.suggested_bounds(), dtype=float)
        self.points = 2 * int(self.free.sum())
        self._batch = unread.model(modifier_settings=codes, batch_size=max(self.points, 1))
        self.full = np.array(self.data[: config.nmaindata])

    def value(self, at: Array) -> float:
        """-2 ln L, huge where it does not exist."""
        with np.errstate(all="ignore"):
            value = -2 * float(self.model.logpdf(at, self.data)[0])
        return value if np.isfinite(value) else 1e15

    def rates(self, at: Array) -> Array:
        """Expected events in all bins."""
        return np.asarray(self.model.expected_data(at, include_auxdata=False))

    def _around(self, at: Array) -> tuple[Array, Array]:
        """Points beside ``at`` in all free parameters, and their distances."""
        sides = []
        for sign in (1, -1):
            points = np.tile(at, (int(self.free.sum()), 1))
            for row, position in enumerate(np.flatnonzero(self.free)):
                low, high = self.bounds[position]
                points[row, position] = np.clip(at[position] + sign * _STEP, low, high)
            sides.append(points)
        up, down = sides
        widths = (up - down)[np.arange(len(up)), np.flatnonzero(self.free)]
        return np.concatenate(sides), widths

    def gradient(self, at: Array) -> Array:
        """Derivatives of -2 ln L by the free parameters."""
        points, widths = self._around(at)
        with np.errstate(all="ignore"):
            up, down = np.split(-2 * np.asarray(self._batch.logpdf(points, self.data)), 2)
        return np.nan_to_num((up - down) / widths, nan=0.0, posinf=0.0, neginf=0.0)

    def slopes(self, at: Array) -> Array:
        """Derivatives of the rates by the free parameters, (b, f)."""
        points, widths = self._around(at)
        rates = np.asarray(self._batch.expected_data(points, include_auxdata=False))
        up, down = np.split(rates, 2)
        return np.asarray(((up - down) / widths[:, np.newaxis]).T)

    def minimum(self, starts: list[Array]) -> tuple[float, Array] | None:
        """The lowest point that is reached where no rate is negative; None if there is none."""
        found: list[tuple[float, Array]] = []
        for start in starts:
            at = start.copy()
            for _ in range(3):
                at = self._from(at)
            if self.rates(at).min() > -1e-6:
                found.append((self.value(at), at))
        return min(found, key=lambda pair: pair[0]) if found else None

    def _from(self, start: Array) -> Array:
        def whole(part: Array) -> Array:
            at = self.start.copy()
            at[self.free] = part
            return at

        limits = self.bounds[self.free]
        with np.errstate(all="ignore"):
            result = scipy.optimize.minimize(
                lambda part: self.value(whole(part)),
                np.clip(start[self.free], *limits.T),
                jac=lambda part: self.gradient(whole(part)),
                bounds=limits,
                constraints={
                    "type": "ineq",
                    "fun": lambda part: self.rates(whole(part)),
                    "jac": lambda part: self.slopes(whole(part)),
                },
                method="SLSQP",
                options={"ftol": 1e-13, "maxiter": 400},
            )
        return whole(np.clip(result.x, *limits.T))


def compare(seed: int) -> Comparison:
    """Fit a random model both ways."""
    content = random_workspace(seed)
    independent = Independent(content)
    model, data = workspace.load(content, place=f"seed {seed}")
    random = np.random.default_rng(seed)
    starts = [independent.start]
    for _ in range(2):
        starts.append(independent.start + random.normal(0, 0.3, len(independent.start)))
    other = independent.minimum(starts)
    try:
        found = fit.fit(model, data, SETTINGS)
    except ModelError as error:
        detail = f"{error.problem}; independent: {other}"
        return Comparison("refused", border=False, undetermined=False, detail=detail)
    results, diagnostics = found.results, found.diagnostics
    kind = (bool(diagnostics.zero_rates), bool(diagnostics.undetermined))
    lowest = independent.rates(results.bestfit).min()
    if lowest < -1e-9:
        return Comparison("not allowed", *kind, f"a rate of {lowest:.2g}")
    first = None if other is None else other[0]
    higher = other is None or other[0] > results.best_twice_nll + SAME
    if higher:
        # SLSQP stops early on some borders. From the minimum it must not find a lower point.
        other = independent.minimum([results.bestfit])
    detail = f"-2 ln L {results.best_twice_nll:.7f}, independent {first}, from there {other}"
    if other is None or other[0] > results.best_twice_nll + SAME:
        return Comparison("lower", *kind, detail)
    value, at = other
    if value < results.best_twice_nll - SAME:
        return Comparison("not the lowest", *kind, detail)
    sigma = results.uncertainty
    moved = np.abs(at - results.bestfit) / np.where(sigma > 0, sigma, 1.0)
    arbitrary = (*diagnostics.without_effect, *diagnostics.undetermined)
    moved[[results.labels.index(name) for name in arbitrary]] = 0
    if moved.max() > 0.05:
        worst = results.labels[int(np.argmax(moved))]
        return Comparison("other parameters", *kind, f"{worst} by {moved.max():.2g}; {detail}")
    return Comparison("lower" if higher else "agrees", *kind, detail)


def main() -> None:
    """Compare many models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=560)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    start, borders, undetermined = time.monotonic(), 0, 0
    for seed in range(arguments.first, arguments.first + arguments.count):
        result = compare(seed)
        counts[result.verdict] += 1
        borders += result.border
        undetermined += result.undetermined
        if result.verdict not in RIGHT:
            print(f"seed {seed}: {result.verdict}: {result.detail}", flush=True)
    print(json.dumps(dict(counts)), f"{borders} on the border of a rate of zero")
    print(f"{undetermined} with parameters that the data do not determine")
    print(f"{time.monotonic() - start:.0f} s")
    if set(counts) - set(RIGHT):
        sys.exit(1)


if __name__ == "__main__":
    main()
