"""Every key of the configuration, from the models that validate it: for readers and editors.

What a key means stands in the docstring of its model, type and limits in its annotation, and its
value without a word in the configuration files.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from agc_pipeline import config
from agc_pipeline.formatting import shortened
from agc_pipeline.settings import plain_values, with_limits

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Units as docstrings and names of keys have them.
_UNITS = {
    "GeV": r"\bGeV\b",
    "pb": r"_pb$|\bpb\b",
    "1/pb": r"_per_pb$",
    "mm": r"\bmm\b",
    "s": r"^[Ss]econds|\bin seconds\b|\bseconds that\b",
    "MB": r"_mb$|\bMB\b",
    "B": r"^[Bb]ytes\b",
    "events": r"^[Ee]vents\b",
}
_PB_UNITS = ("1/pb", "pb")
_LONGEST_DEFAULT = 60


class Key(NamedTuple):
    """A key of the configuration.

    Attributes:
        name: its full name, parts separated by dots; ``NAME`` stands for one of the user's own.
        kind: what it may be.
        default: its value where nothing is said; None where there is none.
        unit: of a number; empty without one.
        meaning: what it is.
    """

    name: str
    kind: str
    default: str | None
    unit: str
    meaning: str


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and its bases say of its fields."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        _, _, attributes = (inspect.getdoc(base) or "").partition("Attributes:\n")
        name = ""
        for line in attributes.splitlines():
            if not line.strip():
                break
            if matched := re.fullmatch(r" {4}(\w+): (.*)", line):
                name = matched[1]
                texts[name] = matched[2]
            elif name:
                texts[name] += f" {line.strip()}"
    return {name: text.replace("``", "`") for name, text in texts.items()}


def summary(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring."""
    return " ".join((inspect.getdoc(model) or "").partition("\n\n")[0].split())


class _Schema(GenerateJsonSchema):
    """A schema of parts of a configuration, in which no key is required."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        found.pop("required", None)
        found["description"] = summary(model)
        texts = meanings(model)
        for name, entry in found.get("properties", {}).items():
            if name in texts:
                entry["description"] = texts[name]
        return found


def schema(analysis: str) -> dict[str, Any]:
    """JSON schema of configuration files of an analysis, for editors.

    A file has any of the keys: a run merges several.

    Args:
        analysis: as it is configured.

    Raises:
        ConfigurationError: if it is unknown.
        AnalysisError: if it is wrong.
    """
    model = config.of_analysis(analysis)
    content = model.model_json_schema(schema_generator=_Schema)
    return {"$schema": _DIALECT, **content, "title": f"Configuration of a run of {analysis}"}


def keys(analysis: str, root: Path) -> Iterator[Key]:
    """All keys of an analysis, in the order in which they are declared.

    Args:
        analysis: as it is configured.
        root: folder of the Snakefile, whose configuration files have the defaults.
    """
    values = config.read((), {"analysis": analysis}, root=root)
    yield from _keys(config.of_analysis(analysis), (), values)


def page(analysis: str, root: Path) -> str:
    """A table of all keys for each part, in Markdown."""
    parts: dict[str, list[Key]] = {"": []}
    for key in keys(analysis, root):
        first, dot, _ = key.name.partition(".")
        parts.setdefault(first if dot else "", []).append(key)
    lines = [
        "# Keys of the configuration",
        "",
        f"Every key of a run of `{analysis}`, as `agc-pipeline keys --analysis {analysis}` writes",
        "them from the models that validate them. `NAME` is a name of your own, `0` stands for",
        "the entries of a list. Files given with `--configfile` and values given with `--config`",
        "override single keys.",
    ]
    for part, entries in parts.items():
        lines += ["", f"## `{part}`" if part else "## A run", ""]
        lines += ["| key | type | default | unit | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(entry) for entry in entries]
    return "\n".join(lines) + "\n"


def _row(key: Key) -> str:
    default = "" if key.default is None else f"`{key.default}`"
    cells = [f"`{key.name}`", key.kind, default, key.unit, key.meaning]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _keys(
    model: type[BaseModel], above: Sequence[str], values: Any, seen: tuple[type, ...] = ()
) -> Iterator[Key]:
    texts = meanings(model)
    for name, field in model.model_fields.items():
        path = (*above, name)
        annotation = field.annotation
        if field.exclude or annotation is NoneType:
            continue
        value = values.get(name) if isinstance(values, Mapping) else None
        below = list(_models(annotation))
        own = [(steps, inner) for steps, inner in below if inner not in seen]
        if not own or len(own) > 1 or any(own[0][0]):
            default = _default(field, value)
            meaning = texts.get(name) or field.description or ""
            if not meaning and get_origin(annotation) is Literal:
                meaning = "which of these it is; each has keys of its own beside this one."
            yield Key(
                ".".join(path), _kind(with_limits(field)), default, _unit(name, meaning), meaning
            )
        # Of several models that a value may have, a key may stand in some.
        merged: dict[str, Key] = {}
        for steps, inner in own:
            for key in _keys(inner, (*path, *steps), {} if steps else value, (*seen, model)):
                other = merged.get(key.name, key)
                kinds = dict.fromkeys([*other.kind.split(" or "), *key.kind.split(" or ")])
                merged[key.name] = other._replace(
                    kind=" or ".join(kinds), meaning=other.meaning or key.meaning
                )
        yield from merged.values()


def _models(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Models in an annotation, with a step for each mapping or sequence that they are in."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield (), annotation
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _models(arguments[0])
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _models(argument)
    elif origin in (dict, Mapping):
        yield from ((("NAME", *steps), model) for steps, model in _models(arguments[1]))
    elif origin in (tuple, list, Sequence):
        yield from ((("0", *steps), model) for steps, model in _models(arguments[0]))


def _kind(annotation: Any) -> str:  # noqa: PLR0911 - one for each kind
    """What a value may be, in words."""
    if (plain := plain_values(annotation)) is not None:
        return plain
    arguments = get_args(annotation)
    match get_origin(annotation):
        case kind if kind is Annotated:
            return _kind(arguments[0])
        case kind if kind in (Union, UnionType):
            return " or ".join(dict.fromkeys(map(_kind, arguments)))
        case kind if kind in (dict, Mapping):
            return f"names to {_kind(arguments[1])}"
        case kind if kind in (tuple, list, Sequence):
            items = [argument for argument in arguments if argument is not Ellipsis]
            return f"list of {' and '.join(dict.fromkeys(map(_kind, items)))}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "keys"
    return "anything" if annotation is Any else "text"


def _default(field: FieldInfo, value: Any) -> str | None:
    if value is None and field.is_required():
        return None
    if value is None:
        value = field.get_default(call_default_factory=True)
    return shortened(_text(value), _LONGEST_DEFAULT)


def _text(value: Any) -> str:
    """A value as YAML has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case BaseModel():
            return _text(value.model_dump(mode="json"))
        case Mapping():
            return "{" + ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_text, value)) + "]"
    return str(value) if str(value) else '""'


def _unit(name: str, meaning: str) -> str:
    for unit, pattern in _UNITS.items():
        if unit not in _PB_UNITS and re.search(pattern, meaning):
            return unit
    return next((unit for unit in _PB_UNITS if re.search(_UNITS[unit], name)), "")
