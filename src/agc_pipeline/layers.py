"""Configuration files as layers of values, which know where each value was set."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import ValidationError

from agc_pipeline.code import near
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import no_text
from agc_pipeline.formatting import name_list
from agc_pipeline.settings import Settings, explain

# Parts of the name of a key.
Key = tuple[str, ...]
# Parts of the configuration to the key that says which other keys they have.
_CHOICES = {"input": "kind", "dask": "cluster"}
_COMMAND_LINE = "--config"

_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}

# Unknown keys up to which each is told: so many can be slips.
_SLIPS = 4

Model = TypeVar("Model", bound=Settings)


class Kind(NamedTuple):
    """A kind of configuration files.

    Attributes:
        name: for people, with its article.
        taken: option that takes such a file.
        example: path of one.
        keys: that no other kind has; not all of them.
    """

    name: str
    taken: str
    example: str
    keys: frozenset[str]


RUN = Kind(
    "a run configuration",
    "`--configfile`",
    "config/config.yaml",
    frozenset(
        [
            "analysis",
            "results",
            "input",
            "simulation",
            "delivery",
            "histograms",
            "physics",
            "fit",
            "report",
        ]
    ),
)
MATRIX = Kind(
    "a matrix file",
    "`--config matrix=FILE`",
    "config/matrix.yaml",
    frozenset(
        [
            "extras",
            "target",
            "environments",
            "axes",
            "baseline",
            "cells",
            "tolerance",
            "timing",
            "fail_on",
        ]
    ),
)
FACILITY = Kind(
    "a facility file",
    "`--config facility=FILE`",
    "config/facility.yaml",
    frozenset(
        [
            "site",
            "sample",
            "datasets",
            "executors",
            "workers",
            "sizes",
            "repeats",
            "simulated",
            "compare",
        ]
    ),
)


@dataclass(frozen=True)
class Layer:
    """Values of one file, or of the command line.

    Attributes:
        values: as they stand there.
        origins: where each key stands, for people.
        place: where the others stand; None if that is nowhere to be told.
    """

    values: Mapping[str, Any]
    origins: Mapping[Key, str] = field(default_factory=dict)
    place: str | None = _COMMAND_LINE


class Values(dict[str, Any]):
    """Merged values that know where each of them was set.

    Args:
        layers: each on top of those before it.
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(merged(*(layer.values for layer in layers)))
        self._origins: dict[Key, str | None] = {}
        for layer in layers:
            for key in _keys(layer.values):
                self._origins[key] = layer.origins.get(key, layer.place)

    def origin(self, key: Key) -> str | None:
        """Where the value of a key, or the part that it is missing in, was set; None if nowhere."""
        for length in range(len(key), 0, -1):
            if key[:length] in self._origins:
                return self._origins[key[:length]]
        return None

    def place(self, *key: str) -> str:
        """A key and where its value was set, for people."""
        name, origin = ".".join(key), self.origin(key)
        return f"`{name}`" if origin is None else f"`{name}` in {origin}"

    def below(self, key: Key, values: Mapping[str, Any]) -> Layer:
        """Values that stand below a key, as a layer of another configuration.

        Args:
            key: of these values.
            values: as they stand there, or a part of them.
        """
        own = [inner for inner in self._origins if inner[: len(key)] == key]
        return Layer(values, {inner[len(key) :]: self.place(*inner) for inner in own})

    def located(self, error: ConfigurationError) -> ConfigurationError:
        """The same error; if its place is a key, with the file that its value is from."""
        key = tuple(error.place.split("."))
        origin = self.origin(key)
        if origin is None:
            return error
        # Of a value of another configuration, its key there.
        place = origin if origin.startswith("`") else self.place(*key)
        return type(error)(error.problem, place=place, remedy=error.remedy)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, each layer on top of those before it; none of them is changed.

    Where the kind of input or of Dask cluster changes, the keys beside it belonged to the old one
    and go.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old, choice = values.get(key), _CHOICES.get(key)
            if not isinstance(value, Mapping):
                values[key] = value
            elif isinstance(old, Mapping) and (
                choice not in value or value[choice] == old.get(choice)
            ):
                values[key] = merged(old, value)
            else:
                values[key] = merged(value)
    return values


def filled(value: Any, **names: str) -> Any:
    """Values in whose texts ``{name}`` is replaced for each of the names."""
    match value:
        case str():
            for name, text in names.items():
                value = value.replace(f"{{{name}}}", text)
            return value
        case Mapping():
            return {key: filled(item, **names) for key, item in value.items()}
        case list() | tuple():
            return [filled(item, **names) for item in value]
        case _:
            return value


def of_command_line(value: Any) -> Any:
    """Values of ``--config`` as Snakemake parses them, with null as none.

    Snakemake reads them with YAML's ``BaseLoader``, for which every scalar is a text; numbers and
    truth values in texts are understood by the models, which cannot know of a null.
    """
    match value:
        case "null":
            return None
        case Mapping():
            return {key: of_command_line(item) for key, item in value.items()}
        case list():
            return [of_command_line(item) for item in value]
        case _:
            return value


