"""Code in the documents is that of the package, and runs.

``PYTHONPATH=tests python tests/unit/test_documents.py`` writes the present code into the page.
"""

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

import toy
from conftest import ROOT
from oracle.strategies import write_nanoaod

PAGE = ROOT / "docs" / "ttbar.md"
# Pages of analyses, with the number of blocks that are their code.
PAGES = {PAGE: ("cms_ttbar", 8), ROOT / "docs" / "atlas-hzz.md": ("atlas_hzz", 4)}
ANALYSES = ROOT / "src" / "agc_pipeline" / "analyses"
BLOCK = re.compile(r"<!-- ([^>]+) -->\n```(\w+)\n(.*?)```", re.DOTALL)


def definitions(path: Path, names: list[str]) -> str:
    """Source of functions and constants of a module, with decorators."""
    text = path.read_text()
    lines = text.splitlines()
    sources = {}
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef():
                name, first = node.name, min([node, *node.decorator_list], key=lambda n: n.lineno)
            case ast.Assign(targets=[ast.Name(id=name)]):
                first = node
            case _:
                continue
        sources[name] = "\n".join(lines[first.lineno - 1 : node.end_lineno])
    return "\n\n\n".join(sources[name] for name in names) + "\n"


def mapping(path: Path, key: str) -> str:
    """Lines of a mapping in a YAML file, without their indentation."""
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip() == f"{key}:")
    depth = len(lines[first]) - len(lines[first].lstrip())
    own = [lines[first]]
    for line in lines[first + 1 :]:
        if len(line) - len(line.lstrip()) <= depth:
            break
        own.append(line)
    return "\n".join(line[depth:] for line in own) + "\n"


def current(analysis: str, source: str, block: str) -> str:
    """What a block of the page of an analysis is to have; a script is its own source."""
    if source == "run":
        return block
    *kind, file, names = source.split(": ")
    if kind:
        return mapping(ROOT / "config" / analysis / file, names)
    return definitions(ANALYSES / analysis / file, names.split(", "))


def test_every_test_that_a_document_names_is_there() -> None:
    named: set[tuple[str, str]] = set()
    for page in (ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        named |= set(re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", page.read_text()))
    assert len(named) > 40
    for file, name in named:
        assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_of_an_analysis_has_its_code(page: Path) -> None:
    analysis, number = PAGES[page]
    blocks = BLOCK.findall(page.read_text())
    assert len(blocks) == number
    for source, _, block in blocks:
        remedy = f"run PYTHONPATH=tests python {__file__}"
        assert block == current(analysis, source, block), f"{remedy}: {source} changed"


def test_the_page_of_all_rules_is_up_to_date() -> None:
    """As `make docs` writes it, from the descriptions of the stages."""
    path = ROOT / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    text = (ROOT / "docs" / "rules.md").read_text()
    assert generate.page(text) == text
    assert "| `merge` |" in text


@pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")
def test_its_script_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ((_, _, script),) = [found for found in BLOCK.findall(PAGE.read_text()) if found[0] == "run"]
    write_nanoaod(tmp_path / "ttbar.root", toy.events(40))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(compile(script, str(PAGE), "exec"), scope)  # noqa: S102
    assert len(script.splitlines()) <= 10
    assert scope["output"]["cutflow"]["all"] == 40
    assert scope["output"]["histograms"]["ttbar"]["4j2b"].sum(flow=True).value > 5
    assert "four jets" in capsys.readouterr().out


if __name__ == "__main__":
    for page, (analysis, _) in PAGES.items():
        text = BLOCK.sub(
            lambda m, name=analysis: f"<!-- {m[1]} -->\n```{m[2]}\n{current(name, m[1], m[3])}```",
            page.read_text(),
        )
        page.write_text(text)
