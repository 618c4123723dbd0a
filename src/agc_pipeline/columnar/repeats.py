"""Events that count twice: the same event in files that were written anew.

Copies of a file have its UUID. Files of overlapping primary datasets, a skim beside its source, or
a merged file beside its parts have others: only the identities of the events tell. Of these the
smallest digests are kept, which are the same events wherever they come from: a sample of a fixed
size that is exact for few events, and that any repetition above some per mille cannot escape.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from agc_pipeline.readers.columns import Array

# Digests that are kept.
SIZE = 1000


@dataclass(frozen=True)
class Sample:
    """The smallest digests of events in regions.

    Attributes:
        digests: ascending, each as often as the event is there; ``SIZE`` at most.
    """

    digests: tuple[int, ...] = ()

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(tuple(sorted(self.digests + other.digests)[:SIZE]))

    @property
    def n_repeated(self) -> int:
        """How many of the digests are those of an event that is there before."""
        return sum(one == other for one, other in pairwise(self.digests))


def sample(identity: Sequence[Any], region: str) -> Sample:
    """The sample of the events of a region.

    Args:
        identity: columns that tell an event from all others, each ``events`` numbers.
        region: its name: an event may be in several regions, once in each.
    """
    digests = np.full(len(identity[0]), zlib.crc32(region.encode()), np.uint64)
    for column in identity:
        # Numbers that two types have are the same number.
        digests = _mixed(digests ^ _bits(column))
    # JSON has no larger whole numbers for all that read it.
    digests >>= np.uint64(11)
    n_kept = min(SIZE, len(digests))
    smallest = np.partition(digests, n_kept - 1)[:n_kept] if n_kept else digests
    return Sample(tuple(np.sort(smallest).tolist()))


def total(samples: Iterable[Sample]) -> Sample:
    """The sample of all events together."""
    return sum(samples, Sample())


def _bits(column: Any) -> Array:
    numbers = np.asarray(column)
    if numbers.dtype.kind != "u":
        numbers = numbers.astype(np.int64)
    return numbers.astype(np.uint64)


def _mixed(bits: Array) -> Array:
    """S. Vigna's splitmix64 (public domain, prng.di.unimi.it): neighbours become far apart."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = bits ^ (bits >> np.uint64(31))
    return mixed
