"""What limits a facility: the largest share of the time, and what is slower than its like."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median
from typing import Literal, NamedTuple

from pydantic import PositiveInt
from scipy.stats import mannwhitneyu

from agc_pipeline.columnar.traces import Task
from agc_pipeline.facility import measures
from agc_pipeline.facility.records import PointRecord
from agc_pipeline.facility.scaling import Law, Range, Reach, Step, spread
from agc_pipeline.formatting import plural
from agc_pipeline.settings import Settings

Certainty = Literal["clear", "likely", "unclear", "unknown"]
Kind = Literal["worker", "host", "door", "file"]

# What can limit, and the shares of the time that say so.
LIMITS: dict[str, tuple[str, ...]] = {
    "start-up": ("start",),
    "computing": ("open", "read", "physics", "fill", "other"),
    "decompression": ("decompress",),
    "data": ("data",),
    "failed reads": ("retry",),
    "cores": ("stalled",),
    "scheduler": ("queue",),
    "stragglers": ("tail",),
    "merging": ("merge",),
}
# What a longer measurement has in the same proportion.
_LASTING = (
    "computing",
    "decompression",
    "data",
    "failed reads",
    "cores",
    "scheduler",
    "stragglers",
)
_TITLES = {
    "start-up": "the start of workers, imports included",
    "computing": "computing",
    "decompression": "decompression",
    "failed reads": "failed attempts to read and the pauses after them",
    "cores": "cores that others use, or that there are too few of",
    "scheduler": "workers that wait for their next task",
    "stragglers": "workers that wait for the last tasks of others",
    "merging": "adding up and writing the histograms, to the end of the command",
}
# A thing is slow if its median chunk takes so many times longer than those of the others and chance
# gives that less often, to any of the things that were looked at.
_SLOW, _CHANCE = 1.5, 0.01
# Share of the core seconds of the tasks that a slow thing must cost to be what limits.
_COSTLY = 0.1
# Rungs and slow things that the verdict names.
_SHOWN = 3
# How the time that a stream waits for a byte grows, as a power of the number of workers: 1 where
# they share a rate, 0 where each waits for itself.
_COMMON, _SINGLE = 0.6, 0.4


class Slow(Settings):
    """Something that is slower than its like.

    Attributes:
        kind: of it.
        name: of it.
        ratio: time for an event in its median chunk over that of the others.
        chance: probability that as much happens without a reason, to any of its like.
        lost: share of the core seconds of all tasks that is due to it.
    """

    kind: Kind
    name: str
    ratio: float
    chance: float
    lost: float


class Verdict(Settings):
    """What limits a series of points.

    Attributes:
        executor: of the series.
        input: of the series.
        workers: of the points that say so, the largest number.
        limit: key of ``LIMITS`` with the largest share there.
        share: of the core seconds, with the smallest and largest of the repetitions.
        repetitions: of that rung; None in records of earlier versions.
        certainty: clear if all repetitions agree and the next share is further away than they
            scatter; likely if most agree; unknown of one repetition, whose spread nobody knows.
        lasting: what limits a measurement that is longer: without start-up and merging. Also
            "worker", "host", "door" and "file", where one is slower than its like.
        data: what limits the data, where they wait: "rate" of all streams together, "latency" or
            rate of each; None where that cannot be said.
        slow: what is slower than its like.
        text: all of it in sentences.
    """

    executor: str
    input: str
    workers: int
    limit: str
    share: Range
    repetitions: PositiveInt | None = None
    certainty: Certainty
    lasting: str
    data: Literal["rate", "latency"] | None
    slow: tuple[Slow, ...]
    text: str


def verdict(points: Sequence[PointRecord], law: Law | None) -> Verdict:
    """What limits.

    Args:
        points: of one series, at least one with a result; all modes.
        law: Amdahl's, fitted to them.
    """
    warm = [point for point in points if point.mode != "cold"] or list(points)
    largest = max(point.workers for point in warm)
    top = [point for point in warm if point.workers == largest]
    # As one would run it: the same files, if that was measured.
    top = [point for point in top if point.mode == "strong"] or top
    shares = [by_limit(measures.shares(point)) for point in top]
    order = [max(one, key=lambda name: one[name]) for one in shares]
    limit = max(LIMITS, key=lambda name: mean(one[name] for one in shares))
    certainty = _certainty(shares, limit, order.count(limit) / len(order))
    slow = slow_things(top)
    lasting = max(_LASTING, key=lambda name: mean(one[name] for one in shares))
    if slow and slow[0].lost > _COSTLY:
        lasting = slow[0].kind
    data = _data(warm) if "data" in (limit, lasting) or lasting == "door" else None
    values = [one[limit] for one in shares]
    found = Verdict(
        executor=top[0].executor,
        input=top[0].input,
        workers=largest,
        limit=limit,
        share=spread(values, mean),
        repetitions=len(top),
        certainty=certainty,
        lasting=lasting,
        data=data,
        slow=slow,
        text="",
    )
    return found.model_copy(update={"text": _text(found, top, shares, law)})


def by_limit(shares: Mapping[str, float]) -> dict[str, float]:
    """The share of the core seconds of each of ``LIMITS``, which is the sum of those of its parts.

    Args:
        shares: each of ``measures.SHARES``.
    """
    return {name: sum(shares[part] for part in parts) for name, parts in LIMITS.items()}


def slow_things(points: Sequence[PointRecord]) -> tuple[Slow, ...]:
    """What is slower than its like, the most expensive first; of a slow host not its workers."""
    timed = [timed for point in points for timed in _timed(point)]
    found: list[Slow] = []
    kinds: dict[Kind, Callable[[Task], str]] = {
        "host": lambda task: task.host,
        "worker": lambda task: task.worker,
        "door": measures.door,
        "file": lambda task: task.path,
    }
    for kind, key in kinds.items():
        covered = tuple(item.name for item in found)
        found += [
            item
            for item in _outliers(kind, timed, key)
            if not (kind == "worker" and item.name.startswith(tuple(f"{n}:" for n in covered)))
            and not (kind == "file" and item.name.startswith(tuple(f"{n}/" for n in covered)))
        ]
    return tuple(sorted(found, key=lambda item: -item.lost))


class _Timed(NamedTuple):
    """A chunk, and its time for an event relative to the median of those of its point.

    What makes a whole point slower, as other work on the machine does, makes none of its workers
    slower than the others.
    """

    task: Task
    relative: float

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.task.seconds.wall


def _timed(point: PointRecord) -> list[_Timed]:
    every = measures.tasks_of([point])
    tasks = [task for task in every if task.kind == "events" and task.events]
    # Whatever a process reads first takes long.
    cold = measures.first_chunks(every)
    tasks = [task for task in tasks if id(task) not in cold] or tasks
    usual = median(map(measures.per_event, tasks)) if tasks else 0.0
    return [_Timed(task, measures.per_event(task) / usual) for task in tasks if usual]


def _outliers(kind: Kind, timed: Sequence[_Timed], key: Callable[[Task], str]) -> list[Slow]:
    groups: dict[str, list[float]] = {}
    for one in timed:
        groups.setdefault(key(one.task), []).append(one.relative)
    if len(groups) < 2:
        return []
    total = sum(one.seconds for one in timed)
    found = []
    for name, own in groups.items():
        others = [value for other, values in groups.items() if other != name for value in values]
        ratio = median(own) / median(others)
        if ratio < _SLOW:
            continue
        # Ranks only: the distribution of times has a long tail.
        chance = float(mannwhitneyu(own, others, alternative="greater").pvalue) * len(groups)
        if chance > _CHANCE:
            continue
        usual = median(others)
        lost = sum(
            one.seconds * (1 - usual / one.relative) for one in timed if key(one.task) == name
        )
        found.append(
            Slow(kind=kind, name=name, ratio=ratio, chance=chance, lost=max(0.0, lost / total))
        )
    return found


def _certainty(shares: Sequence[dict[str, float]], limit: str, agreeing: float) -> Certainty:
    if len(shares) == 1:
        return "unknown"
    ahead = [one[limit] - max(v for name, v in one.items() if name != limit) for one in shares]
    scatter = max(ahead) - min(ahead)
    if min(ahead) > scatter:
        return "clear"
    return "likely" if agreeing > 0.5 and mean(ahead) > 0.05 else "unclear"


def _data(points: Sequence[PointRecord]) -> Literal["rate", "latency"] | None:
    """Whether a stream waits longer for a byte where there are more of them."""
    waits: dict[int, list[float]] = {}
    for point in points:
        tasks = measures.tasks_of([point])
        n_bytes = sum(task.bytes for task in tasks)
        if n_bytes:
            waiting = sum(measures.parts_of(task).get("data", 0.0) for task in tasks)
            waits.setdefault(point.workers, []).append(waiting / n_bytes)
    if len(waits) < 2:
        return None
    few, many = sorted(waits)[-2:]
    before, after = median(waits[few]), median(waits[many])
    if not before or not after:
        return None
    power = math.log(after / before) / math.log(many / few)
    if power > _COMMON:
        return "rate"
    return "latency" if power < _SINGLE else None


def _text(
    found: Verdict,
    top: Sequence[PointRecord],
    shares: Sequence[dict[str, float]],
    law: Law | None,
) -> str:
    """The verdict in sentences."""
    places = sorted({measures.door(task) for task in measures.tasks_of(top)})
    share, certainty = found.share, str(found.certainty)
    interval = ""
    if share.low is not None and share.high is not None:
        interval = f" ({share.low:.0%} to {share.high:.0%} in {len(top)} repetitions)"
    else:
        certainty = "in one repetition, so that nothing is known of the spread"
    sentences = [
        f"{_capital(_title(found.limit, places))} took {share.value:.0%}{interval} of the time of "
        f"{found.workers} {plural('worker', found.workers)}: {certainty}."
    ]
    # A point of files without events has no pieces.
    pieces = [p for p in map(measures.pieces, top) if p is not None]
    fewest = min(pieces, key=lambda p: p.number, default=None)
    if fewest is not None and fewest.number < found.workers:
        sentences.append(
            f"There are {fewest.number} {plural(fewest.kind, fewest.number)}: "
            f"{found.workers - fewest.number} of the {found.workers} workers have none."
        )
    failed = sum(task.failed_attempts for task in measures.tasks_of(top))
    if failed:
        sentences.append(
            f"{failed} {plural('attempt', failed)} to read failed in {len(top)} "
            f"{plural('repetition', len(top))}, which took "
            f"{mean(one['failed reads'] for one in shares):.0%} of the time."
        )
    for item in found.slow[:_SHOWN]:
        sentences.append(
            f"The {item.kind} {item.name} is {item.ratio:.1f} times slower than the others, which "
            f"costs {item.lost:.0%} of the time of all tasks (probability of chance "
            f"{item.chance:.1g})."
        )
    if found.lasting in LIMITS and found.lasting != found.limit:
        value = mean(one[found.lasting] for one in shares)
        sentences.append(
            f"A longer run would be limited by {_title(found.lasting, places)}, {value:.0%} here."
        )
    if found.data == "rate":
        sentences.append(
            "More workers do not get more data: storage or network give so much in total."
        )
    elif found.data == "latency":
        sentences.append(
            "More workers get more data: each stream waits for itself, for latency or for its own "
            "share of the rate."
        )
    sentences.append(_useful(law))
    if found.repetitions == 1:
        sentences.append("One repetition does not tell what of all this is chance.")
    return " ".join(sentence for sentence in sentences if sentence)


def _title(limit: str, places: Sequence[str]) -> str:
    if limit != "data":
        return _TITLES[limit]
    remote = any("://" in place for place in places)
    shown = ", ".join(places[:_SHOWN]) + (" and others" if len(places) > _SHOWN else "")
    return f"waiting for data from {'the network' if remote else 'storage'} ({shown})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _useful(law: Law | None) -> str:
    """What the ladder says of more workers; of the law only what it holds for."""
    if law is None:
        return ""
    sentences = []
    slower = [step for step in law.steps if step.outcome == "slower"]
    if slower:
        told = "; ".join(map(_step, slower[-_SHOWN:]))
        sentences.append(f"More workers lengthen the time of this amount of work: {told}.")
    last, largest = law.steps[-1], law.rungs[-1]
    most = f"no more than {last.fewer} {'worker is' if last.fewer == 1 else 'workers are'}"
    if last.outcome == "slower":
        sentences.append(f"For it, {most} of use.")
    elif last.outcome == "no faster":
        sentences.append(
            f"{_step(last)}, which is not measurably faster: {most} seen to be of use for this "
            "amount of work."
        )
    elif law.describes is False:
        sentences.append(
            f"Amdahl's law does not tell how many workers would be of use: {law.remark}."
        )
    elif law.bound is not None:
        pieces = law.bound
        sentences.append(
            f"More than {pieces.number} {plural('worker', pieces.number)} are of no use for this "
            f"amount of work, which has {pieces.number} {plural(pieces.kind, pieces.number)}: the "
            "others would have none."
        )
    elif law.useful_workers is None:
        sentences.append(f"No serial part was seen up to {largest} workers: more would be of use.")
    else:
        number = law.useful_workers.value
        if number > largest:
            reach = f"By Amdahl's law, extrapolated from {largest} workers, beyond"
        else:
            reach = "Beyond"
        sentences.append(
            f"{reach} {number:.0f} {plural('worker', round(number))}{_interval(law.useful_workers)}"
            " twice as many shorten this amount of work by less than a tenth."
        )
    return " ".join(sentences)


def _step(step: Step) -> str:
    ratio = step.ratio
    told = f"{step.workers} workers took {ratio.value:.2f} times as long as {step.fewer}"
    if ratio.low is None or ratio.high is None or ratio.low == ratio.high:
        return told
    return f"{told} ({ratio.low:.2f} to {ratio.high:.2f})"


def _interval(reach: Reach) -> str:
    if reach.low is None:
        return ""
    if reach.high is None:
        return f" ({reach.low:.0f} or more)"
    return f" ({reach.low:.0f} to {reach.high:.0f})" if reach.low < reach.high else ""
