"""The likelihood of a pyhf model with exact first and second derivatives, in numpy.

pyhf's numpy backend has no derivatives, and a fit with numerical ones is not accurate enough:
parameters of this model have global correlations of up to 0.9995. HistFactory is simple enough to
be differentiated by hand. The rate of sample s in bin b is

    rate_sb = (nominal_sb + sum_p shift_psb) * prod_p factor_psb,

where each shift and factor depends on one parameter p only: an interpolated shape, an interpolated
normalisation, a free normalisation, or the statistical factor of a bin. The statistic is -2 ln L
relative to a model that fits all data perfectly,

    2 sum_b (rate_b - n_b + n_b ln(n_b / rate_b)) + sum_p ((t_p - a_p) / sigma_p)^2,

for n observed events, parameters t and their auxiliary measurements a +- sigma.

Sources: HistFactory, CERN-OPEN-2012-016; S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221
(1984) 437 (saturated model).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyhf
from scipy.special import xlogy

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import interpolation
from agc_pipeline.inference.interpolation import Array, Interpolated


class Expansion(NamedTuple):
    """The statistic at a point, its gradient (p) and its Hessian (p, p).

    Where a total rate is negative, or zero in a bin with data, the value is infinite and the
    derivatives are NaN. (pyhf gives a negative rate in a bin without data a finite value, the
    better the more negative.)
    """

    value: float
    gradient: Array
    hessian: Array


@dataclass(frozen=True)
class Likelihood:
    """A model and its data as arrays; axes are parameters (p), samples (s) and bins (b).

    Attributes:
        nominal: events of the samples before any modifier, (s, b).
        shape_up: change of the events at +1 sigma, (p, s, b); zero where there is none.
        shape_down: change of the events at -1 sigma, (p, s, b); zero where there is none.
        norm_up: factor on the events at +1 sigma, (p, s, b); one where there is none.
        norm_down: factor on the events at -1 sigma, (p, s, b); one where there is none.
        linear: where the parameter itself is a factor, (p, s, b); it may not be zero there.
        data: observed events, (b).
        centre: auxiliary measurements, (p); zero for free parameters.
        weight: inverse squared width of the auxiliary measurements, (p); zero for free parameters.
    """

    nominal: Array
    shape_up: Array
    shape_down: Array
    norm_up: Array
    norm_down: Array
    linear: npt.NDArray[np.bool_]
    data: Array
    centre: Array
    weight: Array

    def rates(self, parameters: Array) -> Array:
        """Expected events, (s, b), for parameters (p)."""
        shift, factor = self._modifiers(parameters)
        rates: Array = (self.nominal + shift.value.sum(axis=0)) * factor.value.prod(axis=0)
        return rates

    def expand(self, parameters: Array) -> Expansion:
        """The statistic and its derivatives for parameters (p)."""
        shift, factor = self._modifiers(parameters)
        base = self.nominal + shift.value.sum(axis=0)
        product = factor.value.prod(axis=0)
        rate = (base * product).sum(axis=0)
        seen = self.data > 0
        if np.any(rate < 0) or np.any(rate[seen] == 0):
            n = len(parameters)
            return Expansion(np.inf, np.full(n, np.nan), np.full((n, n), np.nan))
        ratio = np.divide(self.data, rate, out=np.zeros_like(rate), where=seen)
        pull = parameters - self.centre
        deviance = 2 * np.sum(rate - self.data + xlogy(self.data, ratio))

        # Derivatives of the rate, by logarithmic derivatives of the factors.
        first = factor.first / factor.value
        second = factor.second / factor.value
        by_sample = product * (shift.first + base * first)
        slope = by_sample.sum(axis=1)
        gradient = 2 * slope @ (1 - ratio) + 2 * self.weight * pull
        curvature = np.divide(ratio, rate, out=np.zeros_like(rate), where=seen)
        hessian = 2 * (slope * curvature) @ slope.T + 2 * np.diag(self.weight)
        # The second derivatives of a rate count as far as it differs from the data.
        misfit = 2 * (1 - ratio)
        hessian += np.einsum("psb,qsb->pq", by_sample * misfit, first)
        hessian += np.einsum("psb,qsb->pq", first * product * misfit, shift.first)
        own = product * (shift.second + base * (second - first**2))
        hessian += np.diag(np.einsum("psb,b->p", own, misfit))
        return Expansion(
            float(deviance + self.weight @ pull**2), gradient, (hessian + hessian.T) / 2
        )

    def _modifiers(self, parameters: Array) -> tuple[Interpolated, Interpolated]:
        """What is added to the events and what they are multiplied by, (p, s, b) each."""
        at = parameters[:, np.newaxis, np.newaxis]
        norm = interpolation.factor(at, self.norm_up, self.norm_down)
        factor = Interpolated(
            np.where(self.linear, at, norm.value),
            np.where(self.linear, 1.0, norm.first),
            np.where(self.linear, 0.0, norm.second),
        )
        return interpolation.shift(at, self.shape_up, self.shape_down), factor


def from_model(model: pyhf.Model, data: list[float]) -> Likelihood:
    """The likelihood of a pyhf model with interpolation codes 4 (normsys) and 4p (histosys).

    Args:
        model: with modifiers normfactor, normsys, histosys and staterror.
        data: observed events of the channels in pyhf's order, then auxiliary data.

    Raises:
        ModelError: if the model has another modifier, or a factor that is not positive.
    """
    config = model.config
    shape = (config.npars, len(config.samples), config.nmaindata)
    nominal = np.zeros(shape[1:])
    shape_up, shape_down = np.zeros(shape), np.zeros(shape)
    norm_up, norm_down = np.ones(shape), np.ones(shape)
    linear = np.zeros(shape, dtype=np.bool_)
    for channel in model.spec["channels"]:
        bins = config.channel_slices[channel["name"]]
        for sample in channel["samples"]:
            s = config.samples.index(sample["name"])
            nominal[s, bins] = sample["data"]
            for modifier in sample["modifiers"]:
                p = config.par_slice(modifier["name"])
                values = modifier["data"]
                match modifier["type"]:
                    case "normfactor":
                        linear[p, s, bins] = True
                    case "staterror":
                        # One parameter for each bin of the channel.
                        linear[p, s, bins] = np.eye(len(sample["data"]), dtype=np.bool_)
                    case "normsys":
                        norm_up[p, s, bins], norm_down[p, s, bins] = values["hi"], values["lo"]
                    case "histosys":
                        shape_up[p, s, bins] = np.subtract(values["hi_data"], sample["data"])
                        shape_down[p, s, bins] = np.subtract(values["lo_data"], sample["data"])
                    case other:
                        raise _unsupported(other, modifier["name"])
    if not (np.all(norm_up > 0) and np.all(norm_down > 0)):
        raise ModelError(
            "a normalisation systematic of 100 % or more makes a yield negative",
            place="workspace",
            remedy="use more events, or leave the systematic out",
        )
    centre, weight = _constraints(model, data)
    return Likelihood(
        nominal,
        shape_up,
        shape_down,
        norm_up,
        norm_down,
        linear,
        np.array(data[: config.nmaindata], dtype=np.float64),
        centre,
        weight,
    )


def _constraints(model: pyhf.Model, data: list[float]) -> tuple[Array, Array]:
    """Auxiliary measurements and their inverse squared widths, (p) each."""
    config = model.config
    centre, weight = np.zeros(config.npars), np.zeros(config.npars)
    auxiliary = data[config.nmaindata :]
    for name in config.auxdata_order:
        constraint = config.param_set(name)
        if constraint.pdf_type != "normal":
            raise _unsupported(f"{constraint.pdf_type} constraint", name)
        p = config.par_slice(name)
        centre[p], auxiliary = (
            auxiliary[: constraint.n_parameters],
            auxiliary[constraint.n_parameters :],
        )
        weight[p] = 1 / np.square(constraint.width())
    return centre, weight


def _unsupported(kind: Any, name: str) -> ModelError:
    return ModelError(
        f"modifier {name!r} of type {kind} is not supported",
        place="workspace",
        remedy="use normfactor, normsys, histosys and staterror",
    )
