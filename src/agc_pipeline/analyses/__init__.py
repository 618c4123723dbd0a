"""Analyses: the physics, one folder each, in this package or anywhere else.

An analysis is named by its folder in this package (``cms_ttbar``), by a package that Python finds
(``mylab.dimuon``), by an entry point in the group ``agc_pipeline.analyses``, or by the path of its
folder. The folder's ``__init__.py`` has the declaration, ``ANALYSIS``; parts exist where their file
does.
"""

import difflib
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module, invalidate_caches
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Literal

from agc_pipeline import functions
from agc_pipeline.code import near, sources
from agc_pipeline.declaration import Analysis
from agc_pipeline.declaration.checks import check
from agc_pipeline.declaration.folder import Archive, code_files, data_files, pack, unpack
from agc_pipeline.errors import AnalysisError, ConfigurationError, PipelineError

GROUP = "agc_pipeline.analyses"

Part = Literal["simulation", "validation", "learning"]
# What of a folder is there where an analysis has the part.
_FILES: Mapping[Part, tuple[str, ...]] = {
    "simulation": ("simulation.py", "simulation/__init__.py"),
    "validation": ("published",),
}
# In the reference of a declaration in which some regions have a discriminant as their observable.
_DISCRIMINANT = " with a discriminant in "
# Packages that were imported by the path of their folder.
_registered: dict[str, Path] = {}
# Analyses that were sent to this process: reference to the name of the archive.
_sent: dict[str, str] = {}


@dataclass(frozen=True)
class Location:
    """Where an analysis is.

    Attributes:
        name: as it is configured; a folder's is its path, seen from the working folder if it is
            in there.
        module: full name of its package.
        folder: of the package, absolute.
        attribute: of the module that is the declaration.
        imported: whether Python finds the module by its name, not by its path.
    """

    name: str
    module: str
    folder: Path
    attribute: str = "ANALYSIS"
    imported: bool = True

    @property
    def reference(self) -> str:
        """Name that is right in every working folder."""
        return self.name if self.imported else str(self.folder)


def load(name: str) -> Analysis:
    """The declaration of an analysis, with its folder.

    Args:
        name: of the analysis, also one ``with_discriminant``.

    Raises:
        ConfigurationError: for an unknown name.
        AnalysisError: if its code fails, or if the declaration is wrong.
    """
    return _scored(_loaded(locate(name)), name)


def with_discriminant(name: str, regions: Iterable[str]) -> str:
    """Name by which the analysis is loaded with a discriminant as the observable of regions.

    Args:
        name: of the analysis.
        regions: their names.
    """
    return f"{name}{_DISCRIMINANT}{', '.join(regions)}"


def without_discriminant(name: str) -> str:
    """Name by which the same analysis is loaded with the observables that it declares."""
    return name.partition(_DISCRIMINANT)[0]


def _scored(analysis: Analysis, reference: str) -> Analysis:
    """The declaration as a reference has it."""
    _, scored, regions = reference.partition(_DISCRIMINANT)
    if not scored:
        return analysis
    names = regions.split(", ")
    return replace(
        analysis.with_discriminant(names),
        reference=with_discriminant(str(analysis.reference), names),
    )


@cache
def archive(reference: str) -> Archive | None:
    """The files of an analysis as other machines need them to load it; see ``load_sent``.

    These are all files in its folder that are part of a run, and what they import of the package
    that the folder is in, and of the working folder.

    Args:
        reference: of the analysis.

    Returns:
        None for an analysis of this package, which comes with the package.
    """
    location = locate(reference)
    if location.module.startswith(f"{__name__}."):
        return None
    folder = location.folder
    base = folder.parents[location.module.count(".")]
    own = [*code_files(folder), *data_files(folder)]
    files = {path.relative_to(base).as_posix(): path for path in own}
    # Of a folder that is found by its path, what is beside it is no package.
    starts = (*([base] if location.imported else []), Path.cwd())
    for path in map(Path, sources(location.module)):
        for start in starts:
            if _within(path, start) and path not in own:
                files.setdefault(path.relative_to(start).as_posix(), path)
                break
    description = {"module": location.module, "attribute": location.attribute}
    return pack(files, description)


