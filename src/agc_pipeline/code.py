"""Which files of this package a stage depends on, so that Snakemake runs it again on a change."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec, resolve_name
from pathlib import Path

PACKAGE = "agc_pipeline"


def sources(*modules: str) -> list[str]:
    """Paths of modules of this package and of all that they import from it, sorted.

    Imports inside functions count, those for type checkers only do not.

    Args:
        modules: full names. Modules that are loaded by name at run time must be given, too.
    """
    seen: dict[str, Path] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        path = _path(name)
        seen[name] = path
        pending += [module for module in _imports(name, path) if module.split(".")[0] == PACKAGE]
        parent = name.rpartition(".")[0]
        if parent:
            pending.append(parent)
    return sorted(str(path) for path in seen.values())


def data(*patterns: str) -> list[str]:
    """Paths of files of this package that are not code, as Snakemake is told them."""
    package = _path(PACKAGE).parent
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
        for imported in _imports(module, _path(module)):
            import_module(imported)
            if imported not in seen and _package(imported) == _package(name) != "":
                seen.add(imported)
                pending.append(imported)


def _package(name: str) -> str:
    return name.rpartition(".")[0]


def _path(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {name}")
    return Path(spec.origin)


@cache
def _imports(name: str, path: Path) -> tuple[str, ...]:
    """Modules that one imports, anywhere in it."""
    modules: list[str] = []
    package = name if path.name == "__init__.py" else _package(name)
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            modules.append(module)
            # `from package import module` names a module, `from module import name` does not.
            modules += [
                f"{module}.{alias.name}" for alias in node.names if _is_module(module, alias)
            ]
    return tuple(modules)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree but those for type checkers only."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child)


def _is_module(parent: str, alias: ast.alias) -> bool:
    if parent.split(".", maxsplit=1)[0] != PACKAGE:
        return False
    spec = find_spec(parent)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return is_package and find_spec(f"{parent}.{alias.name}") is not None
