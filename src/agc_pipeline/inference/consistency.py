"""Whether a workspace can be read in one way only, before it becomes a model.

pyhf's schema knows the shape of a workspace, and pyhf builds a model of most that have it: of a
sample, channel, observation or modifier that is defined twice it takes one, a staterror without
room for it is dropped, settings of a parameter that is not there are ignored. Other programs read
the same file in another way. What has two readings is an error here, what has no effect a warning.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from agc_pipeline.formatting import plural, quoted
from agc_pipeline.inference.checks import Finding, numbers_of
from agc_pipeline.settings import unknown

Workspace = dict[str, Any]

# Modifiers that may have a parameter together; all others have theirs alone.
_TOGETHER = frozenset({"normsys", "histosys"})
# Settings of a parameter beside start, bounds and `fixed`, by the modifier that uses them.
_CONSTRAINT_SETTINGS = {
    "normsys": ("auxdata",),
    "histosys": ("auxdata",),
    "staterror": ("auxdata", "sigmas"),
    "shapesys": ("auxdata", "factors"),
    "lumi": ("auxdata", "sigmas"),
}
# Numbers whose squares, and the squares of whose ratios, double precision has.
_LARGEST = 1e100
_SMALLEST = 1e-100
_LARGEST_RATIO = 1e50
_LUMI_SETTINGS = ("auxdata", "sigmas", "inits", "bounds")


class _Use(NamedTuple):
    """A modifier where it stands."""

    channel: str
    sample: str
    kind: str
    name: str
    data: Any
    contents: list[float]

    @property
    def where(self) -> str:
        return f"channel {quoted(self.channel)}, sample {quoted(self.sample)}"


def check(workspace: Workspace) -> tuple[Finding, ...]:
    """Check a workspace that follows pyhf's schema.

    Args:
        workspace: the settings of parameters are those of its first measurement.
    """
    findings = [*_names(workspace), *_numbers(workspace)]
    if any(finding.severity == "error" for finding in findings):
        # Lengths and parameters are of no use where it is not clear whose they are.
        return tuple(findings)
    uses = list(_uses(workspace))
    findings += [*_lengths(workspace), *_sharing(uses)]
    if any(finding.severity == "error" for finding in findings):
        return tuple(findings)
    findings += _statistical(uses)
    if any(finding.severity == "error" for finding in findings):
        return tuple(findings)
    parameters = workspace["measurements"][0]["config"]["parameters"]
    findings += _Parameters(uses).check(parameters)
    return tuple(findings)


def parameter_sizes(workspace: Workspace) -> dict[str, int]:
    """How many values each parameter has, by its name: one, or one for each bin of a modifier."""
    return _Parameters(list(_uses(workspace))).sizes


def _error(where: str, message: str, remedy: str) -> Finding:
    return Finding(severity="error", where=where, message=message, remedy=remedy)


def _uses(workspace: Workspace) -> Iterator[_Use]:
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                yield _Use(
                    channel["name"],
                    sample["name"],
                    modifier["type"],
                    modifier["name"],
                    modifier["data"],
                    sample["data"],
                )


def _names(workspace: Workspace) -> Iterator[Finding]:
    """Everything that has a name has one of its own."""
    for kind in ("channel", "observation", "measurement"):
        for name in _twice(entry["name"] for entry in workspace[f"{kind}s"]):
            yield _error(
                "workspace",
                f"{kind} {quoted(name)} is defined twice",
                f"remove or rename one {kind} {quoted(name)}",
            )
    channels = [channel["name"] for channel in workspace["channels"]]
    observed = [entry["name"] for entry in workspace["observations"]]
    for name in dict.fromkeys(channels):
        if name not in observed:
            yield _error(
                f"channel {quoted(name)}",
                "it has no observation",
                f"add its data to `observations` with the name {quoted(name)}",
            )
    if problem := unknown("channel", set(observed), channels):
        yield Finding(
            severity="warning", where="observations", message=f"data without a channel: {problem}"
        )
    for channel in workspace["channels"]:
        where = f"channel {quoted(channel['name'])}"
        for name in _twice(sample["name"] for sample in channel["samples"]):
            yield _error(
                where,
                f"sample {quoted(name)} is defined twice",
                "rename one of them if they add up, remove one if it is a copy",
            )
        for sample in channel["samples"]:
            for kind, name in _twice((m["type"], m["name"]) for m in sample["modifiers"]):
                yield _error(
                    f"{where}, sample {quoted(sample['name'])}",
                    f"{kind} {quoted(name)} is defined twice",
                    "remove or rename one of them",
                )


def _numbers(workspace: Workspace) -> Iterator[Finding]:
    """Everything that is a number is one, and uncertainties are not negative."""
    for entry in workspace["observations"]:
        yield from _finite(entry["data"], f"observation of {quoted(entry['name'])}")
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            where = f"channel {quoted(channel['name'])}, sample {quoted(sample['name'])}"
            yield from _finite(sample["data"], where)
            for modifier in sample["modifiers"]:
                yield from _modifier_numbers(modifier, where)
    for measurement in workspace["measurements"]:
        for parameter in measurement["config"]["parameters"]:
            where = f"settings of the parameter {quoted(parameter['name'])}"
            for key in ("inits", "auxdata", "sigmas", "factors"):
                yield from _finite(parameter.get(key, []), f"{where}, {key}", unit="value")
            for pair in parameter.get("bounds", []):
                yield from _finite(pair, f"{where}, bounds", unit="value")


def _modifier_numbers(modifier: Any, where: str) -> Iterator[Finding]:
    kind, data = modifier["type"], modifier["data"]
    where = f"{where}, {kind} {quoted(modifier['name'])}"
    match kind:
        case "normsys":
            yield from _finite([data["hi"], data["lo"]], where, unit="factor")
        case "histosys":
            for key in ("hi_data", "lo_data"):
                yield from _finite(data[key], f"{where}, {key}")
        case "staterror" | "shapesys":
            yield from _finite(data, where)
            negative = [_is_finite(value) and value < 0 for value in data]
            if any(negative):
                yield _error(
                    where,
                    f"negative uncertainty in {numbers_of(negative)}",
                    "give absolute uncertainties that are zero or positive",
                )


def _finite(values: Iterable[Any], where: str, unit: str = "bin") -> Iterator[Finding]:
    wrong = [not _is_finite(value) for value in values]
    if any(wrong):
        yield _error(
            where,
            f"{numbers_of(wrong, unit)}: not a finite number",
            f"give numbers up to {_LARGEST:g}; neither true, false, NaN nor infinity is one",
        )


def _is_finite(value: Any) -> bool:
    """Whether it is a number of double precision; the schema takes truth values for numbers."""
    try:
        return not isinstance(value, bool) and math.isfinite(value) and abs(value) <= _LARGEST
    except OverflowError:
        return False


def _lengths(workspace: Workspace) -> Iterator[Finding]:
    """Everything in a channel has as many bins as its first sample."""
    observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
    for channel in workspace["channels"]:
        where = f"channel {quoted(channel['name'])}"
        first = channel["samples"][0]
        n_bins = len(first["data"])
        contents = {"observation": observed[channel["name"]]}
        for sample in channel["samples"]:
            title = f"sample {quoted(sample['name'])}"
            contents[title] = sample["data"]
            for modifier in sample["modifiers"]:
                label = f"{title}, {modifier['type']} {quoted(modifier['name'])}"
                match modifier["type"]:
                    case "histosys":
                        contents[f"{label}, hi_data"] = modifier["data"]["hi_data"]
                        contents[f"{label}, lo_data"] = modifier["data"]["lo_data"]
                    case "staterror" | "shapesys":
                        contents[label] = modifier["data"]
        for label, content in contents.items():
            if len(content) != n_bins:
                yield _error(
                    f"{where}, {label}",
                    f"{_count(len(content), 'bin')}, but sample {quoted(first['name'])} has "
                    f"{n_bins}",
                    "give all contents of a channel in the same bins",
                )


def _sharing(uses: Sequence[_Use]) -> Iterator[Finding]:
    """Parameters that several modifiers have are those of one kind, with as many values."""
    by_name: dict[str, list[_Use]] = defaultdict(list)
    for use in uses:
        by_name[use.name].append(use)
    for name, together in by_name.items():
        kinds = {use.kind: use for use in together}
        if len(kinds) > 1 and not kinds.keys() <= _TOGETHER:
            first, second, *_ = kinds.values()
            yield _error(
                first.where,
                f"{first.kind} {quoted(name)} has the name of a {second.kind} of {second.where}",
                "modifiers of different types need names of their own",
            )
            continue
        match next(iter(kinds)):
            case "shapefactor":
                yield from _shapefactor(together)
            case "shapesys":
                if len(together) > 1:
                    first, second, *_ = together
                    yield _error(
                        first.where,
                        f"shapesys {quoted(name)} is in {second.where} as well",
                        "a shapesys belongs to one sample: give each a name of its own",
                    )
            case "staterror":
                yield from _staterror(together)


def _shapefactor(uses: Sequence[_Use]) -> Iterator[Finding]:
    first = uses[0]
    for use in uses:
        if len(use.contents) != len(first.contents):
            yield _error(
                use.where,
                f"shapefactor {quoted(use.name)} has {_count(len(use.contents), 'bin')} here and "
                f"{len(first.contents)} in {first.where}",
                "give it another name in channels with other bins",
            )
            return


def _staterror(uses: Sequence[_Use]) -> Iterator[Finding]:
    samples: dict[str, set[str]] = defaultdict(set)
    for use in uses:
        samples[use.channel].add(use.sample)
    if len(samples) == 1:
        return
    name = quoted(uses[0].name)
    first, second, *_ = samples
    if any(other != samples[first] for other in samples.values()):
        yield _error(
            f"channel {quoted(first)}",
            f"staterror {name} is in channel {quoted(second)} as well, for other samples",
            "give it another name in each channel",
        )
    else:
        yield Finding(
            severity="warning",
            where=f"channel {quoted(first)}",
            message=f"staterror {name} is in channel {quoted(second)} as well: each channel has "
            "its own parameters",
            remedy="give it another name in each channel",
        )


def _extreme(error: float, events: float) -> bool:
    """Whether the square of one, or of their ratio, is beyond what double precision has."""
    ratio = error / events
    return min(error, events) < _SMALLEST or not 1 / _LARGEST_RATIO < ratio < _LARGEST_RATIO


def _statistical(uses: Sequence[_Use]) -> Iterator[Finding]:
    """Statistical uncertainties that cannot be, and those of bins without positive content.

    pyhf leaves the latter out.
    """
    totals: dict[tuple[str, str], list[float]] = {}
    for use in uses:
        if use.kind == "staterror":
            total = totals.setdefault((use.name, use.channel), [0.0] * len(use.contents))
            totals[use.name, use.channel] = [
                x + y for x, y in zip(total, use.contents, strict=True)
            ]
    for use in uses:
        if use.kind not in ("staterror", "shapesys"):
            continue
        content = totals[use.name, use.channel] if use.kind == "staterror" else use.contents
        pairs = list(zip(use.data, content, strict=True))
        # A statistical factor that is next to exactly known is held; a shapesys has no such limit.
        exact = use.kind == "staterror"
        extreme = [
            error > 0 and events > 0 and not (exact and error < events) and _extreme(error, events)
            for error, events in pairs
        ]
        if any(extreme):
            yield _error(
                f"{use.where}, {use.kind} {quoted(use.name)}",
                f"the uncertainty in {numbers_of(extreme)} is out of all proportion to the content",
                "correct it, or set what is nothing to zero",
            )
        lost = [error > 0 >= events for error, events in pairs]
        if any(lost):
            of = "its samples together have" if use.kind == "staterror" else "the sample has"
            yield Finding(
                severity="warning",
                where=f"{use.where}, {use.kind} {quoted(use.name)}",
                message=f"the uncertainty in {numbers_of(lost)} is dropped: {of} no positive "
                "content there",
                remedy="merge bins, or describe it by a histosys",
            )


class _Parameters:
    """The parameters of a model, and their settings.

    Args:
        uses: of modifiers without contradictions.
    """

    def __init__(self, uses: Sequence[_Use]) -> None:
        self._uses = uses
        self._kinds: dict[str, str] = {use.name: use.kind for use in uses}
        bins: dict[str, dict[str, int]] = defaultdict(dict)
        for use in uses:
            bins[use.name][use.channel] = len(use.contents)
        self.sizes: dict[str, int] = {}
        for name, kind in self._kinds.items():
            match kind:
                case "staterror":
                    self.sizes[name] = sum(bins[name].values())
                case "shapesys" | "shapefactor":
                    self.sizes[name] = next(iter(bins[name].values()))
                case _:
                    self.sizes[name] = 1

    def check(self, settings: Sequence[Any]) -> Iterator[Finding]:
        """Check the settings of a measurement."""
        for label in _twice(self._labels()):
            yield _error(
                "workspace",
                f"two parameters have the name {quoted(label)}: one is a bin of a modifier",
                "rename one of the modifiers",
            )
        names = [entry["name"] for entry in settings]
        for name in _twice(names):
            yield _error(
                _settings(name),
                "they are given twice",
                "keep one entry in `parameters` of the measurement",
            )
        # The settings of the luminosity stand in every workspace that was made of XML.
        if problem := unknown("parameter", set(names) - {"lumi"}, list(self._kinds)):
            yield Finding(
                severity="warning",
                where="`parameters` of the measurement",
                message=f"settings without effect: {problem}",
                remedy="correct the name, or remove them",
            )
        by_name = {entry["name"]: entry for entry in settings}
        for name, kind in self._kinds.items():
            entry = by_name.get(name, {})
            if kind == "lumi":
                missing = [key for key in _LUMI_SETTINGS if key not in entry]
                if missing:
                    yield _error(
                        _settings(name),
                        f"the modifier lumi needs {', '.join(missing)}",
                        "give lumi its auxdata, sigmas, inits and bounds in `parameters` of the "
                        "measurement",
                    )
            yield from self._entry(name, kind, entry)

    def _labels(self) -> Iterator[str]:
        for name, kind in self._kinds.items():
            if kind in ("staterror", "shapesys", "shapefactor"):
                yield from (f"{name}[{number}]" for number in range(self.sizes[name]))
            else:
                yield name

    def _entry(self, name: str, kind: str, entry: Any) -> Iterator[Finding]:
        where, size = _settings(name), self.sizes[name]
        for key in ("auxdata", "sigmas", "factors"):
            if key in entry and key not in _CONSTRAINT_SETTINGS.get(kind, ()):
                yield _error(where, f"a {kind} has no {key}", f"remove `{key}`")
        wrong = False
        for key in ("inits", "bounds", "auxdata", "sigmas", "factors"):
            if key in entry and len(entry[key]) != size:
                wrong = True
                yield _error(
                    where,
                    f"{_count(len(entry[key]), 'value')} of {key} for {_count(size, 'parameter')}",
                    f"give one value of `{key}` for each bin of the modifier",
                )
        if any(len(pair) != 2 or pair[0] > pair[1] for pair in entry.get("bounds", [])):
            wrong = True
            yield _error(
                where, "bounds that are not a lower and a higher value", "correct `bounds`"
            )
        if any(value <= 0 for value in entry.get("sigmas", [])):
            yield _error(
                where,
                "sigmas that are not positive",
                "give positive `sigmas`; `fixed: true` holds a parameter",
            )
        if any(value <= 0 for value in entry.get("factors", [])):
            yield _error(where, "factors that are not positive", "correct `factors`")
        if kind == "shapesys" and any(value < 0 for value in entry.get("auxdata", [])):
            yield _error(where, "negative auxdata of a Poisson measurement", "correct `auxdata`")
        if not wrong:
            yield from self._start(name, kind, entry)

    def _start(self, name: str, kind: str, entry: Any) -> Iterator[Finding]:
        where, size = _settings(name), self.sizes[name]
        default = 0.0 if kind in _TOGETHER else 1.0
        starts = entry.get("inits", [default] * size)
        pairs = zip(starts, entry.get("bounds", []), strict=False)
        if not entry.get("fixed", False) and any(not low <= x <= high for x, (low, high) in pairs):
            yield Finding(
                severity="warning",
                where=where,
                message="the fit starts at the bound: the start is beyond it",
                remedy="give `inits` within `bounds`",
            )
        if entry.get("fixed") is False and self._without_uncertainty[name]:
            yield _error(
                where,
                "`fixed: false` frees the bins without an uncertainty, with one of 100 %",
                "remove `fixed`",
            )

    @cached_property
    def _without_uncertainty(self) -> dict[str, bool]:
        """Whether a statistical modifier has bins that it does not vary, by name."""
        sums: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
        for use in self._uses:
            if use.kind in ("staterror", "shapesys"):
                zeros = [0.0] * len(use.data)
                errors, contents = sums.get((use.name, use.channel), (zeros, zeros))
                sums[use.name, use.channel] = (
                    [x + y for x, y in zip(errors, use.data, strict=True)],
                    [x + y for x, y in zip(contents, use.contents, strict=True)],
                )
        fixed: dict[str, bool] = defaultdict(bool)
        for (name, _), both in sums.items():
            fixed[name] |= any(error <= 0 or n <= 0 for error, n in zip(*both, strict=True))
        return fixed


def _settings(name: str) -> str:
    return f"settings of the parameter {quoted(name)}"


def _twice(names: Iterable[Any]) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]


def _count(number: int, noun: str) -> str:
    return f"{number} {plural(noun, number)}"
