"""Minima on the border of a rate of zero, parameters without effect, and random models."""

from typing import Any

import numpy as np
import pyhf
import pytest

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import fit, limits, profile, toys, workspace
from agc_pipeline.inference.fit import Fit
from agc_pipeline.inference.problem import problem
from agc_pipeline.inference.settings import LimitSettings, ToyTestSettings
from agc_pipeline.inference.toy_tests import ToySignal
from models import MU, NO_TOYS, sample, spec
from random_models import RIGHT, SAME, SETTINGS, Independent, compare, random_workspace


def fitted(content: Any) -> tuple[pyhf.Model, list[float], Fit]:
    model, data = workspace.load(content, place="test")
    return model, data, fit.fit(model, data, SETTINGS)


def falling(data: float = 24.0) -> Any:
    """A shape that a control region pulls down, beyond zero in a bin of the signal region."""
    shape = {"hi_data": [1.3, 2.4], "lo_data": [-0.3, 1.6]}
    return spec(
        (
            "SR",
            [0.0, 3.0],
            sample("signal", [1.0, 1.5], ("mu", *MU)),
            sample("background", [0.5, 2.0], ("shape", "histosys", shape)),
        ),
        (
            "CR",
            [data],
            sample(
                "background", [40.0], ("shape", "histosys", {"hi_data": [48.0], "lo_data": [32.0]})
            ),
        ),
    )


def test_the_lowest_point_of_a_grid_is_on_the_border() -> None:
    """Both parameters on a fine grid, of which only points with no negative rate count."""
    model, data, found = fitted(falling())
    assert found.diagnostics.zero_rates == ("SR bin 0",)
    results = found.results
    strengths, shifts = np.linspace(0.4, 1.4, 201), np.linspace(-2.2, -1, 241)
    grid = np.stack(np.meshgrid(strengths, shifts, indexing="ij"), axis=-1).reshape(-1, 2)
    order = [model.config.par_names.index(name) for name in ("mu", "shape")]
    points = np.empty_like(grid)
    points[:, order] = grid
    batch = pyhf.Workspace(falling()).model(
        batch_size=len(points), modifier_settings={"histosys": {"interpcode": "code4p"}}
    )
    allowed = np.asarray(batch.expected_data(points, include_auxdata=False)).min(axis=1) >= 0
    with np.errstate(all="ignore"):
        values = np.where(allowed, -2 * np.asarray(batch.logpdf(points, data)), np.inf)
    lowest = points[np.argmin(values)]
    assert results.best_twice_nll <= values.min()
    assert results.best_twice_nll == pytest.approx(values.min(), abs=2e-3)
    assert results.bestfit == pytest.approx(lowest, abs=0.02)
    rates = model.expected_data(results.bestfit.tolist(), include_auxdata=False)
    assert rates.min() == pytest.approx(0, abs=1e-9)
    assert rates.min() > -1e-12
    # Without the border it would be elsewhere, with a negative rate.
    free = pyhf.infer.mle.fit(data, model)
    assert model.expected_data(free, include_auxdata=False).min() < -0.1


def test_uncertainties_are_those_along_the_border() -> None:
    """There, one parameter is a function of the other."""
    model, data, found = fitted(falling())
    mu, shape = (found.results.labels.index(name) for name in ("mu", "shape"))
    best = found.results.bestfit
    step = 1e-3

    def along(shift: float) -> float:
        at = best.copy()
        at[shape] += shift
        # The rate of the first bin, 0.5 + 0.8 shape + mu, stays at zero.
        at[mu] -= 0.8 * shift
        return -2 * float(model.logpdf(at.tolist(), data)[0])

    curvature = (along(step) - 2 * along(0) + along(-step)) / step**2
    sigma = found.results.uncertainty
    assert sigma[shape] == pytest.approx(np.sqrt(2 / curvature), rel=1e-4)
    assert sigma[mu] == pytest.approx(0.8 * sigma[shape], rel=1e-9)
    assert found.results.corr_mat[mu, shape] == pytest.approx(-1)
    (finding,) = found.findings
    assert finding.where == "SR bin 0"
    assert "on the border where the expected yield is zero" in finding.message
    # The profile knows that rates cannot be negative.
    interval = profile.interval(found.problem, found.minimum, mu)
    assert interval.failures == {}
    assert interval.down is not None
    assert interval.up is not None
    for sign, size in ((-1, interval.down), (1, interval.up)):
        there = found.problem.conditional(found.minimum, {mu: best[mu] + sign * size})
        assert there.expansion.value - found.minimum.expansion.value == pytest.approx(1, abs=1e-5)
        assert found.problem.likelihood.rates(there.parameters).min() > -1e-12


def test_a_border_that_leaves_a_parameter_no_room() -> None:
    """Without any data, a strength that may be negative ends where nothing is expected."""
    shape = ("shape", "histosys", {"hi_data": [3.0, 1.2], "lo_data": [1.0, 0.9]})
    content = spec(("a", [0.0, 0.0], sample("s", [2.0, 1.0], ("mu", *MU), shape)), bounds=(-5, 5))
    _, _, found = fitted(content)
    results = found.results
    mu = results.labels.index("mu")
    assert results.bestfit[mu] == pytest.approx(0, abs=1e-12)
    assert results.uncertainty[mu] == 0
    assert found.diagnostics.zero_rates == ("a bin 0", "a bin 1")
    assert found.diagnostics.held_by_rates == ("mu",)
    # Of a signal that is not there, the shape is known as before the fit.
    assert (results.bestfit[1 - mu], results.uncertainty[1 - mu]) == pytest.approx((0, 1))


