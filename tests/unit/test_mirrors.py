"""Mirrors in order: who is tried again, how often, and what is told."""

import pickle

import pytest

from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.mirrors import from_mirrors
from agc_pipeline.errors import InputError
from agc_pipeline.readers.failures import Failure, ReadError, Undelivered, one_line
from agc_pipeline.readers.settings import NetworkSettings

NETWORK = NetworkSettings(
    attempts=3, backoff=0.001, backoff_max=0.002, request_timeout=1, file_timeout=1
)
FILE = InputFile(urls=("a", "b", "c"))


def again(url: str, events: tuple[int, int] | None = None) -> ReadError:
    return ReadError(
        "no answer",
        place=url,
        remedy="wait",
        error="TimeoutError: no answer",
        transient=True,
        events=events,
    )


def never(url: str) -> InputError:
    return InputError("wrong file", place=url, remedy="another one")


class Mirrors:
    """Raises what is given for each attempt, then succeeds."""

    def __init__(self, **errors: list[InputError]) -> None:
        self._errors = {url: iter(raised) for url, raised in errors.items()}
        self.tried: list[str] = []

    def __call__(self, url: str) -> str:
        self.tried.append(url)
        error = next(self._errors.get(url, iter(())), None)
        if error is not None:
            raise error
        return f"from {url}"


def test_the_first_that_works() -> None:
    mirrors = Mirrors()
    assert from_mirrors(FILE, mirrors, NETWORK) == ("from a", ())
    assert mirrors.tried == ["a"]


def test_rounds_over_those_that_may_come_back() -> None:
    mirrors = Mirrors(
        a=[again("a"), again("a", (0, 10)), again("a")],
        b=[never("b")],
        c=[again("c"), again("c")],
    )
    found, failures = from_mirrors(FILE, mirrors, NETWORK)
    assert found == "from c"
    assert mirrors.tried == ["a", "b", "c", "a", "c", "a", "c"]
    timeout = "TimeoutError: no answer"
    assert failures == (
        Failure(url="a", events=None, error=timeout, attempts=2),
        Failure(url="b", events=None, error="InputError: wrong file", attempts=1),
        Failure(url="c", events=None, error=timeout, attempts=2),
        Failure(url="a", events=(0, 10), error=timeout, attempts=1),
    )


def test_nothing_left_to_try_ends_at_once() -> None:
    mirrors = Mirrors(a=[never("a")], b=[never("b")], c=[never("c")])
    with pytest.raises(Undelivered, match="no mirror gives the file: a: wrong file; b:") as caught:
        from_mirrors(FILE, mirrors, NETWORK)
    assert mirrors.tried == ["a", "b", "c"]
    assert (caught.value.place, caught.value.remedy) == ("a", "another one")


def test_rounds_end() -> None:
    mirrors = Mirrors(a=[again("a") for _ in range(9)])
    with pytest.raises(Undelivered) as caught:
        from_mirrors(InputFile(urls=("a",)), mirrors, NETWORK)
    assert mirrors.tried == ["a"] * 3
    assert (caught.value.problem, caught.value.remedy) == ("no answer", "wait")
    assert [failure.attempts for failure in caught.value.failures] == [3]


def test_pauses_grow_up_to_their_limit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    network = NETWORK.model_copy(update={"attempts": 9, "backoff": 2, "backoff_max": 60})
    with pytest.raises(Undelivered):
        from_mirrors(FILE, Mirrors(**{url: [again(url)] * 9 for url in "abc"}), network)
    assert len(pauses) == 8
    for number, pause in enumerate(pauses):
        assert min(2 * 2**number, 60) <= pause <= min(2 * 2**number + 2, 60)
    assert "c: TimeoutError: no answer; round 2 of 9 in " in caplog.text


def test_other_errors_are_not_swallowed() -> None:
    def broken(url: str) -> str:
        raise KeyError(url)

    with pytest.raises(KeyError):
        from_mirrors(FILE, broken, NETWORK)


def test_errors_cross_processes() -> None:
    failure = Failure(url="a", events=(1, 2), error="E", attempts=1)
    errors = (
        again("a", (3, 4)),
        Undelivered("p", place="w", remedy="r", failures=(failure,)),
    )
    for error in errors:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
        assert type(copy) is type(error)
        assert vars(copy) == vars(error)
        assert str(copy) == str(error)


def test_one_line() -> None:
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert one_line(TimeoutError()) == "TimeoutError"
    assert one_line(OSError("<File object at 0x7f18241396d0> fails")) == (
        "OSError: <File object> fails"
    )
    assert len(one_line(OSError("x" * 9999))) < 400
