"""The manifest of a delivery: what was asked for, what is there, and what made it."""

from pathlib import Path

from pydantic import NonNegativeInt

from agc_pipeline.files import read_record, write_json
from agc_pipeline.provenance import Provenance
from agc_pipeline.settings import Settings


class Delivered(Settings):
    """One input file and what was delivered of it.

    Attributes:
        source: address that stands for the file in configuration and errors.
        path: what the histogram stage reads; None if the file failed.
        size: of ``path`` in bytes, where it is known.
        expected: events that the configuration promises; None if it says nothing.
        before: events found in the input file.
        after: events in ``path``.
        generated: events that the file stands for in the normalisation.
        cutflow: events behind each cut of the preselection; empty if nothing was selected yet.
        error: why the file failed; None if it did not.
    """

    source: str
    path: str | None
    size: NonNegativeInt | None
    expected: NonNegativeInt | None
    before: NonNegativeInt
    after: NonNegativeInt
    generated: NonNegativeInt
    cutflow: dict[str, NonNegativeInt]
    error: str | None = None


class Manifest(Settings):
    """One delivery of a batch of files of one dataset.

    Attributes:
        selection: digest of the selection that the skims are made for; None without skims.
    """

    dataset: str
    process: str
    variation: str
    backend: str
    format: str | None
    selection: str | None
    files: tuple[Delivered, ...]
    provenance: Provenance


def write(path: Path, manifest: Manifest) -> None:
    """Write a manifest as JSON, atomically."""
    write_json(path, manifest.model_dump())


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        InputError: if the file is missing or is not a manifest.
    """
    return read_record(Manifest, path, "a manifest")
