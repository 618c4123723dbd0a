"""The events of a matrix in the formats of its input axis, listed as filesets."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline import analyses
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.delivery.preselected import SkimContent
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.files import read_json, write_json
from agc_pipeline.matrix.cells import formats
from agc_pipeline.provenance import file_digest
from agc_pipeline.readers.opening import count_events, open_tree

_CHUNK = 100_000


def write(
    simulated: Mapping[str, Path], analysis: str, selection: Mapping[str, object], folder: Path
) -> dict[str, str]:
    """Write the events in each of the formats, with a fileset of its name beside its files.

    Args:
        simulated: dataset to its file, which has a record beside it.
        analysis: name of the analysis.
        selection: its cuts.
        folder: to write to.

    Returns:
        SHA-256 of each file, by its path in the folder.
    """
    declaration = analyses.load(analysis)
    cuts = declaration.selection(dict(selection))
    for kind in formats(declaration):
        fileset: dict[str, Any] = {}
        for dataset, source in simulated.items():
            path = folder / kind / f"{dataset}.root"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = skim_content(
                declaration,
                cuts,
                declaration.dataset(dataset),
                learned=declaration.learned is not None,
            )
            n_events = _write(kind, source, path, content)
            record = path.with_suffix(".json")
            simulation = read_json(source.with_suffix(".json"))
            write_json(record, simulation | {"n_events": n_events})
            # Paths are relative to the fileset.
            fileset[dataset] = {
                "files": {
                    f"{kind}/{path.name}": {
                        "object_path": declaration.layout.tree,
                        "num_entries": n_events,
                        "record": f"{kind}/{record.name}",
                    }
                }
            }
        write_json(folder / f"{kind}.json", fileset)
    return {
        str(path.relative_to(folder)): file_digest(path) for path in sorted(folder.rglob("*.root"))
    }


def _write(kind: str, source: Path, path: Path, content: SkimContent) -> int:
    if kind == "ttree":
        shutil.copyfile(source, path)
        return count_events(open_tree(str(path), content.columns, content.layout))

    def all_events(columns: Any) -> tuple[Any, dict[str, int]]:
        return np.arange(columns.n_events), {}

    if kind == "rntuple":
        content = replace(content, preselect=all_events, records=False)
    with open_tree(str(source), content.columns, content.layout) as tree:
        counts = write_skim(
            tree,
            content,
            path,
            url=str(source),
            kind="rntuple" if kind == "rntuple" else "ttree",
            chunk_size=_CHUNK,
        )
    return counts.after
