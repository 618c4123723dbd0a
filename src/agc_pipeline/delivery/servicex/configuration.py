"""The configuration file of the ServiceX client: its endpoints, without their tokens.

The client's own reader creates folders, and its errors quote the file with the token.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, SecretStr, ValidationError

from agc_pipeline import extras
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings, unknown

# Searched in this order in each folder.
_NAMES = (".servicex", "servicex.yaml")


class Endpoint(Settings):
    """A ServiceX server.

    Attributes:
        name: in the client's configuration file.
        url: of its web interface.
        file: the configuration file, absolute.
    """

    name: str
    url: str
    file: str

    @property
    def place(self) -> str:
        """The endpoint in error messages."""
        return f"ServiceX endpoint {self.name!r} at {self.url}"


class _Entry(BaseModel):
    endpoint: str
    name: str
    token: SecretStr | None = None


class _File(BaseModel):
    """The part of the file that matters here; the client may know more keys."""

    api_endpoints: list[_Entry] = Field(min_length=1)
    default: str | None = Field(alias="default-endpoint", default=None)
    default_endpoint: str | None = None


def configured(name: str | None, *, folder: Path | None = None) -> Endpoint | None:
    """The endpoint that the unmodified client would use; contacts no server.

    The client looks for ``.servicex``, then ``servicex.yaml``, in the working directory and in
    those above it, then in the home directory.

    Args:
        name: of the endpoint; None takes the file's default, or else its first.
        folder: where to start looking; None is the working directory.

    Returns:
        The endpoint; None where there is no configuration file.

    Raises:
        ConfigurationError: if the file is damaged, if it has no such endpoint, or if the client
            is not installed.
    """
    located = _read(folder or Path.cwd())
    if located is None:
        return None
    path, file = located
    extras.require("servicex", setting=str(path), alternative="set `delivery.backend: local`")
    name = name or file.default or file.default_endpoint or file.api_endpoints[0].name
    by_name = _endpoints(path, file)
    if problem := unknown("ServiceX endpoint", [name], by_name):
        raise ConfigurationError(
            problem,
            place=str(path),
            remedy="correct `delivery.servicex.endpoint`, or add it to the file",
        )
    return by_name[name]


def endpoints() -> tuple[Endpoint, ...]:
    """All endpoints of the file that the client would use; empty where there is none.

    Raises:
        ConfigurationError: if the file is damaged.
    """
    located = _read(Path.cwd())
    return () if located is None else tuple(_endpoints(*located).values())


def required(name: str | None) -> Endpoint:
    """The same as ``configured``, where there must be a configuration file.

    Raises:
        ConfigurationError: also if there is none.
    """
    endpoint = configured(name)
    if endpoint is None:
        raise ConfigurationError(
            "no configuration file of the ServiceX client",
            place=str(Path.cwd()),
            remedy=f"put `{_NAMES[1]}`, which the profile page of your ServiceX server offers, "
            "there, in a folder above, or in your home directory; or set `delivery.backend: local`",
        )
    return endpoint


def _endpoints(path: Path, file: _File) -> dict[str, Endpoint]:
    # Of two with the same name the client takes the last.
    return {
        entry.name: Endpoint(name=entry.name, url=without_secrets(entry.endpoint), file=str(path))
        for entry in file.api_endpoints
    }


def _read(start: Path) -> tuple[Path, _File] | None:
    nearest = next(_existing(start.absolute(), *start.absolute().parents), None)
    # An empty file ends the search upwards, but the home directory is searched, too.
    for path in ([nearest] if nearest else []) + list(_existing(Path.home())):
        content = _content(path)
        if content is not None:
            return path, _validated(path, content)
    return None


def _existing(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (folder / name for name in _NAMES if (folder / name).exists())


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, f"cannot be read: {type(error).__name__}") from None
    except yaml.YAMLError as error:
        # The error's own text quotes the line, which may hold the token.
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise _damaged(path, f"is not valid YAML{line}") from None


def _validated(path: Path, content: Any) -> _File:
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        # Not the values: one of them is the token.
        problems = [
            f"`{'.'.join(map(str, item['loc']))}`: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise _damaged(path, f"is not as expected: {'; '.join(problems)}") from None


def _damaged(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"the configuration file of the ServiceX client {problem}",
        place=str(path),
        remedy="download a new file from the profile page of your ServiceX server, or remove it",
    )
