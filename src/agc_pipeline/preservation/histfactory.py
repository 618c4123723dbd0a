"""A workspace as XML and ROOT histograms, as ROOT's HistFactory reads them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyhf.readxml
import pyhf.writexml

from agc_pipeline.errors import ModelError

Workspace = dict[str, Any]

_TOP = "model.xml"
_HISTOGRAMS = "data/data.root"
_TOLERANCE = 1e-9


def write(workspace: Workspace, folder: Path) -> None:
    """Write ``model.xml``, ``config/`` and ``data/data.root``, with paths relative to the folder.

    Args:
        workspace: to be written.
        folder: an empty folder for all files.

    Raises:
        ModelError: if a channel cannot be the name of a file.
    """
    for channel in workspace["channels"]:
        if "/" in channel["name"]:
            raise ModelError(
                f"channel {channel['name']!r} cannot be the name of an XML file",
                place="workspace",
                remedy="rename it",
            )
    # pyhf writes the paths of its arguments into its files.
    with contextlib.chdir(folder):
        for name in ("config", "data"):
            Path(name).mkdir()
        Path(_TOP).write_bytes(pyhf.writexml.writexml(workspace, "config", "data", "model"))
        # Only the path of the histograms is absolute in them.
        absolute = str(Path(_HISTOGRAMS).absolute())
        for path in Path("config").iterdir():
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(absolute, _HISTOGRAMS), encoding="utf-8")


def read(folder: Path) -> Workspace:
    """The workspace that ``write`` wrote."""
    # It takes the square root of negative contents for uncertainties that it does not use.
    with contextlib.chdir(folder), np.errstate(invalid="ignore"):
        workspace: Workspace = pyhf.readxml.parse(_TOP, ".")
    pyhf.readxml.clear_filecache()
    return workspace


def differences(ours: Workspace, theirs: Workspace) -> list[str]:
    """Differences of two workspaces, apart from rounding and names of statistical factors.

    XML has no names for these, and stores them relative to the content, which an empty bin lacks.
    """
    return list(_differences(ours, theirs))


def _differences(ours: Workspace, theirs: Workspace) -> Iterator[str]:
    observed = {entry["name"]: entry["data"] for entry in theirs["observations"]}
    for entry in ours["observations"]:
        if not _same(entry["data"], observed.get(entry["name"])):
            yield f"data of {entry['name']}"
    other = {channel["name"]: channel for channel in theirs["channels"]}
    for channel in ours["channels"]:
        if channel["name"] not in other:
            yield f"channel {channel['name']}"
            continue
        samples = {sample["name"]: sample for sample in other[channel["name"]]["samples"]}
        for sample in channel["samples"]:
            label = f"{channel['name']}, {sample['name']}"
            if not _same(sample["data"], samples.get(sample["name"], {}).get("data")):
                yield label
                continue
            modifiers = {_identity(m): m["data"] for m in samples[sample["name"]]["modifiers"]}
            for modifier in sample["modifiers"]:
                identity = _identity(modifier)
                if identity not in modifiers or not _same(modifier["data"], modifiers[identity]):
                    yield f"{label}, {modifier['type']} {modifier['name']}"


def _identity(modifier: Any) -> tuple[str, str]:
    kind, name = modifier["type"], modifier["name"]
    return kind, "" if kind == "staterror" else name


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(_same(ours[k], theirs.get(k)) for k in ours)
    if ours is None or theirs is None:
        return ours is theirs
    first, second = np.atleast_1d(ours), np.atleast_1d(theirs)
    scale = np.max(np.abs(first), initial=0) * _TOLERANCE
    return first.shape == second.shape and bool(np.all(np.abs(first - second) <= scale))