def test_a_parameter_without_effect_is_held_and_named() -> None:
    content = spec(
        (
            "a",
            [70.0, 60.0],
            sample("s", [40.0, 45.0], ("mu", *MU)),
            sample("b", [10.0, 0.0], ("bins", "shapefactor", None)),
            sample("nothing", [0.0, 0.0], ("idle", *MU)),
        ),
    )
    _, _, found = fitted(content)
    assert found.diagnostics.without_effect == ("idle", "bins[1]")
    results = dict(zip(found.results.labels, found.results.bestfit, strict=True))
    assert (results["idle"], results["bins[1]"]) == (1, 1)
    assert results["mu"] == pytest.approx(60 / 45)
    assert found.findings[-1].where == "idle, bins[1]"
    assert "changes no expected yield" in found.findings[-1].message


def test_a_factor_of_a_signal_that_vanishes() -> None:
    """Where the strength is zero, another factor of the signal means nothing."""
    signal = sample("s", [5.0], ("mu", *MU), ("efficiency", *MU))
    _, _, found = fitted(spec(("a", [10.0], signal, sample("b", [20.0]))))
    assert set(found.diagnostics.at_bounds) | set(found.diagnostics.without_effect) == {
        "mu",
        "efficiency",
    }
    assert found.results.best_twice_nll == pytest.approx(-2 * (10 * np.log(20) - 20 - 15.104412573))


def test_limits_and_pseudo_experiments_on_the_border() -> None:
    """Where rates are zero with the strength held, Asimov data and pseudo-data have no events."""
    _, _, found = fitted(falling())
    settings = LimitSettings(
        statistic="qtilde", confidence=0.95, points=3, max_significance=5, toys=NO_TOYS
    )
    computed = limits.compute(found.problem, settings)
    assert computed["failures"] == ()
    assert computed["limit"]["observed"] > found.results.bestfit[found.problem.poi]
    thrown = toys.throw(found.problem, found.minimum, count=5, seed=3)
    assert thrown.failures == {}


def test_a_fit_that_starts_from_its_minimum_on_the_border_stays_there() -> None:
    model, data, found = fitted(falling())
    again = problem(model, data, SETTINGS).lowest([found.results.bestfit]).minimum
    np.testing.assert_allclose(again.parameters, found.results.bestfit, atol=1e-9)
    np.testing.assert_allclose(again.covariance, found.minimum.covariance, atol=1e-9)
    assert again.zero_rates == found.minimum.zero_rates


def test_a_border_that_is_reached_from_inside_only() -> None:
    """Steps along the border get nowhere here; a path of fits with fractions of events does."""
    content = random_workspace(183)
    model, data = workspace.load(content, place="test")
    task = problem(model, data, SETTINGS)
    minimum = task.lowest([task.start]).minimum
    assert minimum.zero_rates
    independent = Independent(content)
    assert independent.rates(minimum.parameters).min() > -1e-9
    other = independent.minimum([minimum.parameters])
    assert other is not None
    assert independent.value(minimum.parameters) == pytest.approx(other[0], abs=SAME)


def test_no_significance_of_a_strength_that_the_data_do_not_determine() -> None:
    """Another factor can have any part of it. A limit remains where both are bounded."""
    settings = LimitSettings(
        confidence=0.95, statistic="qtilde", points=3, max_significance=5, toys=NO_TOYS
    )
    of_one = sample("s", [10.0], ("mu", *MU), ("nu", *MU))
    product = spec(("a", [20.0], of_one, sample("b", [5.0])))
    total = spec(("a", [20.0], sample("s", [10.0], ("mu", *MU)), sample("b", [10.0], ("nu", *MU))))
    for content, bounded in ((product, False), (total, True)):
        _, _, found = fitted(content)
        assert set(found.diagnostics.undetermined) == {"mu", "nu"}
        record = limits.compute(found.problem, settings)
        assert (record["significance"], record["expected_significance"]) == (None, None)
        reasons = record["failures"][:2]
        for name, reason in zip(("significance", "expected significance"), reasons, strict=True):
            assert reason.startswith(f"No {name}: the data do not determine mu")
            assert reason.endswith("other values of nu")
        assert (record["limit"] is not None) == bounded
        one = ToyTestSettings(count=1, seed=1)
        by_toys = ToySignal(limits.Signal(found.problem), one, excluded=1.0)
        with pytest.raises(ModelError, match="the data do not determine mu"):
            by_toys.significance()


# Besides the first ones, models whose lowest minimum is far from the start, and one (552) in which
# rates of zero leave a strength and the factors of a background undetermined.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 145, 206, 479, 552])
def test_random_models_agree_with_an_independent_minimiser(seed: int) -> None:
    result = compare(seed)
    assert result.verdict in RIGHT, result.detail


def test_data_of_which_a_likelihood_has_only_ten_digits() -> None:
    content = spec(("c", [1e9], sample("s", [10.0], ("mu", *MU)), sample("b", [100.0])))
    model, data = workspace.load(content, place="test")
    found = fit.fit(model, data, SETTINGS)
    assert found.results.bestfit.tolist() == [10.0]
    assert found.diagnostics.at_bounds == ("mu",)


def test_a_bound_that_holds_nothing_determines_nothing() -> None:
    """A fit that ends at a strength of zero, whose part the factors of all bins can take."""
    result = compare(7)
    assert result.verdict == "agrees", result.detail
    assert result.undetermined
