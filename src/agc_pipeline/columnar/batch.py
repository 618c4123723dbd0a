"""What a histogram job writes: relative-weight histograms of some files, with their accounts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import hist
from pydantic import Field, NonNegativeInt, PositiveFloat

from agc_pipeline import histograms
from agc_pipeline.columnar import repeats
from agc_pipeline.columnar.exactness import check_sum
from agc_pipeline.columnar.filling import by_region, whole
from agc_pipeline.columnar.ledger import LedgerEntry
from agc_pipeline.columnar.performance import Performance, merged
from agc_pipeline.errors import ClosureError, InputError
from agc_pipeline.files import read_record, write_json
from agc_pipeline.provenance import Provenance
from agc_pipeline.settings import Settings

# By process and region.
Contents: TypeAlias = dict[str, dict[str, hist.Hist]]


class Batch(Settings):
    """Histograms of some files of one dataset, without cross section.

    Attributes:
        histograms: process and region to a histogram of variation and observable, in UHI's JSON
            form; collision data have the process "data".
        migrations: likewise to a histogram of variation, unvaried and varied observable, for the
            variations that redo the selection, see ``columnar.filling.Migrations``.
        remainders: of "histograms" and "migrations", likewise; see ``columnar.filling.whole``.
        unit: of the weights, see ``columnar.filling``; None where every event counts as 1.
        cutflow: events behind each cut of the nominal selection, in order.
        unassigned: events of each region that are of no process of the dataset, likewise.
        exposed: region to the regions whose blinded data it shows.
        sample: digests of events, see ``columnar.repeats``.
        files: account of each file.
        performance: what each reader cost.
        models: digest of the models of learned observables; None if there are none.
    """

    dataset: str
    histograms: dict[str, dict[str, Any]]
    migrations: dict[str, dict[str, Any]]
    remainders: dict[str, dict[str, dict[str, Any]]]
    unit: PositiveFloat | None
    cutflow: dict[str, NonNegativeInt]
    unassigned: dict[str, NonNegativeInt]
    exposed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    sample: tuple[NonNegativeInt, ...] = ()
    files: tuple[LedgerEntry, ...]
    performance: dict[str, Performance]
    models: str | None = None
    provenance: Provenance

    def contents(self, content: Literal["histograms", "migrations"]) -> Contents:
        """Process and region to a histogram, of which both parts are together."""
        stored = getattr(self, content), self.remainders[content]
        return by_region(whole, *(by_region(histograms.from_json, part) for part in stored))


def sums(output: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a batch with the sums of all chunks.

    Args:
        output: of the processing.
    """

    def stored(number: int) -> dict[str, Any]:
        return {
            content: by_region(
                lambda sums: histograms.to_json(sums.parts()[number]), output[content]
            )
            for content in ("histograms", "migrations")
        }

    return {**stored(0), "remainders": stored(1)}


def add(batches: Sequence[Batch], made_by: Provenance) -> Batch:
    """The sum of batches of one dataset; exact, so that any order gives the same bits.

    Raises:
        ClosureError: if the batches have weights in different units.
        InputError: if contents are too large to be exact.
    """
    first = batches[0]
    units = {batch.unit for batch in batches}
    if len(units) > 1:
        raise ClosureError(
            "batches have weights in different units: " + ", ".join(sorted(map(str, units))),
            place=f"dataset {first.dataset}",
            remedy="delete its folder in `histograms/` of the results and run again",
        )
    return first.model_copy(
        update={
            "histograms": {
                process: {
                    region: histograms.to_json(_sum(batches, process, region)) for region in regions
                }
                for process, regions in first.histograms.items()
            },
            "migrations": _added([batch.migrations for batch in batches]),
            "remainders": {
                content: _added([batch.remainders[content] for batch in batches])
                for content in first.remainders
            },
            "cutflow": total([batch.cutflow for batch in batches]),
            "unassigned": total([batch.unassigned for batch in batches]),
            "exposed": _united([batch.exposed for batch in batches]),
            "sample": repeats.total(repeats.Sample(batch.sample) for batch in batches).digests,
            "files": tuple(file for batch in batches for file in batch.files),
            "performance": merged([batch.performance for batch in batches]),
            "provenance": made_by,
        }
    )


def _added(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The sum of histograms by process and region, in UHI's JSON form."""
    return by_region(lambda *part: histograms.to_json(sum(map(histograms.from_json, part))), *parts)


def _sum(batches: Sequence[Batch], process: str, region: str) -> hist.Hist:
    first, *others = (histograms.from_json(b.histograms[process][region]) for b in batches)
    total = first
    for histogram in others:
        total = total + histogram
        try:
            check_sum(total, batches[0].unit)
        except InputError as error:
            place = f"dataset {batches[0].dataset}, process {process}, region {region}"
            raise InputError(error.problem, place=place, remedy=error.remedy) from error
    return total


def total(cutflows: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sum of cutflows, in the order of the first; without cuts that some did not count."""
    return {
        cut: sum(cutflow[cut] for cutflow in cutflows)
        for cut in cutflows[0]
        if all(cut in cutflow for cutflow in cutflows)
    }


def _united(exposed: Sequence[Mapping[str, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """Names by region, each once and in their order."""
    regions = sorted({region for each in exposed for region in each})
    return {
        region: tuple(sorted({name for each in exposed for name in each.get(region, ())}))
        for region in regions
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
