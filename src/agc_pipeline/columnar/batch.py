"""What a histogram job writes: relative-weight histograms of some files, with their accounts."""

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from agc_pipeline import histograms
from agc_pipeline.columnar.ledger import LedgerEntry
from agc_pipeline.columnar.performance import Performance, merged
from agc_pipeline.files import read_record, write_json
from agc_pipeline.provenance import Provenance
from agc_pipeline.settings import Settings


class Batch(Settings):
    """Histograms of some files of one dataset, without cross section.

    Attributes:
        histograms: process and region to a histogram of variation and observable, in UHI's JSON
            form; collision data have the process "data".
        cutflow: events behind each cut of the nominal selection, in order.
        files: account of each file.
        performance: what each reader cost.
        models: digest of the models of learned observables; None if there are none.
    """

    dataset: str
    histograms: dict[str, dict[str, Any]]
    cutflow: dict[str, NonNegativeInt]
    files: tuple[LedgerEntry, ...]
    performance: dict[str, Performance]
    models: str | None = None
    provenance: Provenance


def add(batches: Sequence[Batch], made_by: Provenance) -> Batch:
    """The sum of batches of one dataset; exact, so that any order gives the same bits."""
    return batches[0].model_copy(
        update={
            "histograms": {
                process: {
                    region: histograms.to_json(
                        reduce(
                            operator.add,
                            (
                                histograms.from_json(batch.histograms[process][region])
                                for batch in batches
                            ),
                        )
                    )
                    for region in regions
                }
                for process, regions in batches[0].histograms.items()
            },
            "cutflow": total([batch.cutflow for batch in batches]),
            "files": tuple(file for batch in batches for file in batch.files),
            "performance": merged([batch.performance for batch in batches]),
            "provenance": made_by,
        }
    )


def total(cutflows: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sum of cutflows, in the order of the first; without cuts that some did not count."""
    return {
        cut: sum(cutflow[cut] for cutflow in cutflows)
        for cut in cutflows[0]
        if all(cut in cutflow for cutflow in cutflows)
    }


def write(path: Path, batch: Batch) -> None:
    """Write a batch as JSON, atomically."""
    write_json(path, batch.model_dump())


def read(path: Path) -> Batch:
    """Read a batch.

    Raises:
        InputError: if the file is missing or is not a batch.
    """
    return read_record(Batch, path, "a batch of histograms")
