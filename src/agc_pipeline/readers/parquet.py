"""Skims as Parquet files: flat NanoAOD columns, written in pieces."""

import io
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import awkward as ak
import pyarrow
from pyarrow import ArrowException, parquet

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.errors import InputError
from agc_pipeline.readers import addresses
from agc_pipeline.readers.file_header import check_no_pipe
from agc_pipeline.readers.opening import READ_ERRORS, unreadable
from agc_pipeline.readers.remote import RemoteFile, RemoteSource
from agc_pipeline.readers.settings import NETWORK, NetworkSettings


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


class NeededColumns(parquet.ParquetFile):  # type: ignore[misc]
    """A Parquet file of which only some columns are seen.

    ServiceX adds columns of its own, of types that coffea has no form for.

    Args:
        file: open.
        names: of the columns.

    Attributes:
        size: of the file in bytes.
    """

    def __init__(self, file: IO[bytes], names: Collection[str]) -> None:
        self.size = file.seek(0, io.SEEK_END)
        super().__init__(file)
        self._names = names

    @property
    def schema_arrow(self) -> Any:
        """The schema of the needed columns that are there."""
        schema = super().schema_arrow
        return pyarrow.schema([field for field in schema if field.name in self._names])


@contextmanager
def opened(
    location: str, columns: Columns, layout: Layout, network: NetworkSettings
) -> Iterator[NeededColumns]:
    """A Parquet file, closed at the end of the block.

    Args:
        location: path or address.
        columns: what is needed of it.
        layout: of the columns.
        network: of remote files.

    Raises:
        InputError: if it cannot be read.
    """
    names = layout.all_branches(columns)
    with ExitStack() as files:
        try:
            file = files.enter_context(_file(location, network))
            with _damage_told(file):
                content = NeededColumns(file, names)
        except (*READ_ERRORS, ArrowException) as error:
            raise unreadable(location, error) from error
        with _damage_told(file):
            yield content


@contextmanager
def _damage_told(file: Any) -> Iterator[None]:
    """A block in which what is damaged is a ``ValueError``.

    pyarrow says of it what it says of a system or server that gives nothing.
    """
    try:
        yield
    except OSError as error:
        if isinstance(file, RemoteFile) and not file.failed and error.errno is None:
            raise ValueError(str(error)) from error
        raise


def _file(location: str, network: NetworkSettings) -> Any:
    addresses.check(location, place="the address of a file")
    if not addresses.is_remote(location):
        path = Path(location.removeprefix("file://"))
        check_no_pipe(path)
        return path.open("rb")
    return RemoteFile(RemoteSource(location, network=network))


def inspect(
    location: str, columns: Columns, layout: Layout, network: NetworkSettings = NETWORK
) -> tuple[int, int]:
    """Rows and bytes of a Parquet file that has all the columns, or no rows.

    Args:
        location: path or address.
        columns: what must be there.
        layout: of the columns.
        network: of remote files.

    Raises:
        InputError: if the file cannot be read or lacks a column.
    """
    with opened(location, columns, layout, network) as file:
        try:
            present, rows = set(file.schema_arrow.names), int(file.metadata.num_rows)
        # Not all of pyarrow's errors are ValueError or OSError, too.
        except (*READ_ERRORS, ArrowException) as error:
            raise unreadable(location, error) from error
    missing = [name for name in layout.all_branches(columns) if name not in present]
    # ServiceX makes a table without columns of a file without events.
    if missing and rows:
        raise InputError(
            f"columns missing: {', '.join(missing)}",
            place=location,
            remedy="delete it and run again: it is delivered anew",
        )
    return rows, file.size
