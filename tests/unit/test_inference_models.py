"""The likelihood of any HistFactory model: against pyhf, and against finite differences."""

from typing import Any

import numpy as np
import pyhf
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import fit, workspace
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.settings import MinimiserSettings
from models import MODELS, MU, TWO_BINS, sample, spec

MINIMISER = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=4)


def made(content: Any) -> tuple[pyhf.Model, list[float], Problem]:
    model, data = workspace.load(content, place="test")
    return model, data, problem(model, data, MINIMISER)


def points(here: Problem, n: int) -> Any:
    """Places around the start, within the bounds."""
    random = np.random.default_rng(1)
    for _ in range(n):
        step = 0.3 * random.normal(size=len(here.start))
        yield np.clip(here.start + step, here.bounds[:, 0] + 1e-3, here.bounds[:, 1])


@pytest.mark.parametrize("name", MODELS)
def test_differences_are_those_of_pyhf(name: str) -> None:
    model, data, here = made(MODELS[name])
    first = here.start + np.where(here.start == 0, 0.1, 0.0)
    reference = here.likelihood.expand(first).value, -2 * model.logpdf(first, data)[0]
    for at in points(here, 5):
        expected = model.main_model.expected_data(at, return_by_sample=True)
        np.testing.assert_allclose(here.likelihood.rates_by_sample(at), expected, rtol=1e-12)
        change = here.likelihood.expand(at).value - reference[0]
        assert change == pytest.approx(-2 * model.logpdf(at, data)[0] - reference[1], abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_those_of_finite_differences(name: str) -> None:
    _, _, here = made(MODELS[name])
    step = 1e-5
    for at in points(here, 3):
        middle = here.likelihood.expand(at)
        slopes = here.likelihood.slopes(at)
        for p in range(len(at)):
            shift = step * (np.arange(len(at)) == p)
            up, down = (here.likelihood.expand(at + sign * shift) for sign in (1, -1))
            rates = [here.likelihood.rates(at + sign * shift) for sign in (1, -1)]
            scale = 1e-6 * (1 + np.abs(middle.hessian).max())
            assert middle.gradient[p] == pytest.approx(
                (up.value - down.value) / 2 / step, abs=scale
            )
            np.testing.assert_allclose(
                middle.hessian[p], (up.gradient - down.gradient) / 2 / step, rtol=1e-4, atol=scale
            )
            np.testing.assert_allclose(
                slopes[p], (rates[0] - rates[1]) / 2 / step, rtol=1e-6, atol=1e-6
            )


def test_a_factor_of_zero_has_derivatives() -> None:
    _, _, here = made(MODELS["two channels"])
    at = here.start.copy()
    at[here.poi] = 0
    exact = here.likelihood.expand(at)
    near = at.copy()
    near[here.poi] = 1e-9
    other = here.likelihood.expand(near)
    assert exact.value == pytest.approx(other.value, abs=1e-6)
    np.testing.assert_allclose(exact.gradient, other.gradient, rtol=1e-6)
    np.testing.assert_allclose(exact.hessian, other.hessian, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_minima_are_those_of_minuit(name: str) -> None:
    """As far as its numerical derivatives go."""
    model, data, _ = made(MODELS[name])
    before = pyhf.get_backend()
    found = fit.fit(model, data, MINIMISER)
    with fit.backend_kept():
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4, maxiter=100_000))
        best, value = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    # -2 ln L of a few events less is worth nothing.
    assert found.results.best_twice_nll <= value + 1e-9
    assert found.results.best_twice_nll == pytest.approx(float(value), abs=1e-4)
    sigma = np.where(found.results.uncertainty > 0, found.results.uncertainty, 1)
    # Along a parameter at a bound, MINUIT stops a little inside.
    assert np.abs((best - found.results.bestfit) / sigma).max() < 0.02
    assert pyhf.get_backend() == before


def test_a_published_result() -> None:
    """Source: documentation of cabinetry; the example has 475 events, 352 are expected at 1."""
    model, data, _ = made(MODELS["cabinetry"])
    found = fit.fit(model, data, MINIMISER)
    # One bin cannot pull the systematics: the strength takes up all of the difference.
    poi = model.config.poi_index
    assert found.results.bestfit[poi] == pytest.approx((475 - 300) / 51.839756, rel=1e-6)
    other = np.delete(found.results.bestfit, poi)
    np.testing.assert_allclose(other, np.delete(model.config.suggested_init(), poi), atol=1e-6)


