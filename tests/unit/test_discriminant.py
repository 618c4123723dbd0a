"""Discriminants that are trained on the expected uncertainty: derivatives, and toys."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agc_pipeline.inference.closed_form import ClosedForm, RegionTemplates, Shifts
from agc_pipeline.inference.variance_slopes import variance_slopes

BINS = 4


def random_region(random: np.random.Generator) -> RegionTemplates:
    """Templates of all kinds: of samples and subsets, of weights, moving events, mirrored ones."""
    kinds = ("sample", "subset", "weight", "object", "object", "sample", "object", "weight")
    n = len(kinds)
    nominal = random.uniform(50, 200, (3, BINS))
    sample = np.arange(n) % 3

    def varied() -> Any:
        return nominal[sample] * random.uniform(0.85, 1.2, (n, BINS))

    up, down = varied(), varied()
    moved = np.array([3, 6])
    shared = random.uniform(0.05, 0.2, (2, 2, BINS, BINS)) + np.eye(BINS)
    shared *= nominal[sample[moved]][:, :, np.newaxis] / 4
    mirrored = np.array([False, True, False, True, False, True, False, False])
    # What no event passes has no systematic.
    up[7], down[7] = 0.0, 0.0
    shifts = Shifts(
        parameter=1 + np.arange(n) % 4,
        sample=sample,
        kind=np.array(kinds),
        mirrored=mirrored,
        up=up,
        down=np.where(mirrored[:, np.newaxis], up, down),
        up_variances=up * random.uniform(0.5, 0.9, (n, BINS)),
        down_variances=down * random.uniform(0.5, 0.9, (n, BINS)),
        moved=moved,
        up_shared=shared[0],
        down_shared=shared[1],
    )
    slopes = np.zeros((5, 3))
    slopes[0, 0], slopes[4, 1:] = 1.0, 0.1
    variances = nominal * random.uniform(0.5, 1.0, nominal.shape)
    return RegionTemplates(np.arange(BINS + 1.0), nominal, variances, slopes, shifts)


def arrays(model: ClosedForm) -> Iterator[tuple[str, str, Any]]:
    """Region, name and numbers of all that the variance is made of."""
    for name, of in model.regions.items():
        for key in ("nominal", "variances"):
            yield name, key, getattr(of, key)
        for key in ("up", "down", "up_variances", "down_variances", "up_shared", "down_shared"):
            yield name, key, getattr(of.shifts, key)


def moved(model: ClosedForm, region: str, key: str, values: Any) -> ClosedForm:
    """The model with other numbers; mirrored templates down are those up."""
    of = model.regions[region]
    if key in ("nominal", "variances"):
        other = replace(of, **{key: values})
    else:
        other = replace(of, shifts=of.shifts._replace(**{key: values}))
    return replace(model, regions={**model.regions, region: other})


def test_derivatives_by_all_templates() -> None:
    random = np.random.default_rng(5)
    regions = {name: random_region(random) for name in ("a", "b")}
    free = np.array([True, False, False, False, False])
    model = ClosedForm(regions, ("mu", "p", "q", "r", "s"), free)
    bins = {name: np.eye(BINS) for name in regions}
    slopes = variance_slopes(model, bins)
    estimate = model.estimate(bins)
    assert (slopes.fit, slopes.noise) == pytest.approx((estimate.fit, estimate.noise), rel=1e-12)
    assert slopes.noise > 0.02 * slopes.fit
    largest = 0.0
    for region, key, values in arrays(model):
        ours = getattr(slopes.regions[region], key)
        assert ours.shape == values.shape
        for place in np.ndindex(values.shape):
            if values[place] == 0:
                continue
            step = 1e-5 * values[place]
            sides = []
            for sign in (1, -1):
                there = values.copy()
                there[place] += sign * step
                sides.append(moved(model, region, key, there).estimate(bins).variance)
            expected = (sides[0] - sides[1]) / (2 * step)
            scale = abs(estimate.variance / values[place])
            assert ours[place] == pytest.approx(expected, rel=1e-5, abs=1e-8 * scale), (key, place)
            largest = max(largest, abs(expected) / scale)
    assert largest > 0.01
    blind = variance_slopes(model, bins, noise=False)
    assert not blind.regions["a"].up_shared.any()
