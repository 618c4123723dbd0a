"""Datacards of Combine, of counting and of shape analyses with histograms.

Source: https://cms-analysis.github.io/HiggsAnalysis-CombinedLimit, "Preparing the datacard", and
``python/DatacardParser.py``, ``python/ShapeTools.py`` of the version 10.
"""

import math
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from agc_pipeline.errors import InputError, ModelError
from agc_pipeline.exchange import Model
from agc_pipeline.exchange.card_text import DATA, FAKE, channel_name, is_whole, lines, names_of
from agc_pipeline.formatting import plural, quoted
from agc_pipeline.settings import unknown

Array = npt.NDArray[np.float64]

INTEREST = "r"
MEASUREMENT = "datacard"
# Range of the signal strength in Combine.
_RANGE = (0.0, 20.0)
# Combine has no bounds of a rateParam without a range; pyhf needs some: so many times the value
# with which one process would account for all data of its channel.
_BEYOND = 10.0
# Combine stops at a rate that differs by more from the sum of the histogram.
_RATE_TOLERANCE = 1e-3
# Smaller changes of the sum of a template are none for Combine.
_NO_CHANGE = 1e-3
# Edges that differ by a smaller part of a bin are the same.
_SAME_EDGE = 1e-3
_SHAPES = ("shape", "shape?")
_SHARED = ("lnN", *_SHAPES)
# Combine reads minus signs as zero, and factors of zero as none.
_ABSENT = re.compile(r"-+|0*\.?0*")
# What may be an entry of a systematic: numbers, or two with a slash, or none.
_ENTRY = re.compile(r"[-+.\deE/]+")
# Words at the beginning of lines up to the rates.
_COUNTS = ("imax", "jmax", "kmax")
_KEYS = (*_COUNTS, "shapes", "bin", "observation", "Observation", "process", "rate")
# Words at the second place of a line that are no types of nuisance parameters.
_DIRECTIVES = ("autoMCStats", "rateParam", "param", "group")
# What Combine has and a workspace has not, with what comes near to it.
_COMBINE_ONLY = {
    **dict.fromkeys(("lnU", "unif", "flatParam"), "a rateParam with a range"),
    **dict.fromkeys(("trG", "gmM", "dFD", "dFD2"), "lnN"),
    **dict.fromkeys(("shapeN", "shapeN2", "shape2N", "shapeL", "shapeU", "shape2"), "shape"),
    **dict.fromkeys(("discrete", "extArg"), "several cards, one for each choice"),
    "edit": "the changed lines themselves",
}


class Histogram(NamedTuple):
    """A histogram: its contents with their errors, and the edges of its bins."""

    contents: Array
    errors: Array
    edges: Array


class Histograms(Protocol):
    """Reads histograms of ROOT files: the file, the path in it; None if there is none."""

    def __call__(self, file: str, path: str, /) -> Histogram | None:
        """Read one."""


def read(text: str, histograms: Histograms, *, place: str) -> Model:
    """The model of a card.

    The signal is scaled by ``r``, between 0 and 20 as in Combine.

    Args:
        text: of the card.
        histograms: reads what it refers to.
        place: of the card, for errors.

    Raises:
        ModelError: if it is not a datacard, or has what a workspace of pyhf has not.
        InputError: if a histogram is missing.
    """
    return _Card(text, place).model(histograms)


def histograms_of(folder: Path) -> Histograms:
    """Reads histograms of files whose names are relative to a folder.

    Raises:
        InputError: of a file that is missing or no ROOT file.
    """
    import uproot  # noqa: PLC0415 - reading a card for the plan needs no ROOT files

    files: dict[str, Any] = {}

    def histogram(file: str, path: str) -> Histogram | None:
        if file not in files:
            try:
                files[file] = uproot.open(folder / file)
            except (OSError, ValueError, AssertionError, IndexError) as error:
                problem = "file not found" if isinstance(error, FileNotFoundError) else str(error)
                raise InputError(
                    problem,
                    place=str(folder / file),
                    remedy="correct the `shapes` of the card, whose files are relative to it",
                ) from error
        try:
            found = files[file][path]
        except uproot.KeyInFileError:
            return None
        if not hasattr(found, "values") or len(getattr(found, "axes", ())) != 1:
            raise ModelError(
                f"{quoted(path)} is a {found.classname}",
                place=str(folder / file),
                remedy="give histograms of one dimension; the fit takes no RooFit workspaces",
            )
        return Histogram(
            np.asarray(found.values(), dtype=np.float64),
            np.asarray(found.errors(), dtype=np.float64),
            np.asarray(found.axes[0].edges(), dtype=np.float64),
        )

    return histogram


