"""What the command lines of all stages share: options, log lines, one clear error."""

import argparse
import errno
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agc_pipeline.errors import PipelineError
from agc_pipeline.files import write_json
from agc_pipeline.matrix.measurement import measured
from agc_pipeline.secrets import WithoutSecrets
from agc_pipeline.settings import explain

Model = TypeVar("Model", bound=BaseModel)

# Variables of jobs on Slurm and HTCondor.
_BATCH_SYSTEMS = {"SLURM_JOB_ID", "_CONDOR_SCRATCH_DIR"}
# Failures of the machine, not of the program: one line tells the user what to do.
_MACHINE_ERRORS = {
    errno.ENOSPC: "free some space and run again: finished jobs are kept",
    errno.EDQUOT: "free some of the quota and run again: finished jobs are kept",
    errno.EACCES: "give write permission or choose another folder with `results:`",
    errno.EPERM: "give write permission or choose another folder with `results:`",
    errno.EROFS: "choose a writable folder with `results:`",
    errno.ENOTDIR: "choose a folder, not a file, with `results:`",
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the option that every stage has: its settings as JSON."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--settings",
        required=True,
        help="this stage's part of the configuration; - reads it from standard input",
    )
    return made


def settings(model: type[Model], text: str) -> Model:
    """Validate the ``--settings`` of a stage.

    Args:
        model: what they must be.
        text: JSON.

    Raises:
        ConfigurationError: naming each offending key.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise explain(error, model, place="--settings") from error


def record(
    stage: Callable[[argparse.Namespace], BaseModel], options: argparse.ArgumentParser
) -> None:
    """Run a stage as ``run`` does, and write the record that it gives to ``--output``."""
    options.add_argument("--output", type=Path, required=True, help="record to write")

    def recorded(arguments: argparse.Namespace) -> None:
        write_json(arguments.output, stage(arguments).model_dump())

    run(recorded, options)


def run(stage: Callable[[argparse.Namespace], None], options: argparse.ArgumentParser) -> None:
    """Run a stage as a process: exit 0, or print one error and exit 1.

    Settings of ``-`` are read from standard input: a list of many files is longer than an argument
    may be.
    """
    arguments = options.parse_args()
    given = None
    # Comparing two runs is a command of its own, without settings.
    if getattr(arguments, "settings", None) == "-":
        arguments.settings = given = sys.stdin.read()
    handler = logging.StreamHandler()
    handler.addFilter(WithoutSecrets())
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[handler],
    )
    if _BATCH_SYSTEMS & os.environ.keys():
        # With nothing in its log, Snakemake shows none of a killed job's logs.
        logging.info("on %s", socket.gethostname())
    try:
        with measured(given):
            stage(arguments)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        remedy = _MACHINE_ERRORS.get(error.errno or 0)
        if remedy is None:
            raise
        place = str(error.filename or "output")
        sys.exit(f"error: {PipelineError(str(error.strerror), place=place, remedy=remedy)}")
