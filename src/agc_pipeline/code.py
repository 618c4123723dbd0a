"""Which source files a stage depends on, so that Snakemake reruns it when one of them changes."""

import ast
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

PACKAGE = "agc_pipeline"


def sources(*modules: str) -> list[str]:
    """Paths of modules of this package and of all that they import from it, sorted.

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
        pending += _imports(name, path)
        parent = name.rpartition(".")[0]
        if parent:
            pending.append(parent)
    return sorted(str(path) for path in seen.values())


def _path(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {name}")
    return Path(spec.origin)


@cache
def _imports(name: str, path: Path) -> list[str]:
    found = []
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            found.append(module)
            # `from package import module` names a module, `from module import name` does not.
            found += [f"{module}.{alias.name}" for alias in node.names if _is_module(module, alias)]
    return [module for module in found if module.split(".")[0] == PACKAGE]


def _is_module(parent: str, alias: ast.alias) -> bool:
    if parent.split(".", maxsplit=1)[0] != PACKAGE:
        return False
    spec = find_spec(parent)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return is_package and find_spec(f"{parent}.{alias.name}") is not None
