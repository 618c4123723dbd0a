"""Histograms as files: the ROOT file that leaves the histogram stage, and JSON between its jobs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import uhi.io.json
import uproot

from agc_pipeline.errors import InputError
from agc_pipeline.files import atomic_path


def write_root(path: Path, histograms: Mapping[str, hist.Hist], **records: Any) -> None:
    """Write one TH1D with sum of squared weights for each histogram, atomically.

    Args:
        path: the ROOT file.
        histograms: name to a one-dimensional histogram with ``Weight`` storage.
        records: kept in the file as strings of JSON, e.g. ``provenance`` and ``closure``.
    """
    with atomic_path(path) as temporary, uproot.recreate(temporary) as file:
        for name, histogram in histograms.items():
            file[name] = histogram
        for name, record in records.items():
            file[name] = json.dumps(record, sort_keys=True)


def read_root(path: Path) -> dict[str, hist.Hist]:
    """Read all histograms of a ROOT file, with ``Weight`` storage.

    Raises:
        InputError: if the file is missing or not a ROOT file.
    """
    try:
        with uproot.open(path) as file:
            return {
                name: file[name].to_hist()
                for name in file.keys(cycle=False, filter_classname="TH1*")
            }
    except FileNotFoundError:
        raise InputError(
            "file not found", place=str(path), remedy="run the rule `merge` to make it"
        ) from None
    except (ValueError, uproot.DeserializationError) as error:
        raise InputError(
            f"not a readable ROOT file: {error}", place=str(path), remedy="delete it and run again"
        ) from error


def to_json(histogram: hist.Hist) -> Any:
    """The histogram as JSON-able content in the UHI serialisation, exact to the bit."""
    return json.loads(json.dumps(histogram, default=uhi.io.json.default))


def from_json(content: Any) -> hist.Hist:
    """The histogram that ``to_json`` described."""
    return hist.Hist(json.loads(json.dumps(content), object_hook=uhi.io.json.object_hook))
