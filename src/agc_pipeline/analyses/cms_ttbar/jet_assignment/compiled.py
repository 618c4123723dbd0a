"""What the compiled processor reads for the assignment of jets, and for its few events only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agc_pipeline.analyses.base import Assignment
from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import Jets, Leptons
from agc_pipeline.columnar.columns import Array, Collection, Columns

# Of the jets, beside what the selection reads.
JET_FIELDS = ("qgl",)


@dataclass(frozen=True)
class Candidates:
    """Leptons of one kind that may be good, as the selection has read them.

    Attributes:
        collection: its name.
        events: positions of the events that have some.
        objects: of these events, with pt and eta as stored.
        good: mask of the good ones of such objects.
    """

    collection: str
    events: Array
    objects: Collection
    good: Callable[[Collection], Array]


@dataclass(frozen=True)
class AssignedJets:
    """Everything but the jets' pt, of the events that some variation may have in the region.

    Attributes:
        assignment: of jets to partons.
        jets: the loose jets, with eta, phi, mass, btag and qgl in double precision.
        leptons: the good lepton of each event.
        numbers: of the events.
    """

    assignment: Assignment
    jets: Collection
    leptons: Leptons
    numbers: Array

    def observables(self, events: Array, pt: Array, good: Array) -> Iterator[tuple[str, Array]]:
        """Region and observable, ``len(events)`` values.

        Args:
            events: positions of those that a variation selects.
            pt: of all jets under the variation, GeV.
            good: mask of the jets that pass.
        """
        chosen = self.jets.extended(pt=pt).take(events, good)
        found = self.assignment.observables(
            Jets(offsets=chosen.offsets, **chosen.fields),
            self.leptons.take(events),
            self.numbers[events],
        )
        for region, values in zip(self.assignment.regions, found, strict=True):
            yield region.name, values


def read_leptons(columns: Columns, candidates: Sequence[Candidates], events: Array) -> Leptons:
    """The one good lepton of each of some events.

    Args:
        columns: of the range.
        candidates: of each kind.
        events: positions of events that have exactly one good lepton.
    """
    leptons = Leptons(*(np.empty(len(events), np.float64) for _ in Leptons._fields))
    for kind in candidates:
        inside = np.flatnonzero(np.isin(kind.events, events, assume_unique=True))
        objects = kind.objects.take(inside)
        objects = objects.extended(good=kind.good(objects))
        owners = objects.events(objects["good"])
        of_kind = kind.events[inside[owners]]
        near = objects.take(owners)
        far = columns.collection(kind.collection, ("phi", "mass"), of_kind)
        place = np.searchsorted(events, of_kind)
        for field, values in (*near.only("pt", "eta").fields.items(), *far.fields.items()):
            getattr(leptons, field)[place] = values[near["good"]]
    return leptons