def test_names_of_parameters_may_have_slashes() -> None:
    def content(*names: str) -> Any:
        first, second, shape, own, rate = names
        return spec(
            (
                "a",
                [52.0, 31.0],
                sample("s", [5.0, 8.0], ("mu", *MU), (first, "staterror", [1.0, 2.0])),
                sample("b", [40.0, 20.0], (shape, "shapesys", [4.0, 3.0]), (rate, *MU)),
            ),
            ("b", [9.0], sample("b", [10.0], (second, "staterror", [1.0]), (own, *MU))),
        )

    plain = ("x", "y", "z", "u", "v")
    slashes = ("st/x[0]", "st/y", "sh/z/", "/u", "v//")
    (model, *_, expected), (other, *_, result) = made(content(*plain)), made(content(*slashes))
    at = np.linspace(0.8, 1.2, len(expected.start))
    by_slash = dict(zip(plain, slashes, strict=True))
    names = [by_slash.get(name, name) for name in model.config.par_order]
    places = np.concatenate([np.arange(len(at))[other.config.par_slice(name)] for name in names])
    there = np.empty_like(at)
    there[places] = at
    assert result.likelihood.expand(there).value == expected.likelihood.expand(at).value
    np.testing.assert_array_equal(other.expected_data(there)[:3], model.expected_data(at)[:3])


def test_interpolations_with_a_kink_are_refused() -> None:
    content = pyhf.Workspace(MODELS["two channels"])
    model = content.model(modifier_settings={"normsys": {"interpcode": "code1"}})
    with pytest.raises(ModelError, match="interpolation code1 of normsys has a kink"):
        problem(model, content.data(model), MINIMISER)


def test_statistical_factors_shared_by_channels() -> None:
    """Names may be the same in two channels: each bin has its own factor."""
    factor = ("mc", "staterror", [2.0, 3.0])
    content = spec(
        ("a", [11.0, 12.0], sample("s", [10.0, 20.0], ("mu", *MU), factor)),
        ("b", [13.0, 14.0], sample("s", [30.0, 40.0], ("mu", *MU), factor)),
    )
    model, _, here = made(content)
    assert model.config.npars == 5
    at = np.array([1.1, 0.9, 1.2, 1.3, 0.7])
    np.testing.assert_allclose(
        here.likelihood.rates(at), model.expected_data(at, include_auxdata=False)
    )


def test_all_parameters_fixed() -> None:
    content = spec(("a", [50.0], sample("s", [40.0], ("mu", *MU))))
    content["measurements"][0]["config"]["parameters"][0]["fixed"] = True
    model, data, _ = made(content)
    found = fit.fit(model, data, MINIMISER)
    assert (found.results.bestfit[0], found.results.uncertainty[0]) == (1, 0)
    assert found.diagnostics.smallest_eigenvalue is None
    assert found.diagnostics.gradient_norm == 0
    assert found.diagnostics.at_bounds == ()


def test_bounds_without_room_fix_a_parameter() -> None:
    """12 = 8 + 4 k mu with k = 2, whose start is elsewhere; sqrt(12) / 8 of the data alone."""
    signal = sample("s", [4.0], ("mu", *MU), ("k", "normfactor", None))
    content = spec(("a", [12.0], signal, sample("b", [8.0])))
    settings = {"name": "k", "inits": [1.0], "bounds": [[2, 2]]}
    content["measurements"][0]["config"]["parameters"].append(settings)
    model, data, here = made(content)
    assert dict(zip(here.names, here.fixed, strict=True)) == {"mu": False, "k": True}
    found = dict(zip(here.names, fit.fit(model, data, MINIMISER).results.bestfit, strict=True))
    assert found == {"mu": pytest.approx(0.5), "k": 2}
    widths = fit.fit(model, data, MINIMISER).results.uncertainty
    assert sorted(widths) == pytest.approx([0, 12**0.5 / 8])
    # MINUIT takes equal bounds for none.
    other = fit.fit(model, data, MINIMISER.model_copy(update={"method": "cabinetry"})).results
    values = dict(zip(here.names, zip(other.bestfit, other.uncertainty, strict=True), strict=True))
    assert values["k"] == (2, 0)
    assert values["mu"] == pytest.approx((0.5, 12**0.5 / 8), rel=0.02)


def test_a_factor_without_uncertainty_is_fixed() -> None:
    background = sample("b", [1034.0], ("mc", "staterror", [0.0]))
    content = spec(("a", [1100.0], sample("s", [40.0], ("mu", *MU)), background))
    model, data, here = made(content)
    assert dict(zip(here.names, here.fixed, strict=True)) == {"mu": False, "mc[0]": True}
    found = fit.fit(model, data, MINIMISER)
    assert found.results.bestfit.tolist() == pytest.approx([66 / 40, 1])
    assert found.results.uncertainty.tolist() == pytest.approx([1100**0.5 / 40, 0])


def test_a_region_without_data() -> None:
    content = spec(
        ("a", [50.0], sample("s", [40.0], ("mu", *MU))),
        ("empty", [0.0, 0.0], sample("s", [4.0, 1.0], ("mu", *MU))),
    )
    model, data, _ = made(content)
    found = fit.fit(model, data, MINIMISER)
    assert found.results.bestfit[0] == pytest.approx(50 / 45)


