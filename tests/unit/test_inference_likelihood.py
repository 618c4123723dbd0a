"""The likelihood and its derivatives against pyhf, and the search for its minimum."""

from functools import cache
from typing import Any

import numpy as np
import pyhf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agc_pipeline import analyses
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import interpolation, templates, workspace
from agc_pipeline.inference.constraints import deviance
from agc_pipeline.inference.fit import Fit, fit
from agc_pipeline.inference.likelihood import Likelihood
from agc_pipeline.inference.modifiers import model_likelihood
from agc_pipeline.inference.settings import FitSettings, MinimiserSettings
from agc_pipeline.validation import published
from conftest import read_config

MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=2)


@cache
def published_model() -> tuple[pyhf.Model, list[float], Likelihood]:
    analysis = analyses.load("cms_ttbar")
    config = FitSettings.model_validate(read_config()["fit"]).model
    selected = templates.select(analysis, published.load(analyses.load("cms_ttbar"), 1), config)
    spec = workspace.build(analysis, selected)
    model, data = workspace.load(spec, place="test")
    return model, data, model_likelihood(model, data)


@st.composite
def parameters(draw: st.DrawFn) -> Any:
    """A point of the published model: three sigma and beyond for the nuisances."""
    model, _, _ = published_model()
    pulls = draw(
        st.lists(st.floats(-4, 4), min_size=model.config.npars, max_size=model.config.npars)
    )
    start = np.array(model.config.suggested_init())
    return np.where(start == 1, 1 + 0.1 * np.array(pulls), pulls)


@given(at=parameters())
@settings(max_examples=30, deadline=None)
def test_rates_are_those_of_pyhf(at: Any) -> None:
    model, _, likelihood = published_model()
    expected = model.main_model.expected_data(at, return_by_sample=True)
    np.testing.assert_allclose(likelihood.rates_by_sample(at), expected, rtol=1e-12, atol=1e-9)


@given(at=parameters(), other=parameters())
@settings(max_examples=30, deadline=None)
def test_differences_are_those_of_pyhf(at: Any, other: Any) -> None:
    model, data, likelihood = published_model()
    values = [likelihood.expand(point).value for point in (at, other)]
    if not np.all(np.isfinite(values)):
        return
    expected = [-2 * model.logpdf(point, data)[0] for point in (at, other)]
    assert values[0] - values[1] == pytest.approx(expected[0] - expected[1], rel=1e-9, abs=1e-8)


@given(at=parameters(), direction=parameters())
@settings(max_examples=30, deadline=None)
def test_derivatives_are_exact(at: Any, direction: Any) -> None:
    """Central differences along any direction; truncation makes the tolerance."""
    _, _, likelihood = published_model()
    here = likelihood.expand(at)
    unit = direction / np.linalg.norm(direction)
    step = 1e-4
    after, before = (likelihood.expand(at + sign * step * unit) for sign in (1, -1))
    if not np.all(np.isfinite([here.value, after.value, before.value])):
        return
    slope = (after.value - before.value) / (2 * step)
    assert here.gradient @ unit == pytest.approx(slope, rel=1e-4, abs=1e-3)
    bend = (after.gradient - before.gradient) / (2 * step)
    np.testing.assert_allclose(here.hessian @ unit, bend, rtol=1e-3, atol=1e-4 * np.abs(bend).max())
    np.testing.assert_array_equal(here.hessian, here.hessian.T)


def factor(at: Any, up: Any, down: Any) -> interpolation.Interpolated:
    return interpolation.Factors.between(up, down).at(at)


