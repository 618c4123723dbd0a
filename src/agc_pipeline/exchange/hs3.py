"""HS3 JSON: the HEP Statistics Serialization Standard, as far as it describes HistFactory models.

The dialect is that of ROOT 6.40, whose RooJSONFactoryWSTool is the reference: uncertainties of a
shapesys are relative, and constraints are named by ``constraint_type``, by the names of
distributions (``constraint_name``, ``constraint`` or ``constraints``), or for statistical
uncertainties by the ``staterror`` of a channel.

Source: https://github.com/hep-statistics-serialization-standard, version 0.2; ROOT 6.40,
``roofit/hs3`` (JSONFactories_HistFactory).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from agc_pipeline.errors import ModelError
from agc_pipeline.exchange import Model
from agc_pipeline.formatting import name_list, quoted, shortened
from agc_pipeline.settings import unknown

# Codes of the interpolations that a workspace has, as ROOT and pyhs3 write them.
_NORMALISATION = (4, 5, "code4")
_SHAPE = (4, "code4p")
# The latter in the words of a distribution, for all modifiers without codes of their own.
_SHAPE_IN_WORDS = {"in": "poly6", "out": "poly1", "type": "add"}
_GAUSSIAN = ("Gauss", "Gaussian")
_LUMINOSITY = "lumi"
# Relative difference of two numbers that are the same.
_SAME = 1e-6
# Types of constraints by those of their distributions.
_CONSTRAINTS = {"gaussian_dist": "Gauss", "poisson_dist": "Poisson"}


class _Part(BaseModel):
    """A part of a document. What it has beside is left to others."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class _Exact(_Part):
    """A part of which every key changes the model."""

    model_config = ConfigDict(extra="forbid")


class _Modifier(_Exact):
    name: str
    type: str
    parameter: str | None = None
    parameters: list[str] | None = None
    constraint: str | None = None
    constraint_type: str | None = None
    constraint_name: str | None = None
    constraints: list[str | None] | None = None
    interpolation: int | str | None = None
    data: dict[str, Any] | None = None


class _Contents(_Part):
    contents: list[float]
    errors: list[float] | None = None


class _Sample(_Exact):
    name: str
    data: _Contents
    modifiers: list[_Modifier] = []


class _StatError(_Part):
    constraint: str | None = None
    constraint_type: str | None = None
    # The short form is that of ROOT before 6.36.
    relThreshold: float = 0.0  # noqa: N815 - the key of the format


class _Binning(_Part):
    name: str
    min: float | None = None
    max: float | None = None
    nbins: int | None = None
    edges: list[float] | None = None

    def differs(self, other: "_Binning") -> bool:
        """Whether bins are not the same, as far as both tell them."""
        if self.name != other.name:
            return True
        ours, theirs = self._edges(), other._edges()
        if ours is None or theirs is None:
            return False
        return len(ours) != len(theirs) or not np.allclose(ours, theirs, rtol=1e-9, atol=0)

    def _edges(self) -> list[float] | None:
        if self.edges is not None or self.nbins is None or self.min is None or self.max is None:
            return self.edges
        edges: list[float] = np.linspace(self.min, self.max, self.nbins + 1).tolist()
        return edges


class _Distribution(_Part):
    name: str
    type: str
    axes: list[_Binning] | None = None
    default_interpolation: Any = None
    samples: list[_Sample] = []
    staterror: _StatError | None = None
    x: float | str | None = None
    mean: float | str | None = None
    sigma: float | str | None = None


class _Data(_Part):
    name: str
    type: str
    axes: list[_Binning] | None = None
    contents: list[float] = []
    uncertainty: Any = None


class _Axis(_Part):
    name: str
    min: float | None = None
    max: float | None = None


class _Domain(_Part):
    name: str
    axes: list[_Axis] = []


class _Value(_Part):
    name: str
    value: float
    const: bool = False


class _Point(_Part):
    name: str
    parameters: list[_Value] = []


class _Likelihood(_Exact):
    name: str
    distributions: list[str]
    data: list[str]
    aux_distributions: list[str] = []


