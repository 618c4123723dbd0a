"""Cuts whose values may be optimised, and the values that are tried."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agc_pipeline.declaration.selection import Count, Requirement
from agc_pipeline.settings import unknown

# Of values: each combination has templates of its own, and each of those of ``observed`` thresholds
# a row of cells in histograms of what moves from bin to bin.
_MOST, _MOST_OBSERVED = 2000, 100


@dataclass(frozen=True)
class Threshold:
    """A cut whose value may be optimised.

    Events that pass a tight value must be some of those that pass a looser one: skims have no
    others.

    Attributes:
        name: for people, and in ``optimise.thresholds``.
        key: of the value in ``physics.selection``, its parts separated by dots, such as
            "jet.pt_min"; numbers count the entries of a list from 0.
        comparison: of what is cut with the value, for what passes.
        values: that are tried, from loose to tight.
        observed: function of the events of a region and of ``physics.selection`` that gives what is
            compared with the value, ``events``. None where a cut on objects changes observables and
            regions: events are then selected once for each value.
        parameters: names of systematics that know of the value: whose variations move events
            across it, or which were measured for each. What the others leave unknown is told with
            every gain.
        unit: of the values.
        regions: names of those that it selects; None is all.
    """

    name: str
    key: str
    comparison: Literal[">", ">=", "<", "<="]
    values: tuple[float, ...]
    observed: Callable[[Any, Any], Any] | None = None
    parameters: tuple[str, ...] = ()
    unit: str = ""
    regions: tuple[str, ...] | None = None

    def selects(self, region: str) -> bool:
        """Whether a region has events by it."""
        return self.regions is None or region in self.regions

    @property
    def lower(self) -> bool:
        """Whether larger values are tighter."""
        return self.comparison in (">", ">=")

    def tightness(self, value: float) -> float:
        """What rises from loose to tight."""
        return value if self.lower else -value

    def passes(self, observed: Any, value: float) -> Any:
        """Mask of what passes a value."""
        match self.comparison:
            case ">":
                return observed > value
            case ">=":
                return observed >= value
            case "<":
                return observed < value
            case "<=":
                return observed <= value

    def of(self, selection: Mapping[str, Any]) -> float:
        """The value in ``physics.selection``.

        Raises:
            KeyError: if the selection has none.
        """
        content: Any = selection
        for part in self.key.split("."):
            try:
                content = content[part] if isinstance(content, Mapping) else content[int(part)]
            except (IndexError, TypeError, ValueError) as error:
                raise KeyError(self.key) from error
        if isinstance(content, bool) or not isinstance(content, int | float):
            raise KeyError(self.key)
        return content

    def stated(self, value: float) -> str:
        """The cut in words."""
        return f"{self.name} {self.comparison} {value:g}{self.unit and f' {self.unit}'}"


@dataclass(frozen=True)
class Trial:
    """A threshold with the values that a run tries.

    Attributes:
        threshold: the cut.
        values: from that of the run, which is the loosest.
    """

    threshold: Threshold
    values: tuple[float, ...]


def changed(
    selection: Mapping[str, Any], values: Iterable[tuple[Threshold, float]]
) -> dict[str, Any]:
    """``physics.selection`` with other values of thresholds."""
    result = dict(selection)
    for threshold, value in values:
        result = _with(result, threshold.key.split("."), value)
    return result


def fragment(selection: Mapping[str, Any], values: Iterable[tuple[Threshold, float]]) -> Any:
    """The values of thresholds as configuration files have them.

    Lists are whole: files replace them as such.
    """
    result: dict[str, Any] = {}
    for threshold, value in values:
        content, part = selection, result
        first, *others = threshold.key.split(".")
        while isinstance(content[first], Mapping):
            content, part = content[first], part.setdefault(first, {})
            first, *others = others
        part[first] = _with(part.get(first, content[first]), others, value)
    return result


def trials(
    thresholds: Iterable[Threshold],
    selection: Mapping[str, Any],
    wished: Mapping[str, tuple[float, ...]] | None,
    reference: Mapping[str, float],
) -> tuple[Trial, ...]:
    """The thresholds that are optimised, those first whose events are selected for each value.

    Args:
        thresholds: that the analysis declares.
        selection: ``physics.selection`` of the run.
        wished: values by name; None is what the analysis declares, as far as it is not looser than
            the run.
        reference: value by name of what others are compared with; that of the run for others.
    """
    result = []
    for threshold in thresholds:
        base = threshold.of(selection)
        values = threshold.values if wished is None else wished.get(threshold.name, ())
        if threshold.name in reference:
            values = (*values, reference[threshold.name])
        tighter = {
            value for value in values if threshold.tightness(value) > threshold.tightness(base)
        }
        if tighter:
            ordered = sorted(tighter, key=threshold.tightness)
            result.append(Trial(threshold, (base, *ordered)))
    return tuple(sorted(result, key=lambda trial: trial.threshold.observed is not None))


def trial_problems(
    thresholds: Iterable[Threshold],
    selection: Mapping[str, Any],
    wished: Mapping[str, tuple[float, ...]] | None,
    reference: Mapping[str, float],
) -> Iterator[str]:
    """What is wrong with the values that are wished.

    Args:
        thresholds: that the analysis declares.
        selection: ``physics.selection`` of the run.
        wished: values by name; None is what the analysis declares.
        reference: value by name of what others are compared with.
    """
    declared = {threshold.name: threshold for threshold in thresholds}
    for threshold in declared.values():
        try:
            threshold.of(selection)
        except KeyError:
            yield (
                f"the threshold {threshold.name} has the key {threshold.key}, and there is no such "
                "number in `physics.selection`"
            )
            return
    for key, values in (
        ("thresholds", wished or {}),
        ("reference", {name: (value,) for name, value in reference.items()}),
    ):
        place = f"optimise.{key}"
        if problem := unknown("threshold", values, declared, place):
            yield problem
            continue
        for name, tried in values.items():
            yield from _too_loose(declared[name], selection, tried, place)
    if unknown("threshold", {*(wished or {}), *reference}, declared):
        return
    together = trials(declared.values(), selection, wished, reference)
    for observed, most, what in (
        (False, _MOST, "combinations of values"),
        (True, _MOST_OBSERVED, "of thresholds on columns"),
    ):
        number = math.prod(
            len(trial.values)
            for trial in together
            if not observed or trial.threshold.observed is not None
        )
        if number > most:
            yield (
                f"`optimise.thresholds` has {number} {what}, and {most} at most fit into memory: "
                "give fewer"
            )


def _too_loose(
    threshold: Threshold, selection: Mapping[str, Any], values: Iterable[float], place: str
) -> Iterator[str]:
    """What the skims of a run do not have."""
    base = threshold.of(selection)
    loose = [v for v in values if threshold.tightness(v) < threshold.tightness(base)]
    if loose:
        yield (
            f"`{place}`: {threshold.stated(loose[0])} takes more than the run has, which is made "
            f"with {base:g}: its skims lack those events; set "
            f"`physics.selection.{threshold.key}` to {loose[0]:g} in a run with `results` of its "
            "own, and optimise that"
        )


def nesting_problems(
    tried: Iterable[Trial],
    selection: Mapping[str, Any],
    requirements: Callable[[Mapping[str, Any]], tuple[Requirement, ...]],
) -> Iterator[str]:
    """What a tighter value would take that the run does not have.

    Args:
        tried: thresholds and their values.
        selection: ``physics.selection`` of the run.
        requirements: of a selection.
    """
    base = requirements(selection)
    for trial in tried:
        threshold = trial.threshold
        tight = requirements(changed(selection, [(threshold, trial.values[-1])]))
        for before, after in zip(base, tight, strict=True):
            if (
                isinstance(before, Count)
                and isinstance(after, Count)
                and before.at_most < math.inf
                and [entry.all_cuts for entry in before.objects]
                != [entry.all_cuts for entry in after.objects]
            ):
                names = ", ".join(entry.name for entry in before.objects)
                yield (
                    f"the threshold {threshold.name} cannot be optimised: with fewer {names} an "
                    f"event passes that has too many with {threshold.of(selection):g}, and the "
                    "skims lack it"
                )


def declaration_problems(
    thresholds: Iterable[Threshold],
    systematics: Iterable[str],
    regions: Iterable[str],
    *,
    records: bool,
) -> Iterator[str]:
    """What is wrong with declared thresholds.

    Args:
        thresholds: that the analysis declares.
        systematics: names of its systematics.
        regions: names of its regions.
        records: whether its events are records, whose masks nobody can look into.
    """
    names, places = set(systematics), set(regions)
    for threshold in thresholds:
        values = [threshold.tightness(value) for value in threshold.values]
        if not values or values != sorted(set(values)) or not all(map(math.isfinite, values)):
            yield f"the values of the threshold {threshold.name} do not go from loose to tight"
        if problem := unknown("systematic", threshold.parameters, names):
            yield f"the threshold {threshold.name} names an {problem}"
        if problem := unknown("region", threshold.regions or (), places):
            yield f"the threshold {threshold.name} names an {problem}"
        if threshold.regions == ():
            yield f"the threshold {threshold.name} selects no region: leave `regions` out for all"
        if records and threshold.observed is None:
            yield (
                f"the threshold {threshold.name} has no `observed`, and events are records: it is "
                "not known that a tighter value takes no others"
            )


def _with(content: Any, path: list[str], value: float) -> Any:
    """A part of the selection with another value."""
    if not path:
        return _like(content, value)
    first, *others = path
    if isinstance(content, Mapping):
        return {**content, first: _with(content[first], others, value)}
    entries = list(content)
    entries[int(first)] = _with(entries[int(first)], others, value)
    return entries


def _like(content: Any, value: float) -> float:
    """A value as the selection has it: numbers of objects are whole."""
    return int(value) if isinstance(content, int) and float(value).is_integer() else value
