"""Checks of a model before it is fitted."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.interpolation import NO_CHANGE, Array
from agc_pipeline.settings import Settings

Workspace = dict[str, Any]

# Errors that are named, of a model that may have thousands.
_MOST_ERRORS = 10
# What is said of a systematic without effect.
WITHOUT_EFFECT = "changes no expected yield"
# Bins that are named, of a channel that may have thousands.
_MOST_BINS = 40
_REMEDY = (
    "use more events, merge bins with `fit.model.edges`, or leave the sample or the systematic out"
)


class Finding(Settings):
    """A result of the checks of a model.

    Attributes:
        severity: "error" makes a fit impossible or wrong, "warning" is to be looked at, "note"
            is no harm.
        where: channel, sample and modifier, as far as they matter.
        message: what it is.
        kind: what it has in common with others that the report tells together; None is nothing.
        remedy: what the user can do about it; None is what helps models with too few events.
    """

    severity: Literal["error", "warning", "note"]
    where: str
    message: str
    kind: Literal["without effect", "negative content", "negative yield"] | None = None
    remedy: str | None = None


def check(workspace: Workspace, mirrored: Collection[str] = ()) -> tuple[Finding, ...]:
    """Check a workspace.

    Args:
        workspace: any.
        mirrored: names of the parameters whose shift down is the shift up, mirrored.
    """
    observed = {entry["name"]: _doubles(entry["data"]) for entry in workspace["observations"]}
    findings: list[Finding] = [*_interest(workspace), *_without_effect(workspace)]
    for channel in workspace["channels"]:
        findings += _channel(channel, observed[channel["name"]])
        findings += _borders(channel, observed[channel["name"]])
        for sample in channel["samples"]:
            findings += _sample(sample, f"{channel['name']}, {sample['name']}", mirrored)
    return tuple(findings)


def refuse(findings: Collection[Finding], *, place: str) -> None:
    """Refuse a model with errors.

    Raises:
        ModelError: naming them.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    problems = [f"{finding.where}: {finding.message}" for finding in errors[:_MOST_ERRORS]]
    if len(errors) > _MOST_ERRORS:
        problems.append(f"and {len(errors) - _MOST_ERRORS} more")
    remedies = dict.fromkeys(finding.remedy or _REMEDY for finding in errors[:_MOST_ERRORS])
    raise ModelError("; ".join(problems), place=place, remedy="; ".join(remedies))


def _interest(workspace: Workspace) -> Iterator[Finding]:
    """Whether there is a parameter of interest."""
    if not workspace["measurements"][0]["config"]["poi"]:
        yield Finding(
            severity="warning",
            where="measurement",
            message="no parameter of interest: breakdown of its uncertainty, ranking, scan, limit "
            "and significance are left out",
        )


def _without_effect(workspace: Workspace) -> Iterator[Finding]:
    """Systematics that change nothing anywhere: a variation may be the nominal one by mistake."""
    effective: dict[str, bool] = {}
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            nominal = _doubles(sample["data"])
            for modifier in sample["modifiers"]:
                name, values = modifier["name"], modifier["data"]
                # Parameters of other kinds act whatever their values are.
                changes = True
                if modifier["type"] == "normsys":
                    changes = _differ(_doubles([values["hi"], values["lo"]]), np.ones(2))
                elif modifier["type"] == "histosys":
                    changes = any(
                        _differ(_doubles(values[side]), nominal) for side in ("hi_data", "lo_data")
                    )
                effective[name] = effective.get(name, False) or changes
    for name in (name for name, changes in effective.items() if not changes):
        yield Finding(
            severity="warning",
            where=name,
            message=f"{WITHOUT_EFFECT}, up or down",
            kind="without effect",
            remedy="check that its variations are not the nominal one, or leave it out",
        )


def _differ(content: Array, nominal: Array) -> bool:
    """Whether contents are not the same but for rounding; what is not finite is not."""
    with np.errstate(invalid="ignore"):
        return not bool(np.all(np.abs(content - nominal) <= NO_CHANGE * np.abs(nominal)))


def _doubles(values: Sequence[float]) -> Array:
    """Numbers in double precision; infinite where JSON has integers beyond it."""

    def double(value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value > 0 or -1)

    return np.array(list(map(double, values)))


def _borders(channel: Any, observed: Array) -> Iterator[Finding]:
    """Bins without data that a shape takes to zero: the best fit may be where the rate is zero."""
    samples = [(sample, _doubles(sample["data"])) for sample in channel["samples"]]
    total = np.sum([nominal for _, nominal in samples], axis=0)
    shifts: dict[tuple[str, str], Array] = {}
    for sample, nominal in samples:
        for modifier in sample["modifiers"]:
            if modifier["type"] == "histosys":
                for side in ("hi_data", "lo_data"):
                    key = modifier["name"], side
                    change = _doubles(modifier["data"][side]) - nominal
                    shifts[key] = shifts.get(key, np.zeros_like(total)) + change
    for name in dict.fromkeys(name for name, _ in shifts):
        least = total + np.minimum(shifts[name, "hi_data"], shifts[name, "lo_data"])
        if bins := numbers_of((observed == 0) & (total > 0) & (least <= 0)):
            yield Finding(
                severity="warning",
                where=f"{channel['name']}, {name}",
                message=f"no expected events after a shift in {bins}, without data: the best fit "
                "may be on the border where the expected yield is zero, and uncertainties are then "
                "those along the border",
            )


