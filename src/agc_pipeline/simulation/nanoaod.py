"""The format of CMS NanoAOD: branches, types, rounding, and the ROOT file."""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import cramjam
import numpy as np
import uproot

from agc_pipeline.errors import PARSER_ERRORS
from agc_pipeline.files import atomic_path
from agc_pipeline.simulation import flat
from agc_pipeline.simulation.flat import Collection

# What uproot raises for damaged files.
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    cramjam.DecompressionError,
    uproot.DeserializationError,
    *PARSER_ERRORS,
)

# Bits of the mantissa that are kept; NanoAOD stores the pt and the isolation of leptons in full,
# here 16 bits keep the content the same on processors that differ in the last bit.
PRECISION = {
    "Jet": {"pt": 10, "eta": 12, "phi": 12, "mass": 10, "btagCSVV2": 10, "qgl": 10},
    "Electron": {"pt": 16, "eta": 12, "phi": 12, "mass": 10, "sip3d": 10, "pfRelIso03_all": 16},
    "Muon": {"pt": 16, "eta": 12, "phi": 12, "mass": 10, "sip3d": 10, "pfRelIso04_all": 16},
    "GenPart": {"pt": 8, "eta": 8, "phi": 8, "mass": 8},
}
_BOOLEAN = {("Muon", "tightId")}

# Simulated CMS events have this run number.
RUN = 1

_MANTISSA = 23
# Takes a third of the time of ZLIB, for files of the same size.
_COMPRESSION = uproot.ZSTD(1)


@dataclass(frozen=True, eq=False)
class NanoEvents:
    """Events in NanoAOD's form, rounded.

    Attributes:
        scalars: name of a branch with one value for each event, to its values.
        collections: name of a collection, to its objects.
    """

    scalars: dict[str, np.ndarray]
    collections: dict[str, Collection]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.scalars["event"])

    def select(self, mask: np.ndarray) -> "NanoEvents":
        """Only the events where ``mask``, one bool for each event, is true."""
        return NanoEvents(
            {name: values[mask] for name, values in self.scalars.items()},
            {name: collection.events(mask) for name, collection in self.collections.items()},
        )


def reduce_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Round to a mantissa of a few bits, as NanoAOD does before it compresses.

    As CMSSW's ``MiniFloatConverter::reduceMantissaToNbitsRounding`` does it: halves go away from
    zero, and the two largest mantissas are cut, so that none overflows into the exponent.

    Args:
        values: any floating-point numbers.
        bits: 1 to 22 bits of the mantissa to keep, the implicit leading one not counted.

    Returns:
        float32 of the same shape; the relative change is at most ``2**-bits``.
    """
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    shift = np.uint32(_MANTISSA - bits)
    cut = (raw >> shift) << shift
    mantissa = (raw & np.uint32((1 << _MANTISSA) - 1)) >> shift
    half = (raw >> (shift - np.uint32(1))) & np.uint32(1)
    room = mantissa < np.uint32((1 << bits) - 2)
    return (cut + np.where(room, half << shift, np.uint32(0)).astype(np.uint32)).view(np.float32)


def typed(name: str, collection: Collection) -> Collection:
    """The collection with NanoAOD's types and precision: float32, int32, bool."""

    def column(field: str, values: np.ndarray) -> np.ndarray:
        if (name, field) in _BOOLEAN:
            return values.astype(np.bool_)
        bits = PRECISION[name].get(field)
        return values.astype(np.int32) if bits is None else reduce_mantissa(values, bits)

    return collection.with_columns(
        **{field: column(field, values) for field, values in collection.columns.items()}
    )


def append(parts: Sequence[NanoEvents]) -> NanoEvents:
    """Several sets of events, one after the other."""
    return NanoEvents(
        {name: np.concatenate([part.scalars[name] for part in parts]) for name in parts[0].scalars},
        {
            name: flat.append([part.collections[name] for part in parts])
            for name in parts[0].collections
        },
    )


def content_hash(events: NanoEvents) -> str:
    """SHA-256 of the values of all branches.

    ROOT files hold time stamps and identifiers, so that their bytes are never the same; this is.
    """
    digest = hashlib.sha256()
    for name, values in _arrays(events):
        digest.update(f"{name} {values.dtype.str} {len(values)}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _arrays(events: NanoEvents) -> Iterator[tuple[str, np.ndarray]]:
    """Every branch, flat, in alphabetical order."""
    branches = dict(events.scalars)
    for name, collection in events.collections.items():
        branches[f"n{name}"] = collection.counts.astype(np.int32)
        branches |= {f"{name}_{field}": values for field, values in collection.columns.items()}
    yield from sorted(branches.items())


def read(path: Path) -> tuple[NanoEvents, int]:
    """Events of a file that ``write`` made, and the number of events that were generated for it."""
    with uproot.open(path) as file:
        branches = file["Events"].arrays(library="ak")
        (n_generated,) = file["Runs"]["genEventCount"].array(library="np").tolist()
    counters = {f"n{name}" for name in PRECISION}
    scalars = {
        name: np.asarray(branches[name])
        for name in branches.fields
        if name not in counters and name.split("_")[0] not in PRECISION
    }
    collections = {
        name: Collection(
            np.asarray(branches[f"n{name}"]).astype(np.int64),
            {
                field.removeprefix(f"{name}_"): np.asarray(ak.flatten(branches[field]))
                for field in branches.fields
                if field.startswith(f"{name}_")
            },
        )
        for name in PRECISION
    }
    return NanoEvents(scalars, collections), n_generated


def write(path: Path, events: NanoEvents, *, n_generated: int) -> None:
    """Write a file with the trees ``Events`` and ``Runs``, atomically.

    Args:
        path: the ROOT file.
        events: what to write.
        n_generated: events that were generated for it, as ``Runs`` keeps them.
    """
    content: dict[str, Any] = dict(events.scalars)
    for name, collection in events.collections.items():
        content[name] = ak.zip(
            {
                field: ak.unflatten(values, collection.counts)
                for field, values in collection.columns.items()
            }
        )
    types = {
        name: values.dtype if isinstance(values, np.ndarray) else values.type.content
        for name, values in content.items()
    }
    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=_COMPRESSION) as file,
    ):
        file.mktree(
            "Events",
            types,
            counter_name=lambda name: f"n{name}",
            field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
        ).extend(content)
        runs: dict[str, np.ndarray] = {
            "run": np.array([RUN], dtype=np.uint32),
            "genEventCount": np.array([n_generated], dtype=np.int64),
            "genEventSumw": np.array([n_generated], dtype=np.float64),
        }
        file.mktree("Runs", {name: values.dtype for name, values in runs.items()}).extend(runs)
