"""The preselection as a query to a transformation service, and no tighter than it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agc_pipeline.declaration.analysis import Analysis, Dataset
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.declaration.selection import Count, Cut, EventCut, Objects, Requirement
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.settings import Settings

# How far a bound is moved, relative to it. A service may round bounds to single precision (6e-8)
# before it compares: stay well clear of that.
_SLACK = 1e-5

Move = Callable[[str, Sequence[Cut]], Sequence[Cut]]


class Query(Settings):
    """What a transformation service is asked for: the same for every input file of a dataset.

    Attributes:
        cut: condition for an event, in uproot's expression language with awkward's functions;
            a reducer has an explicit ``axis``, as its default differs among services.
        columns: collection (or "" for columns of the event) to the names of the fields.
        layout: of input and output.
    """

    cut: str
    columns: dict[str, tuple[str, ...]]
    layout: Layout


def query(analysis: Analysis, selection: Any, dataset: Dataset, *, learned: bool = False) -> Query:
    """The query for every event that the preselection may keep.

    A number of objects that must not be exceeded is not monotonic in their cuts: a bound that is
    only loosened gives events too many. So those that pass the loosened cuts must be enough, and
    those that pass the tightened ones not too many.

    Raises:
        ConfigurationError: if the analysis declares no requirements.
    """
    requirements = analysis.requirements(selection, dataset)
    if not requirements:
        raise ConfigurationError(
            f"the analysis {analysis.name} declares no requirements, of which a query is made",
            place="delivery.backend",
            remedy="choose the backend local, or declare what every event must have",
        )

    def loosest(collection: str, cuts: Sequence[Cut]) -> Sequence[Cut]:
        return [
            _moved(cut.loosest(analysis.factors((collection, cut.name), selection)), _SLACK)
            for cut in cuts
        ]

    def tightest(collection: str, cuts: Sequence[Cut]) -> Sequence[Cut]:
        return [
            _moved(cut.tightest(analysis.factors((collection, cut.name), selection)), -_SLACK)
            for cut in cuts
        ]

    conditions = [
        condition
        for requirement in requirements
        for condition in _conditions(requirement, loosest, tightest, analysis.layout)
    ]
    return Query(
        cut=_all(conditions) or "True",
        columns=dict(analysis.columns(dataset, selection, learned=learned)),
        layout=analysis.layout,
    )


def _conditions(
    requirement: Requirement, loosest: Move, tightest: Move, layout: Layout
) -> list[str]:
    match requirement:
        case EventCut(record=record, cut=cut):
            return [f"({_expression(layout, record, loosest(record, (cut,))[0])})"]
        case Count():
            conditions = []
            if requirement.at_least > 0:
                total = _number(requirement.objects, loosest, layout)
                conditions.append(f"({total} >= {requirement.at_least})")
            if requirement.at_most != float("inf"):
                total = _number(requirement.objects, tightest, layout)
                conditions.append(f"({total} <= {int(requirement.at_most)})")
            return conditions


def _number(objects: Sequence[Objects], moved: Move, layout: Layout) -> str:
    return " + ".join(f"count_nonzero({_mask(entry, moved, layout)}, axis=1)" for entry in objects)


def _mask(objects: Objects, moved: Move, layout: Layout) -> str:
    cuts = moved(objects.collection, objects.all_cuts)
    return _all([f"({_expression(layout, objects.collection, cut)})" for cut in cuts])


def _expression(layout: Layout, collection: str, cut: Cut) -> str:
    branch = layout.branch(collection, cut.name)
    value = f"abs({branch})" if cut.absolute else branch
    return f"{value} {cut.comparison} {cut.bound!r}"


def _moved(cut: Cut, slack: float) -> Cut:
    """A cut whose bound is loosened by a positive slack, and tightened by a negative one."""
    if cut.comparison in ("==", "!="):
        return cut
    direction = -1.0 if cut.comparison in (">", ">=") else 1.0
    return replace(cut, bound=cut.bound + direction * slack * max(1.0, abs(cut.bound)))


def _all(masks: Sequence[str]) -> str:
    return " & ".join(masks)