def _channel(channel: Any, observed: Array) -> Iterator[Finding]:
    total = np.sum([_doubles(sample["data"]) for sample in channel["samples"]], axis=0)
    name = channel["name"]
    if not np.all(np.isfinite(total)) or not np.all(np.isfinite(observed)):
        yield Finding(severity="error", where=name, message="contents are not finite")
        return
    if bins := numbers_of(total < 0):
        yield Finding(
            severity="error",
            where=name,
            message=f"negative expected yield in {bins}{_least(total)}",
        )
    if bins := numbers_of(observed < 0):
        yield Finding(
            severity="error",
            where=name,
            message=f"negative number of observed events in {bins}{_least(observed)}",
            remedy="correct the data; where they are pseudodata of events with negative weights, "
            "use more events, or merge bins with `fit.model.edges`",
        )
    if bins := numbers_of((total == 0) & (observed > 0)):
        yield Finding(
            severity="error", where=name, message=f"data but zero expected yield in {bins}"
        )
    if bins := numbers_of((total == 0) & (observed == 0)):
        yield Finding(
            severity="note", where=name, message=f"no data and no expected events in {bins}"
        )
    if not observed.any():
        yield Finding(severity="warning", where=name, message="no data in any bin")


def _least(contents: Array) -> str:
    """The most negative content, for messages."""
    several = np.count_nonzero(contents < 0) > 1
    return f" ({contents.min():.4g}{' at worst' if several else ''})"


def _sample(sample: Any, where: str, mirrored: Collection[str]) -> Iterator[Finding]:
    nominal = _doubles(sample["data"])
    if bins := numbers_of(nominal < 0):
        below = bool(nominal.sum() < 0)
        yield Finding(
            severity="warning",
            where=where,
            message=f"negative content in {bins}" + f", and a yield of {nominal.sum():.4g}" * below,
            kind="negative yield" if below else "negative content",
        )
    for modifier in sample["modifiers"]:
        name, values = modifier["name"], modifier["data"]
        match modifier["type"]:
            case "normsys":
                yield from _norm(values, f"{where}, {name}")
            case "histosys":
                yield from _shape(values, nominal, f"{where}, {name}", name in mirrored)
            case "staterror" | "shapesys":
                if bins := numbers_of((nominal > 0) & (_doubles(values) == 0)):
                    yield Finding(
                        severity="warning",
                        where=f"{where}, {name}",
                        message=f"events without a statistical uncertainty in {bins}",
                    )
    yield from _twins(sample, where)


def _norm(values: Any, where: str) -> Iterator[Finding]:
    low, high = _doubles([values["lo"], values["hi"]]).tolist()
    if not (np.isfinite([low, high]).all() and min(low, high) > 0):
        yield Finding(
            severity="error",
            where=where,
            message=f"normalisation factors {low:g} and {high:g}: a factor is interpolated as an "
            "exponential, and has to be positive",
            remedy="use more events or merge bins with `fit.model.edges`; in a workspace, give "
            "1e-6 in place of zero, or a histosys, which may reach below",
        )
    elif max(abs(low - 1), abs(high - 1)) >= 1:
        yield Finding(
            severity="warning",
            where=where,
            message=f"normalisation factor {max(low, high):g}: a change of 100 % or more",
        )


def _shape(values: Any, nominal: Array, where: str, mirrored: bool) -> Iterator[Finding]:
    for key, direction in (("hi_data", "up"), ("lo_data", "down")):
        content = _doubles(values[key])
        if not np.all(np.isfinite(content)):
            yield Finding(
                severity="error", where=where, message=f"{direction}: contents are not finite"
            )
        elif bins := numbers_of((content < 0) & (nominal >= 0)):
            how = ", by mirroring a shift that is larger than the content" if mirrored else ""
            yield Finding(
                severity="warning",
                where=where,
                message=f"{direction}: negative content in {bins}{how}",
                kind="negative content",
            )


def _twins(sample: Any, where: str) -> Iterator[Finding]:
    """Systematics that do the same to a sample: one may have been copied from the other."""
    effects: dict[str, list[Any]] = {}
    for modifier in sample["modifiers"]:
        if modifier["type"] in ("normsys", "histosys"):
            effects.setdefault(modifier["name"], []).append(modifier["data"])
    nothing = [{"hi": 1.0, "lo": 1.0}, {"hi_data": sample["data"], "lo_data": sample["data"]}]
    shaped = [name for name, data in effects.items() if any("hi_data" in part for part in data)]
    for number, first in enumerate(shaped):
        for second in shaped[number + 1 :]:
            same = effects[first] == effects[second]
            if same and not all(part in nothing for part in effects[first]):
                yield Finding(
                    severity="warning",
                    where=where,
                    message=f"{first} and {second} have identical templates",
                )


def numbers_of(mask: Any, unit: str = "bin") -> str:
    """Numbers of bins, counted from 0, for people; empty if there are none.

    Args:
        mask: true for the bins that are meant.
        unit: what the entries of the mask are.
    """
    numbers = [str(number) for number in np.flatnonzero(mask)]
    if len(numbers) > _MOST_BINS:
        numbers = [*numbers[:_MOST_BINS], f"and {len(numbers) - _MOST_BINS} more"]
    return f"{unit}{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""
