"""Skims as Parquet files: flat NanoAOD columns, written in pieces."""

from pathlib import Path

import awkward as ak
import fsspec
from pyarrow import ArrowException, parquet

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.errors import InputError
from agc_pipeline.readers.opening import READ_ERRORS, unreadable


class ParquetWriter:
    """Writes a table chunk by chunk, so that memory stays bounded.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: parquet.ParquetWriter | None = None

    def extend(self, arrays: ak.Array) -> None:
        """Add rows; the first call, also with none, fixes the schema."""
        table = ak.to_arrow_table(arrays, list_to32=True, extensionarray=False)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(
                self._path, table.schema, compression="zstd", write_page_checksum=True
            )
        if table.num_rows:
            self._writer.write_table(table)

    def close(self) -> None:
        """Write the end of the file."""
        if self._writer is not None:
            self._writer.close()


def inspect(location: str, columns: Columns, layout: Layout) -> tuple[int, int]:
    """Rows and bytes of a Parquet file that has all the columns.

    Args:
        location: path or address.
        columns: what must be there.
        layout: of the columns.

    Raises:
        InputError: if the file cannot be read or lacks a column.
    """
    try:
        with fsspec.open(location, "rb") as file:
            size: int = file.seek(0, 2)
            footer = parquet.ParquetFile(file)
            present, rows = set(footer.schema_arrow.names), footer.metadata.num_rows
    # Not all of pyarrow's errors are ValueError or OSError, too.
    except (*READ_ERRORS, ArrowException) as error:
        raise unreadable(location, error) from error
    missing = [name for name in layout.all_branches(columns) if name not in present]
    if missing:
        raise InputError(
            f"columns missing: {', '.join(missing)}",
            place=location,
            remedy="delete it and run again: it is delivered anew",
        )
    return int(rows), size