def archive_name(reference: str) -> str | None:
    """Name of that archive, also where the analysis came from one."""
    if reference in _sent:
        return _sent[reference]
    content = archive(reference)
    return None if content is None else content.name


def load_sent(reference: str, name: str | None) -> Analysis:
    """The declaration of an analysis, on a machine that may not have its folder.

    Args:
        reference: of the analysis.
        name: of its archive, which lies beside that of this package where both were sent; None for
            an analysis of this package.

    Raises:
        ConfigurationError: if it was not sent, and is not here.
        AnalysisError: if its code fails.
    """
    package = Path(__file__).parents[2]
    if name is None or not package.is_file():
        return load(reference)
    sent = package.parent / name
    if not sent.is_file():
        return load(reference)
    _sent[reference] = name
    return _scored(_loaded(_unpacked(reference, sent)), reference)


def _unpacked(reference: str, archive: Path) -> Location:
    base, description = unpack(archive)
    module = description["module"]
    roots = {path.stem for path in base.iterdir() if path.is_dir() or path.suffix == ".py"}
    if str(base) not in sys.path:
        # An earlier state of them, or what this machine has.
        for other in [other for other in sys.modules if other.partition(".")[0] in roots]:
            del sys.modules[other]
        sys.path.insert(0, str(base))
        invalidate_caches()
    folder = base.joinpath(*module.split("."))
    name = without_discriminant(reference)
    return Location(name, module, folder, description["attribute"])


def _within(path: Path, base: Path) -> bool:
    package = Path(__file__).parents[1]
    return path.is_relative_to(base) and not path.is_relative_to(package)


def locate(name: str, folders: Iterable[Path] = ()) -> Location:
    """Where an analysis is, without running its code.

    Args:
        name: of the analysis, or the path of its folder.
        folders: that a relative path is looked up in, after the working folder.

    Raises:
        ConfigurationError: for an unknown name.
        AnalysisError: if the folder cannot be one of an analysis.
    """
    name = without_discriminant(name)
    if not _is_path(name):
        if name in _own():
            return Location(name, f"{__name__}.{name}", Path(__file__).parent / name)
        entry = next(iter(entry_points(group=GROUP, name=name)), None)
        if entry is not None:
            return _package(name, entry.module, entry.attr or "ANALYSIS")
        package = _origin(name) if name.partition(".")[0] not in _registered else None
        # What Python finds in the working folder, it finds in some processes only.
        if package is not None and package.parent != Path.cwd() and _declares(package):
            return Location(name, name, package)
    for start in (Path.cwd(), *folders):
        try:
            folder = (start / Path(name).expanduser()).resolve()
            found = (folder / "__init__.py").is_file()
        except (OSError, RuntimeError) as error:
            # Too long a name, a loop of links, a home of nobody.
            raise _unknown(name) from error
        if found:
            return _at(folder)
    raise _unknown(name)


def part(analysis: Analysis, name: str) -> ModuleType:
    """The module of an analysis' folder with a part of it, such as its simulation.

    Raises:
        AnalysisError: if its code fails.
    """
    location = _location(analysis)
    # A folder that is found by its path is imported first.
    _loaded(location)
    return _imported(f"{location.module}.{name}", location)


def part_name(analysis: Analysis, name: str) -> str:
    """Full name of such a module."""
    return f"{_location(analysis).module}.{name}"


def _location(analysis: Analysis) -> Location:
    if analysis.reference is None:
        raise TypeError(f"the analysis {analysis.name} was not loaded from a folder")
    return locate(analysis.reference)


def parts(analysis: Analysis) -> frozenset[Part]:
    """The parts that an analysis has, by the files of its folder and its declaration."""
    folder = analysis.folder
    own: set[Part] = set() if analysis.learned is None else {"learning"}
    if folder is not None:
        own |= {
            name
            for name, files in _FILES.items()
            if any((folder / file).exists() for file in files)
        }
    return frozenset(own)


def names() -> list[str]:
    """Analyses of this package and of entry points."""
    return sorted({*_own(), *(entry.name for entry in entry_points(group=GROUP))})


