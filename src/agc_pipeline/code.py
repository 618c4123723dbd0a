"""Which modules a module imports, anywhere in it."""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path

from agc_pipeline.errors import ConfigurationError

PACKAGE = "agc_pipeline"

# Folders of installed packages have these names, also those of Linux distributions and of others.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
# Functions that import a module by its name.
_IMPORTERS = frozenset({"import_module", "__import__"})


def sources(*modules: str) -> list[str]:
    """Paths of modules and of all that they import that is not installed, sorted.

    These are modules of this package, of their own, and of every other one that is neither part of
    Python nor in a folder of installed packages, such as modules in the working folder and
    packages that are installed in place. Imports inside functions count, those for type checkers do
    not. Of the packages of this project that a module is in, only their own files count: what they
    import for others is no part of it.

    Args:
        modules: full names. Modules that are loaded by a computed name at run time must be given,
            too.

    Raises:
        ModuleNotFoundError: if there is no such module; those that they import may be missing.
    """
    own = {PACKAGE, *(_root(module) for module in modules)}
    paths = {module_path(module) for module in modules}
    followed: set[str] = set()
    pending = list(modules)
    while pending:
        name = pending.pop()
        root = _root(name)
        if name in followed or not (root in own or _is_local(root)):
            continue
        followed.add(name)
        parent = _package(name)
        if root not in own:
            # Python runs the modules of these first.
            pending += [parent] if parent else []
        while parent and root in own:
            paths |= _files(parent)
            parent = _package(parent)
        files = _files(name)
        paths |= files
        # The front door imports everything, for notebooks.
        if name != PACKAGE:
            pending += [module for path in files for module in _imports(name, path)]
    return sorted(map(str, paths))


def others() -> tuple[str, ...]:
    """Full names of the modules of other packages that this one imports anywhere, sorted.

    Those for type checkers do not count.
    """
    package = module_path(PACKAGE).parent
    modules: set[str] = set()
    for path in package.rglob("*.py"):
        for node in _statements(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module)
    own = {PACKAGE, *sys.stdlib_module_names}
    return tuple(sorted(name for name in modules if _root(name) not in own))


def data(*patterns: str) -> list[str]:
    """Paths of files of this package that are not code, as Snakemake is told them."""
    package = module_path(PACKAGE).parent
    return sorted(near(path) for pattern in patterns for path in package.glob(pattern))


def near(path: Path) -> str:
    """A path as it is seen from the working folder, if it is in there.

    Snakemake compares the names of inputs: a project that moved must not run again.
    """
    folder = Path.cwd()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def load(name: str) -> None:
    """Import what a module imports inside its functions, and its neighbours inside theirs.

    Args:
        name: full name of the module, which is not imported itself: it may be the main one.
    """
    seen = {name}
    pending = [name]
    while pending:
        module = pending.pop()
        for imported in _imports(module, module_path(module)):
            import_module(imported)
            if imported not in seen and _package(imported) == _package(name) != "":
                seen.add(imported)
                pending.append(imported)


def check(digests: Path) -> None:
    """Check that another installation than that of the workflow has the same code.

    An image, or the environment of another machine, may have another version. Files that are edited
    during a run are none of its business.

    Args:
        digests: of the files of the workflow, as ``sha256sum`` writes them.

    Raises:
        ConfigurationError: naming a file that differs.
    """
    package = Path(__file__).parent
    different = []
    for line in digests.read_text(encoding="utf-8").splitlines():
        digest, _, path = line.partition("  ")
        _, within, relative = f"/{path}".rpartition(f"/{PACKAGE}/")
        own, theirs = package / relative, Path(path)
        if not within or (theirs.exists() and not own.exists()):
            # Part of an analysis elsewhere.
            continue
        if own.exists() and theirs.exists() and own.samefile(theirs):
            return
        if not own.exists() or hashlib.sha256(own.read_bytes()).hexdigest() != digest:
            different.append(relative)
    if different:
        more = f" and {len(different) - 1} more" if different[1:] else ""
        raise ConfigurationError(
            f"this job would run other code than that of the workflow: {different[0]}{more}",
            place=str(package),
            remedy="build the image, or the environment, from the version of the workflow",
        )


