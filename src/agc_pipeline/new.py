"""A new analysis: a folder with a small one that runs on toy events, to be changed."""

import keyword
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.starter import toy

_STARTER = Path(toy.__file__).parent
_NAME = _STARTER.name
# Where the toy events are, see `run.yaml` of the starter.
_INPUT = "input"
_REPOSITORY = Path(__file__).resolve().parents[2]


def write(name: str, parent: Path) -> Path:
    """Write a new analysis with its toy events.

    Args:
        name: of the analysis and of its folder.
        parent: folder to make it in.

    Returns:
        The folder; an analysis is there whole or not at all.

    Raises:
        ConfigurationError: if the name cannot be that of an analysis, or is in use.
    """
    problem = _problem(name, parent)
    if problem:
        raise ConfigurationError(
            f"an analysis cannot be called {name!r}: {problem}",
            place="agc-pipeline new NAME",
            remedy="choose another name, of letters, digits and underscores",
        )
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=parent) as temporary:
        folder = Path(temporary) / name
        for path in sorted(_STARTER.rglob("*")):
            relative = path.relative_to(_STARTER)
            if path.is_file() and "__pycache__" not in relative.parts:
                target = folder / _renamed(str(relative), name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_renamed(path.read_text(encoding="utf-8"), name), "utf-8")
        toy.write(folder / _INPUT)
        return Path(shutil.move(folder, parent / name))


def command(folder: Path) -> str:
    """The command that runs a new analysis, in the folder that its folder is in."""
    snakefile = _REPOSITORY / "Snakefile"
    elsewhere = snakefile.is_file() and folder.parent != _REPOSITORY
    option = f" -s {snakefile}" if elsewhere else ""
    return f"snakemake --cores 2{option} --configfile {folder.name}/run.yaml"


def _problem(name: str, parent: Path) -> str:
    """Why an analysis cannot have a name; empty if it can."""
    if "/" in name:
        return "it is a path, and the folder is made in the one that you are in"
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or keyword.iskeyword(name):
        return "it cannot be the name of a Python package"
    if name in analyses.names():
        return "there is an analysis of this name"
    if (parent / name).exists():
        return f"{parent / name} exists"
    if find_spec(name) is not None:
        return "there is a Python module of this name"
    return ""


def _renamed(text: str, name: str) -> str:
    """Text of the starter with another name, as it is and in names of classes."""
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    text = text.replace(_NAME.capitalize(), camel)
    return re.sub(rf"(?<![a-z]){_NAME}(?![a-z])", name, text)