def _own() -> list[str]:
    """Analyses of this package, which Dask's workers import from an archive."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]


@cache
def _loaded(location: Location) -> Analysis:
    module = _imported(location.module, location)
    functions.FOLDERS.add(location.folder.resolve())
    analysis = getattr(module, location.attribute, None)
    if not isinstance(analysis, Analysis):
        raise AnalysisError(
            f"`{location.attribute}` is missing, or no declaration of an analysis",
            place=str(location.folder / "__init__.py"),
            remedy="set `ANALYSIS = Analysis(...)`, see `agc_pipeline.declaration`",
        )
    analysis = replace(
        analysis,
        folder=location.folder,
        reference=location.reference,
        module=location.module,
    )
    return check(analysis)


def _imported(module: str, location: Location) -> ModuleType:
    """A module of an analysis, under the same name in every process."""
    try:
        if not location.imported and location.module not in sys.modules:
            _register(location)
        return import_module(module)
    except PipelineError:
        raise
    except Exception as error:
        # The code is the user's: say where it fails, without a traceback through this package.
        raise AnalysisError(
            functions.told(error),
            place=_position(error, location.folder),
            remedy=f"correct the code of the analysis {location.name}",
        ) from error


def _register(location: Location) -> None:
    """Import the package of a folder that is not on Python's path."""
    initial = location.folder / "__init__.py"
    spec = spec_from_file_location(
        location.module, initial, submodule_search_locations=[str(location.folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {initial}")
    module = module_from_spec(spec)
    sys.modules[location.module] = module
    try:
        spec.loader.exec_module(module)
        _registered[location.module] = location.folder
    except BaseException:
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{spec.name}.")]:
            del sys.modules[name]
        raise


def _at(folder: Path) -> Location:
    """The analysis in a folder, whose package has the folder's name."""
    name, place = folder.name, str(folder)
    own = Path(__file__).parent
    if folder.parent == own:
        return Location(name, f"{__name__}.{name}", folder)
    if not name.isidentifier():
        raise AnalysisError(
            f"the folder's name {name!r} cannot be that of a Python package",
            place=place,
            remedy="rename it: letters, digits and underscores",
        )
    other = _registered.get(name) or _origin(name)
    if other not in (None, folder):
        raise AnalysisError(
            f"there is another Python module {name}: {other}",
            place=place,
            remedy="rename the folder of the analysis",
        )
    working = Path.cwd()
    path = folder.relative_to(working) if folder.is_relative_to(working) else folder
    # A single name would be looked up in the package first.
    shown = f"./{path}" if len(path.parts) == 1 else str(path)
    return Location(shown, name, folder, imported=False)


def _package(name: str, module: str, attribute: str) -> Location:
    folder = _origin(module)
    if folder is None or not folder.is_dir():
        raise AnalysisError(
            f"no package {module}, which the entry point {name} names",
            place=f"entry points of the group {GROUP}",
            remedy="install the distribution again; an analysis is a folder with `__init__.py`",
        )
    return Location(name, module, folder, attribute)


def _origin(module: str) -> Path | None:
    """Folder of a package, or file of another module; None if Python finds none."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    path = Path(spec.origin or module)
    return path.resolve().parent if path.name == "__init__.py" else path


def _declares(folder: Path) -> bool:
    """Whether a package says that it is an analysis; any other may have the name of a folder."""
    initial = folder / "__init__.py"
    return initial.is_file() and "ANALYSIS" in initial.read_text(encoding="utf-8")


def _is_path(name: str) -> bool:
    return name.startswith((".", "~")) or "/" in name or "\\" in name


def _unknown(name: str) -> ConfigurationError:
    available = names()
    close = difflib.get_close_matches(name, available, n=1, cutoff=0.5)
    listed = ", ".join(f"'{known}'" for known in available)
    return ConfigurationError(
        f"unknown analysis {name!r}: neither {listed}, nor a Python package with `ANALYSIS`, nor "
        "a folder with `__init__.py`",
        place="analysis",
        remedy=(f"did you mean `{close[0]}`? " if close else "") + "correct `analysis`",
    )


def _position(error: Exception, folder: Path) -> str:
    """File and line of an analysis where an error was raised."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{near(Path(error.filename))}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return functions.line((own or frames)[-1])
