"""What all configuration models share: frozen, unknown keys refused, errors for people."""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    WrapSerializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.formatting import name_list

T = TypeVar("T")
List = TypeVar("List", bound=tuple[Any, ...])


@dataclass(frozen=True)
class AtMost:
    """Bound of a number beyond which no job does what it says, or none ends.

    Attributes:
        limit: largest value.
        reason: why, or what the value would cost, for the message.
        excluded: whether the limit itself is too large.
    """

    limit: float
    reason: str | Callable[[float], str]
    excluded: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: float) -> float:
        if value > self.limit or (self.excluded and value == self.limit):
            reason = self.reason if isinstance(self.reason, str) else self.reason(value)
            bound = "below" if self.excluded else "at most"
            told = f"it must be {bound} {self.limit:g}: {reason}"
            raise PydanticCustomError("at_most", "{told}", {"told": told})
        return value


def _each_once(values: List) -> List:
    for value in values:
        if values.count(value) > 1:
            text = f"{value:g}" if isinstance(value, float) else value
            raise ValueError(f"{text} is listed twice")
    return values


def _falling(values: List) -> List:
    for before, after in pairwise(values):
        if after >= before:
            raise ValueError(
                f"{after:g} follows {before:g}, and each must be smaller than the last"
            )
    return values


# Of lists in which an entry means nothing a second time.
EachOnce = AfterValidator(_each_once)
# Of lists whose entries are taken one after the other, down to the last.
Falling = AfterValidator(_falling)

