"""The modifiers of a pyhf model as the arrays of a likelihood."""

from typing import TYPE_CHECKING, Any

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.constraints import NARROWEST, Constraints
from agc_pipeline.inference.interpolation import Array, Factors
from agc_pipeline.inference.likelihood import Likelihood, Norms, Scales, Shifts

if TYPE_CHECKING:
    import pyhf

# The interpolations that have two continuous derivatives; cabinetry uses them for every model.
SMOOTH = {"normsys": "code4", "histosys": "code4p"}


def model_likelihood(model: "pyhf.Model", data: list[float]) -> Likelihood:
    """The likelihood of a pyhf model.

    All modifiers of HistFactory are supported: normfactor, shapefactor, lumi, normsys, histosys,
    staterror (Gaussian) and shapesys (Poisson).

    Args:
        model: with interpolation codes 4 (normsys) and 4p (histosys), from ``workspace.load``.
        data: observed events of the channels in pyhf's order, then auxiliary data.

    Raises:
        ModelError: if the model has something else, or a factor that is not positive.
    """
    _require_smooth(model)
    config = model.config
    numbers = {}
    nominal: list[float] = []
    # In the order of the bins, which is that of the names.
    channels = sorted(
        model.spec["channels"], key=lambda channel: config.channel_slices[channel["name"]].start
    )
    for channel in channels:
        first = config.channel_slices[channel["name"]].start
        for sample in channel["samples"]:
            s = config.samples.index(sample["name"])
            for b, events in enumerate(sample["data"], first):
                numbers[b, s] = len(nominal)
                nominal.append(events)
    order = sorted(numbers)
    cells = {key: c for c, key in enumerate(order)}
    entries = _Entries(config)
    for channel in channels:
        bins = range(*config.channel_slices[channel["name"]].indices(config.nmaindata))
        for sample in channel["samples"]:
            s = config.samples.index(sample["name"])
            where = [cells[b, s] for b in bins]
            for modifier in sample["modifiers"]:
                entries.add(modifier, channel["name"], sample["data"], where)
    shifts, norms, scales = entries.arrays()
    return Likelihood(
        nominal=np.array([nominal[numbers[key]] for key in order], dtype=np.float64),
        sample=np.array([s for _, s in order], dtype=np.int_),
        bin=np.array([b for b, _ in order], dtype=np.int_),
        shifts=shifts,
        norms=norms,
        scales=scales,
        data=np.array(data[: config.nmaindata], dtype=np.float64),
        constraints=_constraints(model, data),
    )


class _Entries:
    """Collects the entries of all modifiers."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._shifts: list[tuple[int, int, float, float]] = []
        self._scales: list[tuple[int, int]] = []
        self._norms: list[tuple[int, float, float]] = []
        self._applied: list[tuple[int, int]] = []
        self._bins: dict[str, dict[str, int]] = {}

    def add(self, modifier: Any, channel: str, events: list[float], cells: list[int]) -> None:
        """Add a modifier of a sample with these events, in these cells of a channel.

        Raises:
            ModelError: if it is of an unsupported kind, or makes a yield negative.
        """
        name, values = modifier["name"], modifier["data"]
        p = self._config.par_slice(name)
        match modifier["type"]:
            case "normfactor" | "lumi":
                self._scales += [(p.start, cell) for cell in cells]
            case "shapesys" | "shapefactor":
                # One parameter for each bin.
                self._scales += zip(range(p.start, p.stop), cells, strict=True)
            case "staterror":
                # One parameter for each bin of each channel, one channel after the other.
                bins = self._bins.setdefault(name, {})
                before = sum(n for other, n in bins.items() if other != channel)
                bins[channel] = len(cells)
                self._scales += zip(range(p.start + before, p.stop), cells, strict=False)
            case "normsys":
                if not (values["hi"] > 0 and values["lo"] > 0):
                    raise ModelError(
                        f"the normalisation systematic {name!r} of 100 % or more makes a yield "
                        f"negative: factors {values['lo']:g} and {values['hi']:g}",
                        place="workspace",
                        remedy="use more events, or leave the systematic out",
                    )
                self._applied += [(len(self._norms), cell) for cell in cells]
                self._norms.append((p.start, values["hi"], values["lo"]))
            case "histosys":
                both = zip(cells, events, values["hi_data"], values["lo_data"], strict=True)
                self._shifts += [(p.start, cell, up - n, down - n) for cell, n, up, down in both]
            case other:
                raise _unsupported(f"type {other}", name)

    def arrays(self) -> tuple[Shifts, Norms, Scales]:
        """All of them as arrays."""
        shifts = np.array(self._shifts, dtype=np.float64).reshape(-1, 4)
        norms = np.array(self._norms, dtype=np.float64).reshape(-1, 3)
        applied = np.array(self._applied, dtype=np.int_).reshape(-1, 2)
        scales = np.array(self._scales, dtype=np.int_).reshape(-1, 2)
        # A template that equals the nominal one changes nothing, but its parameter stays.
        shifts = shifts[np.any(shifts[:, 2:] != 0, axis=1)]
        return (
            Shifts(
                shifts[:, 0].astype(np.int_),
                shifts[:, 1].astype(np.int_),
                shifts[:, 2],
                shifts[:, 3],
            ),
            Norms(
                norms[:, 0].astype(np.int_),
                Factors.between(norms[:, 1], norms[:, 2]),
                applied[:, 0],
                applied[:, 1],
            ),
            Scales(scales[:, 0], scales[:, 1]),
        )


def _require_smooth(model: "pyhf.Model") -> None:
    appliers = model.main_model.modifiers_appliers
    for kind, code in SMOOTH.items():
        actual = appliers[kind].interpcode if kind in appliers else code
        if actual != code:
            raise ModelError(
                f"interpolation {actual} of {kind} has a kink, where no derivative exists",
                place="modifier_settings of the pyhf model",
                remedy=f"make the model with {code}, as cabinetry does",
            )


def _constraints(model: "pyhf.Model", data: list[float]) -> Constraints:
    config = model.config
    centre, weight, counts, rate = (np.zeros(config.npars) for _ in range(4))
    auxiliary: Array = np.array(data[config.nmaindata :], dtype=np.float64)
    for name in config.auxdata_order:
        constraint = config.param_set(name)
        p = config.par_slice(name)
        measured, auxiliary = np.split(auxiliary, [constraint.n_parameters])
        match constraint.pdf_type:
            case "normal":
                width = np.maximum(constraint.width(), NARROWEST)
                centre[p], weight[p] = measured, 1 / np.square(width)
            case "poisson":
                counts[p], rate[p] = measured, constraint.factors
            case other:
                raise _unsupported(f"{other} constraint", name)
    return Constraints(centre, weight, counts, rate)


def _unsupported(kind: str, name: str) -> ModelError:
    return ModelError(
        f"modifier {name!r} of {kind} is not supported",
        place="workspace",
        remedy="use the modifiers of HistFactory",
    )
