"""Baskets that are damaged, or say another size than they have, are refused before they do harm."""

import struct
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import pytest
import uproot
import xxhash

import toy
from agc_pipeline.declaration import NANOAOD
from agc_pipeline.errors import InputError
from agc_pipeline.readers import metadata
from agc_pipeline.readers.opening import READ_ERRORS
from agc_pipeline.readers.root_format import (
    Content,
    Lists,
    decompressed,
    flat,
    speed_up_uproot,
)
from oracle.strategies import write_nanoaod
from processed import COLUMNS, run

N = 100
VALUES = np.arange(N, dtype=">i4").tobytes()
CODECS = {
    "ZL": cramjam.zlib.compress,
    "XZ": cramjam.xz.compress,
    "ZS": cramjam.zstd.compress,
    "L4": lambda data: cramjam.lz4.compress_block(data, store_size=False),
}


def block(codec: str, content: bytes, stated: int | None = None) -> bytes:
    """A compressed block as ROOT writes it, which may say another size."""
    packed = bytes(CODECS[codec](content))
    if codec == "L4":
        packed = struct.pack(">Q", xxhash.xxh64_intdigest(packed)) + packed
    sizes = len(packed), len(content) if stated is None else stated
    header = b"".join(struct.pack("<I", size)[:3] for size in sizes)
    return codec.encode() + b"\x08" + header + packed


def basket(blocks: bytes, size: int, *, events: int = N, key_length: int = 40) -> bytes:
    """A basket with its key."""
    start = struct.pack(">ihiih", key_length + len(blocks), 4, size, 0, key_length)
    end = struct.pack(">iib", events, key_length + len(VALUES), 0)
    return start + bytes(40 - len(start) - len(end)) + end + blocks


def basket_of_lists(lists: list[Any], dtype: str, starts: list[int] | None = None) -> Content:
    """A decompressed basket of lists, which may begin elsewhere than behind one another."""
    values = np.concatenate(lists).astype(dtype)
    lengths = [len(values) for values in lists]
    if starts is None:
        starts = np.cumsum([0, *lengths[:-1]]).tolist()
    offsets = np.array([len(lists) + 1, *(40 + values.itemsize * start for start in starts), 0])
    payload = values.tobytes() + offsets.astype(">i4").tobytes()
    return Content(payload, 40, 40 + values.nbytes)


def content_of(data: bytes) -> Any:
    return flat(decompressed(data, 0, len(data), N), np.dtype(">i4"), N).tolist()


@pytest.mark.parametrize("codec", CODECS)
def test_blocks_of_all_codecs(codec: str) -> None:
    one = basket(block(codec, VALUES), len(VALUES))
    two = basket(block(codec, VALUES[:150]) + block(codec, VALUES[150:]), len(VALUES))
    assert content_of(one) == content_of(two) == list(range(N))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", ["states less", "states more", "is beyond the key", "ends early"])
def test_sizes_are_those_that_are_stated(codec: str, name: str) -> None:
    large = bytes(10**6)
    size = len(VALUES)
    data = {
        # A few bytes that would become much more.
        "states less": basket(block(codec, large, stated=size), size),
        "states more": basket(block(codec, VALUES, stated=size + 4), size + 4),
        "is beyond the key": basket(block(codec, VALUES) + block(codec, large), size),
        "ends early": basket(block(codec, VALUES)[:-5], size),
    }[name]
    with pytest.raises(READ_ERRORS):
        content_of(data)


def test_lz4_that_seems_to_begin_with_its_size() -> None:
    """A flat column of lists, as of leptons that never pass: zeros, then offsets of the lists."""
    apart = 0
    for seed in range(9, 16):
        random = np.random.default_rng(seed)
        n_events = int(random.integers(17000, 20000))
        counts = random.poisson(random.uniform(0.02, 0.4), n_events)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(">i4") + 81
        content = bytes(int(counts.sum())) + offsets.tobytes()
        packed = cramjam.lz4.compress_block(content, store_size=False)
        lz4 = uproot.compression._decompress_LZ4
        speed_up_uproot()
        assert bytes(lz4.decompress(packed, len(content))) == content
        # What cramjam makes of some of them if it is not told their size.
        unasked = cramjam.lz4.decompress_block_into(packed, np.empty(len(content), np.uint8))
        apart += unasked != len(content)
        data = basket(block("L4", content), len(content))
        assert bytes(decompressed(data, 0, len(data), N).payload) == content
    assert apart > 0


