"""Atomic writing of files, and reading with errors that name the file and the problem."""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import ENOTDIR
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agc_pipeline.errors import InputError
from agc_pipeline.formatting import quoted
from agc_pipeline.provenance import digest

Record = TypeVar("Record", bound=BaseModel)

# Key of the digest of a record, of all that stands in it beside the digest.
_DIGEST = "content"


@contextmanager
def atomic_path(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    A reader sees the old file or the whole new one, never a part; after an error no file remains.

    Args:
        path: of the file.
        private: whether only its owner can read it, whatever the process' mask.

    Raises:
        NotADirectoryError: if its folder is a file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        # As the system says it of files further up.
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), error.filename) from error
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o600 if private else 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        # A write that fails, as on a full disk, does not say of which file.
        if error.filename is None or error.filename == name:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    # The process' mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write ``text`` to ``path`` atomically; a private file can be read by its owner only."""
    with atomic_path(path, private=private) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON with a stable layout, atomically.

    What has its provenance is a record, and written with its digest, see ``write_record``.

    Raises:
        ValueError: for NaN or infinity, which JSON does not have.
    """
    if isinstance(content, Mapping) and "provenance" in content:
        write_record(path, content)
    else:
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with a digest of it, by which its reader notices any change.

    Raises:
        ValueError: for NaN or infinity, which JSON does not have.
    """
    # As its reader will have it: tuples are lists, and all keys are text.
    plain = json.loads(json.dumps(content, allow_nan=False))
    place = _place(plain)
    place.pop(_DIGEST, None)
    place[_DIGEST] = digest(plain)
    write_text(path, json.dumps(plain, indent=1) + "\n")


def _place(record: dict[str, Any]) -> dict[str, Any]:
    """Where the digest of a record stands: in its provenance, if it has one."""
    inside = record.get("provenance")
    return inside if isinstance(inside, dict) else record


# What to do where a file is missing, of those that rules write.
_RERUN = "check the path, or run the rule that writes it"


def read_json(path: Path, *, remedy: str = _RERUN) -> Any:
    """Read a JSON file; a record without its digest.

    Args:
        path: the file.
        remedy: what to do where it is missing.

    Raises:
        InputError: if the file is missing or not JSON, cannot be read in one way only, or is not
            as it was written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            "file not found",
            place=str(path),
            remedy=remedy,
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            place=str(path),
            remedy="give a file, and check its permissions",
        ) from error
    parsed = parse_json(content, place=str(path))
    if isinstance(parsed, dict) and _DIGEST in (place := _place(parsed)):
        stated = place.pop(_DIGEST)
        if stated != digest(parsed):
            raise InputError(
                "the record was damaged or edited: its content does not have its digest",
                place=str(path),
                remedy="delete it and run again: its rule writes it anew",
            )
    return parsed


# Of half of a character beyond the first 65536, and of the character zero.
_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def no_text(text: str) -> str | None:
    """Why a text can be in no name of a file, nor in any file of text; None if it can."""
    if "\0" in text:
        return "it has the character zero"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it has half of a character, \\ud800 to \\udfff without the other half"
    return None


def parse_json(content: bytes | str, *, place: str) -> Any:
    """The value of a JSON text.

    Args:
        content: the text, in UTF-8.
        place: where it comes from, for errors.

    Raises:
        InputError: if it is not JSON, defines a key of an object twice, of which no reader knows
            which one counts, or is nested more deeply or has longer numbers than Python takes.
    """
    problem = ""
    try:
        parsed = json.loads(content, object_pairs_hook=_object)
        if _ESCAPE.search(content if isinstance(content, str) else content.decode()):
            problem = next(filter(None, map(no_text, _texts(parsed))), "")
        if not problem:
            return parsed
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        # Of a number with thousands of digits, too.
        problem = str(error)
    raise InputError(f"not valid JSON: {problem}", place=place, remedy="delete or repair the file")


def _texts(content: Any) -> Iterator[str]:
    """All texts in the value of a JSON text."""
    match content:
        case str():
            yield content
        case list():
            for item in content:
                yield from _texts(item)
        case dict():
            for key, item in content.items():
                yield key
                yield from _texts(item)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys are different."""
    content = dict(pairs)
    if len(content) < len(pairs):
        double, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {quoted(double)} is defined twice in one object")
    return content


def read_record(kind: type[Record], path: Path, what: str, *, missing: str = _RERUN) -> Record:
    """Read a JSON file that another stage wrote.

    Args:
        kind: model of its content.
        path: the file.
        what: description of the file, with an article, for the error.
        missing: what to do where there is none.

    Raises:
        InputError: if the file is missing or has other content.
    """
    try:
        return kind.model_validate(read_json(path, remedy=missing))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        value = first["input"]
        stated = f" is {value!r}" if isinstance(value, int | float) else ""
        raise InputError(
            f"not {what}: `{key}`{stated}: {first['msg']}",
            place=str(path),
            remedy="delete it and run again: its rule writes it anew",
        ) from error


def read_history(kind: type[Record], path: Path, what: str) -> Record:
    """Read a JSON file to which each run adds; empty if there is none yet.

    Args:
        kind: model of its content.
        path: the file.
        what: description of the file, with an article, for the error.

    Raises:
        InputError: if the file has other content.
    """
    if not path.exists():
        return kind()
    try:
        return read_record(kind, path, what)
    except InputError as error:
        raise InputError(
            error.problem,
            place=error.place,
            remedy="repair it from a copy, or move it away: the next run begins a new one",
        ) from error