_WEEK = 7 * 24 * 3600
# Time-outs and pauses, of which a week is more than any job has.
Seconds = Annotated[PositiveFloat, AtMost(_WEEK, "no job waits longer than a week")]
Attempts = Annotated[PositiveInt, AtMost(1000, "what failed a thousand times will fail again")]
# Events at a time: a hundred million of one column of doubles are 0.8 GB.
ChunkSize = Annotated[PositiveInt, AtMost(1e8, "their columns do not fit into memory")]
EventCount = Annotated[NonNegativeInt, AtMost(1e12, "no file has as many events")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
# Of cells and points, in the names of files.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


def cost(seconds: float) -> Callable[[float], str]:
    """What to say of a number of things that each take some seconds of a core."""

    def told(number: float) -> str:
        days = seconds * number / 86400
        return f"{number:g} of them take some {days:,.0f} days of a core"

    return told


HIDDEN = "(not shown)"
# Key of the context in which values are to be shown.
_SHOWN = "shown"
# Characters of a value in a message, names in a list of them, and remedies.
_VALUE = 60
_NAMES = 12
_REMEDIES = 4
# Types of pydantic's errors for what should be a list.
_LISTS = frozenset({"tuple_type", "list_type", "set_type", "frozen_set_type"})
# Type of the error of true or false in the place of a number.
_TRUTH = "truth"
# What pydantic's messages begin with.
_SUBJECT = re.compile(r"^(Input|String|Value) should")
# Numbers in a list of the configuration.
_BY_HAND = 100
# Values that hold no others.
_PLAIN = frozenset({int, float, str})


def _hide(value: Any, serialize: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
    hidden = value and isinstance(info.context, Mapping) and _SHOWN in info.context
    return HIDDEN if hidden else serialize(value)


# A value that may hold passwords or tokens: what shows the configuration leaves it out.
Sensitive = Annotated[T, WrapSerializer(_hide)]


class Settings(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: Any) -> Any:
        """Refuse true and false as numbers: YAML reads ``yes`` and ``on`` as such, too."""
        if isinstance(values, Mapping):
            for name in _numbers_of(cls):
                if name in values and _has_truth(values[name]):
                    told = "true or false stands where a number should"
                    raise PydanticCustomError(_TRUTH, told, {"key": name})
        return values

    def shown(self) -> dict[str, Any]:
        """All values for people, as JSON has them, without those that may hold credentials."""
        return self.model_dump(mode="json", context={_SHOWN: True})


class Tls(Settings):
    """Files for encrypted connections, in PEM.

    Attributes:
        ca_file: certificates of the authorities; None takes those that the client knows.
        cert: certificate of this client; None sends none.
        key: its key.
    """

    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("`cert` and `key` are of use only together")
        return self


def unknown(
    kind: str, names: Collection[str], among: Collection[str], key: str | None = None
) -> str | None:
    """What to say of names that nothing has, with a suggestion for each; None if there are none.

    Args:
        kind: what the names are of.
        names: to be looked up.
        among: those that there are.
        key: of the configuration that has them.
    """
    place = "" if key is None else f" in `{key}`"
    problems = [
        f"unknown {kind} {name!r}{place} ({suggestion(name, among)})"
        for name in sorted(set(names) - set(among))
    ]
    return "; ".join(problems) or None


def suggestion(name: str, among: Collection[str]) -> str:
    """What may have been meant by an unknown name, or what there is."""
    close = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {name_list(sorted(among), _NAMES)}" if among else "there are none"


Origin = Callable[[tuple[str, ...]], str | None]


def explain(
    error: ValidationError,
    model: type[BaseModel],
    *,
    place: str,
    values: Any = None,
    origin: Origin = lambda _: None,
) -> ConfigurationError:
    """Turn pydantic's report into one error with a line for each value: key, reason, remedy.

    Args:
        error: what validation raised.
        model: the model that was validated, searched for keys close to an unknown one.
        place: where the values come from, for those that have no origin.
        values: what was validated; without it, keys may have names of types in them.
        origin: gives where the value of a key was set, by the parts of its name.
    """
    # Types of a union each have their reason.
    reasons: dict[tuple[str, ...], list[str]] = {}
    remedies: dict[str, None] = {}
    places: dict[str, None] = {}
    for item in _told(error.errors(include_url=False), values):
        parts = _key(item["loc"], values, missing=item["type"] == "missing")
        if item["type"] == _TRUTH:
            parts = (*parts, item["ctx"]["key"])
        key = ".".join(parts)
        message = _SUBJECT.sub("it should", item["msg"].removeprefix("Value error, "))
        reason = reasons.setdefault(parts, [])
        if item["type"] == "extra_forbidden":
            reason.append(f"unknown configuration key `{key}`")
            known = _keys_beside(model, item["loc"])
            close = difflib.get_close_matches(parts[-1], known, n=1, cutoff=0.5)
            remedy = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(known)}"
            remedy = _space(parts[-1], known) or remedy
        elif item["type"] == "missing":
            reason.append(f"configuration key `{key}` is missing")
            remedy = f"set `{key}`"
        elif not key:
            reason.append(message)
            remedy = "correct the configuration"
            # It names the keys that do not fit together.
            for name in re.findall(r"`([\w.-]+)`", message):
                parts = parts or (tuple(name.split(".")) if origin(tuple(name.split("."))) else ())
        else:
            remedy = _remedy(model, parts, item)
            if item["type"] == "union_tag_invalid":
                message, remedy = _wrong_tag(item["ctx"], remedy)
            if item["type"] in {"model_type", "dict_type"}:
                message = "it has keys with values of their own"
                known = _keys_beside(model, (*item["loc"], ""))
                remedy = _space(str(item["input"]), known) or remedy
            hidden = _is_sensitive(model, item["loc"])
            message, remedy = _of_list(item, key, message, remedy, hidden=hidden)
            wrong = _wrong(key, item["input"], hidden=hidden)
            reason.append(message if reason else wrong + message)
            if item["type"] == "literal_error" and isinstance(item["input"], str):
                expected = re.findall(r"'([^']*)'", item["ctx"]["expected"])
                close = difflib.get_close_matches(item["input"], expected, n=1, cutoff=0.5)
                remedy = f"did you mean `{close[0]}`?" if close else remedy
        remedies[remedy] = None
        places[origin(parts) or place] = None
    problems = [" or ".join(dict.fromkeys(reason)) for reason in reasons.values()]
    if len(remedies) > _REMEDIES:
        # The problems name all keys.
        first = "; ".join(list(remedies)[:_REMEDIES])
        remedies = {f"{first}; and likewise the others": None}
    return ConfigurationError(
        ";\n  ".join(problems), place="; ".join(places), remedy="; ".join(remedies)
    )


def _told(errors: list[ErrorDetails], values: Any) -> list[ErrorDetails]:
    """Errors without those that follow from others.

    A list with wrong entries is no empty one. What has one of the types that a key takes, and a
    wrong value, need not have another type.
    """
    keys = [_key(item["loc"], values, missing=item["type"] == "missing") for item in errors]
    places = [item["loc"] for item in errors]

    def follows(place: tuple[int | str, ...]) -> bool:
        n = len(place)
        return any(len(other) > n and other[:n] == place for other in places)

    def of_a_type(item: ErrorDetails) -> bool:
        # Words that a key takes beside lists or numbers.
        word = item["type"] == "literal_error" and not isinstance(item["input"], str)
        return word or item["type"].endswith("_type")

    def of_another_type(number: int) -> bool:
        key = keys[number]
        return of_a_type(errors[number]) and any(
            other[: len(key)] == key
            and (
                len(other) > len(key) or not (of_a_type(item) or item["type"].endswith("_parsing"))
            )
            for other, item in zip(keys, errors, strict=True)
        )

    return [
        item
        for number, item in enumerate(errors)
        if not (item["type"] == "too_short" and follows(item["loc"]))
        and not of_another_type(number)
    ]


def _of_list(
    item: ErrorDetails, key: str, message: str, remedy: str, *, hidden: bool
) -> tuple[str, str]:
    """Message and remedy for what should be a list, or is too short a one; others stay."""
    if item["type"] in _LISTS:
        message = "it should be a list"
        text = str(item["input"])
        # Of words without commas nobody knows where an entry ends.
        plain = isinstance(item["input"], str | int | float) and ("," in text or " " not in text)
        if plain and not hidden:
            remedy = f"write `{key}: [{item['input']}]`"
    if item["type"] == "too_short":
        least = item["ctx"]["min_length"]
        message = "it is empty" if least == 1 else f"it has fewer than {least} entries"
    return message, remedy


def _remedy(model: type[BaseModel], parts: Sequence[str], item: ErrorDetails) -> str:
    """What a key may be set to, with an example where that is not all."""
    key, takes = ".".join(parts), _takes(model, parts, item)
    if item["type"] in _LISTS:
        return _with_example(f"make `{key}` a list", model, parts)
    remedy = f"set `{key}` to {' or '.join(takes)}" if takes else f"correct `{key}`"
    complete = takes and len(takes) == len(set(_annotations(model, parts)))
    return remedy if complete else _with_example(remedy, model, parts)


def _takes(model: type[BaseModel], parts: Sequence[str], item: ErrorDetails) -> tuple[str, ...]:
    """The plain values that a key takes, in words.

    Returns:
        None if a value of another type was wrong, or for a reason that the package tells by code of
        its own.
    """
    types = list(_annotations(model, parts))
    words = [plain_values(kind) for kind in types]
    several = isinstance(item["input"], Mapping | list | tuple | set)
    if item["type"] == "value_error" or (several and None in words):
        return ()
    if any(_bare(kind) in (str, Any) for kind in types):
        return ()
    return tuple(dict.fromkeys(f"a {word}" if "number" in word else word for word in words if word))


def _with_example(remedy: str, model: type[BaseModel], parts: Sequence[str]) -> str:
    """A remedy with an example of the key, or of what it is part of, where the model has one."""
    told = ""
    annotations: list[Any] = [model]
    for number, part in enumerate(parts):
        for inner in filter(_is_model, map(_bare, annotations)):
            field = inner.model_fields.get(part)
            if field is not None and field.examples:
                # As it stands in the file.
                text = yaml.safe_dump(
                    field.examples[0], default_flow_style=True, sort_keys=False, width=1000
                )
                value = text.removesuffix("...\n").strip()
                told = f"; for example `{'.'.join(parts[: number + 1])}: {value}`"
        annotations = [kind for each in annotations for kind in _annotations(each, [part])]
    return remedy + told


def _annotations(annotation: Any, parts: Sequence[str]) -> Iterator[Any]:
    """The types of a key: those in an annotation at the end of a path of names and positions."""
    inner, bare = get_args(annotation), _bare(annotation)
    if get_origin(annotation) in (Union, UnionType):
        for part in inner:
            yield from _annotations(part, parts)
    elif get_origin(bare) in (Union, UnionType):
        yield from _annotations(bare, parts)
    elif not parts:
        yield annotation
    elif _is_model(bare):
        field = bare.model_fields.get(parts[0])
        if field is not None:
            yield from _annotations(with_limits(field), parts[1:])
    elif get_origin(bare) in (dict, Mapping):
        yield from _annotations(get_args(bare)[1], parts[1:])
    elif get_origin(bare) in (tuple, list, Sequence):
        for part in get_args(bare):
            yield from _annotations(part, parts[1:])


def _bare(annotation: Any) -> Any:
    """A type without its limits."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def with_limits(field: FieldInfo) -> Any:
    """The type of a field with its limits, which pydantic keeps beside it."""
    annotation: Any = field.annotation
    for item in field.metadata:
        annotation = Annotated[annotation, item]
    return annotation


def plain_values(annotation: Any) -> str | None:
    """What a number, a word of several, a truth or null may be, in words; None for other types."""
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(bare))
    if bare not in (int, float):
        return {bool: "true or false", type(None): "null"}.get(bare)
    limits = list(_limits(get_args(annotation)[1:]))
    low = max((limit for limit, sign in limits if sign in {">", ">="}), default=None)
    high = min((limit for limit, sign in limits if sign in {"<", "<="}), default=None)
    strict = {sign for limit, sign in limits if limit in (low, high)} & {"<", ">"}
    if bare is int:
        low = low + 1 if low is not None and ">" in strict else low
        high = high - 1 if high is not None and "<" in strict else high
        strict = set()
    noun = "whole number" if bare is int else "number"
    if low is not None and high is not None and not strict:
        return f"{noun} from {_number(low)} to {_number(high)}"
    bounds = []
    if low is not None:
        bounds.append(f"{'above' if '>' in strict else 'of at least'} {_number(low)}")
    if high is not None:
        bounds.append(f"{'below' if '<' in strict else 'of at most'} {_number(high)}")
    return f"{noun} {' and '.join(bounds).replace('and of', 'and')}" if bounds else noun


def _number(limit: float) -> str:
    return f"{limit:.10g}" if abs(limit) < 1e10 else f"{limit:g}"


def _limits(metadata: Sequence[Any]) -> Iterator[tuple[float, str]]:
    """Limits of a number, each with the sign between a number and it."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _limits(item.metadata)
        elif isinstance(item, AtMost):
            yield item.limit, "<" if item.excluded else "<="
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if (limit := getattr(item, name, None)) is not None:
                yield float(limit), sign


def _space(text: str, known: Collection[str]) -> str | None:
    """What is wrong with ``key:value``, which is one text to YAML; None for any other text."""
    name, colon, value = text.partition(":")
    if not colon or name not in known:
        return None
    return f"write a space behind the colon: `{name}: {value.strip()}`"


def _wrong_tag(context: Mapping[str, Any], remedy: str) -> tuple[str, str]:
    """What to say of a value that should tell which of several kinds of settings these are."""
    tags = re.findall(r"'([^']*)'", context["expected_tags"])
    close = difflib.get_close_matches(context["tag"], tags, n=1, cutoff=0.5)
    name = context["discriminator"].strip("'")
    message = f"`{name}` cannot be {context['tag']!r}: there are {', '.join(sorted(tags))}"
    return message, f"did you mean `{close[0]}`?" if close else remedy


def _key(location: tuple[int | str, ...], values: Any, *, missing: bool) -> tuple[str, ...]:
    """Name of a key in its parts, without the types of unions, which pydantic has among them."""
    if values is None:
        return tuple(str(part) for part in location)
    parts = []
    for number, part in enumerate(location):
        if isinstance(values, list | tuple):
            values = dict(enumerate(values))
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif not (missing and number == len(location) - 1):
            continue
        parts.append(str(part))
    return tuple(parts)


def _wrong(key: str, value: Any, *, hidden: bool) -> str:
    """Which value is wrong, in few characters; what may hold credentials is not told."""
    if hidden or isinstance(value, Mapping | list | tuple | set):
        return f"`{key}` is wrong: "
    text = repr(value)
    return f"`{key}` cannot be {text if len(text) <= _VALUE else f'{text[:_VALUE]}...'}: "


def _is_sensitive(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether a value, or one that it is part of, may hold credentials."""
    current = [model]
    for part in location:
        fields = [candidate.model_fields.get(str(part)) for candidate in current]
        own = [field for field in fields if field is not None]
        if any(
            isinstance(item, WrapSerializer) and item.func is _hide
            for field in own
            for item in field.metadata
        ):
            return True
        current = [inner for field in own for inner in models_in(field.annotation)] or current
    return False


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that the model has where an unknown key stood."""
    current: list[type[BaseModel]] = [model]
    for part in location[:-1]:
        inner: list[type[BaseModel]] = []
        for candidate in current:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                inner += models_in(field.annotation)
        # Parts that are not fields are dictionary keys, list positions or tags of a union.
        current = inner or current
    return sorted({name for candidate in current for name in candidate.model_fields})


@cache
def _numbers_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Names of the fields that take numbers, alone or in lists and mappings, and no bools."""
    parts = {name: list(_parts(field.annotation)) for name, field in model.model_fields.items()}
    return tuple(
        name
        for name, kinds in parts.items()
        if (int in kinds or float in kinds)
        and not any(kind is bool or kind is Any or _is_model(kind) for kind in kinds)
    )


def _parts(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    if not inner or get_origin(annotation) is Literal:
        yield annotation
    for part in inner if get_origin(annotation) is not Literal else ():
        yield from _parts(part)


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _has_truth(value: Any) -> bool:
    """Whether true or false is a value, or among the values in it."""
    # Nearly all are: asking for mappings takes longer.
    if isinstance(value, int | float | str):
        return isinstance(value, bool)
    if isinstance(value, Mapping):
        return any(map(_has_truth, value.values()))
    if isinstance(value, list | tuple):
        # Nobody writes longer lists by hand, and those of records need no second look.
        first = value[:_BY_HAND]
        kinds = set(map(type, first))
        return bool in kinds or (not kinds <= _PLAIN and any(map(_has_truth, first)))
    return False


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