class _Analysis(_Part):
    name: str
    likelihood: str
    domains: list[str] = []
    parameters_of_interest: list[str] = []
    init: str | None = None
    prior: str | None = None


class _Document(_Part):
    distributions: list[_Distribution]
    likelihoods: list[_Likelihood]
    data: list[_Data]
    analyses: list[_Analysis]
    domains: list[_Domain] = []
    parameter_points: list[_Point] = []


_Named = TypeVar("_Named", _Distribution, _Likelihood, _Data, _Analysis, _Domain, _Point)
_Setting = TypeVar("_Setting", _Axis, _Value)


def is_document(content: Any) -> bool:
    """Whether JSON is of this format, and not of pyhf."""
    return isinstance(content, Mapping) and "channels" not in content and "analyses" in content


def read(content: Any, *, place: str, analysis: str | None = None) -> Model:
    """The model of an analysis of a document.

    Args:
        content: the document.
        place: where it comes from, for errors.
        analysis: name of the one to read; None is the only one.

    Raises:
        ModelError: if it is not such a document, or has what a workspace of pyhf has not.
    """
    try:
        document = _Document.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"not HS3 of HistFactory models: `{key}`: {shortened(first['msg'])}",
            place=place,
            remedy="give a document as RooJSONFactoryWSTool of ROOT 6.40 writes it",
        ) from error
    return _Reader(document, place, analysis).model()


class _Shared(NamedTuple):
    """Parameters of a modifier in some samples."""

    kind: str
    variables: tuple[str, ...]


