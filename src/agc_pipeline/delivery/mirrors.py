"""A file from the first of its mirrors that gives it, with everything that failed before."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

import tenacity

from agc_pipeline.datasets import InputFile
from agc_pipeline.errors import InputError
from agc_pipeline.readers.failures import Failure, ReadError, Undelivered
from agc_pipeline.readers.settings import NetworkSettings

log = logging.getLogger(__name__)

T = TypeVar("T")


def from_mirrors(
    file: InputFile, attempt: Callable[[str], T], network: NetworkSettings
) -> tuple[T, tuple[Failure, ...]]:
    """Try the addresses of a file in order, again and again where that may help.

    An address that gives no such file, or a wrong one, is not tried again; one that does not
    answer, or not to the end, is tried in every round. A round before which a server asked to wait
    does not count.

    Args:
        file: what is wanted.
        attempt: reads the file at an address; its ``ReadError`` says whether to try again.
        network: number of rounds, and the time between them.

    Returns:
        What the attempt gives, and what failed before.

    Raises:
        Undelivered: if no address gives the file.
    """
    tries = _Tries(file, attempt, network)
    rounds = tenacity.Retrying(
        stop=tries.stop,
        wait=tries.pause,
        retry=tenacity.retry_if_exception_type(_RoundFailedError),
        before_sleep=tries.tell_pause,
        retry_error_callback=tries.give_up,
    )
    return rounds(tries.round), tries.failures()


class _RoundFailedError(Exception):
    """No mirror gave the file in this round, and at least one is worth another attempt."""


class _Tries(Generic[T]):
    def __init__(
        self, file: InputFile, attempt: Callable[[str], T], network: NetworkSettings
    ) -> None:
        self._file = file
        self._attempt = attempt
        self._rounds = network.attempts
        self._patience = network.patience
        self._least = network.backoff
        self._backoff = tenacity.wait_exponential_jitter(
            multiplier=network.backoff, max=network.backoff_max, jitter=network.backoff
        )
        # How long servers ask to wait before the next round.
        self._asked: float | None = None
        self._left = list(file.urls)
        self._last: dict[str, InputError] = {}
        self._counts: Counter[tuple[str, tuple[int, int] | None, str]] = Counter()
        self._told = ""

    def round(self) -> T:
        """Try all addresses that are left once, in order."""
        order = tuple(self._left)
        self._asked = None
        for number, url in enumerate(order, 1):
            try:
                return self._attempt(url)
            except InputError as error:
                self._note(url, error)
            if number < len(order):
                log.warning("%s; now trying %s", self._told, order[number])
        if self._left:
            raise _RoundFailedError
        return self.give_up()

    def stop(self, state: tenacity.RetryCallState) -> bool:
        """Whether the round was the last; one that servers asked to wait for is one more."""
        if self._asked is not None:
            self._rounds += 1
        return state.attempt_number >= self._rounds

    def pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next round."""
        if self._asked is None:
            return self._backoff(state)
        seconds = max(self._asked, self._least)
        self._patience -= seconds
        return seconds

    def tell_pause(self, state: tenacity.RetryCallState) -> None:
        """Say when the next round begins."""
        log.warning(
            "%s; round %d of %d in %.1f s",
            self._told,
            state.attempt_number + 1,
            self._rounds,
            state.upcoming_sleep,
        )

    def give_up(self, state: tenacity.RetryCallState | None = None) -> T:  # noqa: ARG002
        """Raise what is to be told when no address gives the file."""
        log.warning("%s; no attempt is left", self._told)
        last = self._last[self._file.urls[-1]]
        problem, place = last.problem, last.place
        if len(self._last) > 1:
            problem = "no mirror gives the file: " + "; ".join(
                f"{error.place}: {error.problem}" for error in self._last.values()
            )
            place = self._file.source
        raise Undelivered(
            problem, place=place, remedy=last.remedy, failures=self.failures()
        ) from last

    def failures(self) -> tuple[Failure, ...]:
        """All that went wrong, in the order in which it first did."""
        return tuple(
            Failure(url=url, events=events, error=error, attempts=attempts)
            for (url, events, error), attempts in self._counts.items()
        )

    def _note(self, url: str, error: InputError) -> None:
        self._last[url] = error
        events, what, transient = None, f"{type(error).__name__}: {error.problem}", False
        if isinstance(error, ReadError):
            events, what, transient = error.events, error.error, error.transient
            if error.wait is not None:
                transient = error.wait <= self._patience
                self._asked = max(self._asked or 0.0, error.wait) if transient else self._asked
        if not transient:
            self._left.remove(url)
        self._counts[url, events, what] += 1
        entries = "" if events is None else f", events {events[0]} to {events[1]}"
        self._told = f"{url}{entries}: {what}"