def test_negative_strengths() -> None:
    signal, background = sample("s", [40.0], ("mu", *MU)), sample("b", [100.0])
    model, data, _ = made(spec(("a", [80.0], signal, background), bounds=(-5, 5)))
    found = fit.fit(model, data, MINIMISER)
    assert found.results.bestfit[0] == pytest.approx(-0.5)
    assert found.results.uncertainty[0] == pytest.approx(np.sqrt(80) / 40)


def test_two_minima() -> None:
    """A shape that falls both ways: the lower minimum is kept, and the other one is told of."""
    bent = ("bent", "histosys", {"hi_data": [70.0, 0.0], "lo_data": [40.0, 0.0]})
    content = spec(
        ("a", [60.0, 1e4], sample("s", [0.0, 1e4], ("mu", *MU)), sample("b", [100.0, 0.0], bent))
    )
    model, data, here = made(content)
    found = fit.fit(model, data, here.settings.model_copy(update={"starts": 8}))
    # With a second one, it looks for more from distant places.
    assert (found.diagnostics.starts, found.diagnostics.minima) == (24, 2)
    heights = {
        at: -2 * model.logpdf([1.0, at] if model.config.poi_index == 0 else [at, 1.0], data)[0]
        for at in np.linspace(-1.2, 1.2, 241)
    }
    # The other one, at positive values, needs a larger shift.
    lowest = min(heights, key=lambda at: heights[at])
    assert lowest < 0
    assert found.results.bestfit[1 - model.config.poi_index] == pytest.approx(lowest, abs=0.01)
    assert found.results.best_twice_nll <= heights[lowest]


# Numbers of events, relative changes and uncertainties that hold nothing absurd.
EVENTS = st.floats(1, 1e4)
CHANGES = st.floats(0.5, 1.5)


@st.composite
def workspaces(draw: st.DrawFn) -> Any:
    """Valid workspaces of one or two channels with all kinds of modifiers."""
    channels = []
    for number in range(draw(st.integers(1, 2))):
        n_bins = draw(st.integers(1, 3))

        def bins(values: st.SearchStrategy[float], n: int = n_bins) -> list[float]:
            return draw(st.lists(values, min_size=n, max_size=n))

        signal, background = bins(EVENTS), bins(EVENTS)
        modifiers: list[tuple[str, str, Any]] = [
            ("norm", "normsys", {"hi": draw(CHANGES), "lo": draw(CHANGES)}),
            (
                "shape",
                "histosys",
                {
                    key: [n * change for n, change in zip(background, bins(CHANGES), strict=True)]
                    for key in ("hi_data", "lo_data")
                },
            ),
            (f"poisson{number}", "shapesys", [0.1 * n for n in background]),
            (f"mc{number}", "staterror", bins(st.just(0.0) | st.floats(0.01, 10))),
            ("free", "normfactor", None),
        ]
        kept = draw(st.lists(st.sampled_from(modifiers), unique_by=lambda entry: entry[0]))
        # Data like the expectation, or anything.
        data = [round(s + b) for s, b in zip(signal, background, strict=True)]
        data = draw(st.sampled_from([data, bins(st.integers(0, 20_000))]))
        channels.append(
            (
                f"channel{number}",
                [float(n) for n in data],
                sample("signal", signal, ("mu", *MU)),
                sample("background", background, *kept),
            )
        )
    return spec(*channels)


@given(content=workspaces())
@settings(max_examples=10, deadline=None)
def test_random_models_fit(content: Any) -> None:
    model, data = workspace.load(content, place="test")
    found = fit.fit(model, data, MINIMISER)
    assert np.all(np.isfinite(found.results.bestfit))
    assert np.all(found.results.uncertainty >= 0)
    start = -2 * model.logpdf(model.config.suggested_init(), data)[0]
    assert found.results.best_twice_nll <= start + 1e-6 * abs(start)
    assert found.diagnostics.distance <= MINIMISER.max_distance


@given(scale=st.floats(0.1, 10), content=st.sampled_from([MODELS["two bins"], TWO_BINS]))
@settings(max_examples=20, deadline=None)
def test_a_signal_of_other_size_has_the_inverse_strength(scale: float, content: Any) -> None:
    model, data, _ = made(content)
    nominal = fit.fit(model, data, MINIMISER).results
    assume(nominal.bestfit[model.config.poi_index] / scale < 9)
    (channel,) = content["channels"]
    signal, background = channel["samples"]
    scaled = signal | {"data": [scale * n for n in signal["data"]]}
    other = content | {"channels": [channel | {"samples": [scaled, background]}]}
    model, data, _ = made(other)
    found = fit.fit(model, data, MINIMISER).results
    poi = model.config.poi_index
    assert found.bestfit[poi] == pytest.approx(nominal.bestfit[poi] / scale, rel=1e-6, abs=1e-9)
    assert found.uncertainty[poi] == pytest.approx(nominal.uncertainty[poi] / scale, rel=1e-6)