class _Column(NamedTuple):
    """A process in a channel."""

    channel: str
    process: str
    signal: bool
    rate: float


class _Nuisance(NamedTuple):
    """A line of a nuisance parameter."""

    number: int
    name: str
    kind: str
    values: list[str]
    events: float | None


class _Rate(NamedTuple):
    """A line of a free normalisation."""

    number: int
    name: str
    channel: str
    process: str
    start: float
    bounds: tuple[float, float] | None


class _Statistics(NamedTuple):
    """A line of statistical uncertainties."""

    number: int
    channel: str
    threshold: float
    signal: bool
    additive: bool


class _Terms(NamedTuple):
    """Shape, modifiers and errors of a column."""

    contents: Array
    errors: Array | None
    modifiers: list[dict[str, Any]]


class _Card:
    """The lines of a card.

    Args:
        text: of it.
        place: of it, for errors.
    """

    def __init__(self, text: str, place: str) -> None:
        self._place = place
        self._number = 0
        self._counts: dict[str, str] = {}
        self._shapes: dict[tuple[str, str], list[str]] = {}
        self._tables: dict[str, list[list[str]]] = {"bin": [], "process": []}
        self._rates: list[str] | None = None
        self._observed: list[float] | None = None
        self._observed_in: list[str] | None = None
        self._nuisances: list[_Nuisance] = []
        self._rate_parameters: list[_Rate] = []
        self._constraints: dict[str, tuple[float, float]] = {}
        self._statistics: list[_Statistics] = []
        self._notes: list[str] = []
        # Of the data, by channel.
        self._edges: dict[str, Array] = {}
        self._gaussian: str | None = None
        # Combine's names of factors that are not those of their modifiers.
        self._factor_names: dict[str, str] = {}
        counted = False
        for number, words in lines(text):
            self._number = number
            # Combine reads over a title, which its combineCards.py writes as the first line.
            counted = counted or words[0] in _COUNTS
            if counted or words[0] in _KEYS:
                self._line(words)
        self._number = 0
        self._columns = self._read_columns()
        self._channels = self._read_channels()
        self._check_counts()
        # The largest absolute value of each rateParam without a range.
        self._reaches: dict[str, float] = {}

    def _refuse(self, problem: str, remedy: str, number: int | None = None) -> NoReturn:
        line = self._number if number is None else number
        where = f"{self._place}, line {line}" if line else self._place
        raise ModelError(problem, place=where, remedy=remedy)

    def _float(self, word: str, number: int | None = None) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._refuse(f"{quoted(word)} is no number", "give a number", number)
        return value

    def _line(self, words: list[str]) -> None:
        match words:
            case ["imax" | "jmax" | "kmax" as key, count, *_]:
                self._counts[key] = count
            case ["shapes", process, channel, *names] if names:
                if (channel, process) in self._shapes:
                    self._refuse(
                        f"shapes of {process} in {channel} are defined twice", "remove one line"
                    )
                self._shapes[channel, process] = names
            case ["bin", *names] if names:
                self._tables["bin"].append([channel_name(name) for name in names])
            case ["observation" | "Observation", *counts] if counts:
                if self._observed is not None:
                    self._refuse("a second line of observations", "remove one")
                self._observed = [self._float(word) for word in counts]
                self._observed_in = self._tables["bin"].pop() if self._tables["bin"] else None
            case ["process", *names] if names:
                self._tables["process"].append(names)
            case ["rate", *rates] if rates:
                if self._rates is not None:
                    self._refuse("a second line of rates", "remove one")
                self._rates = rates
            case _:
                self._systematic(words)

    def _systematic(self, words: list[str]) -> None:
        """A line after the rates."""
        if self._rates is not None and words[1:] and words[1] in _COMBINE_ONLY:
            self._refuse(
                f"{quoted(words[0])}: a line {words[1]}, which a workspace has no place for",
                f"describe it by {_COMBINE_ONLY[words[1]]}",
            )
        if len(words) < 3 or self._rates is None:
            self._refuse(f"unknown line {quoted(' '.join(words))}", "remove or correct it")
        name, kind, *values = words
        if name.endswith("[nofloat]"):
            name = name.removesuffix("[nofloat]")
            self._notes.append(f"{name}: `[nofloat]` has no effect in a fit")
        match kind:
            case "lnN" | "shape" | "shape?":
                self._nuisances.append(_Nuisance(self._number, name, kind, values, None))
            case "gmN":
                events = self._float(values[0])
                self._nuisances.append(_Nuisance(self._number, name, kind, values[1:], events))
            case "rateParam":
                self._rate_parameter(name, values)
            case "param":
                self._constraint(name, values)
            case "autoMCStats":
                threshold = self._float(values[0])
                signal = len(values) > 1 and self._float(values[1]) != 0
                mode = self._float(values[2]) if len(values) > 2 else 1
                if mode not in (1, 2):
                    self._refuse(f"autoMCStats: hist-mode {mode:g}", "give 1 or 2")
                self._statistics.append(
                    _Statistics(self._number, name, threshold, signal, mode == 2)
                )
            case "group":
                self._notes.append(f"{name}: groups of parameters come from `input.groups`")
            case _:
                kinds = (*_SHARED, "gmN", *_DIRECTIVES)
                problem = unknown("type of line", [kind], kinds)
                self._refuse(f"{quoted(name)}: {problem}", "describe it by one of these")

    def _rate_parameter(self, name: str, values: list[str]) -> None:
        if len(values) < 3:
            self._refuse(
                f"rateParam {quoted(name)} has no start", "give channel, process and start"
            )
        channel, process, start, *rest = values
        bounds = None
        if rest:
            matched = re.fullmatch(r"\[([^,\]]+),([^,\]]+)\]", rest[0])
            if matched is None:
                self._refuse(
                    f"rateParam {quoted(name)}: a function of other parameters",
                    "give a start, and a range [low,high]",
                )
            bounds = self._float(matched[1]), self._float(matched[2])
        self._rate_parameters.append(
            _Rate(self._number, name, channel, process, self._float(start), bounds)
        )

    def _constraint(self, name: str, values: list[str]) -> None:
        if name in self._constraints:
            self._refuse(f"the parameter {quoted(name)} is defined twice", "remove one line")
        if len(values) < 2 or "/" in values[1]:
            self._refuse(f"param {quoted(name)} has no width", "give its mean and one width")
        mean, width = self._float(values[0]), self._float(values[1])
        if width <= 0:
            self._refuse(f"param {quoted(name)}: the width is {width:g}", "give a positive width")
        self._constraints[name] = mean, width

    def _read_columns(self) -> list[_Column]:
        """The processes in their channels."""
        bins, processes = self._tables["bin"], self._tables["process"]
        if self._rates is None or len(bins) != 1 or len(processes) != 2:
            self._refuse(
                "no table of processes: it has a line `bin`, two lines `process` and a line `rate`",
                "add what is missing, and remove what is there twice",
            )
        channels, rates = bins[0], self._rates
        numbers = [line for line in processes if all(is_whole(word) for word in line)]
        names = [line for line in processes if line not in numbers]
        if len(numbers) != 1 or len(names) != 1:
            self._refuse(
                "the two lines `process` are not one of names and one of numbers", "correct them"
            )
        lengths = {len(line) for line in (channels, names[0], numbers[0], rates)}
        if len(lengths) > 1:
            self._refuse(
                f"the table of processes has lines of {' and '.join(map(str, sorted(lengths)))} "
                "entries",
                "give an entry for each process in each channel",
            )
        columns = [
            _Column(channel, name, int(number) <= 0, self._float(rate))
            for channel, name, number, rate in zip(
                channels, names[0], numbers[0], rates, strict=True
            )
        ]
        pairs = [(column.channel, column.process) for column in columns]
        for pair in pairs:
            if pairs.count(pair) > 1:
                self._refuse(
                    f"process {quoted(pair[1])} is in channel {quoted(pair[0])} twice",
                    "rename one of them",
                )
        for process in {column.process for column in columns}:
            if len({c.signal for c in columns if c.process == process}) > 1:
                self._refuse(
                    f"process {quoted(process)} is signal in one channel, and not in another",
                    "give it numbers of one sign",
                )
        for column in columns:
            if column.rate < 0 and column.rate != -1:
                self._refuse(
                    f"process {quoted(column.process)} in {quoted(column.channel)}: "
                    f"the rate is {column.rate:g}",
                    "give a rate, or -1 for the sum of the histogram",
                )
        return columns

    def _read_channels(self) -> dict[str, float]:
        """Observed events in each channel, -1 for the sum of the histogram."""
        names = list(dict.fromkeys(column.channel for column in self._columns))
        if self._observed is None:
            self._refuse("no line `observation`", "add one")
        observed = self._observed_in or names
        if len(observed) != len(self._observed) or set(observed) != set(names):
            self._refuse(
                f"{len(self._observed)} observations in {' '.join(observed)}, "
                f"and processes in {' '.join(names)}",
                "give one observation for each channel, and `bin` with their names before it",
            )
        counts = dict(zip(observed, self._observed, strict=True))
        return {name: counts[name] for name in names}

    def _check_counts(self) -> None:
        """The numbers at the top, which Combine checks as well."""
        n = {
            "imax": len(self._channels),
            "jmax": len({column.process for column in self._columns}) - 1,
            "kmax": len(self._nuisances) + len(self._constraints),
        }
        for key, actual in n.items():
            stated = self._counts.get(key, "*")
            if stated != "*" and self._float(stated) != actual:
                self._refuse(f"{key} is {stated}, and there are {actual}", f"correct `{key}`")
        for nuisance in self._nuisances:
            sizes = (
                f"{quoted(nuisance.name)} has {len(nuisance.values)} "
                f"{plural('entry', len(nuisance.values))} for {len(self._columns)} processes"
            )
            if len(nuisance.values) < len(self._columns):
                self._refuse(sizes, "give one for each column, - for none", nuisance.number)
            # What follows the entries is a comment, for Combine as well.
            if all(map(_ENTRY.fullmatch, nuisance.values)) and len(nuisance.values) > len(
                self._columns
            ):
                self._notes.append(f"{sizes}: the last ones have no effect")
        names = [nuisance.name for nuisance in self._nuisances]
        for name in names:
            if names.count(name) > 1:
                self._refuse(f"the parameter {quoted(name)} is defined twice", "join the lines")

    # Histograms.

    def _histogram(
        self, histograms: Histograms, channel: str, process: str, shift: str = ""
    ) -> Histogram | None:
        """A histogram; None for a counting experiment, or if there is none of a shift.

        Raises:
            InputError: if a nominal one is missing.
        """
        names = names_of(self._shapes, channel, process, shift)
        if names is None or names[0] == FAKE:
            return None
        position = 2 if shift else 1
        if len(names) <= position:
            if shift:
                return None
            self._refuse(f"the shapes of {process} in {channel} name no histogram", "give its name")
        path = names[position]
        for text in (names[0], path):
            if "$" in text:
                self._refuse(f"{quoted(text)}: an unknown word in `shapes`", "write it out")
        if ":" in path:
            self._refuse(
                f"{quoted(path)} is in a RooFit workspace", "the fit takes histograms only"
            )
        found = histograms(names[0], path)
        if found is None and not shift:
            raise InputError(
                f"no histogram {quoted(path)} of {process} in {channel}",
                place=names[0],
                remedy=f"correct the `shapes` of {self._place}",
            )
        if found is not None:
            edges = self._edges.setdefault(channel, found.edges)
            width = np.ptp(edges) / (len(edges) - 1)
            if len(edges) == len(found.edges) and np.any(
                np.abs(edges - found.edges) > _SAME_EDGE * width
            ):
                self._notes.append(
                    f"{path} in {names[0]} has other edges than {DATA}: its bins count by their "
                    "numbers, as in Combine"
                )
        return found

    def model(self, histograms: Histograms) -> Model:
        """The workspace."""
        if not any(column.signal for column in self._columns):
            self._notes.append("no process is a signal: the fit has no parameter of interest")
        channels, observations = [], []
        settings: dict[str, dict[str, Any]] = {}
        for channel, count in self._channels.items():
            observed = self._observation(histograms, channel, count)
            terms = {
                column: self._terms(histograms, position, column, observed, settings)
                for position, column in enumerate(self._columns)
                if column.channel == channel
            }
            self._statistical(channel, terms)
            samples = [
                {
                    "name": column.process,
                    "data": term.contents.tolist(),
                    "modifiers": term.modifiers,
                }
                for column, term in terms.items()
            ]
            channels.append({"name": channel, "samples": samples})
            observations.append({"name": channel, "data": observed.tolist()})
        self._check_use()
        for name, reach in self._reaches.items():
            settings[name]["bounds"] = [[-_BEYOND * reach, _BEYOND * reach]]
        interest = INTEREST if any(column.signal for column in self._columns) else ""
        if interest:
            settings[INTEREST] = {"name": INTEREST, "inits": [1.0], "bounds": [list(_RANGE)]}
        measurement = {
            "name": MEASUREMENT,
            "config": {"poi": interest, "parameters": list(settings.values())},
        }
        workspace = {
            "version": "1.0.0",
            "channels": channels,
            "observations": observations,
            "measurements": [measurement],
        }
        variables = _variables(workspace) | self._factor_names
        return Model(workspace, variables, tuple(self._notes))

    def _observation(self, histograms: Histograms, channel: str, count: float) -> Array:
        found = self._histogram(histograms, channel, DATA)
        if found is None:
            if any(
                names_of(self._shapes, column.channel, column.process) not in (None, [FAKE])
                for column in self._columns
                if column.channel == channel
            ):
                self._refuse(
                    f"channel {quoted(channel)} has shapes, and none of {DATA}", "add them"
                )
            return np.array([count])
        self._check_sum(count, found.contents, f"channel {quoted(channel)}, {DATA}")
        return found.contents

    def _check_sum(self, stated: float, contents: Array, where: str) -> None:
        total = float(contents.sum())
        if stated != -1 and abs(total - stated) > _RATE_TOLERANCE * max(1.0, abs(stated)):
            self._refuse(
                f"{where}: {stated:g} in the card, {total:g} in the histogram",
                "correct it, or write -1 for the sum of the histogram",
            )

    def _terms(
        self,
        histograms: Histograms,
        position: int,
        column: _Column,
        observed: Array,
        settings: dict[str, dict[str, Any]],
    ) -> _Terms:
        """Contents and modifiers of a column."""
        n_bins = len(observed)
        where = f"process {quoted(column.process)} in channel {quoted(column.channel)}"
        found = self._histogram(histograms, column.channel, column.process)
        if found is None:
            if n_bins > 1 or column.rate == -1:
                self._refuse(f"{where}: no histogram", "add a line `shapes`, and a rate")
            contents, errors = np.array([column.rate]), None
        else:
            contents, errors = found.contents, found.errors
            self._check_sum(column.rate, contents, where)
        if len(contents) != n_bins:
            self._refuse(
                f"{where}: {len(contents)} bins, and data of {n_bins}", "give the same bins"
            )
        empty = column.rate == 0 or not contents.any()
        if empty:
            # Combine leaves such a process out, whatever its templates are.
            contents = np.zeros(n_bins)
            errors = None if errors is None else np.zeros(n_bins)
        modifiers: list[dict[str, Any]] = []
        if column.signal:
            modifiers.append({"name": INTEREST, "type": "normfactor", "data": None})
        for rate in self._rate_parameters:
            if fnmatchcase(column.channel, rate.channel) and fnmatchcase(
                column.process, rate.process
            ):
                modifiers.append(self._free(rate, settings))
                self._extend(rate, contents, observed)
        for nuisance in self._nuisances:
            # Events of a control region have a rate, even if they are none.
            if not empty or nuisance.kind == "gmN":
                modifiers += self._modifiers(histograms, nuisance, position, contents, where)
        return _Terms(contents, errors, modifiers)

    def _free(self, rate: _Rate, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """A free normalisation, or one with a Gaussian term, which pyhf has of one parameter."""
        constraint = self._constraints.get(rate.name)
        if constraint is None:
            entry = {"name": rate.name, "inits": [rate.start]}
            if rate.bounds is not None:
                entry["bounds"] = [list(rate.bounds)]
            kind = "normfactor"
        else:
            if self._gaussian not in (None, rate.name):
                self._refuse(
                    f"rateParam {quoted(rate.name)}: a second one with a Gaussian term",
                    "describe one of them by lnN",
                    rate.number,
                )
            self._gaussian = rate.name
            mean, width = constraint
            entry = {
                "name": "lumi",
                "inits": [rate.start],
                "bounds": [list(rate.bounds or (max(0.0, mean - 10 * width), mean + 10 * width))],
                "auxdata": [mean],
                "sigmas": [width],
            }
            kind = "lumi"
        known = settings.setdefault(str(entry["name"]), entry)
        if known != entry:
            self._refuse(
                f"rateParam {quoted(rate.name)} has two starts or ranges",
                "give the same on all lines",
                rate.number,
            )
        return {"name": str(entry["name"]), "type": kind, "data": None}

    def _extend(self, rate: _Rate, contents: Array, observed: Array) -> None:
        """Make room for what the data of a channel want of a rateParam without a range."""
        if rate.bounds is None and rate.name not in self._constraints:
            events = float(contents.sum())
            wanted = max(_BEYOND, float(observed.sum())) / events if events > 0 else 0.0
            reaches = self._reaches.get(rate.name, 0.0), wanted, abs(rate.start), 1.0
            self._reaches[rate.name] = max(reaches)

    def _modifiers(
        self,
        histograms: Histograms,
        nuisance: _Nuisance,
        position: int,
        contents: Array,
        where: str,
    ) -> list[dict[str, Any]]:
        """What a nuisance parameter does to a process."""
        name, number, value = nuisance.name, nuisance.number, nuisance.values[position]
        column = self._columns[position]
        if _ABSENT.fullmatch(value):
            return []
        if nuisance.kind == "gmN":
            return [self._gamma(nuisance, value, contents, where)]
        up = down = None
        if nuisance.kind in _SHAPES:
            up = self._histogram(histograms, column.channel, column.process, f"{name}Up")
            down = self._histogram(histograms, column.channel, column.process, f"{name}Down")
            if (up is None) != (down is None) or (up is None and nuisance.kind == "shape"):
                raise InputError(
                    f"{where}: no histograms {name}Up and {name}Down",
                    place=f"{self._place}, line {number}",
                    remedy="add them, or write - for this process",
                )
        if up is None or down is None:
            low, high = self._factors(nuisance, value)
            return [_normalisation(name, low, high)]
        if self._float(value, number) != 1:
            self._refuse(
                f"{quoted(name)}: templates at {1 / self._float(value, number):g} standard "
                "deviations",
                "give templates of one standard deviation, and 1",
                number,
            )
        if not len(up.contents) == len(down.contents) == len(contents):
            self._refuse(f"{where}: templates of {name} with other bins", "give the same bins")
        total = float(contents.sum())
        sums = [float(shift.contents.sum()) for shift in (down, up)]
        if total <= 0 or min(sums) <= 0:
            self._refuse(
                f"{where}: templates of {name} without events",
                "write - for this process",
                number,
            )
        line = self._statistics_of(column.channel)
        if line is not None and line.additive:
            return [_template(name, up.contents, down.contents)]
        low, high = (value / total for value in sums)
        # Combine varies the sum and the shape, each with its own interpolation.
        shape = _template(name, up.contents / high, down.contents / low)
        if max(abs(low - 1), abs(high - 1)) < _NO_CHANGE:
            return [shape]
        return [_normalisation(name, low, high), shape]

    def _factors(self, nuisance: _Nuisance, value: str) -> tuple[float, float]:
        """Factors at minus and plus one standard deviation."""
        parts = [self._float(part, nuisance.number) for part in value.split("/")]
        if len(parts) == 1:
            parts = [1 / parts[0] if parts[0] else 0.0, parts[0]]
        if len(parts) != 2 or min(parts) <= 0:
            self._refuse(
                f"{quoted(nuisance.name)}: {quoted(value)} is no factor",
                "give a positive factor, or two as down/up",
                nuisance.number,
            )
        return parts[0], parts[1]

    def _gamma(
        self, nuisance: _Nuisance, value: str, contents: Array, where: str
    ) -> dict[str, Any]:
        """Events of a control region: their number has a Poisson term."""
        events, weight = nuisance.events or 0.0, self._float(value, nuisance.number)
        entries = nuisance.values[: len(self._columns)]
        uses = sum(_ABSENT.fullmatch(entry) is None for entry in entries)
        if len(contents) > 1 or uses > 1:
            self._refuse(
                f"gmN {quoted(nuisance.name)}: of several bins or processes",
                "describe it by lnN, or by a channel of the control region",
                nuisance.number,
            )
        if events <= 0:
            self._refuse(
                f"gmN {quoted(nuisance.name)}: {events:g} events in the control region",
                "describe it by a channel of the control region, with a rateParam for both",
                nuisance.number,
            )
        if abs(weight * events - contents[0]) > _RATE_TOLERANCE * contents[0]:
            self._refuse(
                f"{where}: {events:g} events of weight {weight:g} are not the rate {contents[0]:g}",
                "give a rate of weight times events",
                nuisance.number,
            )
        error = float(contents[0]) / math.sqrt(events)
        return {"name": nuisance.name, "type": "shapesys", "data": [error]}

    def _statistical(self, channel: str, terms: Mapping[_Column, _Terms]) -> None:
        """Factors for the statistics of bins, as autoMCStats has them.

        A bin with more effective events than the threshold has one Gaussian factor, with the errors
        of all processes: whether signals count is of the effective events only. Any other bin has a
        factor for each process, with a Poisson term up to the threshold and a Gaussian one above.
        """
        line = self._statistics_of(channel)
        errors = {column: term.errors for column, term in terms.items() if term.errors is not None}
        if line is None or line.threshold < 0 or len(errors) < len(terms):
            return
        scales = {column: self._start(column) for column in terms}
        counted = [column for column in terms if line.signal or not column.signal]
        total = np.sum([scales[c] * terms[c].contents for c in counted], axis=0)
        squares = np.sum([(scales[c] * errors[c]) ** 2 for c in counted], axis=0)
        varied = np.broadcast_to(squares > 0, next(iter(errors.values())).shape)
        events = _effective(total, np.sqrt(squares))
        together = varied & (events > line.threshold)
        shared = 0
        for column, term in terms.items():
            error = errors[column]
            # The factor is that of the samples with an uncertainty.
            used = np.where(together & (term.contents > 0), error, 0.0)
            if used.any():
                shared += 1
                term.modifiers.append(_factors(f"prop_bin{channel}", "staterror", used))
            alone = varied & ~together & (error > 0) & (term.contents >= 0)
            self._own_factors(line, column, term, alone)
        if shared > 1:
            self._notes.append(
                f"{channel}: the relative uncertainties of autoMCStats stay those of the start, in "
                "Combine they follow the normalisations of the processes"
            )

    def _statistics_of(self, channel: str) -> _Statistics | None:
        """The line of a channel, the last one that is for it."""
        lines = [line for line in self._statistics if fnmatchcase(channel, line.channel)]
        return lines[-1] if lines else None

    def _own_factors(self, line: _Statistics, column: _Column, term: _Terms, bins: Any) -> None:
        """Factors of a process in some of its bins."""
        contents, errors = term.contents, term.errors
        if errors is None or not bins.any():
            return
        if (bins & (contents == 0)).any():
            number = np.flatnonzero(bins & (contents == 0))[0]
            self._refuse(
                f"autoMCStats {line.threshold:g}: bin {number} of process {quoted(column.process)} "
                f"in channel {quoted(column.channel)} is empty with an uncertainty",
                "join bins, or give a lower threshold",
                line.number,
            )
        events = _effective(contents, errors)
        poisson = bins & (contents >= 0.999 * errors) & (events <= line.threshold)
        name = f"prop_bin{column.channel}_{column.process}"
        with np.errstate(divide="ignore", invalid="ignore"):
            widths = np.where(poisson, contents / np.sqrt(events), 0.0)
        for kind, title, values in (
            ("shapesys", name, widths),
            ("staterror", f"{name}_gauss", np.where(bins & ~poisson, errors, 0.0)),
        ):
            if values.any():
                term.modifiers.append(_factors(title, kind, values))
                for number in map(int, np.flatnonzero(values)):
                    own = f"prop_bin{column.channel}_bin{number}_{column.process}"
                    self._factor_names[f"{title}[{number}]"] = own

    def _start(self, column: _Column) -> float:
        """Product of the free normalisations of a process at their starts."""
        return math.prod(
            rate.start
            for rate in self._rate_parameters
            if fnmatchcase(column.channel, rate.channel)
            and fnmatchcase(column.process, rate.process)
        )

    def _check_use(self) -> None:
        """Every line does something."""
        for rate in self._rate_parameters:
            if not any(
                fnmatchcase(column.channel, rate.channel)
                and fnmatchcase(column.process, rate.process)
                for column in self._columns
            ):
                self._refuse(
                    f"rateParam {quoted(rate.name)}: no process {quoted(rate.process)} in a "
                    f"channel {quoted(rate.channel)}",
                    "correct the names",
                    rate.number,
                )
        free = {rate.name for rate in self._rate_parameters}
        if INTEREST in free:
            self._refuse(
                f"rateParam {quoted(INTEREST)} is the signal strength as well", "rename it"
            )
        for name in self._constraints:
            if name not in free:
                self._refuse(
                    f"param {quoted(name)} is of no rateParam",
                    "remove it: histograms have no other parameters",
                )
        names = {INTEREST, *free}
        if self._gaussian is not None:
            # The only parameter with a Gaussian term of its own in pyhf has this name.
            names.add("lumi")
        for nuisance in self._nuisances:
            if nuisance.name in names:
                self._refuse(
                    f"the parameter {quoted(nuisance.name)} is defined twice",
                    "rename one of them",
                    nuisance.number,
                )
        for line in self._statistics:
            if not any(fnmatchcase(channel, line.channel) for channel in self._channels):
                self._refuse(
                    f"autoMCStats of an unknown channel {quoted(line.channel)}",
                    "correct the name",
                    line.number,
                )


def _effective(contents: Array, errors: Array) -> Array:
    """Whole numbers of unweighted events with the same relative errors; 0 without one."""
    ratios = np.divide(contents, errors, out=np.zeros_like(contents), where=errors > 0)
    return np.floor(0.5 + ratios**2)


def _factors(name: str, kind: str, values: Array) -> dict[str, Any]:
    return {"name": name, "type": kind, "data": values.tolist()}


def _template(name: str, up: Array, down: Array) -> dict[str, Any]:
    data = {"hi_data": up.tolist(), "lo_data": down.tolist()}
    return {"name": name, "type": "histosys", "data": data}


def _normalisation(name: str, low: float, high: float) -> dict[str, Any]:
    return {"name": name, "type": "normsys", "data": {"hi": high, "lo": low}}


def _variables(workspace: dict[str, Any]) -> dict[str, str]:
    """Combine's names of the parameters, by pyhf's."""
    names: dict[str, str] = {}
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                name = modifier["name"]
                match modifier["type"]:
                    case "staterror":
                        for number in range(len(sample["data"])):
                            names[f"{name}[{number}]"] = f"{name}_bin{number}"
                    case "shapesys":
                        names[f"{name}[0]"] = name
                    case _:
                        names[name] = name
    return names
