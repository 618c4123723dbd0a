"""Minima on the border of a rate of zero, parameters without effect, and random models."""

from typing import Any

import numpy as np
import pyhf
import pytest

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import fit, limits, profile, toys, workspace, yields
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


def test_steps_to_where_numbers_end_are_not_taken() -> None:
    """Two factors of a signal, and a shape that takes a bin without data below zero."""
    content = spec(
        (
            "c0",
            [610.0, 0.0, 160.0],
            sample(
                "s",
                [13.0, 38.0, 4.4],
                ("mu", "normfactor", None),
                ("n0", "normsys", {"hi": 1.3, "lo": 1.4}),
                ("n0", "histosys", {"hi_data": [9.2, 40.0, 5.1], "lo_data": [17.0, 34.0, 4.5]}),
                ("n1", "histosys", {"hi_data": [-1.1, 34.0, 7.4], "lo_data": [20.0, -37.0, 15.0]}),
                ("g0_s", "shapesys", [16.0, 12.0, 1.3]),
                ("mu2", "normfactor", None),
            ),
            sample("b0", [570.0, 0.0, 160.0]),
        ),
        (
            "c1",
            [53.0],
            sample(
                "s",
                [0.0],
                ("mu", "normfactor", None),
                ("n1", "normsys", {"hi": 0.94, "lo": 0.87}),
                ("n1", "histosys", {"hi_data": [0.0], "lo_data": [0.0]}),
                ("g1_s", "shapesys", [0.0]),
                ("mu2", "normfactor", None),
            ),
            sample("b0", [53.0], ("h1", "histosys", {"hi_data": [70.0], "lo_data": [61.0]})),
        ),
        (
            "c2",
            [540.0, 300.0],
            sample(
                "s",
                [17.0, 3.3],
                ("mu", "normfactor", None),
                ("n2", "normsys", {"hi": 1.2, "lo": 1.5}),
                ("mu2", "normfactor", None),
            ),
            sample(
                "b0",
                [530.0, 290.0],
                ("h0", "histosys", {"hi_data": [500.0, 270.0], "lo_data": [610.0, 190.0]}),
                ("n1", "normsys", {"hi": 1.1, "lo": 1.1}),
                ("n2", "normsys", {"hi": 0.96, "lo": 0.68}),
            ),
        ),
        bounds=(-20, 1.5),
    )
    _, _, made = fitted(content)
    # Of an independent minimiser, SLSQP on pyhf's function.
    assert made.results.best_twice_nll == pytest.approx(59.253333, abs=1e-5)


def test_yields_on_the_border_have_no_uncertainty_across_it() -> None:
    """Rounding may take a variance of zero below."""
    content = spec(
        (
            "c0",
            [0.0, 399.0, 1499.0, 0.0],
            sample(
                "s",
                [8.845, 37.64, 130.3, 499.4],
                ("mu", "normfactor", None),
                (
                    "h1",
                    "histosys",
                    {
                        "hi_data": [10.19, 41.31, 163.7, 339.7],
                        "lo_data": [10.21, 29.73, 148.0, 297.0],
                    },
                ),
            ),
            sample("int", [-2.653, -11.29, -39.08, -149.8], ("mu", "normfactor", None)),
            sample(
                "b0",
                [63.94, 103.0, 330.7, 228.1],
                ("n1", "normsys", {"hi": 0.9769, "lo": 0.8013}),
                ("lumi", "lumi", None),
                ("k0", "normfactor", None),
            ),
            sample(
                "b1",
                [7.104, 179.4, 880.3, 0.0],
                (
                    "h1",
                    "histosys",
                    {"hi_data": [17.6, 282.3, -255.5, 0.0], "lo_data": [11.16, 492.3, 1254.0, 0.0]},
                ),
                ("n2", "normsys", {"hi": 1.453, "lo": 0.8759}),
                ("lumi", "lumi", None),
            ),
            sample(
                "b2",
                [712.7, 81.29, 110.2, 370.9],
                ("n1", "normsys", {"hi": 1.162, "lo": 1.336}),
                (
                    "h1",
                    "histosys",
                    {
                        "hi_data": [761.1, 98.62, 111.8, 381.0],
                        "lo_data": [736.1, 81.89, 97.09, 420.6],
                    },
                ),
                ("lumi", "lumi", None),
                ("g0_2", "shapesys", [855.2, 4.064, 5.509, 111.3]),
            ),
        ),
        (
            "c1",
            [115.0, 24.0, 96.0, 52.0],
            sample(
                "s",
                [12.5, 202.3, 45.37, 153.8],
                ("mu", "normfactor", None),
                ("n0", "normsys", {"hi": 0.9545, "lo": 0.5657}),
                ("n2", "normsys", {"hi": 0.7234, "lo": 0.9646}),
                ("lumi", "lumi", None),
            ),
            sample("int", [-3.749, -60.68, -13.61, -46.13], ("mu", "normfactor", None)),
            sample("b0", [383.2, 270.1, 319.5, 294.8], ("lumi", "lumi", None)),
        ),
        parameters=(
            {
                "name": "lumi",
                "auxdata": [1.0],
                "sigmas": [0.1],
                "bounds": [[0.5, 1.5]],
                "inits": [1.0],
            },
            {"name": "n1", "fixed": True, "inits": [0.2889]},
            {"name": "k0", "bounds": [[0.5, 1.2]]},
        ),
    )
    model, _, made = fitted(content)
    rows = yields.expected_yields(model, made.results).postfit["c0"]
    assert rows.all.bins[3] == pytest.approx(0, abs=1e-6)
    assert rows.all.uncertainty[3] == pytest.approx(0, abs=1e-6)
    assert np.isfinite([*rows.all.uncertainty, rows.all.total_uncertainty]).all()


