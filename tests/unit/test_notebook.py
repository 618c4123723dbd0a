"""The notebook in docs/ runs, and shows what it showed when it was written."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from conftest import ROOT, run_command

NOTEBOOK = ROOT / "docs" / "use-the-results.ipynb"


def texts(notebook: Any) -> list[str]:
    """What the cells print and show, without images."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    kinds = ("text/plain", "text/html")
    return [
        text
        for output in outputs
        for text in (output.get("text"), *(output.get("data", {}).get(kind) for kind in kinds))
        if text is not None
    ]


def test_the_notebook_of_the_results(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "docs").mkdir()
    results = tmp_path / "results/published"
    settings = {"analysis": "cms_ttbar", "n_files": -1}
    outputs = {"histograms": results / "histograms.root", "closure": results / "closure.json"}
    assert run_command("published", settings, **outputs) is None

    stored = nbformat.read(NOTEBOOK, as_version=4)
    assert all(cell.execution_count for cell in stored.cells if cell.cell_type == "code")
    assert any("image/png" in o.get("data", {}) for c in stored.cells for o in c.get("outputs", ()))
    assert NOTEBOOK.stat().st_size < 60_000

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(tmp_path / "docs")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    assert texts(notebook) == texts(stored)
