"""Files of what a dataset has by process and region."""

from pathlib import Path

import numpy as np
import pytest

from agc_pipeline.columnar import features, thresholds
from agc_pipeline.errors import InputError


def scans(moving: tuple[str, ...]) -> thresholds.Scans:
    numbers = np.arange(24.0).reshape(2, 3, 4)
    moved = np.arange(2.0 * len(moving) * 16).reshape(2, len(moving), 4, 4)
    scan = thresholds.Scan(("nominal", "up", "down"), numbers, numbers / 3, moving, moved)
    return {("ttbar", "4j1b"): scan, ("w jets", "4j2b"): scan._replace(contents=-numbers)}


def rows() -> features.Rows:
    part = features.RegionRows(
        np.array([[1.5, np.nan]], np.float32),
        np.array([7]),
        np.array([0]),
        np.array([-1]),
        np.array([[0.1, 0.2, 0.3]]),
    )
    return features.Rows(("nominal", "jes"), (), {("ttbar", "4j1b"): part})


def assert_same(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        assert type(ours) is type(theirs)
        if isinstance(ours, np.ndarray):
            assert isinstance(theirs, np.ndarray)
            assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)  # type: ignore[arg-type]


@pytest.mark.parametrize("moving", [(), ("jes up",)])
def test_scans_are_read_as_they_were_written(tmp_path: Path, moving: tuple[str, ...]) -> None:
    written = scans(moving)
    thresholds.write(tmp_path / "a.npz", written, 1.25)
    read, seconds = thresholds.read(tmp_path / "a.npz")
    assert seconds == 1.25
    assert list(read) == list(written)
    for key, scan in read.items():
        assert_same(scan, written[key])


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = rows()
    features.write(tmp_path / "a.npz", written, 0.5)
    read, seconds = features.read(tmp_path / "a.npz")
    assert seconds == 0.5
    assert (read.shifts, read.weights, list(read.parts)) == (
        written.shifts,
        written.weights,
        list(written.parts),
    )
    for key, part in read.parts.items():
        assert_same(part, written.parts[key])


def test_a_dataset_without_parts(tmp_path: Path) -> None:
    thresholds.write(tmp_path / "a.npz", {}, 0.0)
    assert thresholds.read(tmp_path / "a.npz") == ({}, 0.0)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match="no scan of thresholds can be read: FileNotFoundError"):
        thresholds.read(path)
    thresholds.write(path, scans(()), 1.0)
    # Of another kind.
    with pytest.raises(InputError, match="no rows of features can be read: KeyError"):
        features.read(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="no scan of thresholds can be read") as caught:
            thresholds.read(path)
        assert caught.value.place == str(path)
