"""Random numbers keyed by the identity of event and jet, for the jet energy resolution.

The same jet of the same event is always given the same number, whatever the order, chunking,
file or machine. They are those of correctionlib's ``hashprng``, to the bit, as a compiled loop.
correctionlib makes a number of the "normal" distribution in three steps, repeated here: the XXH64
hash of the identity (https://xxhash.com, five words of 64 bit, seed 0) is the seed of a generator
PCG-XSH-RR with 64 bits of state and 32 of output (M. E. O'Neill, HMC-CS-2014-0905), whose numbers
are turned into a normal one by the polar method of Marsaglia.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from agc_pipeline.compiling import kernel

Array = npt.NDArray[Any]
Word = np.uint64

# Numbers beyond six standard deviations (2e-9 of them) are set to six, which gives the preselection
# a strict bound.
LIMIT = 6.0

_PRIME_1 = Word(0x9E3779B185EBCA87)
_PRIME_2 = Word(0xC2B2AE3D27D4EB4F)
_PRIME_3 = Word(0x165667B19E3779F9)
_PRIME_4 = Word(0x85EBCA77C2B2AE63)
_LENGTH = Word(5 * 8)
_START_1 = Word((0x9E3779B185EBCA87 + 0xC2B2AE3D27D4EB4F) % 2**64)
_START_4 = Word(2**64 - 0x9E3779B185EBCA87)
_ZERO = Word(0)

_MULTIPLIER = Word(6364136223846793005)
_INCREMENT = Word(1442695040888963407)


@kernel
def _rotated(word: Word, bits: int) -> Word:
    return (word << Word(bits)) | (word >> Word(64 - bits))


@kernel
def _round(state: Word, word: Word) -> Word:
    return _rotated(state + word * _PRIME_2, 31) * _PRIME_1


@kernel
def _event_hash(seed: Word, run: Word, block: Word, event: Word) -> Word:
    """What the hashes of all jets of an event begin with."""
    states = (
        _round(_START_1, seed),
        _round(_PRIME_2, run),
        _round(_ZERO, block),
        _round(_START_4, event),
    )
    word = (
        _rotated(states[0], 1)
        + _rotated(states[1], 7)
        + _rotated(states[2], 12)
        + _rotated(states[3], 18)
    )
    for state in states:
        word = (word ^ _round(_ZERO, state)) * _PRIME_1 + _PRIME_4
    return word + _LENGTH


@kernel
def _jet_hash(begun: Word, jet: Word) -> Word:
    word = _rotated(begun ^ _round(_ZERO, jet), 27) * _PRIME_1 + _PRIME_4
    word = (word ^ (word >> Word(33))) * _PRIME_2
    word = (word ^ (word >> Word(29))) * _PRIME_3
    return word ^ (word >> Word(32))


@kernel
def _uniform(state: Word) -> float:
    """A number from -1 to 1 of the state of the generator."""
    shifted = ((state >> Word(18)) ^ state) >> Word(27)
    word = np.uint32(shifted & Word(0xFFFFFFFF))
    bits = np.uint32(state >> Word(59))
    rotated = np.uint32((word >> bits) | (word << ((np.uint32(32) - bits) & np.uint32(31))))
    return rotated * 2.0**-31 - 1.0


@kernel
def standard_normals(
    seed: int, run: Array, block: Array, event: Array, offsets: Array, jet: Array, limit: float
) -> Array:
    """A standard normal number for each jet, cut off at ``limit``: ``jets * float64``.

    Args:
        seed: of the generator.
        run: of each event.
        block: luminosity block of each event.
        event: number of each event.
        offsets: of the jets of each event, ``events + 1``.
        jet: position of each jet among the stored ones of its event.
        limit: largest absolute value.
    """
    numbers = np.empty(len(jet), np.float64)
    for i in range(len(offsets) - 1):
        begun = _event_hash(Word(seed), Word(run[i]), Word(block[i]), Word(event[i]))
        for j in range(offsets[i], offsets[i + 1]):
            state = (_jet_hash(begun, Word(jet[j])) + _INCREMENT) * _MULTIPLIER + _INCREMENT
            square = 0.0
            u = 0.0
            while square >= 1.0 or square == 0.0:
                u = _uniform(state)
                state = state * _MULTIPLIER + _INCREMENT
                v = _uniform(state)
                state = state * _MULTIPLIER + _INCREMENT
                square = u * u + v * v
            number = u * math.sqrt(-2.0 * math.log(square) / square)
            numbers[j] = min(max(number, -limit), limit)
    return numbers