@pytest.mark.parametrize(("up", "down"), [(1.2, 0.7), (0.9, 1.1), (1.5, 1.4)])
@pytest.mark.parametrize("at", [-2.5, -1.0, -0.6, 0.0, 0.3, 1.0, 3.0])
def test_interpolations_are_those_of_pyhf(at: float, up: float, down: float) -> None:
    sets = [[[[down], [1.0], [up]]]]
    code4 = pyhf.interpolators.code4(sets, subscribe=False)(np.array([[at]]))
    code4p = pyhf.interpolators.code4p(sets, subscribe=False)(np.array([[at]]))
    point, ups, downs = np.array([at]), np.array([up]), np.array([down])
    assert factor(point, ups, downs).value == pytest.approx(code4.ravel(), rel=1e-13)
    assert interpolation.shift(point, ups - 1, downs - 1).value == pytest.approx(
        code4p.ravel(), rel=1e-13, abs=1e-15
    )


@given(
    at=st.floats(-3, 3),
    up=st.floats(0.1, 3),
    down=st.floats(0.1, 3),
    function=st.sampled_from([factor, interpolation.shift]),
)
def test_derivatives_of_interpolations(at: float, up: float, down: float, function: Any) -> None:
    step = 1e-5
    points = np.array([at - step, at, at + step])
    found = function(points, np.full(3, up), np.full(3, down))
    # The third derivative jumps at one sigma.
    assert found.first[1] == pytest.approx(
        (found.value[2] - found.value[0]) / (2 * step), rel=1e-5, abs=1e-5
    )
    assert found.second[1] == pytest.approx(
        (found.first[2] - found.first[0]) / (2 * step), rel=1e-2, abs=1e-2
    )


def spec(*samples: Any, data: list[float], bounds: tuple[float, float] = (0, 10)) -> Any:
    """A workspace with one channel."""
    return {
        "version": "1.0.0",
        "channels": [{"name": "SR", "samples": list(samples)}],
        "observations": [{"name": "SR", "data": data}],
        "measurements": [
            {
                "name": "m",
                "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [list(bounds)]}]},
            }
        ],
    }


def sample(name: str, data: list[float], **modifiers: tuple[str, Any]) -> Any:
    return {
        "name": name,
        "data": data,
        "modifiers": [{"name": n, "type": t, "data": d} for n, (t, d) in modifiers.items()],
    }


MU = ("normfactor", None)


def fitted(content: Any, **changes: Any) -> tuple[pyhf.Model, Fit]:
    model, data = workspace.load(content, place="test")
    return model, fit(model, data, MINIMISER.model_copy(update=changes))


def value(content: Any, name: str = "mu") -> tuple[float, float]:
    _, found = fitted(content)
    index = found.results.labels.index(name)
    return found.results.bestfit[index], found.results.uncertainty[index]


def test_poisson_mean() -> None:
    """For n events and s expected: n / s +- sqrt(n) / s."""
    assert value(spec(sample("s", [40.0], mu=MU), data=[50.0])) == pytest.approx(
        (1.25, np.sqrt(50) / 40), rel=1e-9
    )


def test_background_in_another_bin() -> None:
    """Two bins determine a signal and a background exactly."""
    content = spec(
        sample("s", [40.0, 10.0], mu=MU),
        sample("b", [20.0, 100.0], nu=MU),
        data=[70.0, 120.0],
    )
    matrix = np.array([[40, 20], [10, 100]])
    inverse = np.linalg.inv(matrix)
    expected = inverse @ [70, 120]
    errors = np.sqrt(np.diag(inverse @ np.diag([70, 120]) @ inverse.T))
    assert value(content) == pytest.approx((expected[0], errors[0]), rel=1e-9)
    assert value(content, "nu") == pytest.approx((expected[1], errors[1]), rel=1e-9)


def test_asymptotic_luminosity() -> None:
    """A normalisation uncertainty on everything adds in quadrature, to first order."""
    lumi = ("normsys", {"hi": 1.001, "lo": 0.999})
    content = spec(sample("s", [1e6], mu=MU, lumi=lumi), data=[1e6])
    assert value(content) == pytest.approx((1, np.hypot(1e-3, 1e-3)), rel=1e-5)


