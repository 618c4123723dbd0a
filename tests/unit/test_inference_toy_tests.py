"""Significance, CLs and limits from pseudo-experiments, against closed forms of counting."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.special import xlogy
from scipy.stats import norm, poisson

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import limits, workspace
from agc_pipeline.inference.derived_records import LimitRecord
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.settings import LimitSettings, ToyTestSettings
from agc_pipeline.inference.toy_tests import Estimate, ToySignal, with_toys
from models import MU, NO_TOYS, sample, spec
from random_models import SETTINGS

TOYS = ToyTestSettings(count=300, seed=11)
LIMIT = LimitSettings(statistic="qtilde", confidence=0.95, points=3, max_significance=5, toys=TOYS)


def counting(observed: int, signal: float, background: float) -> Problem:
    """Events in one bin, whose background is known."""
    content = spec(
        ("SR", [float(observed)], sample("s", [signal], ("mu", *MU)), sample("b", [background]))
    )
    return problem(*workspace.load(content, place="test"), SETTINGS)


def significance(observed: float, background: float) -> float:
    """Of so many events or more without signal."""
    return float(norm.isf(poisson.sf(observed - 1, background)))


def upper_limit(observed: float, signal: float, background: float) -> float:
    """The strength of which CLs is 0.05."""

    def excess(strength: float) -> float:
        with_signal = poisson.cdf(observed, strength * signal + background)
        return float(with_signal / poisson.cdf(observed, background)) - 0.05

    return float(scipy.optimize.brentq(excess, 0.0, 100.0))


def agrees(estimate: Estimate, exact: float, at_most: float) -> bool:
    """Within three errors, none of which is larger than it has to be."""
    return 0 < estimate.error < at_most and abs(estimate.value - exact) < 3 * estimate.error


@pytest.mark.parametrize(("observed", "signal", "background"), [(9, 6.0, 4.0), (25, 15.0, 5.0)])
def test_significance(observed: int, signal: float, background: float) -> None:
    """Of 2 and 6.3 standard deviations; the asymptotic 2.14 is wrong where there are few events."""
    tested = limits.Signal(counting(observed, signal, background))
    toys = ToySignal(tested, TOYS, excluded=2.0)
    ours, expected = toys.significance(), toys.expected_significance()
    assert agrees(ours, significance(observed, background), 0.1)
    median = poisson.median(signal + background)
    assert agrees(expected, significance(median, background), 0.4)
    assert abs(tested.significance() - ours.value) > (0.03 if observed == 25 else 0.08)


def test_significance_with_a_measured_background() -> None:
    """Two counts, of which the second measures the background of the first.

    Data like these are what no signal most often gives if both fluctuate, and asymptotic formulae
    are good: pseudo-experiments of which only the first count is high are hardly ever such data.
    """
    n_on, n_off = 25.0, 8.0
    measured = ("b", "shapesys", [np.sqrt(n_off)])
    content = spec(("SR", [n_on], sample("s", [17.0], ("mu", *MU)), sample("b", [n_off], measured)))
    signal = limits.Signal(problem(*workspace.load(content, place="test"), SETTINGS))

    def statistic(on: Any, off: Any) -> Any:
        mean = (on + off) / 2
        return np.where(on > off, 2 * (xlogy(on, on / mean) + xlogy(off, off / mean)), 0.0)

    on, off = np.meshgrid(np.arange(1.0, 100), np.arange(1.0, 100), indexing="ij")
    mean = (n_on + n_off) / 2
    probabilities = poisson.pmf(on, mean) * poisson.pmf(off, mean)
    beyond = statistic(on, off) >= statistic(n_on, n_off) - 1e-9
    exact = float(norm.isf(probabilities[beyond].sum()))
    assert signal.significance() == pytest.approx(exact, abs=0.05)
    for seed in range(3):
        toys = ToySignal(signal, ToyTestSettings(count=60, seed=seed), excluded=2.0)
        assert agrees(toys.significance(), exact, 0.25)


def test_errors_cover() -> None:
    """Of independent pseudo-experiments, two thirds are within their error.

    A nuisance parameter moves the signal to a second bin, where the data have it. No signal looks
    like one more often in the first, for which no auxiliary measurement has to fluctuate.
    """
    moved = ("place", "histosys", {"hi_data": [1.0, 7.0], "lo_data": [7.0, 1.0]})
    content = spec(
        ("SR", [5.0, 15.0], sample("s", [7.0, 1.0], ("mu", *MU), moved), sample("b", [5.0, 5.0]))
    )
    signal = limits.Signal(problem(*workspace.load(content, place="test"), SETTINGS))
    toys = [
        ToySignal(signal, ToyTestSettings(count=60, seed=seed), excluded=2.0).significance()
        for seed in range(50)
    ]
    values, errors = np.array([(one.value, one.error) for one in toys]).T
    # What is not biased are probabilities.
    exact = norm.isf(norm.sf(values).mean())
    deviations = (values - exact) / errors
    assert 0.55 < np.mean(np.abs(deviations) < 1) < 0.82
    assert np.sqrt(np.mean(deviations**2)) < 1.2


def test_cls() -> None:
    toys = ToySignal(limits.Signal(counting(3, 4.0, 5.0)), TOYS, excluded=1.0)
    for strength, at_most in ((1.0, 0.01), (9.0, 1e-14)):
        # A signal of 36 events hardly ever gives as few; those of smaller ones tell how often.
        exact = poisson.cdf(3, 4.0 * strength + 5.0) / poisson.cdf(3, 5.0)
        assert agrees(toys.cls(strength), exact, at_most)
    # Of none of them it would not be known, nor from one or two how wrong it is.
    with pytest.raises(ModelError, match="no pseudo-experiment is far enough"):
        ToySignal(limits.Signal(counting(0, 4.0, 25.0)), TOYS, excluded=1.0).cls(1.0)
    with pytest.raises(ModelError, match=r"only [1-4] pseudo-experiments? .* far enough"):
        ToySignal(limits.Signal(counting(2, 1.0, 9.0)), TOYS, excluded=3.0).cls(3.0)


@pytest.mark.parametrize(
    ("observed", "signal", "background", "asymptotic"),
    [(0, 1.0, 0.0, 1.92), (0, 1.0, 3.0, 2.57), (9, 6.0, 4.0, 1.83)],
)
def test_limit(observed: int, signal: float, background: float, asymptotic: float) -> None:
    """Without background, no event excludes three; formulae for many are off by a third."""
    here = counting(observed, signal, background)
    asymptotically = limits.compute(here, LIMIT)
    assert asymptotically["limit"]["observed"] == pytest.approx(asymptotic, abs=0.01)
    toys = with_toys(asymptotically, here, LIMIT)["toys"]
    assert agrees(toys.limit, upper_limit(observed, signal, background), 0.15)
    median = poisson.median(background)
    assert agrees(toys.expected_limit, upper_limit(median, signal, background), 0.3)
    assert [entry.strength for entry in toys.scan] == sorted(entry.strength for entry in toys.scan)
    above, below = toys.scan[0].cls.value, toys.scan[-1].cls.value
    assert below < 0.05 < above


def test_limit_of_many_events_is_the_asymptotic_one() -> None:
    here = limits.Signal(counting(1000, 30.0, 980.0))
    asymptotic = here.limits(0.95)
    assert asymptotic.observed is not None
    assert asymptotic.expected[2] is not None
    toys = ToySignal(here, TOYS, excluded=asymptotic.observed)
    assert agrees(toys.limit(toys.cls, 0.95, asymptotic.observed), asymptotic.observed, 0.06)
    expected = toys.limit(toys.expected_cls, 0.95, asymptotic.expected[2])
    assert agrees(expected, asymptotic.expected[2], 0.08)


def test_no_excess_has_no_significance() -> None:
    toys = ToySignal(limits.Signal(counting(2, 4.0, 5.0)), TOYS, excluded=1.0)
    assert toys.significance() == Estimate(value=0.0, error=0.0)
    assert toys.expected_significance().value > 1


def test_uncertain_background() -> None:
    """Auxiliary measurements fluctuate: an uncertain background makes less of an excess."""
    uncertain = ("size", "normsys", {"hi": 1.4, "lo": 0.6})
    content = spec(("SR", [14.0], sample("s", [6.0], ("mu", *MU)), sample("b", [5.0], uncertain)))
    here = problem(*workspace.load(content, place="test"), SETTINGS)
    settings = LIMIT.model_copy(update={"toys": ToyTestSettings(count=60, seed=11)})
    ours = ToySignal(limits.Signal(here), settings.toys, excluded=3.0).significance()
    assert 1 < ours.value < significance(14, 5.0) - 0.5
    record = LimitRecord(
        workspace_digest="",
        provenance={},
        poi="mu",
        confidence=0.95,
        statistic="qtilde",
        **with_toys(limits.compute(here, settings), here, settings),
    )
    assert record.toys is not None
    assert record.limit is not None
    assert record.toys.significance == ours
    (row,) = record.toys.cls
    assert row.strength == record.limit.observed
    assert row.asymptotic == pytest.approx(0.05, rel=1e-3)
    assert abs(row.cls.value - 0.05) < 3 * row.cls.error < 0.1
    assert record.toys.limit is not None
    assert record.limit.observed is not None
    assert agrees(record.toys.limit, record.limit.observed, 0.3)
    assert LimitRecord.model_validate_json(record.model_dump_json()) == record


def test_none_are_thrown_unless_asked_for() -> None:
    here = counting(9, 6.0, 4.0)
    settings = LIMIT.model_copy(update={"toys": NO_TOYS})
    found = limits.compute(here, settings)
    assert with_toys(found, here, settings) is found
    assert np.isfinite(found["significance"])
