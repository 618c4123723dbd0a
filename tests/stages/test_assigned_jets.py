"""Assigned jets through the command lines: from files to the histogram file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_deliver_histogram_merge import Chain, content, write_files

import boosters
from agc_pipeline import analyses
from agc_pipeline.columnar import batch, closure
from agc_pipeline.files import read_json
from agc_pipeline.histograms import read_root
from agc_pipeline.learning import models
from conftest import run_command

LEARNED = analyses.load("cms_ttbar").learned
assert LEARNED is not None
FEATURES = LEARNED.features


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> models.Models:
    return boosters.pair(tmp_path_factory.mktemp("models"), FEATURES)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(run_command, tmp_path)


def test_every_way_gives_the_same_and_says_which_models(
    tmp_path: Path, pair: models.Models
) -> None:
    made = {}
    for name, delivery, execution in (
        ("direct", {"backend": "none"}, {}),
        ("ttree", {"chunk_size": 11}, {"chunk_size": 6}),
        ("rntuple", {"format": "rntuple"}, {"executor": "futures", "chunk_size": 13}),
        ("parquet", {"format": "parquet"}, {"chunk_size": 7}),
        ("coffea", {"backend": "none"}, {"reader": "coffea"}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        chain = Chain(run_command, folder)
        assert chain.deliver(write_files(folder), **delivery) is None
        assert chain.histogram(models=pair.folder, **execution) is None
        made[name] = chain.result()
    reference = made["direct"]
    assert len(reference.histograms["ttbar"]) == 22
    assert set(reference.cutflow) == {"all", "one lepton", "four jets", "4j1b", "4j2b"}
    for name, other in made.items():
        assert content(other) == content(reference), name
        assert other.models == pair.digest
    filled = batch.read(tmp_path / "direct" / "0.histograms.json")
    assert {str(path) for path in pair.paths.values()} < set(filled.provenance["inputs"])


def test_histogram_file(chain: Chain, pair: models.Models) -> None:
    files = write_files(chain.folder)
    assert chain.deliver(files) is None
    assert chain.histogram() is None
    chain.result()
    assert chain.merge(len(files)) is None
    without = read_root(chain.folder / "histograms.root")
    assert closure.read(chain.folder / "closure.json").models is None

    assert chain.histogram(models=pair.folder) is None
    chain.result()
    assert chain.merge(len(files), learned=True) is None
    found = read_root(chain.folder / "histograms.root")
    assert closure.read(chain.folder / "closure.json").models == pair.digest
    assert {name: found[name] for name in without} == without
    templates = [name for name in without if not name.endswith("_migration")]
    shifts = [name.removeprefix("4j2b_ttbar") for name in templates if name.startswith("4j2b")]
    assert set(found) - set(without) == {
        f"{feature}_ttbar{shift}" for feature in FEATURES for shift in shifts
    }
    for feature in FEATURES:
        # Every selected event is in each of them.
        expected = found["4j2b_ttbar"].values(flow=True).sum()
        assert found[f"{feature}_ttbar"].values(flow=True).sum() == pytest.approx(expected)


def other_card(folder: Path, **changes: Any) -> None:
    path = folder / models.CARD
    path.write_text(json.dumps(read_json(path) | changes))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("folder", "no folder of models"),
        ("missing", "the odd model is missing"),
        ("digest", "not the one of the card"),
        ("swapped", "not the one of the card"),
        ("parity", "was trained on even events"),
        ("features", "the models have 19 features, but 20 are computed"),
    ],
)
def test_wrong_models_are_refused_before_any_event_is_read(
    chain: Chain, pair: models.Models, fault: str, message: str
) -> None:
    folder = Path(shutil.copytree(pair.folder, chain.folder / "copy"))
    even, odd = (models.path(folder, parity) for parity in models.PARITIES)
    card = read_json(folder / models.CARD)
    match fault:
        case "folder":
            shutil.rmtree(folder)
        case "missing":
            odd.unlink()
        case "digest":
            odd.write_bytes(odd.read_bytes() + b" ")
        case "swapped":
            even.rename(chain.folder / "even")
            odd.rename(even)
            (chain.folder / "even").rename(odd)
        case "parity":
            # The even model under both names.
            odd.write_bytes(even.read_bytes())
            other_card(folder, odd=card["odd"] | {"sha256": card["even"]["sha256"]})
        case "features":
            other_card(folder, features=card["features"][:-1])
    # There is not even a manifest.
    found = chain.histogram(models=folder)
    assert found is not None
    assert message in found
    assert str(folder) in found


def test_datasets_by_different_models_are_not_merged(chain: Chain, pair: models.Models) -> None:
    files = write_files(chain.folder)
    assert chain.deliver(files) is None
    assert chain.histogram(models=pair.folder) is None
    summed = chain.result()
    files_of_other = tuple(
        file.model_copy(update={"source": f"{file.source}.other", "uuid": None})
        for file in summed.files
    )
    changes = {
        "models": None,
        "dataset": "ttbar__PS_var",
        "files": files_of_other,
        "histograms": {},
    }
    other = summed.model_copy(update=changes)
    path = chain.folder / "other.json"
    batch.write(path, other)
    one = {"xsec_pb": 729.84, "luminosity_per_pb": 3378, "n_files": len(files)}
    message = run_command(
        "merge",
        {
            "analysis": "cms_ttbar",
            "learned": True,
            "datasets": {"ttbar__nominal": one, "ttbar__PS_var": one},
            "allow_partial": False,
        },
        datasets=[chain.folder / "dataset.json", path],
        histograms=chain.folder / "histograms.root",
        closure=chain.folder / "closure.json",
    )
    assert message is not None
    assert "not histogrammed with the same models" in message
    assert not (chain.folder / "histograms.root").exists()
