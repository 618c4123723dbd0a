"""The file of histograms is that which was written, or one clear error."""

from pathlib import Path

import hist
import numpy as np
import pytest
import uproot

from agc_pipeline import histograms
from agc_pipeline.errors import InputError


def write(path: Path) -> dict[str, hist.Hist]:
    rng = np.random.default_rng(3)
    named = {}
    for name in ("4j1b_ttbar", "4j2b_ttbar"):
        axis = hist.axis.Variable([0.0, 1.0, 2.5, 7.0], name="observable")
        named[name] = hist.Hist(axis, storage=hist.storage.Weight())
        named[name].fill(rng.uniform(-1, 9, 50), weight=rng.uniform(0, 2, 50))
    axes = [hist.axis.Variable([0.0, 1.0, 2.5, 7.0], name=name) for name in ("nominal", "varied")]
    named["4j1b_ttbar_migration"] = hist.Hist(*axes, storage=hist.storage.Double())
    named["4j1b_ttbar_migration"].fill(rng.uniform(-1, 9, 50), rng.uniform(-1, 9, 50))
    histograms.write_root(path, named, provenance={"stage": "merge"})
    return named


def test_bit_flips_are_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "histograms.root"
    named = write(path)
    intact = path.read_bytes()
    rng = np.random.default_rng(4)
    noticed = harmless = 0
    for position in rng.integers(0, len(intact), 150):
        data = bytearray(intact)
        data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            content = histograms.read_root(path)
        except InputError as error:
            noticed += error.place == str(path)
            continue
        harmless += 1
        assert list(content) == list(named)
        for name, histogram in named.items():
            for read, written in zip(content[name].axes, histogram.axes, strict=True):
                assert np.array_equal(read.edges, written.edges)
            assert np.array_equal(content[name].view(flow=True), histogram.view(flow=True))
    assert noticed + harmless == 150
    assert noticed


@pytest.mark.parametrize("name", ["4j1b_ttbar", "4j1b_ttbar_migration"])
def test_an_edited_bin_is_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "histograms.root"
    named = write(path)
    with uproot.open(path) as file:
        digest = str(file["digest"])
    histograms.contents(named[name])[0][1] += 512
    with uproot.recreate(path) as file:
        file["digest"] = digest
        for key, histogram in named.items():
            file[key] = histogram
    with pytest.raises(InputError, match="not those that were written"):
        histograms.read_root(path)
