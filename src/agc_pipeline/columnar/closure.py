"""The record of events that stands beside the histograms: what was expected, what was processed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt

from agc_pipeline.columnar.ledger import LedgerEntry
from agc_pipeline.errors import ClosureError
from agc_pipeline.files import read_record
from agc_pipeline.settings import Settings


class DatasetAccount(Settings):
    """Account of a dataset.

    Attributes:
        kind: simulation, or collision data.
        processes: that it fills; none for data.
        variation: "nominal", or the variation that the dataset is.
        xsec_pb: cross section, pb; None for data.
        weight: factor on the relative weights of events.
        unit: of the relative weights, in which they are added up; None where every event counts
            as 1.
        n_generated: events that the processed files stand for.
        sum_of_weights: of these events, where they have generator weights; None where they count.
        events_expected: events that all files should hold.
        events_processed: events of the files that are complete.
        cutflow: events behind each cut of the nominal selection, in order; of blinded data, in the
            files and outside of the windows, and in no other cut.
        unassigned: events that its ``Fill``s leave out, by region, where there are any.
        exposed: region to the regions whose blinded data it shows.
        files: account of each file; none where the input is not files.
        left_out: files that are not complete, with the reason.
        compared: selected events whose identities were compared, in each region.
        repeated: those of them that are there more than once, in any file of the dataset.
        subset_of: dataset of which its events are a part, file by file; None is none.
        not_checked: files whose number of events nobody compared with the promised one.
    """

    kind: Literal["simulation", "data"] = "simulation"
    processes: tuple[str, ...]
    variation: str
    xsec_pb: PositiveFloat | None
    weight: PositiveFloat
    unit: PositiveFloat | None = None
    n_generated: NonNegativeInt
    sum_of_weights: FiniteFloat | None = None
    events_expected: NonNegativeInt
    events_processed: NonNegativeInt
    cutflow: dict[str, NonNegativeInt]
    unassigned: dict[str, PositiveInt] = Field(default_factory=dict)
    exposed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    files: tuple[LedgerEntry, ...]
    left_out: tuple[str, ...]
    compared: NonNegativeInt = 0
    repeated: NonNegativeInt = 0
    subset_of: str | None = None
    not_checked: tuple[str, ...] = ()

    @property
    def luminosity_per_pb(self) -> float | None:
        """Luminosity to which the events are normalised; None of collision data."""
        if self.xsec_pb is None:
            return None
        generated = self.n_generated if self.sum_of_weights is None else self.sum_of_weights
        return self.weight * generated / self.xsec_pb

    @property
    def events_delivered(self) -> int | None:
        """Events of the files that are complete which delivery passed on; None if not told."""
        passed = [file.after for file in self.files if file.closed]
        counts = [count for count in passed if count is not None]
        return sum(counts) if len(counts) == len(passed) else None

    @property
    def complete(self) -> bool:
        """Whether every file and event is accounted for."""
        return not self.left_out and self.events_expected == self.events_processed


class Closure(Settings):
    """Accounts of all datasets of a run.

    Attributes:
        partial: files were left out.
        datasets: by name.
        luminosity_per_pb: of all eras, in 1/pb; None where it is not told.
        models: digest of the models of learned observables; None if there are none.
        compared: likewise of collision data, of all datasets together.
        repeated: those of them that are there more than once.
        provenance: what made the record.
    """

    partial: bool
    datasets: dict[str, DatasetAccount]
    luminosity_per_pb: PositiveFloat | None = None
    models: str | None = None
    compared: NonNegativeInt = 0
    repeated: NonNegativeInt = 0
    provenance: dict[str, Any]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Files that are not in the result, with the reason."""
        return tuple(entry for dataset in self.datasets.values() for entry in dataset.left_out)

    @property
    def subsets(self) -> dict[str, str]:
        """Datasets of which all events are in another one, which is named.

        Where files are left out, this is not known.
        """
        whole = {name for name, dataset in self.datasets.items() if not dataset.left_out}
        return {
            name: dataset.subset_of
            for name, dataset in self.datasets.items()
            if name in whole and dataset.subset_of is not None and dataset.subset_of in whole
        }


def check_subsets(datasets: Mapping[str, DatasetAccount]) -> None:
    """Check that a dataset can be a part of the one that it is said to be of.

    Raises:
        ClosureError: if one of its files has more events.
    """
    for name, dataset in datasets.items():
        whole = None if dataset.subset_of is None else datasets.get(dataset.subset_of)
        if whole is None or dataset.left_out or whole.left_out:
            continue
        for part, other in zip(dataset.files, whole.files, strict=False):
            if part.before > other.before:
                raise ClosureError(
                    f"{part.source} has {part.before} events and {other.source} {other.before}: "
                    f"{name} is no part of {dataset.subset_of}, file by file",
                    place=f"`metadata.subset_of` of {name}",
                    remedy="correct it, or the order of the files, or leave it out",
                )


def read(path: Path) -> Closure:
    """Read ``closure.json``.

    Raises:
        InputError: if the file is missing or is something else.
    """
    return read_record(Closure, path, "a closure record")
