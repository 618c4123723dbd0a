"""Cuts on objects and events, declared once: masks, queries and columns follow from them.

A cut compares a stored value, widened to double precision, with a bound in double precision.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

from agc_pipeline.errors import AnalysisError

Comparison = Literal[">", ">=", "<", "<=", "==", "!="]
# Collection (or single record, or "" for columns of the event) and field.
Column: TypeAlias = tuple[str, str]
# Smallest and largest factor that a variation multiplies a column with.
Factors: TypeAlias = tuple[float, float]

_ABSOLUTE = re.compile(r"abs\((\w+)\)")
# The last bits of a product may round over a bound: leave them room.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Cut:
    """A condition on a field of an object, or of a single record such as MET.

    Attributes:
        field: its name, or ``abs(NAME)`` for the absolute value.
        comparison: of the value with the bound.
        bound: in the unit of the field; true and false are 1 and 0.
    """

    field: str
    comparison: Comparison
    bound: float | bool

    @cached_property
    def name(self) -> str:
        """Name of the field."""
        match = _ABSOLUTE.fullmatch(self.field)
        return match[1] if match else self.field

    @cached_property
    def absolute(self) -> bool:
        """Whether the absolute value is compared."""
        return self.name != self.field

    def loosest(self, factors: Factors) -> "Cut":
        """The cut on the unvaried value that passes whatever some variation passes.

        Args:
            factors: smallest and largest factor on the field under any variation, 1 included.

        Raises:
            AnalysisError: for a comparison or a bound that factors cannot loosen.
        """
        return self._moved(factors, loosen=True)

    def tightest(self, factors: Factors) -> "Cut":
        """The cut on the unvaried value that passes only what every variation passes."""
        return self._moved(factors, loosen=False)

    def _moved(self, factors: Factors, *, loosen: bool) -> "Cut":
        smallest, largest = factors
        if smallest == largest == 1.0:
            return self
        if self.comparison in ("==", "!="):
            raise AnalysisError(
                f"the cut {self.field} {self.comparison} {self.bound} is on a field that "
                "variations change",
                place="objects",
                remedy="compare it with < or >",
            )
        if self.bound < 0:
            raise AnalysisError(
                f"the cut {self.field} {self.comparison} {self.bound} has a negative bound, on a "
                "field that variations multiply",
                place="objects",
                remedy="compare the absolute value",
            )
        lower = self.comparison in (">", ">=")
        factor = largest if lower is loosen else smallest
        room = -_ROUNDING if lower is loosen else _ROUNDING
        return replace(self, bound=self.bound / factor * (1.0 + room))


@dataclass(frozen=True)
class Objects:
    """Objects of a collection that pass cuts, such as good jets.

    Attributes:
        name: of the objects, for the functions of regions and systematics.
        collection: in the input, e.g. "Jet".
        cuts: all must pass. The first is applied alone, so that the columns of the others are read
            only for events where it left enough objects: put the cheapest first.
        base: the objects that these are some of, e.g. b-tagged ones among the good jets.
        columns: name to a function of the objects that computes more columns; they may not depend
            on what variations change.
    """

    name: str
    collection: str
    cuts: tuple[Cut, ...]
    base: "Objects | None" = None
    columns: Mapping[str, object] = field(default_factory=dict)

    def among(self, name: str, *cuts: Cut) -> "Objects":
        """Those that pass more cuts."""
        return Objects(name, self.collection, cuts, base=self)

    @property
    def root(self) -> "Objects":
        """The objects that are not among others."""
        return self if self.base is None else self.base.root

    @property
    def all_cuts(self) -> tuple[Cut, ...]:
        """Those of the objects they are among, and their own."""
        return self.cuts if self.base is None else (*self.base.all_cuts, *self.cuts)


@dataclass(frozen=True)
class Count:
    """A requirement on the number of objects of an event.

    Attributes:
        objects: whose numbers are added.
        comparison: of the sum with the number.
        number: of objects.
        label: entry of the cutflow; None has none.
    """

    objects: tuple[Objects, ...]
    comparison: Comparison
    number: int
    label: str | None = None

    @property
    def at_least(self) -> int:
        """Smallest number of objects that an event must have."""
        match self.comparison:
            case ">=" | "==":
                return self.number
            case ">":
                return self.number + 1
            case _:
                return 0

    @property
    def at_most(self) -> float:
        """Largest number of objects that an event may have."""
        match self.comparison:
            case "<=" | "==":
                return self.number
            case "<":
                return self.number - 1
            case _:
                return math.inf


@dataclass(frozen=True)
class EventCut:
    """A requirement on a single record of the event such as MET, or on a column of the event.

    Attributes:
        record: e.g. "MET" or "HLT"; "" for a column of the event itself.
        cut: on one of its fields.
        label: entry of the cutflow; None has none.
    """

    record: str
    cut: Cut
    label: str | None = None


Requirement: TypeAlias = Count | EventCut


def columns_of(requirements: tuple[Requirement, ...]) -> dict[str, tuple[str, ...]]:
    """Collection or record to the fields that requirements read, in order."""
    fields: dict[str, dict[str, None]] = {}
    for requirement in requirements:
        match requirement:
            case Count():
                pairs = [
                    (objects.collection, cut.name)
                    for objects in requirement.objects
                    for cut in objects.all_cuts
                ]
            case EventCut():
                pairs = [(requirement.record, requirement.cut.name)]
        for collection, name in pairs:
            fields.setdefault(collection, {})[name] = None
    return {collection: tuple(names) for collection, names in fields.items()}
