"""What the command lines of the benchmarks have in common."""

import argparse
import math
import tempfile
from pathlib import Path


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line that is described by the docstring of its module."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def count(text: str) -> int:
    """A number of events, files, or repetitions."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """A time."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def file(text: str) -> Path:
    """A file on this machine."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def output(text: str) -> Path:
    """A file to write. What cannot be written is told before anything is measured."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: name a file in it")
    folder(str(path.parent))
    return path


def folder(text: str) -> Path:
    """A folder to write to, which is made if it is not there."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no folder that can be written to ({error.strerror}): name another one"
        ) from error
