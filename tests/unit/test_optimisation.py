"""Bins by the expected uncertainty: toys whose optimum is known."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.stats import norm

from agc_pipeline.inference.closed_form import ClosedForm, RegionTemplates, Shifts
from agc_pipeline.inference.interpolation import factor_slopes
from agc_pipeline.inference.optimisation import candidate, hard, judged, optimise, shares
from agc_pipeline.inference.settings import OptimisationSettings

FINE = np.linspace(-6.0, 6.0, 12001)
SIGNAL, BACKGROUND, NORMALISATION = 100.0, 400.0, 0.3
SETTINGS = OptimisationSettings(
    bins=(2,),
    methods=("gradient",),
    noise=True,
    widths=(600, 120, 24, 4),
    starts=2,
    population=10,
    generations=60,
    seed=1,
    judge=None,
    throws=2,
    toys=0,
)


def filled(mean: float, events: float) -> Any:
    return events * np.diff(norm.cdf(FINE, loc=mean))


def toy(up: Any = None, variances: Any = 0.0) -> ClosedForm:
    """Signal and background, the second with an uncertain normalisation, and shape if there is one.

    Args:
        up: contents of the background, varied.
        variances: of them, from a sample of its own.
    """
    nominal = np.stack([filled(1.0, SIGNAL), filled(-1.0, BACKGROUND)])
    (slope,) = factor_slopes(np.array([1 + NORMALISATION]), np.array([1 - NORMALISATION]))
    slopes = np.array([[1.0, 0.0], [0.0, slope], [0.0, 0.0]])
    rows = np.zeros((0, len(FINE) - 1)) if up is None else up[np.newaxis]
    n = len(rows)
    shifts = Shifts(
        parameter=np.full(n, 2),
        sample=np.ones(n, dtype=np.int_),
        kind=np.array(["sample"] * n, dtype=np.str_),
        mirrored=np.ones(n, dtype=np.bool_),
        up=rows,
        down=rows,
        up_variances=np.zeros_like(rows) + variances,
        down_variances=np.zeros_like(rows) + variances,
        moved=np.zeros(0, dtype=np.int_),
        up_shared=np.zeros((0, 1, 1)),
        down_shared=np.zeros((0, 1, 1)),
    )
    region = RegionTemplates(FINE, nominal, np.zeros_like(nominal), slopes, shifts)
    return ClosedForm({"r": region}, ("mu", "norm", "shape"), np.array([True, False, False]))


def variance(edge: float) -> float:
    """In two bins, by hand."""
    signal = np.array([norm.cdf(edge - 1), norm.sf(edge - 1)]) * SIGNAL
    background = np.array([norm.cdf(edge + 1), norm.sf(edge + 1)]) * BACKGROUND
    slope = factor_slopes(np.array([1 + NORMALISATION]), np.array([1 - NORMALISATION]))[0]
    slopes = np.stack([signal, slope * background])
    information = (slopes / (signal + background)) @ slopes.T + np.diag([0.0, 1.0])
    return float(np.linalg.inv(information)[0, 0])


@pytest.mark.parametrize("method", ["gradient", "evolution"])
def test_the_best_edge_of_two_gaussians(method: Any) -> None:
    best = scipy.optimize.minimize_scalar(variance, bounds=(-2, 3), method="bounded").x
    result = optimise(toy(), method, SETTINGS)
    assert result.edges["r"][1] == pytest.approx(best, abs=1e-3 + 2e-3 * (method == "evolution"))
    assert result.uncertainty**2 == pytest.approx(variance(best), rel=1e-4)
    again = optimise(toy(), method, SETTINGS)
    assert again.model_copy(update={"seconds": result.seconds}) == result


def test_a_systematic_is_avoided() -> None:
    without = optimise(toy(), "gradient", SETTINGS)
    # The background beyond the edge that tempts is uncertain.
    up = filled(-1.0, BACKGROUND)
    up = up * np.where(FINE[:-1] > without.edges["r"][1] - 0.2, 2.0, 1.0)
    there = toy(up)
    result = optimise(there, "gradient", SETTINGS)
    tempted = candidate(there, "gradient", without.edges)
    assert abs(result.edges["r"][1] - without.edges["r"][1]) > 0.05
    assert result.uncertainty < 0.999 * tempted.uncertainty


def test_noise_of_varied_templates_does_not_pay() -> None:
    random = np.random.default_rng(3)
    nominal = filled(-1.0, BACKGROUND)
    # What looks like a shape is the statistics of a small sample: 30 % in each of 24 blocks.
    blocks = np.repeat(random.normal(size=24), len(nominal) // 24)
    model = toy(nominal * (1 + 0.3 * blocks), (0.3 * nominal) ** 2 * (len(nominal) // 24))
    many = SETTINGS.model_copy(update={"bins": (2, 8), "population": 4, "generations": 15})
    aware = optimise(model, "evolution", many)
    blind = optimise(model, "evolution", many.model_copy(update={"noise": False}))
    assert aware.uncertainty < blind.uncertainty
    assert blind.fit < aware.fit


def test_the_judge_knows_a_gain_from_noise() -> None:
    model = toy()
    declared = candidate(model, "declared", {"r": (-6.0, 2.0, 6.0)})
    better = optimise(model, "gradient", SETTINGS)
    first, second = judged([declared, better], model, model, throws=2, seed=1)
    assert first.judgement is not None
    assert second.judgement is not None
    # With its own templates as the truth, the scatter is the uncertainty.
    assert second.judgement.scatter == pytest.approx(better.uncertainty, rel=1e-9)
    assert (first.judgement.verdict, second.judgement.verdict) == ("none", "better")


def test_soft_bins_become_hard() -> None:
    edges = np.array([-4.0, 0.5, 4.0])
    coarse = np.linspace(-4.0, 4.0, 17)
    step = shares(edges, coarse)
    assert step.tolist() == hard_shares(coarse, edges).tolist()
    soft = shares(edges, coarse, 0.3)
    assert soft.sum(axis=1) == pytest.approx(1.0)
    assert np.abs(shares(edges, coarse, 1e-6) - step).max() < 1e-5 < np.abs(soft - step).max()


def hard_shares(fine: Any, edges: Any) -> Any:
    region = toy().regions["r"]
    n = len(fine) - 1
    small = RegionTemplates(fine, np.ones((2, n)), np.zeros((2, n)), region.slopes, region.shifts)
    model = ClosedForm({"r": small}, ("mu", "norm", "shape"), np.array([True, False, False]))
    return hard(model, {"r": tuple(edges)})["r"]
