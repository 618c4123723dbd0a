"""How results of a fit depend on the templates of its model: exact gradients.

- The expected uncertainty is that of data which the model before the fit expects (Asimov data): the
  minimum of these is known, wherever the templates are. With the variance V = 2 (H^-1)_(mu mu) for
  the Hessian H of -2 ln L, and v = H^-1 e_mu,

      dV/dt = -2 v^T (dH/dt) v,

  and on such data H is a sum of squared slopes of the rates and of auxiliary measurements.
- The best fit of the data follows from the implicit function theorem,

      d mu / d t = - v . d/dt grad (-2 ln L).

- Expected significance and median upper limit follow from the statistic of a strength for Asimov
  data of another one. At its minimum it depends on the templates directly, through these data, and
  through the parameters that they are made of, which are a best fit themselves.

Methods: HistFactory as in ``likelihood``; G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554,
arXiv:1007.1727 (Asimov data); P. de Castro and T. Dorigo, Comput. Phys. Commun. 244 (2019) 170,
arXiv:1806.04743 (the expected variance as an objective).
"""

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.derivatives import Gradient, Term
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import NO_EVENTS, Problem, no_interest

# In units of the uncertainty: where the fit of Asimov data ends, if it stays where they are from.
_STAYS = 1e-6


def expected_fit(problem: Problem) -> Minimum:
    """The fit of the data that the model expects before the fit.

    Raises:
        ModelError: if they do not determine the parameter of interest, or are not fitted by it.
    """
    if problem.poi is None:
        raise no_interest()
    best = problem.asimov(problem.start).lowest([problem.start]).minimum
    _require_determined(problem, best)
    uncertainty = np.sqrt(np.diag(best.covariance))
    moved = np.abs(best.parameters - problem.start) > _STAYS * uncertainty
    if np.any(moved & best.free):
        raise ModelError(
            "the model before the fit expects no events in some bins, where its systematics expect "
            "some",
            place="workspace",
            remedy="merge bins with `fit.model.edges`",
        )
    return best


def expected_variance(problem: Problem, best: Minimum) -> Gradient:
    """Derivatives of the expected variance of the parameter of interest.

    Args:
        problem: the fit, of any data.
        best: ``expected_fit`` of it.
    """
    at = problem.start
    likelihood = problem.likelihood
    along = best.covariance[problem.poi] / 2
    rates = likelihood.rates(at)
    filled = rates > NO_EVENTS
    moved = along @ likelihood.slopes(at)
    relative = np.divide(moved, rates, out=np.zeros_like(rates), where=filled)
    measured = likelihood.constraints
    return Gradient(
        likelihood,
        (Term(at, 4 * relative**2, along, -8 * relative),),
        by_weight=np.where(measured.weight > 0, -4 * along**2, 0.0),
        by_rate=np.where(measured.rate > 0, -4 * along**2 / np.where(at > 0, at, 1.0), 0.0),
    )


def best_fit(problem: Problem, best: Minimum) -> Gradient:
    """Derivatives of the best fit of the parameter of interest.

    Raises:
        ModelError: if the data do not determine it, or it is on a border.
    """
    if problem.poi is None:
        raise no_interest()
    _require_determined(problem, best)
    return moved(problem, best, -best.covariance[problem.poi] / 2)


def statistic(problem: Problem, truth: Minimum, asimov_data: Problem, fitted: Minimum) -> Gradient:
    """Derivatives of the test statistic of a strength for Asimov data of another one.

    Args:
        problem: the fit of the data.
        truth: its minimum with one strength held, which the Asimov data are made of.
        asimov_data: their fit.
        fitted: its minimum with the other strength held.

    Raises:
        ModelError: if one of the minima is on a border.
    """
    for minimum in (truth, fitted):
        _require_inside(problem, minimum)
    likelihood, measured = asimov_data.likelihood, asimov_data.likelihood.constraints
    data, rates = likelihood.data, likelihood.rates(fitted.parameters)
    filled = data > 0
    ratio = np.divide(data, rates, out=np.zeros_like(rates), where=filled)
    by_data = 2 * np.log(np.where(filled, ratio, 1.0))
    there, here = truth.parameters, fitted.parameters
    shift = here - there
    gaussian = np.where(measured.weight > 0, -2 * measured.weight * shift, 0.0)
    poisson = measured.rate > 0
    logarithm = np.log(np.where(poisson, there, 1.0) / np.where(poisson, here, 1.0))
    by_truth = by_data @ likelihood.slopes(there).T + gaussian
    by_truth = by_truth + 2 * measured.rate * logarithm
    through = moved(problem, truth, -(truth.covariance / 2) @ by_truth)
    return Gradient(
        problem.likelihood,
        (Term(here, 2 * (1 - ratio)), Term(there, by_data), *through.terms),
        by_weight=through.by_weight + np.where(measured.weight > 0, shift**2, 0.0),
        by_rate=through.by_rate + np.where(poisson, 2 * (shift + there * logarithm), 0.0),
    )


def moved(problem: Problem, best: Minimum, along: Array) -> Gradient:
    """Derivatives of the gradient of -2 ln L along a direction, (p), for the data of the fit."""
    likelihood, at = problem.likelihood, best.parameters
    data, rates = likelihood.data, likelihood.rates(at)
    ratio = np.divide(data, rates, out=np.zeros_like(rates), where=data > 0)
    moved = along @ likelihood.slopes(at)
    weights = 2 * np.divide(ratio * moved, rates, out=np.zeros_like(rates), where=data > 0)
    measured = likelihood.constraints
    inverse = 1 / np.where((measured.rate > 0) & (at != 0), at, 1.0)
    return Gradient(
        likelihood,
        (Term(at, weights, along, 2 * (1 - ratio)),),
        by_weight=np.where(measured.weight > 0, 2 * along * (at - measured.centre), 0.0),
        by_rate=np.where(measured.rate > 0, 2 * along * (1 - inverse), 0.0),
    )


def _require_determined(problem: Problem, best: Minimum) -> None:
    if problem.poi is not None and not best.free[problem.poi]:
        raise ModelError(
            f"{problem.names[problem.poi]} is not determined",
            place="parameter of interest",
            remedy="fix or constrain other parameters, or widen its bounds",
        )
    _require_inside(problem, best)


def _require_inside(problem: Problem, best: Minimum) -> None:
    if best.zero_rates:
        bins = ", ".join(problem.bins[number] for number in best.zero_rates)
        raise ModelError(
            f"the fit is on a border, where the expected yield of {bins} is zero",
            place="workspace",
            remedy="merge bins with `fit.model.edges`",
        )
