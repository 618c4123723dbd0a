"""Which stages of a run hand files to which, from their descriptions."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agc_pipeline import stages
from agc_pipeline.stages.description import Source, Stage, wildcards_of

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan

Edges = tuple[tuple[str, str], ...]

_WILDCARD = re.compile(r"\{(\w+)\}")


def edges(plan: "Plan") -> Edges:
    """Pairs of stages of which the second reads what the first writes, without shortcuts.

    Jobs of one stage for different datasets are alike: those of the first one stand for all, and
    those of the first one that is part of another.

    Args:
        plan: of the run.
    """
    of_run = {name: stages.describe(name) for name in stages.of_run(plan)}
    examples = _examples(plan)
    written = {
        name: [_pattern(path) for path in outputs(stage, plan)] for name, stage in of_run.items()
    }
    pairs = {
        (writer, reader)
        for reader, stage in of_run.items()
        for example in examples
        for path in _inputs(stage, plan, example)
        for writer, patterns in written.items()
        if writer != reader and any(pattern.fullmatch(path) for pattern in patterns)
    }
    return tuple(sorted(_direct(pairs)))


def outputs(stage: Stage[Any, Any], plan: "Plan") -> Iterable[str]:
    """Paths that a stage writes, with their wildcards in braces."""
    told = [
        option.source
        for option in stage.options.described().values()
        if option.role in ("output", "folder")
    ]
    for source in (*told, *stage.generated.values()):
        yield from _paths(source, plan, {})


def writes(stage: Stage[Any, Any], plan: "Plan", path: str) -> bool:
    """Whether a path is one that a stage writes."""
    return any(_pattern(output).fullmatch(path) for output in outputs(stage, plan))


def _examples(plan: "Plan") -> list[dict[str, str]]:
    """Wildcards of the jobs of one dataset of each kind; none for runs that start behind them."""
    kinds = {
        dataset.subset_of is None: dataset.name for dataset in reversed(plan.datasets.values())
    }
    examples = [
        {"dataset": dataset, "batch": batch, "part": batch}
        for dataset in kinds.values()
        for batch in list(plan.batches(dataset))[:1]
    ]
    return examples or [{}]


def _inputs(stage: Stage[Any, Any], plan: "Plan", example: Mapping[str, str]) -> Iterable[str]:
    told = [
        option.source for option in stage.options.described().values() if option.role == "input"
    ]
    for source in (*told, *stage.watched.values(), *stage.events.values()):
        for path in _paths(source, plan, example):
            yield _WILDCARD.sub(lambda match: example.get(match[1], match[1]), path)


def _paths(source: Source, plan: "Plan", example: Mapping[str, str]) -> list[str]:
    """Paths of a source; none of one for wildcards that the example does not have."""
    if isinstance(source, str):
        return [f"{plan.folder}/{source}"]
    names = wildcards_of(source)
    if not set(names) <= set(example):
        return []
    paths = source(plan, **{name: example[name] for name in names})
    return [paths] if isinstance(paths, str) else list(paths)


def _pattern(path: str) -> re.Pattern[str]:
    parts = _WILDCARD.split(path)
    # Every other part is the name of a wildcard.
    return re.compile(
        "".join("[^/]+" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    )


def _direct(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that no way over others connects."""
    readers: dict[str, set[str]] = {}
    for writer, reader in pairs:
        readers.setdefault(writer, set()).add(reader)

    def behind(name: str) -> set[str]:
        direct = readers.get(name, set())
        return direct.union(*(behind(reader) for reader in direct))

    return {
        (writer, reader)
        for writer, reader in pairs
        if not any(reader in behind(other) for other in readers[writer] - {reader})
    }
