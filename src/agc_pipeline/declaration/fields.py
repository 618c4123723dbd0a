"""Whether the fields of a declaration have values of the types that their classes state."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agc_pipeline.settings import suggestion

# Fields that tell the parts of a declaration apart, for messages.
_IDENTITY = ("name", "process", "column", "field", "label")
_SHOWN = 60
_WORDS = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Callable: "a function",
    Mapping: "a dictionary",
    NoneType: "None",
}


def field_problems(part: Any) -> Iterator[str]:
    """What is wrong with the values of a declaration and of all that it consists of.

    Args:
        part: an instance of a dataclass.
    """
    for name, hint in _hints(part.__class__).items():
        yield from value_problems(getattr(part, name), hint, f"`{name}` of {_owner(part)}")


def value_problems(value: Any, hint: Any, place: str) -> Iterator[str]:
    """What is wrong with a value and with all that it consists of.

    Args:
        value: of any type.
        hint: the type that it should have, as dataclasses state it.
        place: what the value is.
    """
    if not _is(value, hint):
        yield f"{place} is {_shown(value)}: it must be {_wanted(hint)}{_meant(value, hint)}"
        return
    if isinstance(value, Real) and math.isnan(value):
        yield f"{place} is NaN: it must be {_wanted(hint)}"
    if is_dataclass(value) and not isinstance(value, type):
        yield from field_problems(value)
    for alternative in _alternatives(hint):
        arguments = get_args(alternative)
        if get_origin(alternative) is tuple and isinstance(value, tuple):
            variadic = arguments[-1] is Ellipsis
            hints = arguments[:1] * len(value) if variadic else arguments
            for number, (entry, inner) in enumerate(zip(value, hints, strict=True)):
                yield from value_problems(entry, inner, f"entry {number + 1} in {place}")
            if arguments == (str, ...):
                yield from _repeated(value, place)
        elif get_origin(alternative) is Mapping and isinstance(value, Mapping):
            for key, entry in value.items():
                yield from value_problems(key, arguments[0], f"a key in {place}")
                yield from value_problems(entry, arguments[1], f"the entry {key} in {place}")


def _repeated(names: Iterable[Any], place: str) -> Iterator[str]:
    for name, count in Counter(map(str, names)).items():
        if count > 1:
            yield f"{place} has {name!r} twice: name it once"


def _is(value: Any, hint: Any) -> bool:
    """Whether a value, without what it contains, is of a type."""
    return any(_is_one(value, alternative) for alternative in _alternatives(hint))


def _is_one(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        sized = isinstance(value, tuple)
        return sized and (arguments[-1] is Ellipsis or len(value) == len(arguments))
    if origin is Callable:
        return callable(value)
    if origin is type:
        return isinstance(value, type) and issubclass(value, arguments[0])
    if hint in (float, int):
        kind = Real if hint is float else Integral
        return isinstance(value, kind) and not isinstance(value, bool)
    return hint is Any or isinstance(value, origin or hint)


def _wanted(hint: Any) -> str:
    """The values of a type, in words."""
    words: list[str] = []
    for alternative in _alternatives(hint):
        origin, arguments = get_origin(alternative), get_args(alternative)
        if origin is Literal:
            words += map(repr, arguments)
        elif origin is tuple and arguments[-1] is Ellipsis:
            comma = "" if arguments[0] is float else ", and one entry has a comma behind it"
            words.append(f"a tuple, in round brackets{comma}")
        elif origin is tuple:
            words.append(f"a tuple of {len(arguments)}, in round brackets")
        elif alternative in _WORDS:
            words.append(_WORDS[alternative])
        elif origin in _WORDS:
            words.append(_WORDS[origin])
        else:
            words.append(f"of the class {(arguments[0] if arguments else alternative).__name__}")
    return " or ".join(words)


def _meant(value: Any, hint: Any) -> str:
    """A suggestion for one of several words."""
    words = [
        word
        for alternative in _alternatives(hint)
        if get_origin(alternative) is Literal
        for word in get_args(alternative)
    ]
    told = suggestion(value, words) if words and isinstance(value, str) else ""
    return f" ({told})" if told.startswith("did") else ""


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _owner(part: Any) -> str:
    names = [getattr(part, name) for name in _IDENTITY if hasattr(part, name)]
    return f"the {type(part).__name__} {_shown(names[0])}" if names else type(part).__name__


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
