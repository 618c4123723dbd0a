"""Examples for training, read directly from input files: skims have no generator particles."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.delivery.mirrors import from_mirrors
from agc_pipeline.delivery.outcome import promised
from agc_pipeline.delivery.progress import Progress
from agc_pipeline.learning.examples import Examples, append
from agc_pipeline.learning.models import PARITIES, DataFile
from agc_pipeline.readers.opening import (
    READ_ERRORS,
    bytes_read,
    check_entries,
    count_events,
    entry_ranges,
    identity,
    only_reading,
    open_tree,
    present_branches,
    unreadable,
)
from agc_pipeline.readers.ranges import arrays_of
from agc_pipeline.readers.settings import ReadingSettings

log = logging.getLogger(__name__)

# From events to those of them whose truth is known.
ExampleFunction = Callable[[Any], Examples]

# Generator particles of a file of the task take 150 MB then, with what uproot needs to read them.
_EVENTS_AT_A_TIME = 25_000

_REMEDY = (
    "train on simulated events in NanoAOD before any skim, or set `learning.models` to the folder "
    "of an earlier training"
)


def read(
    files: Sequence[InputFile],
    columns: Columns,
    layout: Layout,
    example_function: ExampleFunction,
    reading: ReadingSettings,
    *,
    n_events_max: int,
) -> tuple[Examples, tuple[DataFile, ...]]:
    """Read examples until there are enough of both parities, or no more files.

    Args:
        files: in the order in which they are read, each from the first mirror that works.
        columns: what to read of them.
        layout: of the files.
        example_function: returns the examples of some events, from their arrays by branch.
        reading: chunk size, time-outs and retries.
        n_events_max: examples of each parity that are used, the first ones.

    Returns:
        The examples, and an entry for each file that was read.

    Raises:
        InputError: if no mirror has a file, or if it lacks a column.
    """
    counts = [promised(file)[0] for file in files]
    n_events = None if None in counts else sum(count or 0 for count in counts)
    reader = _Reader(columns, layout, example_function, reading, Progress(len(files), n_events))
    chunks: list[Examples] = []
    data_files: list[DataFile] = []
    n_examples = np.zeros(len(PARITIES), np.int64)
    for file in files:
        (examples, data_file), _ = from_mirrors(file, partial(reader.read, file), reading.network)
        reader.progress.finish()
        chunks.append(examples)
        data_files.append(data_file)
        n_examples += _counts(examples)
        if np.all(n_examples >= n_events_max):
            break
    log.info(
        "%d of %d files have %d and %d matched events with even and odd numbers",
        *(len(data_files), len(files), *n_examples),
    )
    return _first(append(chunks), n_events_max), tuple(data_files)


@dataclass(frozen=True)
class _Reader:
    """Arguments of ``read``, for each file."""

    columns: Columns
    layout: Layout
    example_function: ExampleFunction
    reading: ReadingSettings
    progress: Progress

    def read(self, file: InputFile, url: str) -> tuple[Examples, DataFile]:
        """Examples of a whole file at one of its addresses, and its description."""
        self.progress.begin()
        with open_tree(
            url, self.columns, self.layout, self.reading.network, remedy=_REMEDY
        ) as tree:
            check_entries(count_events(tree), promised(file)[0], url=url)
            names = present_branches(tree, self.columns, self.layout)
            chunks = []
            n_bytes = 0
            for start, stop in entry_ranges(tree, names, self._chunk_size):
                try:
                    with only_reading():
                        arrays = arrays_of(tree, names, (start, stop))
                except READ_ERRORS as error:
                    raise unreadable(url, error, (start, stop)) from error
                chunks.append(self.example_function(arrays))
                self.progress.advance(stop - start, bytes_read(tree) - n_bytes)
                n_bytes = bytes_read(tree)
            examples = append(chunks)
            return examples, DataFile(
                name=file.source,
                identity=identity(tree),
                n_events=count_events(tree),
                n_matched=len(examples),
            )

    @property
    def _chunk_size(self) -> int:
        return min(self.reading.chunk_size, _EVENTS_AT_A_TIME)


def _counts(examples: Examples) -> npt.NDArray[np.int64]:
    """Number of events of each parity."""
    return np.bincount((examples.numbers % 2).astype(np.int64), minlength=len(PARITIES))


def _first(examples: Examples, n_events_max: int) -> Examples:
    """The first events of each parity, in their order."""
    odd = examples.numbers % 2 == 1
    rank = np.where(odd, np.cumsum(odd), np.cumsum(~odd))
    return examples.select(rank <= n_events_max)