@pytest.mark.parametrize("factors", [("mu", "mu2"), ("mu", "mu2", "mu3")])
def test_factors_that_hold_each_other_at_zero(factors: tuple[str, ...]) -> None:
    """Data below the background: no signal, whichever of its factors is zero."""
    norm = ("n", "normsys", {"hi": 1.2, "lo": 0.9})
    signal = sample("s", [5.0, 3.0], *((name, *MU) for name in factors))
    background = sample("b", [20.0, 10.0], norm)
    _, _, made = fitted(spec(("SR", [15.0, 5.0], signal, background)))
    _, _, alone = fitted(
        spec(("SR", [15.0, 5.0], sample("s", [5.0, 3.0], ("mu", *MU)), background))
    )
    best = dict(zip(made.problem.names, made.results.bestfit, strict=True))
    assert [best[name] for name in factors] == pytest.approx([0.0] * len(factors), abs=1e-12)
    # Of an independent minimiser.
    assert best["n"] == pytest.approx(-0.7308, abs=1e-3)
    assert made.results.best_twice_nll == pytest.approx(alone.results.best_twice_nll, abs=1e-8)


@pytest.mark.parametrize(
    ("content", "observed", "expected"),
    [
        # One event less for each unit of strength.
        (
            spec(("c", [1.0], sample("s", [-1.0], ("mu", *MU)), sample("b", [1.5]))),
            1.41903,
            (0.94893, 1.13879, 1.32802, 1.45226, 1.49356),
        ),
        (
            spec(
                (
                    "c",
                    [4.0],
                    sample("s", [-1.0], ("mu", *MU), ("g", "shapesys", [0.5])),
                    sample("b", [4.5]),
                )
            ),
            3.17757,
            (1.87866, 2.37096, 2.98842, 3.61882, 4.08925),
        ),
        # A search whose signal is negative in a bin, by its weights.
        (
            spec(
                (
                    "c",
                    [50.0, 20.0, 1.0],
                    sample(
                        "s", [1.0, 0.5, -0.05], ("mu", *MU), ("st", "staterror", [0.1, 0.1, 0.05])
                    ),
                    sample(
                        "b",
                        [48.0, 22.0, 0.3],
                        ("n", "normsys", {"hi": 1.1, "lo": 0.9}),
                        ("st", "staterror", [1.0, 0.6, 0.1]),
                    ),
                )
            ),
            5.43332,
            (4.87704, 5.58492, 6.12622, 6.63817, 7.19365),
        ),
    ],
)
def test_limits_of_signals_that_take_events_away(
    content: Any, observed: float, expected: tuple[float, ...]
) -> None:
    """Values of an independent minimiser (SLSQP) and root finder; pyhf's CLs there is 0.05."""
    _, _, made = fitted(content)
    settings = LimitSettings(
        statistic="qtilde", confidence=0.95, points=3, max_significance=5, toys=NO_TOYS
    )
    computed = limits.compute(made.problem, settings)
    assert computed["failures"] == ()
    assert computed["limit"]["observed"] == pytest.approx(observed, rel=1e-5)
    assert computed["limit"]["expected"] == pytest.approx(expected, rel=1e-5)
