"""A fact of a result, and facts of one kind together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agc_pipeline.settings import Settings

Severity = Literal["serious", "warning", "note"]
Kind = Literal[
    "biased pseudo-experiments",
    "width of pulls",
    "coverage",
    "failed pseudo-experiments",
    "pseudo-experiments at a bound",
    "large pull",
    "strong constraint",
    "one-sided templates",
    "mirrored templates",
    "empty bins",
    "few effective events",
    "simulation statistics",
    "varied templates",
    "large correlation",
    "bad fit",
    "parameter at its bound",
    "profile that reaches a bound",
    "asymmetric uncertainty",
    "other minimiser",
    "negative contents",
    "negative yields",
    "effects left out",
    "systematics without effect",
    "partial input",
    "events of no process",
    "blinded data in another region",
    "events that count twice",
    "luminosity of a process",
    "disagreement with published histograms",
]


# What to do about a bound.
WIDEN = (
    "Widen the bounds unless they are physical: `Free(..., bounds=(low, high))` in the declaration "
    "of the analysis, or `input.parameters` for a workspace that was given."
)


class Fact(Settings):
    """Something to look at.

    Attributes:
        kind: what sort of fact.
        severity: "serious" puts the result in question, "warning" may change it, "note" is to be
            known.
        where: parameter, channel or sample; empty for the result as a whole.
        statement: the fact with its numbers.
        number: the one that decides.
        threshold: beyond which it is told; None where it is one of the configuration.
        reason: why it matters.
        remedy: what can be done about it.
    """

    kind: Kind
    severity: Severity
    where: str
    statement: str
    number: float
    threshold: float | None
    reason: str
    remedy: str


@dataclass(frozen=True)
class FactGroup:
    """Facts of one kind, that matter for the same reason and have the same remedy."""

    kind: Kind
    severity: Severity
    statements: tuple[str, ...]
    reason: str
    remedy: str


def grouped(entries: Sequence[Fact]) -> list[FactGroup]:
    """Facts that differ only in their numbers together, in the order of the first of each."""
    groups: dict[tuple[Kind, Severity, str, str], list[str]] = {}
    for fact in entries:
        key = (fact.kind, fact.severity, fact.reason, fact.remedy)
        groups.setdefault(key, []).append(fact.statement)
    return [
        FactGroup(kind, severity, tuple(statements), reason, remedy)
        for (kind, severity, reason, remedy), statements in groups.items()
    ]