def check_entries(entries: Sequence[str]) -> None:
    """Refuse keys that ``--config`` has twice, of which Snakemake takes the last.

    Args:
        entries: each with a key and its value.

    Raises:
        ConfigurationError: naming the key.
    """
    known: set[Key] = set()
    for entry in entries:
        name, _, text = entry.partition("=")
        try:
            node = yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.YAMLError:
            # A text, or what Snakemake or the model refuses.
            node = None
        for key in _leaves(node, (name,)):
            if key in known:
                raise ConfigurationError(
                    f"`{'.'.join(key)}` stands twice in the command line",
                    place=_COMMAND_LINE,
                    remedy="leave one of them out",
                )
            known.add(key)


def read(path: Path) -> Layer:
    """The values of a file, YAML or JSON.

    Raises:
        ConfigurationError: if it cannot be read, is not a mapping, or defines a key twice.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read the configuration: {_reason(error)}",
            place=_place(path, error),
            remedy="correct the path or the file",
        ) from error
    if not isinstance(values or {}, dict):
        raise ConfigurationError(
            "the configuration is not a mapping of keys to values",
            place=near(path),
            remedy="correct the file",
        )
    name = near(path.absolute())
    lines = {} if node is None else dict(_lines(node))
    return Layer(values or {}, {key: f"{name}, line {line}" for key, line in lines.items()})


def validated(path: Path, model: type[Model], kind: Kind) -> tuple[Model, Values]:
    """The values of one file as a model, and as they stand there.

    Args:
        path: of the file.
        model: of its values.
        kind: of the file.

    Raises:
        ConfigurationError: if the file is missing, is not YAML, is of another kind, or does not fit
            the model.
    """
    values = Values(read(path))
    try:
        return model.model_validate(values), values
    except ValidationError as error:
        raise another_kind(values, model, kind, place=near(path)) or explain(
            error, model, place=str(path), values=values, origin=values.origin
        ) from error


def another_kind(
    values: Values, model: type[Settings], kind: Kind, *, place: str
) -> ConfigurationError | None:
    """What to say of a file of another kind, for which a line for each key would hide it.

    Args:
        values: that do not fit the model.
        model: of a file of the kind.
        kind: that it should be of.
        place: of values that have no origin.

    Returns:
        None if it may be of the kind.
    """
    unknown = [key for key in values if key not in model.model_fields]
    required = [name for name, item in model.model_fields.items() if item.is_required()]
    missing = [name for name in required if name not in values]
    incomplete = 2 * len(missing) > len(required)
    # What a run configuration lacks is in the defaults.
    if not incomplete and (kind is not RUN or len(unknown) <= _SLIPS):
        return None
    problem = f"this is not {kind.name}, " + (
        f"or not the whole of one: it has no {_keys_told(missing)}"
        if incomplete
        else f"which has no {_keys_told(unknown)}"
    )
    remedy = f"name a copy of {kind.example} in which you have changed what is different"
    for other in (RUN, MATRIX, FACILITY):
        if other is not kind and 2 * len(other.keys.intersection(unknown)) > len(unknown):
            problem = f"this is {other.name}, which {other.taken} takes, and not {kind.name}"
            remedy = f"give it to {other.taken}, or {remedy}"
    origins = (values.origin((key,)) or place for key in unknown)
    files = dict.fromkeys(origin.partition(", line ")[0] for origin in origins)
    return ConfigurationError(problem, place="; ".join(files) or place, remedy=remedy)


def _keys_told(keys: Sequence[str]) -> str:
    return name_list([f"`{key}`" for key in keys], _SLIPS)


class _Loader(yaml.SafeLoader):
    """Refuses what others take for something else than was written.

    These are keys that are defined twice, of which others take the last, characters that are no
    text, and numbers of another base than they look like: YAML 1.1 reads 040 as 32 and 1:30 as 90.
    """

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        value = super().construct_scalar(node)
        problem = no_text(value)
        if node.tag in _NUMBERS and (base := _hidden_base(value)):
            problem = (
                f"YAML takes {value} for a number of base {base}: write it without leading zeros "
                "and colons, or in quotes if it is a text"
            )
        if problem:
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key, _ in node.value:
            # Keys other than plain values are refused where they are hashed.
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                raise yaml.constructor.ConstructorError(
                    problem=f"`{key.value}` is defined twice", problem_mark=key.start_mark
                )
            names.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def _hidden_base(number: str) -> int | None:
    """The base of a number that is not decimal, and does not say so as 0x1f does."""
    if ":" in number:
        return 60
    return 8 if re.fullmatch(r"[-+]?0[0-7_]+", number) and abs(int(number, 8)) > 7 else None


def _lines(node: yaml.Node, key: Key = ()) -> Iterator[tuple[Key, int]]:
    """Keys below a node with their lines, counted from 1."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, str(name.value))
            yield inner, name.start_mark.line + 1
            yield from _lines(value, inner)


def _leaves(node: yaml.Node | None, key: Key) -> Iterator[Key]:
    """Keys of values that are no mappings."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        yield key
        return
    for name, value in node.value:
        yield from _leaves(value, (*key, str(name.value)))


def _keys(values: Mapping[Any, Any], key: Key = ()) -> Iterator[Key]:
    for name, value in values.items():
        inner = (*key, str(name))
        yield inner
        if isinstance(value, Mapping):
            yield from _keys(value, inner)


def _reason(error: Exception) -> str:
    match error:
        case OSError():
            return f"{error.strerror}"
        case yaml.MarkedYAMLError():
            return f"{error.problem}"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return " ".join(str(error).split())


def _place(path: Path, error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return near(path) if mark is None else f"{near(path)}, line {mark.line + 1}"