class _Reader:
    """Reads one analysis.

    Args:
        document: that has it.
        place: of the document, for errors.
        analysis: name of the one to read; None is the only one.
    """

    def __init__(self, document: _Document, place: str, analysis: str | None) -> None:
        self._place = place
        analyses = self._by_name("analysis", document.analyses)
        if analysis is None and len(analyses) != 1:
            self._refuse(
                f"there are {len(analyses)} analyses: {name_list(list(analyses))}",
                "name one with `input.measurement`",
            )
        name = next(iter(analyses)) if analysis is None else analysis
        self._analysis = self._look_up("analysis", name, analyses)
        likelihoods = self._by_name("likelihood", document.likelihoods)
        self._likelihood = self._look_up("likelihood", self._analysis.likelihood, likelihoods)
        self._distributions = self._by_name("distribution", document.distributions)
        self._data = self._by_name("data set", document.data)
        domains = self._by_name("domain", document.domains)
        points = self._by_name("parameter point", document.parameter_points)
        self._bounds: dict[str, tuple[float, float]] = {}
        for title in dict.fromkeys(("default_domain", *self._analysis.domains)):
            if title == "default_domain" and title not in domains:
                continue
            axes = self._look_up("domain", title, domains).axes
            for axis in self._settings(f"domain {quoted(title)}: axis", axes).values():
                if axis.min is not None and axis.max is not None:
                    self._bounds[axis.name] = (axis.min, axis.max)
        self._values: dict[str, _Value] = {}
        for title in dict.fromkeys(("default_values", self._analysis.init or "default_values")):
            if title == "default_values" and title not in points:
                continue
            values = self._look_up("parameter point", title, points).parameters
            self._values |= self._settings(f"parameter point {quoted(title)}: parameter", values)
        self._notes: list[str] = []
        # Names in the workspace by kind and variables, in the order in which they appear.
        self._names: dict[_Shared, str] = {}
        self._auxiliary: dict[str, tuple[float, float]] = {}
        # Constraints of the likelihood that belong to no modifier yet, and the others by variable.
        self._open = {
            name: self._look_up("distribution", name, self._distributions)
            for name in self._likelihood.aux_distributions
        }
        self._constraints: dict[str, _Distribution] = {}

    def _refuse(self, problem: str, remedy: str) -> NoReturn:
        raise ModelError(problem, place=self._place, remedy=remedy)

    def _by_name(self, kind: str, parts: Sequence[_Named]) -> dict[str, _Named]:
        names = {part.name: part for part in parts}
        if len(names) < len(parts):
            double = next(n for n in names if sum(part.name == n for part in parts) > 1)
            self._refuse(f"{kind} {quoted(double)} is defined twice", "remove or rename one")
        return names

    def _settings(self, kind: str, parts: Sequence[_Setting]) -> dict[str, _Setting]:
        """By name; those that stand there again are the same."""
        settings: dict[str, _Setting] = {}
        for part in parts:
            if settings.setdefault(part.name, part) != part:
                self._refuse(
                    f"{kind} {quoted(part.name)} is defined twice, and not the same",
                    "remove one of them",
                )
        return settings

    def _look_up(self, kind: str, name: str, among: Mapping[str, _Named]) -> _Named:
        if problem := unknown(kind, [name], among):
            self._refuse(problem, "correct the name")
        return among[name]

    def model(self) -> Model:
        """The workspace."""
        if self._analysis.prior is not None:
            self._refuse(
                f"analysis {quoted(self._analysis.name)} has a prior, which has no place in a fit",
                "remove `prior`",
            )
        pairs = list(self._pairs())
        channels = [self._channel(distribution) for distribution, _ in pairs]
        observations = [
            {"name": channel["name"], "data": data.contents}
            for channel, (_, data) in zip(channels, pairs, strict=True)
        ]
        for name in self._open:
            self._refuse(
                f"distribution {quoted(name)} of the likelihood constrains no parameter of a "
                "modifier",
                "remove it from `aux_distributions`",
            )
        parameters, variables = self._parameters(channels)
        config = {"poi": self._interest(), "parameters": parameters}
        workspace = {
            "version": "1.0.0",
            "channels": channels,
            "observations": observations,
            "measurements": [{"name": self._analysis.name, "config": config}],
        }
        return Model(workspace, variables, tuple(self._notes))

    def _pairs(self) -> Iterator[tuple[_Distribution, _Data]]:
        likelihood = self._likelihood
        if len(likelihood.distributions) != len(likelihood.data):
            self._refuse(
                f"likelihood {quoted(likelihood.name)} has {len(likelihood.distributions)} "
                f"distributions and {len(likelihood.data)} data sets",
                "give one data set for each distribution",
            )
        for name, title in zip(likelihood.distributions, likelihood.data, strict=True):
            distribution = self._look_up("distribution", name, self._distributions)
            data = self._look_up("data set", title, self._data)
            if distribution.type != "histfactory_dist":
                self._refuse(
                    f"distribution {quoted(name)} is a {distribution.type}",
                    "the fit takes distributions of type histfactory_dist, and data in bins",
                )
            if data.type != "binned":
                self._refuse(f"data set {quoted(title)} is {data.type}", "give data in bins")
            if data.uncertainty is not None:
                self._refuse(
                    f"data set {quoted(title)} has an uncertainty of its own",
                    "give numbers of events, which are counted without one",
                )
            own, axes = distribution.axes or [], data.axes or []
            if own and axes and (len(own) != len(axes) or any(map(_Binning.differs, own, axes))):
                self._refuse(
                    f"data set {quoted(title)} has other axes than {quoted(name)}",
                    "give both in the same bins of the same observables",
                )
            yield distribution, data

    def _channel(self, distribution: _Distribution) -> dict[str, Any]:
        """A channel, of which ROOT's prefix is not part of the name."""
        name = distribution.name.removeprefix("model_")
        if name in {d.removeprefix("model_") for d in self._likelihood.distributions} - {name}:
            name = distribution.name
        samples = [self._sample(sample, name, distribution) for sample in distribution.samples]
        return {"name": name, "samples": samples}

    def _sample(self, sample: _Sample, channel: str, parent: _Distribution) -> dict[str, Any]:
        where = f"channel {quoted(channel)}, sample {quoted(sample.name)}"
        modifiers = [
            converted
            for modifier in sample.modifiers
            if (converted := self._modifier(modifier, sample, where, parent)) is not None
        ]
        return {"name": sample.name, "data": sample.data.contents, "modifiers": modifiers}

    def _modifier(
        self, modifier: _Modifier, sample: _Sample, where: str, parent: _Distribution
    ) -> dict[str, Any] | None:
        """A modifier in pyhf's form; None for a factor that is constant at one, as ROOT's Lumi."""
        kind, place = modifier.type, f"{where}, {modifier.type} {quoted(modifier.name)}"
        contents = sample.data.contents
        variables: tuple[str, ...]
        match kind:
            case "normfactor":
                return self._factor(modifier, place)
            case "normsys":
                self._interpolation(modifier, parent, place, _NORMALISATION)
                data: Any = {key: self._number(modifier, key, place) for key in ("hi", "lo")}
                variables = (self._constrained(modifier, place),)
            case "histosys":
                self._interpolation(modifier, parent, place, _SHAPE)
                data = {f"{key}_data": self._template(modifier, key, place) for key in ("hi", "lo")}
                variables = (self._constrained(modifier, place),)
            case "shapefactor":
                variables, data = self._several(modifier, contents, parent, place), None
            case "shapesys":
                variables = self._several(modifier, contents, parent, place)
                kind, data = self._bins(modifier, contents, place)
            case "staterror":
                variables = self._several(modifier, contents, parent, place)
                kind, data = self._statistical(modifier, sample, parent, place)
            case _:
                self._refuse(
                    f"{place}: unknown type of modifier",
                    "the fit takes normfactor, normsys, histosys, shapefactor, shapesys, staterror",
                )
        return {"name": self._name(modifier, kind, variables), "type": kind, "data": data}

    def _factor(self, modifier: _Modifier, place: str) -> dict[str, Any] | None:
        variable = self._single(modifier, place)
        constraint = self._distribution(modifier, variable)
        value = self._values.get(variable)
        if constraint is None:
            if (name := self._constraint_name(modifier)) is not None:
                self._look_up("distribution", name, self._distributions)
            is_one = value is not None and value.const and value.value == 1
            if is_one and variable not in self._analysis.parameters_of_interest:
                return None
            name = self._name(modifier, "normfactor", (variable,))
            return {"name": name, "type": "normfactor", "data": None}
        self._auxiliary[variable] = self._gaussian(constraint, variable, place)
        others = [shared for shared in self._names if shared.kind == "lumi"]
        if any(shared.variables != (variable,) for shared in others):
            self._refuse(
                f"{place}: a second normalisation with a Gaussian term, beside "
                f"{quoted(others[0].variables[0])}",
                "describe one of them by a normsys",
            )
        self._names[_Shared("lumi", (variable,))] = _LUMINOSITY
        return {"name": _LUMINOSITY, "type": "lumi", "data": None}

    def _single(self, modifier: _Modifier, place: str) -> str:
        several = modifier.parameters or []
        variable = modifier.parameter or (several[0] if len(several) == 1 else None)
        # ROOT 6.32 does not write the names that it gives itself.
        own = modifier.name if modifier.type == "normfactor" else f"alpha_{modifier.name}"
        if variable is None and not several and self._is_known(own):
            return own
        if variable is None:
            self._refuse(f"{place}: it has no `parameter`", "name its parameter")
        return variable

    def _is_known(self, variable: str) -> bool:
        """Whether the document has a value or bounds of a parameter."""
        return variable in self._values or variable in self._bounds

    def _several(
        self, modifier: _Modifier, contents: Sequence[float], parent: _Distribution, place: str
    ) -> tuple[str, ...]:
        variables = tuple(modifier.parameters or ())
        if modifier.parameters is None:
            channel = parent.name.removeprefix("model_")
            name = f"stat_{channel}" if modifier.type == "staterror" else modifier.name
            own = [f"gamma_{name}_bin_{number}" for number in range(len(contents))]
            if all(map(self._is_known, own)):
                variables = tuple(own)
        if len(variables) != len(contents) or len(set(variables)) < len(variables):
            self._refuse(
                f"{place}: {len(set(variables))} parameters for {len(contents)} bins",
                "name one in `parameters` for each bin",
            )
        return variables

    def _distribution(self, modifier: _Modifier, variable: str) -> _Distribution | None:
        """The distribution that constrains a parameter, if there is one.

        A likelihood names it once, and all modifiers of the parameter share it.
        """
        found = self._distributions.get(self._constraint_name(modifier) or "")
        for name, candidate in self._open.copy().items():
            if variable in (candidate.x, candidate.mean):
                del self._open[name]
                found = found or candidate
        if found is None:
            return self._constraints.get(variable)
        return self._constraints.setdefault(variable, found)

    def _constraint_name(self, modifier: _Modifier) -> str | None:
        """Name of the distribution that constrains the parameter of a modifier with only one."""
        several = modifier.constraints or []
        if modifier.constraint not in (None, *_GAUSSIAN, "Const"):
            several = [*several, modifier.constraint]
        return modifier.constraint_name or (several[0] if several else None)

    def _constraint_type(self, modifier: _Modifier, values: Sequence[float], place: str) -> str:
        """Type of the constraints of a modifier with relative uncertainties of all bins."""
        if modifier.constraints is None:
            return modifier.constraint_type or modifier.constraint or "Poisson"
        if len(modifier.constraints) != len(values):
            self._refuse(
                f"{place}: {len(modifier.constraints)} constraints for {len(values)} bins",
                "give one for each bin, null for none",
            )
        types = set()
        for name, value in zip(modifier.constraints, values, strict=True):
            if name is None:
                if value > 0:
                    self._refuse(
                        f"{place}: a bin with an uncertainty and without a constraint",
                        "name its constraint, or set the uncertainty to zero",
                    )
                continue
            constraint = self._look_up("distribution", name, self._distributions)
            self._open.pop(name, None)
            types.add(_CONSTRAINTS.get(constraint.type, constraint.type))
            if constraint.type == "poisson_dist":
                counts = [self._constant(side) for side in (constraint.x, constraint.mean)]
                own, stated = next((c for c in counts if c is not None), None), value**-2
            else:
                own, stated = self._constant(constraint.sigma), value
            if own is not None and abs(own - stated) > _SAME * stated:
                self._refuse(
                    f"{place}: {own:g} in {quoted(name)}, and {stated:g} by `data.vals`",
                    "make them agree",
                )
        if len(types) > 1:
            self._refuse(f"{place}: constraints of several types", "give them one type")
        return types.pop() if types else "Const"

    def _gaussian(
        self, constraint: _Distribution, variable: str, place: str
    ) -> tuple[float, float]:
        """Nominal value and width of a Gaussian term."""
        sides = [constraint.x, constraint.mean]
        if constraint.type != "gaussian_dist" or variable not in sides:
            self._refuse(
                f"{place}: {quoted(constraint.name)} is no Gaussian term of {quoted(variable)}",
                "describe it by a gaussian_dist",
            )
        sides.remove(variable)
        centre, width = (self._constant(value) for value in (sides[0], constraint.sigma))
        # ROOT leaves nominal values of its own out.
        centre = 0.0 if centre is None and sides[0] == f"nom_{variable}" else centre
        if centre is None or width is None or width <= 0:
            self._refuse(
                f"{place}: nominal value or width of {quoted(constraint.name)} is no constant",
                "give numbers, or parameters that are constant",
            )
        return centre, width

    def _constant(self, value: float | str | None) -> float | None:
        if isinstance(value, str):
            entry = self._values.get(value)
            return None if entry is None else entry.value
        return value

    def _constrained(self, modifier: _Modifier, place: str) -> str:
        """The parameter of a modifier with a Gaussian term of unit width."""
        variable = self._single(modifier, place)
        stated = modifier.constraint_type or modifier.constraint or _GAUSSIAN[0]
        if stated not in _GAUSSIAN and stated not in self._distributions:
            self._refuse(
                f"{place}: its constraint is {stated}", "a workspace has Gaussian ones here"
            )
        constraint = self._distribution(modifier, variable)
        if constraint is not None:
            centre, width = self._gaussian(constraint, variable, place)
            if width != 1:
                self._refuse(
                    f"{place}: the width of {quoted(constraint.name)} is {width:g}",
                    "scale its variations to a width of one",
                )
            self._auxiliary[variable] = (centre, width)
        return variable

    def _interpolation(
        self, modifier: _Modifier, parent: _Distribution, place: str, codes: Sequence[int | str]
    ) -> None:
        stated = [modifier.interpolation, (modifier.data or {}).get("interpolation")]
        general = parent.default_interpolation
        if general is not None and stated == [None, None]:
            stated = [codes[0] if general == _SHAPE_IN_WORDS and codes is _SHAPE else str(general)]
        for code in stated:
            if code is not None and code not in codes:
                self._refuse(
                    f"{place}: interpolation {code}",
                    f"the fit interpolates as {' or '.join(map(str, codes))}",
                )

    def _number(self, modifier: _Modifier, key: str, place: str) -> float:
        value = (modifier.data or {}).get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._refuse(f"{place}: `data.{key}` is no number", "give a factor")
        return float(value)

    def _template(self, modifier: _Modifier, key: str, place: str) -> list[float]:
        value = (modifier.data or {}).get(key)
        values = value.get("contents") if isinstance(value, Mapping) else None
        return self._numbers(values, f"data.{key}.contents", place)

    def _numbers(self, values: Any, key: str, place: str) -> list[float]:
        if not isinstance(values, list) or not all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        ):
            self._refuse(f"{place}: `{key}` is no list of numbers", "give one for each bin")
        return [float(value) for value in values]

    def _bins(
        self, modifier: _Modifier, contents: Sequence[float], place: str
    ) -> tuple[str, list[float] | None]:
        """Type and data of a modifier with a parameter in each bin.

        The product of one sample has a Gaussian term where pyhf has a staterror of its own.
        """
        values = self._numbers((modifier.data or {}).get("vals"), "data.vals", place)
        if len(values) != len(contents):
            self._refuse(
                f"{place}: {len(values)} values for {len(contents)} bins", "give one for each bin"
            )
        stated = self._constraint_type(modifier, values, place)
        if stated == "Const" or not any(values):
            return "shapefactor", None
        if max(values) > 1:
            self._notes.append(
                f"{place}: uncertainties of up to {max(values):g} times the content, as ROOT reads "
                "them; if they are meant to be absolute, divide `data.vals` by the contents"
            )
        errors = [value * content for value, content in zip(values, contents, strict=True)]
        if stated == "Poisson":
            return "shapesys", errors
        if stated not in _GAUSSIAN:
            self._refuse(f"{place}: its constraint is {stated}", "the fit takes Poisson or Gauss")
        return "staterror", errors

    def _statistical(
        self, modifier: _Modifier, sample: _Sample, parent: _Distribution, place: str
    ) -> tuple[str, list[float]]:
        errors = sample.data.errors
        alone = sum(m.type == "staterror" for s in parent.samples for m in s.modifiers) == 1
        if modifier.data is not None:
            if not alone:
                self._refuse(
                    f"{place}: uncertainties of its own, with a term for each sample",
                    "give them as `data.errors` of the samples",
                )
            errors = self._numbers(modifier.data.get("uncertainties"), "data.uncertainties", place)
        if errors is None:
            self._refuse(f"{place}: the sample has no `data.errors`", "give its uncertainties")
        if len(errors) != len(sample.data.contents):
            self._refuse(
                f"{place}: {len(errors)} uncertainties for {len(sample.data.contents)} bins",
                "give one for each bin",
            )
        own = parent.staterror or _StatError()
        if own.relThreshold > 0:
            self._refuse(
                f"{place}: uncertainties below {own.relThreshold:g} are to be left out",
                "set `relThreshold` to 0, and uncertainties that do not count to 0",
            )
        stated = {
            name
            for part in (own, modifier)
            for name in (part.constraint, part.constraint_type)
            if name is not None
        }
        if len(stated) != 1:
            self._refuse(
                f"{place}: {'two constraints' if stated else 'no constraint'}, and programs differ "
                "in which one they take",
                'add `"staterror": {"constraint_type": "Gauss"}` to the distribution',
            )
        if stated <= set(_GAUSSIAN):
            return "staterror", errors
        if stated != {"Poisson"} or not alone:
            self._refuse(
                f"{place}: its constraint is {stated.pop()}",
                "a workspace has Gaussian terms of statistical uncertainties that samples share",
            )
        return "shapesys", errors

    def _name(self, modifier: _Modifier, kind: str, variables: tuple[str, ...]) -> str:
        """Name of a modifier in the workspace: one for each set of parameters."""
        together = "systematic" if kind in ("normsys", "histosys") else kind
        shared = _Shared(together, variables)
        if shared not in self._names:
            taken = {v for other in self._names for v in other.variables}
            if taken.intersection(variables):
                self._refuse(
                    f"modifier {quoted(modifier.name)}: it shares parameters with modifiers of "
                    "another type or with other bins",
                    "give it parameters of its own",
                )
            names = set(self._names.values()) | {_LUMINOSITY}
            single = variables[0]
            own = modifier.name if len(variables) > 1 else single.removeprefix("alpha_")
            candidates = [own, single.removesuffix("_bin_0").removesuffix("_0"), single]
            number = 2
            while candidates[0] in names or not candidates[0]:
                del candidates[0]
                if not candidates:
                    candidates.append(f"{own}_{number}")
                    number += 1
            self._names[shared] = candidates[0]
        return self._names[shared]

    def _interest(self) -> str:
        several = self._analysis.parameters_of_interest
        if not several:
            return ""
        by_variable = {v: name for s, name in self._names.items() for v in s.variables}
        # Of several, the first is the one that results are about; the others are free as well.
        return by_variable.get(several[0], several[0])

    def _parameters(
        self, channels: Sequence[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Settings of all parameters, and the file's names by pyhf's.

        A staterror has those of all its channels, in the order of their names, as pyhf takes them.
        """
        variables: dict[str, str] = {}
        entries = []
        for shared, name in self._names.items():
            if len(shared.variables) > 1 or shared.kind in ("shapesys", "shapefactor", "staterror"):
                labels = [f"{name}[{number}]" for number in range(len(shared.variables))]
            else:
                labels = [name]
            variables |= dict(zip(labels, shared.variables, strict=True))
            entries.append(self._entry(shared, name, channels))
        return entries, variables

    def _entry(
        self, shared: _Shared, name: str, channels: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        own = shared.variables
        nominal = 0.0 if shared.kind == "systematic" else 1.0
        values = [self._values.get(v, _Value(name=v, value=nominal)) for v in own]
        entry: dict[str, Any] = {"name": name, "inits": [value.value for value in values]}
        if all(v in self._bounds for v in own):
            entry["bounds"] = [list(self._bounds[v]) for v in own]
        elif shared.kind == "lumi":
            centre, width = self._auxiliary[own[0]]
            entry["bounds"] = [[centre - 10 * width, centre + 10 * width]]
        if shared.kind == "lumi":
            centre, width = self._auxiliary[own[0]]
            entry |= {"auxdata": [centre], "sigmas": [width]}
        elif self._auxiliary.get(own[0], (0.0, 1.0))[0] != 0:
            entry["auxdata"] = [self._auxiliary[own[0]][0]]
        constant = [value.const for value in values]
        idle = _without_uncertainty(name, channels) if shared.kind != "shapefactor" else set()
        moving = [fixed for number, fixed in enumerate(constant) if number not in idle]
        if moving and all(moving):
            entry["fixed"] = True
        elif any(moving):
            self._refuse(
                f"modifier {quoted(name)}: some of its bins are constant, and others are not",
                "make all of them constant, or none",
            )
        return entry


def _without_uncertainty(name: str, channels: Sequence[dict[str, Any]]) -> set[int]:
    """Bins that a statistical modifier does not vary, which are constant in any case."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for channel in channels:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                if modifier["name"] == name and modifier["type"] in ("staterror", "shapesys"):
                    pairs = zip(modifier["data"], sample["data"], strict=True)
                    for number, (error, content) in enumerate(pairs):
                        sums[number][0] += error
                        sums[number][1] += content
    return {number for number, both in sums.items() if min(both) <= 0}
