"""The command lines of the stages, made from their descriptions: options, log lines, one error."""

import argparse
import gc
import logging
import os
import socket
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from agc_pipeline import code, functions
from agc_pipeline.errors import MACHINE_ERRORS, AnalysisError, PipelineError
from agc_pipeline.measuring.process import measured
from agc_pipeline.secrets import WithoutSecrets
from agc_pipeline.settings import Settings, explain
from agc_pipeline.stages import settings_files
from agc_pipeline.stages.description import Option, Options, Stage

# Roles of options that a stage writes to.
_WRITTEN = ("output", "folder")
Model = TypeVar("Model", bound=BaseModel)

# Variables of jobs on Slurm and HTCondor.
_BATCH_SYSTEMS = {"SLURM_JOB_ID", "_CONDOR_SCRATCH_DIR"}


def main(stage: Stage[Any, Any], arguments: Sequence[str] | None = None) -> None:
    """Run a stage as a process: exit 0, or print one error and exit 1.

    Args:
        stage: to run.
        arguments: those of this process if None.
    """
    told = parser(stage).parse_args(arguments)
    described = stage.options.described()
    places = [vars(told)[name] for name, option in described.items() if option.role in _WRITTEN]
    with errors_told(output=", ".join(str(place) for place in places if place is not None)):
        if told.code is not None:
            code.check(told.code)
        # What it imports is no part of what it takes.
        _load(stage.module)
        with measured():
            settings = validated(stage.settings, told.settings, option="--settings")
            stage.run(settings, _options(stage.options, told))


def _load(module: str) -> None:
    """Import what a stage computes with.

    None of the many objects of modules is garbage, nor will be: they are never looked at.
    """
    gc.disable()
    code.load(module)
    gc.freeze()
    gc.enable()


def parser(stage: Stage[Any, Any]) -> argparse.ArgumentParser:
    """The command line of a stage: files of its settings, and its options."""
    described = stage.options.described()
    hints = get_type_hints(stage.options)
    options = argparse.ArgumentParser(
        prog=f"python -m {stage.module}",
        description=sys.modules[stage.run.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--settings",
        required=True,
        type=Path,
        help="JSON file with this stage's part of the configuration",
    )
    options.add_argument(
        "--code",
        type=Path,
        help="digests of the code behind this stage, which that of another installation must have",
    )
    for item in fields(stage.options):
        _add(options, item, hints[item.name], described[item.name])
    return options


def validated(model: type[Model], path: Path, *, option: str) -> Model:
    """Read settings.

    Args:
        model: what they must be.
        path: JSON file.
        option: that names the file, for the message.

    Raises:
        ConfigurationError: if there is no file, or naming each offending key.
    """
    try:
        return model.model_validate_json(settings_files.read(path))
    except ValidationError as error:
        raise explain(error, model, place=f"{option} {path}") from error


@contextmanager
def errors_told(*, output: str) -> Iterator[None]:
    """Log to standard error, and end the process with one message for an error of the user's.

    Args:
        output: place of errors of the machine that do not say of which file they are.
    """
    handler = logging.StreamHandler()
    handler.addFilter(WithoutSecrets())
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[handler],
    )
    if _BATCH_SYSTEMS & os.environ.keys():
        # The first question about a job that failed on a cluster.
        logging.info("on %s", socket.gethostname())
    try:
        with functions.told_by_line():
            yield
    except PipelineError as error:
        if isinstance(error, AnalysisError) and error.__cause__ is not None:
            # The code is the user's, who looks for the line.
            logging.info("%s", "".join(traceback.format_exception(error.__cause__)).rstrip())
        sys.exit(f"error: {error}")
    except OSError as error:
        remedy = MACHINE_ERRORS.get(error.errno or 0)
        if remedy is None:
            raise
        place = str(error.filename or output)
        sys.exit(f"error: {PipelineError(str(error.strerror), place=place, remedy=remedy)}")


def _add(
    options: argparse.ArgumentParser, item: "Field[Any]", hint: Any, described: Option
) -> None:
    """Add one option: its type says how many values it takes."""
    form: dict[str, Any] = {"help": described.help, "required": item.default is MISSING}
    if get_origin(hint) is tuple:
        form["nargs"] = "+" if form["required"] else "*"
    elif NoneType in get_args(hint):
        form |= {"nargs": "?", "required": False}
    form["type"] = int if hint is int else Path
    if not form["required"]:
        form["default"] = None if item.default is MISSING else item.default
    options.add_argument(f"--{item.name}", **form)


def _options(model: type[Options], told: argparse.Namespace) -> Options:
    values = {}
    for name, hint in get_type_hints(model).items():
        value = getattr(told, name)
        if isinstance(value, list):
            value = tuple(value)
        elif (settings := _settings_of(hint)) is not None and value is not None:
            value = validated(settings, value, option=f"--{name}")
        values[name] = value
    return model(**values)


def _settings_of(hint: Any) -> type[Settings] | None:
    """The model of an option that is settings; None if it is not."""
    models = (part for part in (hint, *get_args(hint)) if isinstance(part, type))
    return next((model for model in models if issubclass(model, Settings)), None)