def test_statistical_uncertainty_of_zero_is_fixed() -> None:
    content = spec(sample("s", [40.0, 9.0], mu=MU, g=("staterror", [0.0, 1.0])), data=[50.0, 9.0])
    _, found = fitted(content)
    labels = found.results.labels
    fixed, free = labels.index("g[0]"), labels.index("g[1]")
    assert found.results.bestfit[fixed] == 1
    assert found.results.uncertainty[fixed] == 0
    assert not found.results.corr_mat[fixed].any()
    assert found.results.uncertainty[free] > 0
    assert found.results.corr_mat[free, free] == pytest.approx(1)
    assert found.diagnostics.at_bounds == ()


def test_free_normalisations_that_do_the_same() -> None:
    """Only their product has a value; what else there is has the uncertainty that it would have."""
    normsys = {"hi": 1.1, "lo": 0.9}
    other = sample("b", [30.0, 5.0], size=("normsys", normsys))
    _, single = fitted(spec(sample("s", [40.0, 50.0], mu=MU), other, data=[80.0, 60.0]))
    _, found = fitted(spec(sample("s", [40.0, 50.0], mu=MU, nu=MU), other, data=[80.0, 60.0]))
    assert found.diagnostics.undetermined == ("mu", "nu")
    (finding,) = found.findings
    assert finding.where == "mu, nu"
    assert "not determined by the data" in finding.message
    results, labels = found.results, found.results.labels
    mu, nu, size = (labels.index(name) for name in ("mu", "nu", "size"))
    alone = {name: number for number, name in enumerate(single.results.labels)}
    assert results.best_twice_nll == pytest.approx(single.results.best_twice_nll, abs=1e-9)
    assert results.bestfit[mu] * results.bestfit[nu] == pytest.approx(
        single.results.bestfit[alone["mu"]], rel=1e-6
    )
    assert results.uncertainty[[mu, nu]].tolist() == [0, 0]
    assert results.uncertainty[size] == pytest.approx(single.results.uncertainty[alone["size"]])


def test_parameter_without_effect() -> None:
    content = spec(
        sample("s", [40.0, 50.0], mu=MU), sample("b", [0.0, 0.0], nu=MU), data=[50.0, 60.0]
    )
    _, found = fitted(content)
    assert found.diagnostics.without_effect == ("nu",)
    assert found.results.bestfit[found.results.labels.index("nu")] == 1


def test_systematic_without_effect_is_named_and_has_what_its_measurement_tells() -> None:
    signal, same = sample("s", [40.0, 50.0], mu=MU), {"hi_data": [9.0, 0.0], "lo_data": [9.0, 0.0]}
    other = sample(
        "b", [9.0, 0.0], shape=("histosys", same), norm=("normsys", {"hi": 1.0, "lo": 1.0})
    )
    _, found = fitted(spec(signal, other, data=[50.0, 60.0]))
    assert set(found.diagnostics.without_effect) == {"shape", "norm"}
    (finding,) = found.findings
    assert "changes no expected yield" in finding.message
    where = [found.results.labels.index(name) for name in ("shape", "norm")]
    assert found.results.bestfit[where].tolist() == [0, 0]
    assert found.results.uncertainty[where] == pytest.approx(1)


def test_parameter_of_interest_at_its_bound() -> None:
    content = spec(sample("s", [10.0], mu=MU), data=[1000.0])
    _, found = fitted(content)
    assert found.diagnostics.at_bounds == ("mu",)
    assert value(content) == (10, 0)
    assert [finding.where for finding in found.findings] == ["mu"]
    assert value(spec(sample("s", [10.0], mu=MU), data=[1000.0], bounds=(0, 200)))[0] == (
        pytest.approx(100)
    )


def test_no_signal() -> None:
    content = spec(sample("s", [10.0], mu=MU), sample("b", [50.0]), data=[30.0])
    _, found = fitted(content)
    assert (found.results.bestfit[0], found.results.uncertainty[0]) == (0, 0)
    assert found.diagnostics.at_bounds == ("mu",)
    assert found.findings == ()


