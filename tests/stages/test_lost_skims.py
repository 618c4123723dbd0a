"""Skims that are lost or damaged are delivered again, and the histograms have the same bits."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_deliver_histogram_merge import Chain, content

import toy
from agc_pipeline.delivery import manifest
from agc_pipeline.files import read_json
from oracle.strategies import write_nanoaod

Command = Callable[..., str | None]


class Healing(Chain):
    """A chain whose histogram stage is told, as by its rule, where skims are."""

    def __init__(self, command: Command, folder: Path) -> None:
        def told(stage: str, settings: Any, **options: Any) -> str | None:
            more = {"skims": folder / "skims"} if stage == "histogram" else {}
            return command(stage, settings, **options, **more)

        super().__init__(told, folder)


@pytest.fixture
def chain(command: Command, tmp_path: Path) -> Healing:
    chain = Healing(command, tmp_path)
    paths = [tmp_path / f"{name}.root" for name in "ab"]
    for seed, path in enumerate(paths, 1):
        write_nanoaod(path, toy.events(40, seed=seed))
    assert chain.deliver(list(paths)) is None
    return chain


def flipped(path: Path) -> None:
    """One bit of a file is another one."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [Path.unlink, flipped])
def test_they_are_delivered_again(
    chain: Healing, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    assert chain.histogram() is None
    reference = content(chain.result())
    path = chain.folder / "0.manifest.json"
    before, age = manifest.read(path), path.stat().st_mtime_ns
    lost, kept = (Path(str(entry.path)) for entry in before.files)
    intact = kept.read_bytes()
    harm(lost)
    with caplog.at_level(logging.WARNING):
        assert chain.histogram() is None
    assert f"{lost}: " in caplog.text
    assert "it is delivered again" in caplog.text
    assert content(chain.result()) == reference
    after = manifest.read(path)
    assert [entry.path for entry in after.files] == [str(lost), str(kept)]
    assert after.files[1] == before.files[1]
    assert kept.read_bytes() == intact
    # What was made of the manifest before is not made again.
    assert path.stat().st_mtime_ns == age
    caplog.clear()
    assert chain.histogram() is None
    assert not caplog.text


def test_without_their_input_they_stay_lost(chain: Healing) -> None:
    (skim, *_) = (chain.folder / "skims").glob("a.*.root")
    skim.unlink()
    (chain.folder / "a.root").unlink()
    message = chain.histogram()
    assert message is not None
    assert str(chain.folder / "a.root") in message
    assert "file not found" in message


def test_a_bit_flip_anywhere_in_a_skim_is_noticed(command: Command, tmp_path: Path) -> None:
    chain = Chain(command, tmp_path)
    write_nanoaod(tmp_path / "a.root", toy.events(30))
    assert chain.deliver([tmp_path / "a.root"]) is None
    (skim,) = (tmp_path / "skims").glob("*.root")
    intact = skim.read_bytes()
    rng = np.random.default_rng(1)
    for position in rng.integers(0, len(intact), 20):
        data = bytearray(intact)
        data[position] ^= 1 << int(rng.integers(8))
        skim.write_bytes(data)
        message = chain.histogram()
        assert message is not None
        assert "the skim is damaged" in message
        assert str(skim) in message


def test_a_bit_flip_anywhere_in_a_record_is_noticed(chain: Healing) -> None:
    """In manifests and in histograms between jobs, or it changes nothing that is read."""
    assert chain.histogram() is None
    chain.result()
    dataset = {"xsec_pb": 729.84, "luminosity_per_pb": 3378, "n_files": 2}
    settings = {
        "analysis": "cms_ttbar",
        "datasets": {"ttbar__nominal": dataset},
        "allow_partial": False,
    }

    def merge() -> str | None:
        return chain.command(
            "merge",
            settings,
            datasets=[chain.folder / "dataset.json"],
            histograms=chain.folder / "histograms.root",
            closure=chain.folder / "closure.json",
        )

    rng = np.random.default_rng(2)
    for name, job in (
        ("0.manifest.json", chain.histogram),
        ("dataset.json", merge),
    ):
        path = chain.folder / name
        intact = path.read_bytes()
        meaning = read_json(path)
        for position in rng.integers(0, len(intact), 40):
            data = bytearray(intact)
            data[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
            message = job()
            assert message is None or str(path) in message
            if message is None:
                assert read_json(path) == meaning
        path.write_bytes(intact)
        assert job() is None
