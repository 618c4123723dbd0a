"""What came of delivering some files: entries of the manifest, problems, and their ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, model_validator

from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.errors import InputError
from agc_pipeline.files import read_record
from agc_pipeline.readers.failures import Failure, Undelivered
from agc_pipeline.settings import Settings

# What a backend gives for each file, as it comes.
Results = Iterator[tuple[InputFile, Delivered | InputError]]


@dataclass(frozen=True)
class Outcome:
    """What was delivered, and what was not and why.

    Attributes:
        files: all that were asked for.
        delivered: the entry of each file that is there.
        problems: the error of each other file.
    """

    files: Sequence[InputFile]
    delivered: dict[InputFile, Delivered]
    problems: dict[InputFile, InputError]

    def entries(self) -> tuple[Delivered, ...]:
        """An entry for each file, in order; those of files that failed have an error."""
        return tuple(
            self.delivered[file] if file in self.delivered else _failed(file, self.problems[file])
            for file in self.files
        )

    def ledger(self, dataset: str) -> dict[str, Any]:
        """Every attempt that failed, with file, entry range, exception and number, as JSON."""
        return {
            "dataset": dataset,
            "files": [
                {
                    "source": entry.source,
                    "delivered": entry.error is None,
                    "failures": [failure.model_dump() for failure in entry.failures],
                }
                for entry in self.entries()
                if entry.failures or entry.error is not None
            ],
        }

    def check(self, dataset: str, *, data: bool) -> None:
        """Raise if a file is not there.

        Args:
            dataset: its name.
            data: whether its events are collision data, none of which may be left out.

        Raises:
            InputError: the only problem, or one that lists all of them.
        """
        if len(self.problems) == 1:
            raise next(iter(self.problems.values()))
        if self.problems:
            listed = "; ".join(
                f"{file.source}: {error.problem}" for file, error in self.problems.items()
            )
            remedies = {error.remedy for error in self.problems.values()}
            # A server that is gone needs no list of files.
            remedy = remedies.pop() if len(remedies) == 1 else "mend or remove these files"
            raise InputError(
                f"{len(self.problems)} of {len(self.files)} files are not delivered: {listed}",
                place=f"dataset {dataset}",
                remedy=f"{remedy}, and run again: the others are kept"
                + "; or leave them out with `allow_partial: true`" * (not data),
            )


def promised(file: InputFile) -> tuple[int | None, int | None]:
    """Entries that the file must have, and generated events that it stands for.

    Raises:
        InputError: if the record of a simulated file holds something else, or another number than
            the list of files.
    """
    if file.record is None:
        return file.n_events, file.n_events
    record = read_record(_Record, Path(file.record), "a record of simulated events")
    if file.n_events not in (None, record.n_events):
        raise InputError(
            f"the record of {file.source} says {record.n_events} events, the list of files "
            f"{file.n_events}",
            place=file.record,
            remedy="correct the number in the list, or remove it",
        )
    return record.n_events, record.n_generated


class _Record(Settings, extra="ignore"):
    """What is read of the JSON beside a simulated file."""

    n_events: NonNegativeInt
    n_generated: NonNegativeInt

    @model_validator(mode="after")
    def _of_all(self) -> "_Record":
        # Simulations may make several events of one that was generated.
        if self.n_events and not self.n_generated:
            raise ValueError("the file has events, and none was generated")
        return self


def entry(file: InputFile, *, before: int, **facts: Any) -> Delivered:
    """The entry of a file that was delivered.

    Args:
        file: the input.
        before: events in it.
        facts: what else the entry holds.
    """
    expected, generated = promised(file)
    return Delivered(
        source=file.source,
        expected=expected,
        before=before,
        generated=before if generated is None else generated,
        **{"cutflow": {}, **facts},
    )


def _failed(file: InputFile, error: InputError) -> Delivered:
    n_events, generated = promised(file)
    failures: tuple[Failure, ...] = error.failures if isinstance(error, Undelivered) else ()
    return Delivered(
        source=file.source,
        path=None,
        size=None,
        expected=n_events,
        before=0,
        after=0,
        generated=generated or n_events or 0,
        cutflow={},
        failures=failures,
        error=str(error),
    )
