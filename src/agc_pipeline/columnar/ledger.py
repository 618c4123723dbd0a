"""Accounts of events: what each file should hold, what was delivered, what was processed."""

from collections.abc import Mapping, Sequence

from pydantic import FiniteFloat, NonNegativeInt

from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.errors import ClosureError
from agc_pipeline.readers.file_header import normalised_uuid
from agc_pipeline.settings import Settings


class LedgerEntry(Settings):
    """Account of one input file.

    Attributes:
        source: address of the file.
        expected: events that the configuration promises; None if it says nothing.
        before: events that delivery found in the file.
        counted: whether it looked; else ``before`` is what the configuration promises.
        after: events that delivery passed on; None where that is not told.
        processed: events that the histogram stage went through, likewise.
        generated: events that the file stands for in the normalisation.
        sum_of_weights: of the generated events, where these have weights; None where they count.
        uuid: that ROOT gave the input file; None where that is not known: a service read it, or it
            has none.
        error: why the file failed; None if it did not.
    """

    source: str
    expected: NonNegativeInt | None
    before: NonNegativeInt
    counted: bool = True
    after: NonNegativeInt | None
    processed: NonNegativeInt | None
    generated: NonNegativeInt
    sum_of_weights: FiniteFloat | None = None
    uuid: str | None = None
    error: str | None

    @property
    def closed(self) -> bool:
        """Whether all events are accounted for."""
        complete = self.expected is None or self.expected == self.before
        return self.error is None and complete and self.after == self.processed

    def blinded(self) -> "LedgerEntry":
        """The account without the numbers of events behind the preselection."""
        return self.model_copy(update={"after": None, "processed": None})

    def explain(self) -> str:
        """What is wrong with the file, in one line."""
        if self.error is not None:
            return f"{self.source}: {self.error.splitlines()[0]}"
        return (
            f"{self.source}: {self.expected} events expected, {self.before} found, "
            f"{self.after} delivered, {self.processed} processed"
        )


def account(delivered: Delivered, processed: int, error: str | None = None) -> LedgerEntry:
    """The ledger entry of a delivered file of which ``processed`` events were processed."""
    return LedgerEntry(
        source=delivered.source,
        expected=delivered.expected,
        before=delivered.before,
        counted=delivered.counted,
        after=delivered.after,
        processed=processed,
        generated=delivered.generated,
        sum_of_weights=delivered.sum_of_weights,
        uuid=normalised_uuid(delivered.identity.uuid if delivered.identity else None),
        error=delivered.error or error,
    )


def check_origins(ledgers: Mapping[str, Sequence[LedgerEntry]]) -> None:
    """Check that no file was read under two addresses.

    Copies, links and the mirrors of a server have other names and the same UUID.

    Args:
        ledgers: of all datasets, by name.

    Raises:
        ClosureError: naming both addresses.
    """
    known: dict[str, tuple[str, str]] = {}
    for dataset, entries in ledgers.items():
        for entry in entries:
            if entry.uuid is None:
                continue
            other, source = known.setdefault(entry.uuid, (dataset, entry.source))
            if (other, source) != (dataset, entry.source):
                raise ClosureError(
                    f"a file is listed more than once: {source} and {entry.source} are the same "
                    f"file, the UUID {entry.uuid}",
                    place=f"dataset {dataset}" if other == dataset else f"{other} and {dataset}",
                    remedy="remove the duplicates from the input: their events would be counted "
                    "twice",
                )


def check_readable(entries: Sequence[LedgerEntry], dataset: str) -> None:
    """Check that some file of a dataset could be read, whether or not a result may be partial.

    Args:
        entries: the ledger of the whole dataset.
        dataset: its name, for errors.

    Raises:
        ClosureError: naming the files, if all of them failed.
    """
    if all(entry.error is not None for entry in entries):
        raise ClosureError(
            "no file can be read: " + "; ".join(entry.explain() for entry in entries),
            place=f"dataset {dataset}",
            remedy="repair the files, or take the dataset out of the input",
        )


def close(
    entries: Sequence[LedgerEntry],
    n_files: int,
    dataset: str,
    *,
    allow_partial: bool,
    n_events: int | None = None,
    data: bool = False,
) -> tuple[LedgerEntry, ...]:
    """Check that every file of a dataset is there once and complete.

    Args:
        entries: the ledger of the dataset.
        n_files: number of files that the configuration lists.
        dataset: its name, for errors.
        allow_partial: accept files that are not complete.
        n_events: of all files, as the list of files says; None if it does not.
        data: whether the events are collision data, whose luminosity is that of all files.

    Returns:
        The files that are not complete and were left out of the histograms.

    Raises:
        ClosureError: if a file is missing, doubled or, without ``allow_partial`` or of collision
            data, not complete; if no file is complete; or if there are more or less events than
            the list says.
    """
    sources = {entry.source for entry in entries}
    if len(entries) != n_files or len(sources) != n_files:
        raise ClosureError(
            f"{n_files} files are configured, the ledger has {len(entries)} ({len(sources)} "
            "different ones)",
            place=f"dataset {dataset}",
            remedy="delete its folder in `histograms/` of the results and run again",
        )
    unclosed = tuple(entry for entry in entries if not entry.closed)
    if unclosed and data:
        raise ClosureError(
            "collision data are missing, and the luminosity would be too large: "
            + "; ".join(entry.explain() for entry in unclosed),
            place=f"dataset {dataset}",
            remedy="repair the files, or take them out of the input and give the luminosity of "
            "the others",
        )
    if unclosed and not allow_partial:
        raise ClosureError(
            "events are missing: " + "; ".join(entry.explain() for entry in unclosed),
            place=f"dataset {dataset}",
            remedy="repair or remove the files, or accept a partial result with "
            "`allow_partial: true`",
        )
    if len(unclosed) == n_files:
        raise ClosureError(
            "no file is complete: " + "; ".join(entry.explain() for entry in unclosed),
            place=f"dataset {dataset}",
            remedy="repair the files, or take the dataset out of the input",
        )
    total = sum(entry.before for entry in entries)
    if n_events is not None and not unclosed and total != n_events:
        raise ClosureError(
            f"the {n_files} files have {total} events, the list of files says {n_events}",
            place=f"dataset {dataset}",
            remedy="correct `metadata.n_events`, or complete the list of files",
        )
    return unclosed
