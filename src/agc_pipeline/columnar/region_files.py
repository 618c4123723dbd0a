"""Files of what a dataset has by process and region: arrays and names, and their CPU time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from zipfile import BadZipFile

import numpy as np

from agc_pipeline.errors import InputError
from agc_pipeline.files import atomic_path

# A named tuple of arrays, and of tuples of names.
Part = TypeVar("Part", bound=tuple[Any, ...])


class Content(NamedTuple, Generic[Part]):
    """Content of a file.

    Attributes:
        parts: by process and region.
        names: that all parts share, by what they are of.
        seconds: of CPU time that the parts took.
    """

    parts: Mapping[tuple[str, str], Part]
    names: Mapping[str, tuple[str, ...]]
    seconds: float


def write(path: Path, content: Content[Any]) -> None:
    """Write what a dataset has, atomically."""
    arrays: dict[str, Any] = {name: _array(value) for name, value in content.names.items()}
    arrays["keys"] = np.array([list(key) for key in content.parts], np.str_).reshape(-1, 2)
    arrays["seconds"] = np.array(content.seconds)
    for number, part in enumerate(content.parts.values()):
        for field, value in part._asdict().items():
            arrays[f"{number}_{field}"] = _array(value)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read(path: Path, kind: type[Part], what: str, *names: str) -> Content[Part]:
    """Read what a dataset has.

    Args:
        path: of the file.
        kind: of its parts.
        what: that they are, for errors.
        names: that all parts share.

    Raises:
        InputError: if there is none, or the file is damaged.
    """
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            parts = {
                (str(process), str(region)): kind(
                    *(_value(arrays[f"{number}_{field}"]) for field in fields)
                )
                for number, (process, region) in enumerate(arrays["keys"])
            }
            shared = {name: _value(arrays[name]) for name in names}
            return Content(parts, shared, float(arrays["seconds"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(
            f"no {what} can be read: {type(error).__name__}",
            place=str(path),
            remedy="delete the file and run again",
        ) from error


def _array(value: Any) -> Any:
    return np.array(value, np.str_) if isinstance(value, tuple) else value


def _value(array: Any) -> Any:
    return tuple(map(str, array)) if array.dtype.kind == "U" else array