def _package(name: str) -> str:
    return name.rpartition(".")[0]


def _root(name: str) -> str:
    return name.partition(".")[0]


def module_path(name: str) -> Path:
    """The file of a module.

    Raises:
        ModuleNotFoundError: if there is none.
    """
    spec = _spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {name}")
    return Path(spec.origin)


def _spec(name: str) -> ModuleSpec | None:
    """How the Python of a job finds a module, which imports none of the packages that it is in."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded.__spec__
    parent = _package(name)
    if not parent:
        # A job looks in the working folder first.
        return PathFinder.find_spec(name, [str(Path.cwd()), *sys.path]) or find_spec(name)
    folders = _folders(parent)
    return None if folders is None else PathFinder.find_spec(name, folders)


def _files(name: str) -> set[Path]:
    """The file of a module; none of one that is missing, or a folder without a file of its own."""
    spec = _spec(name)
    return {Path(spec.origin)} if spec is not None and spec.has_location and spec.origin else set()


@cache
def _is_local(root: str) -> bool:
    """Whether a package or module is neither part of Python nor installed."""
    if root in sys.stdlib_module_names:
        return False
    spec = _spec(root)
    if spec is None:
        return False
    of_python = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    places = [spec.origin] if spec.has_location else spec.submodule_search_locations
    return any(
        place is not None
        and _INSTALLED.isdisjoint(Path(place).parts)
        and not any(Path(place).is_relative_to(folder) for folder in of_python)
        for place in places or ()
    )


def _folders(name: str) -> list[str] | None:
    """Where the modules of a package are; None if it is none."""
    spec = _spec(name)
    return None if spec is None else spec.submodule_search_locations


@cache
def _imports(name: str, path: Path) -> tuple[str, ...]:
    """Full names of the modules that a module imports, anywhere in it."""
    if path.suffix != ".py":
        # Machine code, which imports nothing that could be told.
        return ()
    modules: list[str] = []
    package = name if path.name == "__init__.py" else _package(name)
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        # Python says what is wrong with it if it is ever imported.
        return ()
    if any(importer in text for importer in _IMPORTERS):
        modules += _by_name(tree, package)
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = resolve_name("." * node.level + (node.module or ""), package)
            root = _root(parent)
            if root not in (PACKAGE, _root(name)) and not _is_local(root):
                continue
            for alias in node.names:
                # `from package import module` names a module, `from module import name` does not.
                module = f"{parent}.{alias.name}"
                modules.append(module if _is_module(parent, module) else parent)
    return tuple(dict.fromkeys(modules))


def _by_name(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of modules that are imported by a function, where these are not computed."""
    importers = set(_IMPORTERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            importers.update(
                alias.asname for alias in node.names if alias.name in _IMPORTERS and alias.asname
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            named = _argument(node, 0, "name")
            if called in importers and isinstance(named, str) and named:
                anchor = _argument(node, 1, "package")
                start = anchor if isinstance(anchor, str) else package
                if not named.startswith(".") or start:
                    yield resolve_name(named, start)


def _argument(call: ast.Call, position: int, name: str) -> object:
    """An argument of a call; None if it is not there, or no constant."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    values += call.args[position : position + 1]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def _statements(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements in some, but those for type checkers. Expressions import nothing."""
    for statement in statements:
        yield statement
        unused = _for_type_checkers(statement)
        for part in ("body", "handlers", "cases", "orelse", "finalbody"):
            if part != unused:
                yield from _statements(getattr(statement, part, ()))


def _for_type_checkers(statement: ast.AST) -> str | None:
    """The branch of a statement that no run takes; None if there is none."""
    if not isinstance(statement, ast.If):
        return None
    test, branch = statement.test, "body"
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, branch = test.operand, "orelse" if branch == "body" else "body"
    name = getattr(test, "attr", getattr(test, "id", None))
    return branch if name == "TYPE_CHECKING" else None


def _is_module(parent: str, module: str) -> bool:
    return _folders(parent) is not None and _spec(module) is not None
