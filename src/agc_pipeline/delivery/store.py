"""What was delivered before, file by file, so that nothing intact is delivered again.

Beside each skim stands a record of it. The names of both hold a key made from everything that the
skim depends on: any change of it is another key, and so another delivery. No network is needed to
find out.
"""

import glob
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import xxhash

from agc_pipeline.code import sources
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.delivery.forced import marks
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.preselected import SkimContent
from agc_pipeline.files import read_record, write_record
from agc_pipeline.provenance import digest, file_digest

# Versions of these can change what a skim holds.
_PACKAGES = ("awkward", "numpy", "pyarrow", "uproot")

_DIGITS = 12
# Bytes that are read at a time: they stay in the cache of the processor.
_BLOCK = 2**18
_SUFFIXES = {"ttree": ".root", "rntuple": ".root", "parquet": ".parquet"}


class Store:
    """The skims of a dataset in a folder.

    Args:
        folder: of the dataset.
        kind: format of the skims.
        made_by: everything that skims depend on besides their input file: selection, backend,
            format, versions, code.
    """

    def __init__(self, folder: Path, kind: str, made_by: Mapping[str, Any]) -> None:
        self.folder = folder
        self._suffix = _SUFFIXES[kind]
        self._made_by = digest(dict(made_by))

    def path(self, file: InputFile) -> Path:
        """Where the skim of a file is, or will be."""
        return self.folder / f"{_stem(file)}.{self._key(file)}{self._suffix}"

    def find(self, file: InputFile) -> Delivered | None:
        """The entry of a file whose skim is there as it was written; None without one."""
        record = self._record(file)
        if not record.exists():
            return None
        entry = read_record(Delivered, record, "the record of a skim")
        if entry.path is None or not _intact(entry.path, entry.size):
            return None
        return entry

    def keep(self, file: InputFile, entry: Delivered) -> None:
        """Record that a skim is complete, and drop those of the same file that it replaces."""
        write_record(self._record(file), entry.model_dump())
        # What a killed job left has a dot in front.
        for name in (_stem(file), f".{_stem(file)}"):
            for older in self.folder.glob(f"{glob.escape(name)}.*"):
                if f".{self._key(file)}." not in older.name:
                    older.unlink()

    def _record(self, file: InputFile) -> Path:
        return self.path(file).with_suffix(".json")

    def _key(self, file: InputFile) -> str:
        return digest([_identity(file), self._made_by])[:_DIGITS]


def store_of(folder: Path, content: SkimContent, job: DeliveryJob) -> Store | None:
    """The skims of a dataset as a job makes them; None if it makes none.

    Args:
        folder: of the dataset.
        content: of the skims.
        job: backend and format.
    """
    if job.format is None:
        return None
    code = (*sources("agc_pipeline.delivery.backends"), *content.code)
    made_by = {
        "content": content.description,
        "columns": content.columns,
        "delivery": job.what(),
        "software": {name: version(name) for name in packages(job)},
        "code": [file_digest(Path(path)) for path in code],
        "forced": marks(folder),
    }
    return Store(folder, job.format, made_by)


def packages(job: DeliveryJob) -> tuple[str, ...]:
    """Distributions whose versions can change what a job delivers."""
    return (*_PACKAGES, "servicex") if job.backend == "servicex" else _PACKAGES


def _stem(file: InputFile) -> str:
    """A name that a person recognises and that no other input file has."""
    name = PurePosixPath(urlsplit(file.source).path).stem
    return f"{name[-80:]}.{digest(file.source)[:_DIGITS]}"


def _identity(file: InputFile) -> dict[str, Any]:
    """What can be told of an input file without asking a server."""
    identity: dict[str, Any] = {"source": file.source, "n_events": file.n_events}
    if file.uuid is not None:
        identity["uuid"] = file.uuid
    if file.record is not None:
        identity["record"] = file_digest(Path(file.record))
    if "://" not in file.source and Path(file.source).exists():
        status = Path(file.source).stat()
        identity |= {"size": status.st_size, "modified": status.st_mtime_ns}
    return identity


def with_digest(entry: Delivered) -> Delivered:
    """The entry of a skim that was just written, with the digest of its bytes."""
    if entry.path is None or "://" in entry.path:
        return entry
    return entry.model_copy(update={"digest": _digest(Path(entry.path))})


def faults(entries: Sequence[Delivered], threads: int) -> dict[str, str]:
    """What is wrong with skims on this machine: by path, that it is missing, or damaged.

    Args:
        entries: of a manifest.
        threads: that read them.
    """
    skims = [entry for entry in entries if entry.path is not None and entry.digest is not None]
    with ThreadPoolExecutor(threads) as pool:
        found = zip(skims, pool.map(_fault, skims), strict=True)
        return {str(entry.path): fault for entry, fault in found if fault is not None}


def _fault(entry: Delivered) -> str | None:
    path = Path(str(entry.path))
    try:
        intact = path.stat().st_size == entry.size and _digest(path) == entry.digest
    except FileNotFoundError:
        return "file not found"
    return None if intact else "the skim is damaged: it does not have its digest"


def _digest(path: Path) -> str:
    """XXH3 of the bytes of a file: faster than they come from the disk."""
    total = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def _intact(location: str, size: int | None) -> bool:
    if "://" in location:
        # It is left to the service: whether it still has it shows when it is read.
        return True
    path = Path(location)
    return path.exists() and path.stat().st_size == size
