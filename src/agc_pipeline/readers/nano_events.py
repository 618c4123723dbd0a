"""coffea's NanoEvents of ranges of events."""

from typing import Any

from coffea.nanoevents import BaseSchema, NanoAODSchema, NanoEventsFactory

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.arrays import grouped


class NanoAOD(NanoAODSchema):
    """coffea's NanoAOD schema, silent about the collections that are not read."""

    warn_missing_crossrefs = False


def of_root(
    file: Any,
    columns: Columns,
    layout: Layout,
    entries: tuple[int, int],
    *,
    flat: bool = False,
    **options: Any,
) -> Any:
    """NanoEvents of a range of events of an open ROOT file, with the columns and no others.

    Args:
        file: open ROOT file.
        columns: to be had.
        layout: of the file.
        entries: first event, and the event behind the last.
        flat: leave the branches as they are; else they are grouped into collections and records,
            those of flat ntuples as those of NanoAOD.
        options: of coffea's ``NanoEventsFactory.from_root``.
    """
    events = NanoEventsFactory.from_root(
        file,
        treepath=layout.tree,
        entry_start=entries[0],
        entry_stop=entries[1],
        schemaclass=BaseSchema if flat else _schema(layout),
        iteritems_options={"filter_name": layout.all_branches(columns)},
        **options,
    ).events()
    return events if flat or layout.counters else grouped(events, columns, layout)


def of_parquet(
    path: str,
    columns: Columns,
    layout: Layout,
    entries: tuple[int, int],
    *,
    flat: bool = False,
    **options: Any,
) -> Any:
    """The same of a Parquet file."""
    events = NanoEventsFactory.from_parquet(
        path,
        entry_start=entries[0],
        entry_stop=entries[1],
        schemaclass=BaseSchema if flat else _schema(layout),
        mode="virtual",
        **options,
    ).events()
    return events if flat or layout.counters else grouped(events, columns, layout)


def _schema(layout: Layout) -> type[BaseSchema]:
    return NanoAOD if layout.counters else BaseSchema
