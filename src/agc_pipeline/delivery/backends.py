"""The backends of delivery, behind one function: from input files to a manifest's entries."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

from agc_pipeline.analyses.base import Preselection
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.mirrors import from_mirrors
from agc_pipeline.delivery.reading import check_entries, open_tree
from agc_pipeline.delivery.settings import DeliverySettings, NetworkSettings
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import InputError
from agc_pipeline.files import read_json
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)

# (file, number of the file in the batch, address to read from) to the entry
_Backend = Callable[[InputFile, int, str], Delivered]


def deliver(
    files: Sequence[InputFile],
    analysis: Preselection,
    selection: Settings,
    settings: DeliverySettings,
    folder: Path,
    *,
    allow_partial: bool,
) -> Iterator[Delivered]:
    """Deliver files one by one.

    Args:
        files: the inputs.
        analysis: its columns and preselection.
        selection: its cuts.
        settings: backend and format.
        folder: where skims go.
        allow_partial: give an entry with ``error`` for a file that fails, instead of raising.

    Raises:
        InputError: for the first file that no mirror gives, or that is not as configured.
    """
    backend = _backend(analysis, selection, settings, folder)
    for number, file in enumerate(files):
        try:
            entry, _ = from_mirrors(file, partial(backend, file, number), settings.network)
        except InputError as error:
            if not allow_partial:
                raise
            log.warning("left out: %s", error)
            entry = _failed(file, error)
        else:
            log.info(
                "%d of %d files, %d of %d events kept: %s",
                number + 1,
                len(files),
                entry.after,
                entry.before,
                entry.source,
            )
        yield entry


def _backend(
    analysis: Preselection, selection: Settings, settings: DeliverySettings, folder: Path
) -> _Backend:
    match settings.backend:
        case "local":
            return partial(
                _skim, analysis=analysis, selection=selection, settings=settings, folder=folder
            )
        case "none":
            return partial(_as_is, columns=analysis.COLUMNS, network=settings.network)
        case _:
            assert_never(settings.backend)


def _skim(
    file: InputFile,
    number: int,
    url: str,
    *,
    analysis: Preselection,
    selection: Settings,
    settings: DeliverySettings,
    folder: Path,
) -> Delivered:
    n_events, generated = _promised(file)
    path = folder / f"{number:04d}.root"
    with open_tree(url, analysis.COLUMNS, settings.network) as tree:
        check_entries(tree.num_entries, n_events, url=url)
        before, after, cutflow = write_skim(
            tree,
            analysis.COLUMNS,
            partial(analysis.preselect, selection),
            path,
            url=url,
            kind=settings.format,
            chunk_size=settings.chunk_size,
        )
    return Delivered(
        source=file.source,
        path=str(path),
        size=path.stat().st_size,
        expected=n_events,
        before=before,
        after=after,
        generated=before if generated is None else generated,
        cutflow=cutflow,
    )


def _as_is(
    file: InputFile,
    number: int,  # noqa: ARG001 - no file is written that it would name
    url: str,
    *,
    columns: Mapping[str, Sequence[str]],
    network: NetworkSettings,
) -> Delivered:
    n_events, generated = _promised(file)
    with open_tree(url, columns, network) as tree:
        entries = tree.num_entries
    check_entries(entries, n_events, url=url)
    local = Path(url)
    return Delivered(
        source=file.source,
        path=url,
        size=local.stat().st_size if local.exists() else None,
        expected=n_events,
        before=entries,
        after=entries,
        generated=entries if generated is None else generated,
        cutflow={},
    )


def _failed(file: InputFile, error: InputError) -> Delivered:
    n_events, generated = _promised(file)
    return Delivered(
        source=file.source,
        path=None,
        size=None,
        expected=n_events,
        before=0,
        after=0,
        generated=generated or n_events or 0,
        cutflow={},
        error=str(error),
    )


def _promised(file: InputFile) -> tuple[int | None, int | None]:
    """Entries that the file must have, and generated events that it stands for."""
    if file.record is None:
        return file.n_events, file.n_events
    record = read_json(Path(file.record))
    return record["n_events"], record["n_generated"]