def test_checksum_of_lz4() -> None:
    intact = basket(block("L4", VALUES), len(VALUES))
    assert content_of(intact) == list(range(N))
    # Of the checksum and the data, every bit.
    for position in range(49, len(intact)):
        damaged = bytearray(intact)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(ValueError, match="differs from its checksum"):
            content_of(bytes(damaged))


def test_checksum_of_zstd_where_there_is_one() -> None:
    """ROOT writes none. A flag in the fifth byte says that the low bytes of XXH64 stand behind."""
    header, frame = block("ZS", VALUES)[:9], bytearray(block("ZS", VALUES)[9:])
    assert not frame[4] & 4
    frame[4] |= 4
    frame += struct.pack("<Q", xxhash.xxh64_intdigest(VALUES))[:4]
    header = header[:3] + struct.pack("<I", len(frame))[:3] + header[6:]
    intact = basket(header + frame, len(VALUES))
    assert content_of(intact) == list(range(N))
    for position in range(49, len(intact)):
        damaged = bytearray(intact)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(READ_ERRORS):
            content_of(bytes(damaged))


@pytest.mark.parametrize("key_length", [-1, 0, 17, 5000])
def test_length_of_the_key(key_length: int) -> None:
    data = basket(VALUES, len(VALUES), key_length=key_length)
    data = struct.pack(">i", len(data)) + data[4:]
    with pytest.raises(ValueError, match="has a key of"):
        content_of(data)


@pytest.mark.parametrize("name", ["ZSTD", "LZMA", "ZLIB"])
def test_what_uproot_reads_is_bounded_too(name: str) -> None:
    speed_up_uproot()
    codec = getattr(uproot.compression, f"_decompress_{name}")
    packed = getattr(uproot, name)(1).compress(bytes(10**6))
    assert len(codec.decompress(packed, 10**6)) == 10**6
    with pytest.raises(READ_ERRORS):
        codec.decompress(packed, 100)


def test_a_basket_that_says_less_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(4000, selected=False), compression=uproot.LZ4(4))
    content = metadata.read(str(path), COLUMNS, NANOAOD)
    assert content.branches is not None
    data = bytearray(path.read_bytes())
    # The uncompressed size in the key of a basket that all events need.
    at = content.branches["Electron_cutBased"].seeks[0] + 6
    data[at : at + 4] = struct.pack(">i", 100)
    path.write_bytes(data)
    for reader in ("auto", "coffea"):
        with pytest.raises(InputError, match="damaged") as caught:
            run(path, 4000, reader)
        assert caught.value.place == str(path)


@pytest.mark.parametrize("dtype", [">f4", ">i8", "u1", "?"])
@pytest.mark.parametrize("share", [None, 0.0, 0.1, 0.6, 1.0])
def test_lists_of_several_baskets(dtype: str, share: float | None) -> None:
    rng = np.random.default_rng(3)
    expected: list[Any] = []
    baskets = []
    for n_events, mean in ((50, 1.0), (1, 30.0), (300, 7.0), (20, 0.0)):
        lists = [rng.integers(0, 100, n) for n in rng.poisson(mean, n_events)]
        events = None if share is None else np.flatnonzero(rng.random(n_events) < share)
        wanted = range(n_events) if events is None else events.tolist()
        expected += [lists[event].astype(dtype).tolist() for event in wanted]
        baskets.append((basket_of_lists(lists, dtype), n_events, events))
    joined = Lists(np.dtype(dtype), len(expected))
    for content, n_events, events in baskets:
        joined.add(content, n_events, events)
    lengths, values = joined.columns()
    assert lengths.tolist() == [len(values) for values in expected]
    assert values.tolist() == [value for values in expected for value in values]
    assert values.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("events", [None, np.arange(40), np.arange(0, 40, 2)])
@pytest.mark.parametrize(
    "starts",
    [
        pytest.param([0, 20] * 20, id="lists that overlap"),
        pytest.param([0] * 39 + [21], id="a list behind the basket"),
        pytest.param([-1] + [0] * 39, id="a list in the key"),
    ],
)
def test_lists_that_do_not_fit_into_their_basket(starts: list[int], events: Any) -> None:
    content = basket_of_lists([np.arange(20)] + [np.arange(0)] * 39, ">f4", starts)
    with pytest.raises(ValueError, match="lists overlap in a basket"):
        Lists(np.dtype(">f4"), 40).add(content, 40, events)
