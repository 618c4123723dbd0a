"""The ledger of time and bytes: what was read, and where the time went."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt

from agc_pipeline.files import read_record, write_json
from agc_pipeline.readers.clock import PARTS, Seconds
from agc_pipeline.settings import Settings


class Performance(Settings):
    """What the files that went one way cost.

    Attributes:
        files: number of files; a file counts once.
        events: number of events processed.
        bytes: compressed bytes of the baskets or clusters that were read.
        seconds: of each of ``PARTS``.
    """

    files: NonNegativeInt = 0
    events: NonNegativeInt = 0
    bytes: NonNegativeInt = 0
    seconds: dict[str, Seconds] = Field(default_factory=dict)

    def __add__(self, other: "Performance") -> "Performance":
        return Performance(
            files=self.files + other.files,
            events=self.events + other.events,
            bytes=self.bytes + other.bytes,
            seconds={
                part: self.seconds.get(part, Seconds()) + other.seconds.get(part, Seconds())
                for part in PARTS
            },
        )

    @property
    def rate(self) -> float:
        """Events per second of CPU time; 0 if none was used."""
        cpu = self.total.cpu
        return self.events / cpu if cpu else 0.0

    @property
    def total(self) -> Seconds:
        """The time of all parts."""
        return sum(self.seconds.values(), Seconds())


class PerformanceRecord(Settings):
    """``performance.json`` of a run, or of one job.

    Attributes:
        datasets: dataset to way of processing ("baskets", "pages", "uproot" or "coffea") to its
            cost; of a run, without blinded data, whose number of processed events is not told.
    """

    datasets: dict[str, dict[str, Performance]]

    @property
    def ways(self) -> dict[str, Performance]:
        """Cost of each way, summed over the datasets."""
        return merged(list(self.datasets.values()))


def performance(reported: Mapping[str, Any], files: int) -> Performance:
    """The cost of one way, from the sum of the reports of its chunks."""
    return Performance.model_validate({**reported, "files": files})


def merged(costs: Sequence[Mapping[str, Performance]]) -> dict[str, Performance]:
    """The sum of costs, way by way."""
    ways = dict.fromkeys(way for cost in costs for way in cost)
    return {
        way: reduce(Performance.__add__, [cost[way] for cost in costs if way in cost])
        for way in ways
    }


def write(path: Path, record: PerformanceRecord) -> None:
    """Write a record as JSON, atomically."""
    write_json(path, record.model_dump())


def read(path: Path) -> PerformanceRecord:
    """Read a record.

    Raises:
        InputError: if the file is missing or is something else.
    """
    return read_record(PerformanceRecord, path, "a record of performance")