@pytest.mark.parametrize(("observed", "told"), [(30.0, []), (60.0, None), (1000.0, ["mu"])])
def test_bounds_where_cabinetry_ends(observed: float, told: list[str] | None) -> None:
    """Near zero, within, and near the bound 10."""
    content = spec(sample("s", [10.0], mu=MU), sample("b", [50.0]), data=[observed])
    _, found = fitted(content, method="cabinetry")
    assert found.diagnostics.at_bounds == (() if told is None else ("mu",))
    assert [finding.where for finding in found.findings] == (told or [])


def test_nuisance_at_its_bound() -> None:
    norm = ("normsys", {"hi": 1.01, "lo": 0.99})
    content = spec(
        sample("s", [40.0, 0.0], mu=MU), sample("b", [0.0, 1e5], norm=norm), data=[50.0, 2e5]
    )
    model, found = fitted(content)
    assert found.diagnostics.at_bounds == ("norm",)
    index = found.results.labels.index("norm")
    assert found.results.bestfit[index] == model.config.suggested_bounds()[index][1]
    assert found.results.uncertainty[index] == 0
    (finding,) = found.findings
    assert (finding.severity, finding.where) == ("warning", "norm")
    assert "at a bound of [-5, 5]" in finding.message
    assert found.results.bestfit[model.config.poi_index] == pytest.approx(1.25)


def test_events_where_none_are_expected() -> None:
    content = spec(sample("s", [40.0, 0.0, 0.0], mu=MU), data=[50.0, 0.0, 2.0])
    with pytest.raises(ModelError, match=r"data but zero expected yield in SR bin 2 \("):
        fitted(content)


def test_empty_bins_are_harmless() -> None:
    content = spec(sample("s", [40.0, 0.0], mu=MU), data=[50.0, 0.0])
    assert value(content) == pytest.approx((1.25, np.sqrt(50) / 40), rel=1e-9)


def test_no_rate_may_be_negative() -> None:
    """pyhf would take a negative rate in an empty bin for a better and better fit."""
    shape = ("histosys", {"hi_data": [48.0, 12.0], "lo_data": [52.0, -8.0]})
    content = spec(sample("s", [50.0, 2.0], mu=MU, shape=shape), data=[50.0, 1.0])
    model, found = fitted(content)
    assert model.expected_data(found.results.bestfit, include_auxdata=False).min() > 0
    _, _, likelihood = published_model()
    assert likelihood.expand(np.full(len(likelihood.constraints.centre), -4.0)).value == np.inf


def test_iterations_are_limited() -> None:
    content = spec(sample("s", [40.0], mu=MU), data=[50.0])
    with pytest.raises(ModelError, match="has not converged after 1 steps") as caught:
        fitted(content, max_iterations=1)
    assert "max_iterations" in caught.value.remedy


@pytest.mark.parametrize(
    ("modifier", "problem"),
    [
        (("normsys", {"hi": 2.1, "lo": -0.1}), "of 100 % or more makes a yield negative"),
    ],
)
def test_models_that_are_not_supported(modifier: tuple[str, Any], problem: str) -> None:
    content = spec(sample("s", [40.0, 50.0], mu=MU, x=modifier), data=[50.0, 60.0])
    with pytest.raises(ModelError, match=problem):
        fitted(content)


@pytest.mark.parametrize("events", [1.0, 1e3, 1e9, 6.25e16])
def test_deviance_of_many_events(events: float) -> None:
    """By its power series around the minimum, and by its own formula where nothing cancels."""
    x = 2.0**-30
    (near,) = deviance(np.array([events]), np.array([events * (1 + x)]))
    assert near == pytest.approx(events * (x**2 - 2 * x**3 / 3), rel=1e-5)
    (far,) = deviance(np.array([events]), np.array([3 * events]))
    assert far == pytest.approx(2 * events * (2 - np.log(3)), rel=1e-12)


def test_deviance_of_nothing() -> None:
    numbers = deviance(np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 3.0, 1e-100, 2.0]))
    assert numbers.tolist() == pytest.approx([0, 6, 2 * (100 * np.log(10) - 1), 0])
