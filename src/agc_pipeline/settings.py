"""What all configuration models share: frozen, unknown keys refused, errors for people."""

import difflib
from collections.abc import Collection
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from agc_pipeline.errors import ConfigurationError


class Settings(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


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


def unknown(kind: str, names: Collection[str], among: Collection[str]) -> str | None:
    """What to say of names that nothing has, with a suggestion for each; None if there are none.

    Args:
        kind: what the names are of.
        names: to be looked up.
        among: those that there are.
    """
    problems = []
    for name in sorted(set(names) - set(among)):
        close = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
        told = f"did you mean {close[0]}?" if close else f"there are {', '.join(among) or 'none'}"
        problems.append(f"unknown {kind} {name!r} ({told})")
    return "; ".join(problems) or None


def explain(error: ValidationError, model: type[BaseModel], *, place: str) -> ConfigurationError:
    """Turn pydantic's report into one error that names each value, its key and a remedy.

    Args:
        error: what validation raised.
        model: the model that was validated, searched for keys close to an unknown one.
        place: where the values come from, for the message.
    """
    problems = []
    remedies = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown configuration key `{key}`")
            known = _keys_beside(model, item["loc"])
            close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
            remedies.append(
                f"did you mean `{close[0]}`?" if close else f"known keys here: {', '.join(known)}"
            )
        elif item["type"] == "value_error" and not key:
            problems.append(item["msg"].removeprefix("Value error, "))
            remedies.append("correct the configuration")
        elif item["type"] == "missing":
            problems.append(f"configuration key `{key}` is missing")
            remedies.append(f"set `{key}`")
        else:
            problems.append(f"`{key}` cannot be {item['input']!r}: {item['msg']}")
            remedies.append(f"correct `{key}`")
    return ConfigurationError(
        "; ".join(problems), place=place, remedy="; ".join(dict.fromkeys(remedies))
    )


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that the model has where an unknown key stood."""
    current: list[type[BaseModel]] = [model]
    for part in location[:-1]:
        inner: list[type[BaseModel]] = []
        for candidate in current:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                inner += _models_in(field.annotation)
        # Parts that are not fields are dictionary keys, list positions or tags of a union.
        current = inner or current
    return sorted({name for candidate in current for name in candidate.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
