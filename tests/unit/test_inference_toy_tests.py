"""Significance and CLs from pseudo-experiments, against closed forms of counting experiments."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

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


def agrees(estimate: Estimate, exact: float, at_most: float) -> bool:
    """Within three errors, none of which is larger than it has to be."""
    return 0 < estimate.error < at_most and abs(estimate.value - exact) < 3 * estimate.error


@pytest.mark.parametrize(("observed", "signal", "background"), [(9, 6.0, 4.0), (25, 15.0, 5.0)])
def test_significance(observed: int, signal: float, background: float) -> None:
    """Of 2 and 6.3 standard deviations; the asymptotic 2.14 is wrong where there are few events."""
    tested = limits.Signal(counting(observed, signal, background))
    ours, expected = ToySignal(tested, TOYS).significances()
    assert agrees(ours, significance(observed, background), 0.1)
    median = poisson.median(signal + background)
    assert agrees(expected, significance(median, background), 0.4)
    assert abs(tested.significance() - ours.value) > (0.03 if observed == 25 else 0.08)


def test_cls() -> None:
    tested = limits.Signal(counting(3, 4.0, 5.0))
    exact = poisson.cdf(3, 9.0) / poisson.cdf(3, 5.0)
    assert agrees(ToySignal(tested, TOYS).cls(1.0), exact, 0.06)
    # A signal of 36 events never gives as few.
    with pytest.raises(limits.ModelError, match="no pseudo-experiment"):
        ToySignal(tested, TOYS).cls(9.0)


def test_no_excess_has_no_significance() -> None:
    ours, expected = ToySignal(limits.Signal(counting(2, 4.0, 5.0)), TOYS).significances()
    assert ours == Estimate(value=0.0, error=0.0)
    assert expected.value > 1


def test_uncertain_background() -> None:
    """Auxiliary measurements fluctuate: an uncertain background makes less of an excess."""
    uncertain = ("size", "normsys", {"hi": 1.4, "lo": 0.6})
    content = spec(("SR", [14.0], sample("s", [6.0], ("mu", *MU)), sample("b", [5.0], uncertain)))
    here = problem(*workspace.load(content, place="test"), SETTINGS)
    settings = LIMIT.model_copy(update={"toys": ToyTestSettings(count=90, seed=11)})
    ours, _ = ToySignal(limits.Signal(here), settings.toys).significances()
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
    assert abs(row.cls.value - 0.05) < 3 * row.cls.error < 0.2
    assert LimitRecord.model_validate_json(record.model_dump_json()) == record


def test_none_are_thrown_unless_asked_for() -> None:
    here = counting(9, 6.0, 4.0)
    settings = LIMIT.model_copy(update={"toys": NO_TOYS})
    found = limits.compute(here, settings)
    assert with_toys(found, here, settings) is found
    assert np.isfinite(found["significance"])
