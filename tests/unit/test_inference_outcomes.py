"""What is made of a fit: impacts, ranking, profiles, pseudo-experiments, limits."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import cabinetry
import numpy as np
import pyhf
import pytest

from agc_pipeline import analyses
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import (
    fit,
    impacts,
    limits,
    profile,
    ranking,
    templates,
    toys,
    workspace,
)
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.settings import FitSettings, LimitSettings, MinimiserSettings
from agc_pipeline.validation import published
from conftest import read_config
from models import EVERYTHING, MODELS, MU, NO_TOYS, TWO_BINS, sample, spec

MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=4)


@cache
def five_files() -> tuple[pyhf.Model, list[float], Problem, Minimum]:
    """The fit of the published histograms for five files."""
    analysis = analyses.load("cms_ttbar")
    config = FitSettings.model_validate(read_config()["fit"]).model
    selected = templates.select(analysis, published.load(analyses.load("cms_ttbar"), 5), config)
    return minimised(workspace.build(analysis, selected))


def minimised(content: Any) -> tuple[pyhf.Model, list[float], Problem, Minimum]:
    model, data = workspace.load(content, place="test")
    here = problem(model, data, MINIMISER)
    return model, data, here, here.search().minimum


def test_impacts_add_up_to_the_total() -> None:
    model, _, here, best = five_files()
    known = impacts.parameter_groups(model, impacts.declared_groups(analyses.load("cms_ttbar")))
    found = impacts.breakdown(here, best, known)
    assert found is not None
    assert found.total == pytest.approx(0.0919, abs=6e-5)
    variance = found.curvature + sum(size**2 for size in (found.data, *found.groups.values()))
    assert variance == pytest.approx(found.total**2, rel=1e-12)
    for group, size in found.groups.items():
        parts = [source.impact for source in found.sources if source.group == group]
        assert np.linalg.norm(parts) == pytest.approx(size, rel=1e-12)
    assert set(found.groups) == {
        *("ttbar modelling", "Jet energy", "b-tagging", "W+jets modelling", "Luminosity"),
        impacts.STATISTICS,
    }
    assert len(found.sources) == 33


def test_without_misfit_there_is_no_curvature() -> None:
    _, _, here, best = five_files()
    likelihood = here.likelihood
    constraints = replace(
        likelihood.constraints,
        centre=np.where(likelihood.constraints.weight > 0, best.parameters, 0),
    )
    asimov = here.with_data(likelihood.rates(best.parameters), constraints)
    perfect = asimov.lowest([best.parameters]).minimum
    assert perfect.expansion.value == pytest.approx(0, abs=1e-9)
    found = impacts.breakdown(asimov, perfect, {})
    assert found is not None
    assert found.curvature == pytest.approx(0, abs=1e-9)
    # It is what pseudo-experiments scatter by.
    spread = thrown()[0].parameters[:, here.poi].std(ddof=1)
    assert found.total == pytest.approx(spread, rel=4 / np.sqrt(200))


def test_impact_of_the_data_is_that_of_shifted_bins() -> None:
    _, _, here, best = five_files()
    found = impacts.breakdown(here, best, {})
    assert found is not None
    data = here.likelihood.data
    changes = []
    for number, events in enumerate(data):
        step = 0.01 * np.sqrt(events) * (np.arange(len(data)) == number)
        up, down = (
            here.with_data(data + sign * step, here.likelihood.constraints)
            .lowest([best.parameters])
            .minimum.parameters[here.poi]
            for sign in (1, -1)
        )
        changes.append((up - down) / 0.02)
    assert np.linalg.norm(changes) == pytest.approx(found.data, rel=1e-3)


@pytest.mark.parametrize("name", ["Luminosity", "ME variation", "staterror_4j1b-CR[10]"])
def test_impacts_are_those_of_shifted_measurements(name: str) -> None:
    """The definition: the fit again, with one auxiliary measurement shifted."""
    model, data, here, best = five_files()
    found = impacts.breakdown(here, best, {})
    assert found is not None
    (source,) = [source for source in found.sources if source.parameter == name]
    constraints = here.likelihood.constraints
    step = 0.01
    results = []
    for sign in (1, -1):
        shifted = list(data)
        position = model.config.auxdata_order.index(name.partition("[")[0])
        order = model.config.auxdata_order[:position]
        first = model.config.nmaindata + sum(
            model.config.param_set(other).n_parameters for other in order
        )
        index = int(name.split("[")[1][:-1]) if "[" in name else 0
        width = constraints.widths()[here.names.index(name)]
        shifted[first + index] += sign * step * width
        moved = problem(model, shifted, MINIMISER).lowest([best.parameters]).minimum
        results.append(moved.parameters[here.poi])
    assert source.impact == pytest.approx((results[0] - results[1]) / 2 / step, rel=1e-3)


def test_impacts_with_poisson_measurements() -> None:
    _, _, here, best = minimised(TWO_BINS)
    found = impacts.breakdown(here, best, {})
    assert found is not None
    assert [source.group for source in found.sources] == [impacts.OTHER] * 2
    assert found.total**2 == pytest.approx(
        found.curvature + found.data**2 + sum(source.impact**2 for source in found.sources)
    )


def test_ranking_of_the_published_histograms() -> None:
    _, _, here, best = five_files()
    rows = {row.parameter: row for row in ranking.rank(here, best, {})}
    assert len(rows) == 33
    assert not any(row.failures for row in rows.values())
    # Source: an independent ranking by automatic differentiation (jax). The other minimum of this
    # fit, which cabinetry returns, is at 0.742.
    row = rows["ME variation"]
    assert row.prefit_down is not None
    assert best.parameters[here.poi] + row.prefit_down == pytest.approx(0.637, abs=1e-3)
    # A shift of the parameter and its consequence: to first order it is the correlation.
    sigma = np.sqrt(np.diag(best.covariance))
    for position, name in enumerate(here.names):
        if position == here.poi:
            continue
        linear = best.covariance[here.poi, position] / sigma[position]
        row = rows[name]
        assert row.postfit_up is not None
        assert row.postfit_down is not None
        assert (row.postfit_up - row.postfit_down) / 2 == pytest.approx(linear, abs=5e-3)


def test_ranking_is_that_of_cabinetry() -> None:
    model, data, here, best = minimised(MODELS["luminosity"])
    with fit.backend_kept():
        theirs = cabinetry.fit.ranking(
            model, data, fit_results=fit.fit(model, data, MINIMISER).results
        )
    rows = ranking.rank(here, best, {})
    assert [row.parameter for row in rows] == theirs.labels
    for key in ("prefit_up", "prefit_down", "postfit_up", "postfit_down"):
        ours = [getattr(row, key) for row in rows]
        # Impacts of up to 0.6; cabinetry's minima are found with numerical derivatives.
        np.testing.assert_allclose(ours, getattr(theirs, key), atol=6e-3)


def test_ranking_knows_what_can_be_shifted() -> None:
    _, _, here, best = minimised(EVERYTHING)
    rows = ranking.rank(here, best, {})
    pulls = {row.parameter: row.pull for row in rows}
    # Poisson factors and the luminosity are centred at 1; free factors have no pull.
    assert pulls["free_shape[0]"] is None
    assert pulls["lumi"] is not None
    (lumi,) = [row for row in rows if row.parameter == "lumi"]
    assert (lumi.centre, lumi.width) == (1, pytest.approx(0.03))
    (poisson,) = [row for row in rows if row.parameter == "poisson[0]"]
    assert (poisson.centre, poisson.width) == (1, pytest.approx(0.1))
    # A statistical uncertainty of zero: the factor is fixed.
    (fixed,) = [row for row in rows if row.parameter == "mc[2]"]
    assert (fixed.width, fixed.postfit_up, fixed.pull) == (0, 0, None)


def test_a_failing_fit_is_a_row_that_says_so() -> None:
    """Held far below, the background leaves a bin with events without expectation."""
    shape = ("shape", "histosys", {"hi_data": [55.0, 35.0], "lo_data": [45.0, 3.0]})
    content = spec(
        (
            "a",
            [60.0, 19.0],
            sample("s", [10.0, 0.0], ("mu", *MU)),
            sample("b", [50.0, 19.0], shape),
        ),
    )
    _, _, here, best = minimised(content)
    rows = {row.parameter: row for row in ranking.rank(here, best, {})}
    assert rows["shape"].failures == {}
    wide = here.likelihood.constraints
    wide = type(wide)(wide.centre, wide.weight / 16, wide.counts, wide.rate)
    failing = here.with_data(here.likelihood.data, wide)
    (row,) = ranking.rank(failing, failing.lowest([best.parameters]).minimum, {})
    assert set(row.failures) == {"prefit_down"}
    assert "excludes the data" in row.failures["prefit_down"]
    assert row.prefit_down is None
    assert row.prefit_up is not None
    assert row.size > 0


def test_minos_of_the_published_histograms() -> None:
    _, _, here, best = five_files()
    found = profile.interval(here, best, here.poi)
    # Source: MINOS with exact derivatives by automatic differentiation on the same histograms.
    assert (found.down, found.up) == (
        pytest.approx(0.0862, abs=6e-5),
        pytest.approx(0.0987, abs=6e-5),
    )
    assert found.failures == {}
    assert found.describe() == "0.9533 -0.0862 +0.0987"


def test_minos_of_a_poisson_mean() -> None:
    """-2 ln L = 2 (m - n + n ln(n / m)) has risen by one."""
    _, _, here, best = minimised(
        spec(("a", [9.0], sample("s", [1.0], ("mu", *MU))), bounds=(0, 99))
    )
    found = profile.interval(here, best, 0)
    assert found.down is not None
    assert found.up is not None
    for mean in (9 - found.down, 9 + found.up):
        assert 2 * (mean - 9 + 9 * np.log(9 / mean)) == pytest.approx(1, abs=1e-6)


def test_minos_with_a_bound_in_the_way() -> None:
    content = spec(("a", [9.0], sample("s", [1.0], ("mu", *MU))), bounds=(0, 10))
    _, _, here, best = minimised(content)
    found = profile.interval(here, best, 0)
    assert found.down == pytest.approx(2.676, abs=1e-2)
    assert found.up is None
    assert found.failures == {"up": "the profile of mu reaches its bound 10 first"}
    assert found.bounds == {"up": 10}


def test_pseudo_experiments_that_end_at_a_bound_are_counted() -> None:
    """Of a mean of 9: at the bound 10 are those with ten events or more."""
    content = spec(("a", [9.0], sample("s", [1.0], ("mu", *MU))), bounds=(0, 10))
    _, _, here, best = minimised(content)
    found = toys.throw(here, best, count=100, seed=3)
    at_bounds = found.at_bounds(0, here.bounds[0])
    assert at_bounds == np.sum(found.parameters[:, 0] == 10) == 100 - len(found.pulls(0))
    # Of a Poisson distribution, 41.3 % with an error of 4.9 %.
    assert 27 < at_bounds < 56


def test_two_parameters_at_a_time() -> None:
    """Of two counts that share nothing: the sum of both profiles."""
    content = spec(
        ("a", [25.0], sample("s", [5.0], ("mu", *MU))),
        ("b", [16.0], sample("t", [4.0], ("k", *MU))),
        parameters=({"name": "k", "bounds": [[0.0, 5.0]]},),
    )
    _, _, here, best = minimised(content)
    positions = here.names.index("mu"), here.names.index("k")
    found = profile.plane(here, best, positions, reach=2, points=4)
    assert found.parameters == ("mu", "k")
    assert found.bestfit == pytest.approx((5.0, 4.0))
    # One standard deviation is 1 for both; the second one ends at its bound.
    assert found.first == pytest.approx((3.0, 13 / 3, 5.0, 17 / 3, 7.0))
    assert found.second == pytest.approx((2.0, 3.0, 4.0, 5.0))
    means, others = 5 * np.array(found.first), 4 * np.array(found.second)
    rises = 2 * (means - 25 + 25 * np.log(25 / means))
    heights = rises + 2 * (others - 16 + 16 * np.log(16 / others))[:, None]
    np.testing.assert_allclose(np.array(found.heights, dtype=float), heights, atol=1e-9)


def test_scan() -> None:
    model, data, here, best = minimised(EVERYTHING)
    found = profile.scan(here, best, here.poi, reach=2, points=11)
    sigma = np.sqrt(best.covariance[here.poi, here.poi])
    centre = best.parameters[here.poi]
    assert len(found.values) in (11, 12)
    assert found.values[[0, -1]] == pytest.approx(
        np.clip([centre - 2 * sigma, centre + 2 * sigma], 0, 10)
    )
    assert found.heights.min() == 0
    assert found.values[np.argmin(found.heights)] == centre
    with fit.backend_kept():
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
        for value, height in zip(found.values[::5], found.heights[::5], strict=True):
            _, fitted = pyhf.infer.mle.fixed_poi_fit(value, data, model, return_fitted_val=True)
            lowest = -2 * model.logpdf(best.parameters, data)[0]
            assert height == pytest.approx(float(fitted - lowest), abs=1e-4)


@cache
def thrown() -> tuple[toys.Toys, Problem, Minimum]:
    _, _, here, best = five_files()
    return toys.throw(here, best, count=100, seed=3), here, best


def test_covariance_is_that_of_pseudo_experiments() -> None:
    found, here, best = thrown()
    assert found.failures == {}
    assert found.parameters.shape == (100, len(here.names))
    expected = np.sqrt(np.diag(best.covariance))
    spread = found.parameters.std(axis=0, ddof=1)
    # A width from 100 numbers is known to 7 %, and the likelihood is not quite Gaussian.
    np.testing.assert_allclose(spread / expected, 1, atol=0.4)
    pulls = found.pulls(here.poi)
    assert abs(pulls.mean()) < 4 / np.sqrt(100)
    assert pulls.std(ddof=1) == pytest.approx(1, abs=4 / np.sqrt(200))
    correlations = np.corrcoef(found.parameters.T)
    ours = best.covariance / np.outer(expected, expected)
    assert np.abs(correlations - ours).max() < 0.5
    # -2 ln L of a good fit is a chi-squared with as many degrees of freedom as bins but one.
    assert found.statistics.mean() == pytest.approx(21, abs=4 * np.sqrt(2 * 21 / 100))


def test_covariance_of_a_linear_model_is_that_of_pseudo_experiments() -> None:
    """Many events: the likelihood is Gaussian, and the agreement close."""
    norm = ("norm", "normsys", {"hi": 1.01, "lo": 0.99})
    content = spec(
        ("a", [6e4, 9e4], sample("s", [1e4, 4e4], ("mu", *MU)), sample("b", [5e4, 5e4], norm))
    )
    _, _, here, best = minimised(content)
    found = toys.throw(here, best, count=600, seed=1)
    spread = np.cov(found.parameters.T)
    sigma = np.sqrt(np.diag(best.covariance))
    # Four standard deviations of a variance or correlation from 600 numbers.
    np.testing.assert_allclose(
        spread / np.outer(sigma, sigma),
        best.covariance / np.outer(sigma, sigma),
        atol=4 * np.sqrt(2 / 600),
    )


def test_pseudo_experiments_do_not_depend_on_their_number() -> None:
    found, here, best = thrown()
    fewer = toys.throw(here, best, count=3, seed=3)
    np.testing.assert_array_equal(fewer.parameters, found.parameters[:3])
    other = toys.throw(here, best, count=3, seed=4)
    assert not np.any(other.parameters[:, here.poi] == fewer.parameters[:, here.poi])
    none = toys.throw(here, best, count=0, seed=3)
    assert none.parameters.shape == (0, len(here.names))


def test_pseudo_experiments_with_poisson_measurements() -> None:
    _, _, here, best = minimised(TWO_BINS)
    found = toys.throw(here, best, count=400, seed=1)
    expected = np.sqrt(np.diag(best.covariance))
    # A strength near zero cannot go below: compare the factors of the background.
    spread = found.parameters.std(axis=0)[1:]
    np.testing.assert_allclose(spread, expected[1:], rtol=0.25)


@pytest.mark.parametrize("name", ["one bin", "two bins", "two channels", "luminosity"])
def test_limits_are_those_of_pyhf(name: str) -> None:
    model, data, here, _ = minimised(MODELS[name])
    signal = limits.Signal(here)
    with fit.backend_kept():
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
        for strength in (0.5, 1.5):
            observed, expected = pyhf.infer.hypotest(
                strength, data, model, return_expected_set=True, test_stat="qtilde"
            )
            assert signal.cls(strength) == pytest.approx(float(observed), abs=2e-4)
            bands = signal.expected_cls(strength)
            np.testing.assert_allclose(bands, np.ravel(expected), atol=2e-4)
        p_value, expected_p = pyhf.infer.hypotest(
            0.0, data, model, return_expected=True, test_stat="q0"
        )
    observed_z, expected_z = signal.significance(), signal.expected_significance()
    normal = pyhf.tensorlib.normal_cdf
    assert float(normal(-observed_z)) == pytest.approx(float(p_value), rel=1e-3, abs=1e-6)
    assert float(normal(-expected_z)) == pytest.approx(float(expected_p), rel=1e-3, abs=1e-6)
    found = signal.limits(0.95)
    assert found.failures == {}
    assert found.observed is not None
    assert signal.cls(found.observed) == pytest.approx(0.05, abs=1e-5)
    bands = np.array(found.expected, dtype=float)
    for number, band in enumerate(bands):
        assert signal.expected_cls(band)[number] == pytest.approx(0.05, abs=1e-5)
    assert np.all(np.diff(bands) > 0)


def test_limits_of_the_statistic_q_are_those_of_pyhf() -> None:
    """For data below the background, where the two statistics differ."""
    content = json.loads(json.dumps(TWO_BINS))
    content["observations"][0]["data"] = [85.0, 130.0]
    content["measurements"][0]["config"]["parameters"][0]["bounds"] = [[-2, 10]]
    model, data, here, _ = minimised(content)
    signal = limits.Signal(here, "q")
    assert signal.strength < 0
    assert signal.significance() == 0
    with fit.backend_kept():
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
        for strength in (0.05, 0.5):
            observed, expected = pyhf.infer.hypotest(
                strength, data, model, return_expected_set=True, test_stat="q"
            )
            assert signal.cls(strength) == pytest.approx(float(observed), abs=2e-4)
            bands = signal.expected_cls(strength)
            np.testing.assert_allclose(bands, np.ravel(expected), atol=2e-4)
    limit = signal.limits(0.95).observed
    assert limit is not None
    assert signal.cls(limit) == pytest.approx(0.05, abs=1e-5)
    with pytest.raises(ModelError, match="q needs strengths below zero"):
        limits.Signal(minimised(TWO_BINS)[2], "q")


LIMIT = LimitSettings(
    statistic="qtilde", confidence=0.95, points=3, max_significance=5, toys=NO_TOYS
)


def test_the_best_fit_at_its_bound_leaves_the_expected_limits() -> None:
    content = spec(("a", [120.0], sample("s", [1.0], ("mu", *MU)), sample("b", [100.0])))
    _, _, here, _ = minimised(content)
    found = limits.compute(here, LIMIT)
    assert found["limit"]["observed"] is None
    (failure,) = found["failures"]
    assert failure.startswith("No observed limit: the upper limit on mu exceeds its bound 10")
    # Without background uncertainty, for Asimov data of b events, beyond the bound of the fit.
    assert found["limit"]["expected"][2] == pytest.approx(1.96 * 10, rel=0.1)
    assert "limits above 10 are beyond the bound of the fit" in found["remarks"][0]


@pytest.mark.parametrize(
    ("data", "samples", "where"),
    [
        ([7.0], [sample("s", [5.0], ("mu", *MU))], "a bin 0"),
        # Bins of the signal alone beside one with background; an uncertainty changes nothing.
        (
            [5.0, 2.0, 3.0],
            [
                sample("s", [3.0, 1.0, 2.0], ("mu", *MU)),
                sample("b", [4.0, 0.0, 0.0], ("n", "normsys", {"hi": 1.2, "lo": 0.8})),
            ],
            "a bin 1, a bin 2",
        ),
    ],
)
def test_events_that_are_signal_alone(data: Any, samples: Any, where: str) -> None:
    """Without signal they have no probability, whatever the other parameters are."""
    _, _, here, _ = minimised(spec(("a", data, *samples)))
    found = limits.compute(here, LIMIT)
    assert found["limit"] is found["significance"] is found["expected_significance"] is None
    (failure,) = found["failures"]
    reason = f"No limit or significance: without mu, nothing is expected in {where} (counted"
    assert failure.startswith(reason)
    assert "the significance is infinite" in failure


def test_a_factor_of_next_to_zero_is_that_of_zero() -> None:
    """What is told to give in place of zero: the limit no longer depends on how small it is."""
    found = [
        limits.compute(
            minimised(
                spec(
                    (
                        "a",
                        [60.0, 55.0],
                        sample("s", [10.0, 5.0], ("mu", *MU)),
                        sample("b", [50.0, 52.0], ("n", "normsys", {"hi": 2.0, "lo": low})),
                    )
                )
            )[2],
            LIMIT,
        )
        for low in (1e-6, 1e-12)
    ]
    first, second = (result["limit"] for result in found)
    assert first["observed"] == pytest.approx(second["observed"], rel=1e-6)
    assert first["expected"] == pytest.approx(second["expected"], rel=3e-6)


def test_an_uncertainty_that_is_next_to_none_changes_no_limit() -> None:
    """Its measurement has 6e14 events, whose terms of -2 ln L are rounded to 0.1."""
    signal = sample("s", [6.0, 1.0], ("mu", *MU))

    def computed(*modifiers: Any) -> Any:
        background = sample("b", [25.0, 38.0], *modifiers)
        _, _, here, best = minimised(spec(("a", [30.0, 40.0], signal, background)))
        thrown = toys.throw(here, best, count=10, seed=1)
        assert not thrown.failures
        return limits.compute(here, LIMIT)

    exact, narrow = computed(), computed(("u", "shapesys", [1e-6, 0.0]))
    assert narrow["limit"]["observed"] == pytest.approx(exact["limit"]["observed"], rel=1e-5)
    assert narrow["limit"]["expected"] == pytest.approx(exact["limit"]["expected"], rel=1e-5)
    assert narrow["significance"] == pytest.approx(exact["significance"], rel=1e-5)


def test_no_events_and_no_background() -> None:
    """The limit is that of -2 ln L = 2 mu s; only the expected significance is infinite."""
    _, _, here, _ = minimised(spec(("a", [0.0], sample("s", [5.0], ("mu", *MU)))))
    found = limits.compute(here, LIMIT)
    assert found["significance"] == 0
    # CLs = 2 (1 - Phi(sqrt(q))) = 0.05 at q = 1.96^2.
    assert found["limit"]["observed"] == pytest.approx(1.959964**2 / 10, rel=1e-5)
    (failure,) = found["failures"]
    assert failure.startswith("No expected significance: without mu, nothing is expected in a bin")


def test_goodness_of_fit_of_a_model_that_fits_any_data() -> None:
    """Their statistic is zero but for rounding, which says nothing: the p-value is one."""
    content = spec(
        ("a", [500.0], sample("b", [1.0], ("k", *MU))),
        ("c", [16.0], sample("b", [0.02], ("k", *MU)), sample("s", [3.0], ("mu", *MU))),
    )
    settings = {"name": "k", "inits": [400.0], "bounds": [[0, 5000]]}
    content["measurements"][0]["config"]["parameters"].append(settings)
    _, _, here, best = minimised(content)
    thrown = toys.throw(here, best, count=20, seed=3)
    assert len(thrown.statistics) == 20
    assert thrown.as_large(best.expansion.value).all()
    assert not thrown.as_large(1e-3).all()


@pytest.mark.parametrize("reason", ["it is fixed", "its bounds exclude zero"])
def test_a_parameter_that_is_no_strength(reason: str) -> None:
    fixed = reason == "it is fixed"
    channel = ("a", [50.0], sample("s", [40.0], ("mu", *MU)), sample("b", [4.0], ("k", *MU)))
    content = spec(channel, bounds=(0.0 if fixed else 0.5, 10))
    content["measurements"][0]["config"]["parameters"][0]["fixed"] = fixed
    _, _, here, _ = minimised(content)
    with pytest.raises(ModelError, match=f"mu is not a signal strength: {reason}"):
        limits.Signal(here)


def test_nothing_is_left_behind_in_pyhf() -> None:
    before = pyhf.get_backend()

    def failing() -> None:
        with fit.backend_kept():
            pyhf.set_backend("numpy", "minuit")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert pyhf.get_backend() == before
