"""The events of a matrix in the formats of its input axis, listed as filesets."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline import analyses
from agc_pipeline.datasets import TREE
from agc_pipeline.declaration import Preselection
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.files import read_json, write_json
from agc_pipeline.provenance import file_digest
from agc_pipeline.readers.opening import open_tree
from agc_pipeline.settings import Settings

FORMATS = ("ttree", "rntuple", "skim")
_CHUNK = 100_000


def write(
    simulated: Mapping[str, Path], analysis: str, selection: Mapping[str, object], folder: Path
) -> dict[str, str]:
    """Write the events in each format, with a fileset of its name beside its files.

    Args:
        simulated: dataset to its file, which has a record beside it.
        analysis: name of the analysis.
        selection: its cuts.
        folder: to write to.

    Returns:
        SHA-256 of each file, by its path in the folder.
    """
    preselection = analyses.load_preselection(analysis)
    cuts = analyses.load(analysis).selection(dict(selection))
    for kind in FORMATS:
        fileset: dict[str, Any] = {}
        for dataset, source in simulated.items():
            path = folder / kind / f"{dataset}.root"
            path.parent.mkdir(parents=True, exist_ok=True)
            n_events = _write(kind, source, path, preselection, cuts)
            record = path.with_suffix(".json")
            simulation = read_json(source.with_suffix(".json"))
            write_json(record, simulation | {"n_events": n_events})
            # Paths are relative to the fileset.
            fileset[dataset] = {
                "files": {
                    f"{kind}/{path.name}": {
                        "object_path": TREE,
                        "num_entries": n_events,
                        "record": f"{kind}/{record.name}",
                    }
                }
            }
        write_json(folder / f"{kind}.json", fileset)
    return {
        str(path.relative_to(folder)): file_digest(path) for path in sorted(folder.rglob("*.root"))
    }


def _write(kind: str, source: Path, path: Path, analysis: Preselection, cuts: Settings) -> int:
    if kind == "ttree":
        shutil.copyfile(source, path)
        return int(open_tree(str(path), analysis.COLUMNS).num_entries)

    def all_events(events: Any) -> tuple[Any, dict[str, int]]:
        return np.ones(len(events), dtype=bool), {}

    def selected(events: Any) -> tuple[Any, dict[str, int]]:
        return analysis.preselect(cuts, events)

    with open_tree(str(source), analysis.COLUMNS) as tree:
        _, written, _ = write_skim(
            tree,
            analysis.COLUMNS,
            selected if kind == "skim" else all_events,
            path,
            url=str(source),
            kind="rntuple" if kind == "rntuple" else "ttree",
            chunk_size=_CHUNK,
        )
    return written
