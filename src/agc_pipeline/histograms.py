"""Histograms as files: the ROOT file that leaves the histogram stage, and JSON between its jobs."""

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uhi.io.json

from agc_pipeline.errors import PARSER_ERRORS, InputError
from agc_pipeline.files import atomic_path

_DIGEST = "digest"
# What uproot raises for damaged files.
_DAMAGE = (
    *PARSER_ERRORS,
    ValueError,
    OSError,
    struct.error,
    zlib.error,
)


def write_root(path: Path, histograms: Mapping[str, hist.Hist], **records: Any) -> None:
    """Write a TH1D with sum of squared weights, or a TH2D, for each histogram, atomically.

    Args:
        path: the ROOT file.
        histograms: name to a histogram: of one dimension with ``Weight`` storage, of two with
            ``Double`` storage.
        records: kept in the file as strings of JSON, e.g. ``provenance`` and ``closure``. Another
            string, ``digest``, is that of all histograms.
    """
    # Jobs that add histograms read and write no ROOT files.
    import uproot  # noqa: PLC0415

    with atomic_path(path) as temporary, uproot.recreate(temporary) as file:
        # First, so that it is there where the list of what is in the file ends early.
        file[_DIGEST] = _digest(histograms)
        for name, histogram in histograms.items():
            file[name] = histogram
        for name, record in records.items():
            file[name] = json.dumps(record, sort_keys=True)


def read_root(path: Path) -> dict[str, hist.Hist]:
    """Read all histograms of a ROOT file, with the storage that ``write_root`` takes.

    Raises:
        InputError: if the file is missing or not a ROOT file, or if its histograms are not those
            that were written.
    """
    import uproot  # noqa: PLC0415

    try:
        with uproot.open(path) as file:
            named = {
                name: file[name].to_hist()
                for name in file.keys(cycle=False, filter_classname="TH*")
            }
            names = file.keys(cycle=False)
            stated = str(file[_DIGEST]) if _DIGEST in names else None
    except FileNotFoundError:
        raise InputError(
            "file not found", place=str(path), remedy="run the rule `merge` to make it"
        ) from None
    except (*_DAMAGE, uproot.DeserializationError) as error:
        raise InputError(
            f"not a readable ROOT file: {type(error).__name__}: {str(error)[:200]}",
            place=str(path),
            remedy="delete it and run again",
        ) from error
    # Files of others have none.
    if (stated or "provenance" in names) and stated != _digest(named):
        raise InputError(
            "the histograms are not those that were written: the file was damaged or edited",
            place=str(path),
            remedy="delete it and run again",
        )
    return named


def _digest(histograms: Mapping[str, hist.Hist]) -> str:
    """SHA-256 of names, edges, contents and variances, in order."""
    total = hashlib.sha256()
    for name, histogram in histograms.items():
        total.update(name.encode() + b"\0")
        for values in (*(axis.edges for axis in histogram.axes), *contents(histogram)):
            total.update(np.ascontiguousarray(values, np.float64).tobytes())
    return total.hexdigest()


def contents(histogram: hist.Hist) -> tuple[Any, ...]:
    """Contents with flow, and their variances where the histogram has them."""
    view = histogram.view(flow=True)
    return (view["value"], view["variance"]) if view.dtype.names else (view,)


def to_json(histogram: hist.Hist) -> Any:
    """The histogram as JSON-able content in the UHI serialisation, exact to the bit."""
    return json.loads(json.dumps(histogram, default=uhi.io.json.default))


def from_json(content: Any) -> hist.Hist:
    """The histogram that ``to_json`` described."""
    return hist.Hist(json.loads(json.dumps(content), object_hook=uhi.io.json.object_hook))
