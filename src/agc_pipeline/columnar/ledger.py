"""Accounts of events: what each file should hold, what was delivered, what was processed."""

from collections.abc import Sequence

from pydantic import FiniteFloat, NonNegativeInt

from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.errors import ClosureError
from agc_pipeline.settings import Settings


class LedgerEntry(Settings):
    """Account of one input file.

    Attributes:
        source: address of the file.
        expected: events that the configuration promises; None if it says nothing.
        before: events that delivery found in the file.
        after: events that delivery passed on.
        processed: events that the histogram stage went through.
        generated: events that the file stands for in the normalisation.
        sum_of_weights: of the generated events, where these have weights; None where they count.
        error: why the file failed; None if it did not.
    """

    source: str
    expected: NonNegativeInt | None
    before: NonNegativeInt
    after: NonNegativeInt
    processed: NonNegativeInt
    generated: NonNegativeInt
    sum_of_weights: FiniteFloat | None = None
    error: str | None

    @property
    def closed(self) -> bool:
        """Whether all events are accounted for."""
        complete = self.expected is None or self.expected == self.before
        return self.error is None and complete and self.after == self.processed

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
        after=delivered.after,
        processed=processed,
        generated=delivered.generated,
        sum_of_weights=delivered.sum_of_weights,
        error=delivered.error or error,
    )


def close(
    entries: Sequence[LedgerEntry], n_files: int, dataset: str, *, allow_partial: bool
) -> tuple[LedgerEntry, ...]:
    """Check that every file of a dataset is there once and complete.

    Args:
        entries: the ledger of the dataset.
        n_files: number of files that the configuration lists.
        dataset: its name, for errors.
        allow_partial: accept files that are not complete.

    Returns:
        The files that are not complete and were left out of the histograms.

    Raises:
        ClosureError: if a file is missing, doubled or, without ``allow_partial``, not complete;
            or if no file is complete.
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
    return unclosed
