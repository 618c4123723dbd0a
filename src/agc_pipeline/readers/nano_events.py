"""coffea's NanoEvents of ranges of events."""

from typing import Any

import awkward as ak
from coffea.nanoevents import BaseSchema, NanoAODSchema, NanoEventsFactory
from pyarrow.parquet import ParquetFile

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.arrays import grouped
from agc_pipeline.readers.columns import ListLengths, check_finite, offsets_of
from agc_pipeline.readers.opening import only_reading


class _ReadOnly(dict[str, Any]):
    """In place of coffea's cache of arrays: keeps none, and lets nobody write to those it sees.

    Functions share what they are given.
    """

    def __setitem__(self, key: str, values: Any) -> None:
        values.flags.writeable = False


class NanoAOD(NanoAODSchema):
    """coffea's NanoAOD schema, silent about the collections that are not read."""

    warn_missing_crossrefs = False

    def _build_collections(self, field_names: Any, input_contents: Any) -> Any:
        """The same, with arrays of a fixed size as lists where there is a counter."""
        forms = [
            _list_form(form) if f"n{name.split('_')[0]}" in field_names else form
            for name, form in zip(field_names, input_contents, strict=True)
        ]
        return super()._build_collections(field_names, forms)


def _list_form(form: dict[str, Any]) -> dict[str, Any]:
    """The form of lists in place of that of arrays of a fixed size."""
    if form["class"] != "RegularArray":
        return form
    # Quoted as coffea's keys are: that of the content has a part more.
    key = form["content"]["form_key"].removesuffix("%2C%21content")
    return {
        "class": "ListOffsetArray",
        "offsets": "i64",
        "content": form["content"],
        "parameters": form["parameters"],
        "form_key": key,
    }


def of_root(
    tree: Any,
    columns: Columns,
    layout: Layout,
    entries: tuple[int, int],
    *,
    flat: bool = False,
    **options: Any,
) -> Any:
    """NanoEvents of a range of events of an open tree, with the columns and no others.

    Args:
        tree: TTree or RNTuple with the columns.
        columns: to be had.
        layout: of the file.
        entries: first event, and the event behind the last.
        flat: leave the branches as they are; else they are grouped into collections and records,
            those of flat ntuples as those of NanoAOD.
        options: of coffea's ``NanoEventsFactory.from_root``.
    """
    directory, before = tree.file.root_directory, tree.file.object_cache
    # The factory gets the tree of the file once more: its header is not read again.
    tree.file.object_cache = {directory.key(layout.tree).cache_key: tree}
    try:
        factory = NanoEventsFactory.from_root(
            directory,
            treepath=layout.tree,
            entry_start=entries[0],
            entry_stop=entries[1],
            schemaclass=BaseSchema if flat else _schema(layout),
            iteritems_options={"filter_name": layout.all_branches(columns)},
            **options,
        )
    finally:
        tree.file.object_cache = before
    return _events(factory, columns, layout, entries, flat=flat)


def of_parquet(
    file: ParquetFile,
    columns: Columns,
    layout: Layout,
    entries: tuple[int, int],
    *,
    flat: bool = False,
    **options: Any,
) -> Any:
    """The same of an open Parquet file."""
    factory = NanoEventsFactory.from_parquet(
        file,
        entry_start=entries[0],
        entry_stop=entries[1],
        schemaclass=BaseSchema if flat else _schema(layout),
        mode="virtual",
        parquet_options={"page_checksum_verification": True},
        **options,
    )
    return _events(factory, columns, layout, entries, flat=flat)


def _events(
    factory: Any, columns: Columns, layout: Layout, entries: tuple[int, int], *, flat: bool
) -> Any:
    _check_columns(factory, columns, layout, entries)
    events = factory.events()
    # Not before: arrays would no longer be kept by the events. Releases of coffea before 2026.9 may
    # have no such cache, and arrays that can be written to.
    factory._mapping._buffer_cache = _ReadOnly()
    return events if flat or layout.counters else grouped(events, columns, layout)


def _check_columns(
    factory: Any, columns: Columns, layout: Layout, entries: tuple[int, int]
) -> None:
    """Let the columns of a collection, and its counter, be compared when they are read.

    A schema takes the lists of one branch, or of the counter, for all of them. coffea reads each
    column by ``extract_column`` of the mapping that it makes of a file.
    """
    lengths = ListLengths(entries[1] - entries[0], entries[0])
    collections = {
        layout.branch(name, field): name
        for name, fields in columns.items()
        if layout.is_collection(name)
        for field in fields
    }
    counters = {layout.counter(name): name for name in collections.values() if layout.counters}
    mapping = factory._mapping
    extract = mapping.extract_column

    def compared(handle: Any, *arguments: Any, **options: Any) -> Any:
        with only_reading():
            values = extract(handle, *arguments, **options)
        name = getattr(handle, "column", None) or handle.name
        if name in counters:
            lengths.compare(counters[name], name, ak.to_numpy(values))
        elif name in collections:
            lists = ak.from_regular(values, axis=None)
            values = lists.layout
            counts = ak.to_numpy(ak.num(lists))
            lengths.compare(collections[name], name, counts)
            if layout.is_momentum(name):
                offsets, flat = offsets_of(counts), ak.to_numpy(ak.flatten(lists))
                check_finite(name, flat, offsets, first=entries[0])
        elif layout.is_momentum(name):
            check_finite(name, ak.to_numpy(values), first=entries[0])
        return values

    mapping.extract_column = compared


def _schema(layout: Layout) -> type[BaseSchema]:
    return NanoAOD if layout.counters else BaseSchema
