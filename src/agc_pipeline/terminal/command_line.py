"""Mistakes in the command line, most of which end Snakemake before it reads the rules.

It tells them as tracebacks of its own, and names no file where one cannot be read. Of an option or
a key that stands there twice it takes the last one, and says nothing.
"""

import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agc_pipeline import layers
from agc_pipeline.errors import ConfigurationError, PipelineError

_DEFINITION = re.compile(r"Invalid config definition: .*?(?:\(Unparsable value: (?P<value>.*)\))?$")
_NO_RULE = re.compile(r"No rule to produce (?P<target>.*) \(if you use input functions")


class _Counted(Namespace):
    """Options of a command line, and how often each is there."""

    def __init__(self) -> None:
        super().__init__()
        super().__setattr__("counts", Counter())

    def __setattr__(self, name: str, value: Any) -> None:
        # The first is the default.
        self.counts[name] += hasattr(self, name)
        super().__setattr__(name, value)


def check(arguments: Sequence[str] | None = None) -> None:
    """Refuse configuration files and values that would be lost.

    Args:
        arguments: of the command line; None for those of this process, if it is Snakemake's.

    Raises:
        ConfigurationError: if an option with them stands there twice, or a key within one.
    """
    if arguments is None:
        # Other programs that run Snakemake have options of their own.
        arguments = sys.argv[1:] if "snakemake" in sys.argv[0] else []
    from snakemake.cli import get_argument_parser  # noqa: PLC0415 - the plugin is loaded by it

    options = get_argument_parser().parse_known_args(list(arguments), namespace=_Counted())[0]
    for name, content in (("configfile", "files"), ("config", "KEY=VALUE pairs")):
        if options.counts[name] > 1:
            raise ConfigurationError(
                f"`--{name}` stands in the command line {options.counts[name]} times, and "
                "Snakemake takes the last one only",
                place=f"--{name}",
                remedy=f"write all {content} behind one `--{name}`",
            )
    layers.check_entries(options.config or ())


def explained(text: str, *, read: bool, arguments: Sequence[str] | None = None) -> str | None:
    """An error of Snakemake as the mistake that it comes from; None if it is none of these.

    Args:
        text: Snakemake's words.
        read: the rules were read, and with them the configuration.
        arguments: of the command line; None for those of this process.
    """
    error = _target(text) if read else _definition(text)
    if error is None and not read:
        error = _configuration(sys.argv[1:] if arguments is None else arguments)
    return None if error is None else f"error: {error}"


def _definition(text: str) -> PipelineError | None:
    match = _DEFINITION.search(text.strip().rpartition("\n")[2])
    if match is None:
        return None
    value = "" if match["value"] is None else f": {match['value']}"
    return ConfigurationError(
        f"not a key with its value{value}",
        place="--config",
        remedy="write KEY=VALUE with a key of the first level, as in "
        "`--config files_per_job=4 'simulation={scale: 0.1}'`",
    )


def _target(text: str) -> PipelineError | None:
    match = _NO_RULE.search(text)
    if match is None:
        return None
    return ConfigurationError(
        f"no rule has the name or writes the file `{match['target']}`",
        place="targets of the command line",
        remedy="`snakemake --list-rules` has the names of all rules; files are named with their "
        "folder, as in `results/fit.json`",
    )


def _configuration(arguments: Sequence[str]) -> PipelineError | None:
    """The first configuration file that cannot be read or is empty."""
    from snakemake.cli import get_argument_parser  # noqa: PLC0415 - the plugin is loaded by it

    for path in get_argument_parser().parse_known_args(list(arguments))[0].configfile or ():
        if not Path(path).suffix and not Path(path).exists():
            return ConfigurationError(
                f"`{path}` is taken for a configuration file, and does not exist",
                place="--configfile",
                remedy="correct its path; a target stands before this option or behind `--`",
            )
        try:
            layer = layers.read(Path(path))
        except ConfigurationError as error:
            return error
        if not layer.values:
            return ConfigurationError(
                "the configuration is empty", place=str(path), remedy="leave it out"
            )
    return None
