"""Histograms of the assigned jets: each reader gives the same, and what plain loops give."""

import pickle
import shutil
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from test_processor import smearing

import boosters
import toy
from agc_pipeline.analyses.cms_ttbar.jet_assignment import JET_ASSIGNMENT
from agc_pipeline.analyses.cms_ttbar.jet_assignment.assign import ModelAssignment, assignment
from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import FEATURES
from agc_pipeline.analyses.cms_ttbar.settings import JetAssignment
from agc_pipeline.learning.models import PARITIES, Models
from agc_pipeline.learning.settings import ScoringSettings
from conftest import read_config
from oracle import assignment as oracle
from oracle.events import events_from_arrays
from oracle.strategies import Arrays, nanoaod, write_nanoaod
from processed import run

N = 90
REGIONS = JET_ASSIGNMENT.regions


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return boosters.pair(tmp_path_factory.mktemp("models"), FEATURES)


def by(pair: Models, **changes: Any) -> ModelAssignment:
    values = read_config()
    scoring = ScoringSettings(scorer="xgboost", triton=values["learning"]["triton"])
    chosen = JetAssignment(**(values["physics"]["jet_assignment"] | changes))
    return assignment(chosen, pair.folder, scoring)


def toy_file(folder: Path, **options: Any) -> tuple[Path, Arrays]:
    path, arrays = folder / "a.root", toy.events(N, seed=5)
    # Enough events with two tags.
    arrays["Jet_btagCSVV2"] = arrays["Jet_btagCSVV2"] + 0.4
    write_nanoaod(path, arrays, events_per_piece=20, **options)
    return path, arrays


@pytest.mark.parametrize(
    "dataset", [("ttbar", "nominal"), ("wjets", "nominal"), ("ttbar", "PS_var")]
)
def test_histograms_are_those_of_plain_loops(
    tmp_path: Path, pair: Models, dataset: tuple[str, str]
) -> None:
    path, arrays = toy_file(tmp_path)
    output = run(path, N, "auto", dataset=dataset, scoring=by(pair)).output

    models = {parity: boosters.booster(pair, parity) for parity in PARITIES}

    def score(number: int, rows: list[list[float]]) -> list[float]:
        model = models["odd" if number % 2 == 0 else "even"]
        given = np.array(rows, np.float32)
        return list(model.inplace_predict(given, validate_features=False))

    events = events_from_arrays(arrays)
    expected = oracle.filled(events, *dataset, smear=smearing(events), score=score)
    assert len(expected[0, dataset[1]]) > 15
    for feature, region in enumerate(REGIONS):
        histogram = output["histograms"][region.name]
        for row, variation in enumerate(histogram.axes["variation"]):
            entries = expected[feature, variation]
            sums = np.zeros(len(region.edges) + 1)
            squares = np.zeros(len(region.edges) + 1)
            for value, weight in entries:
                # Values are kept in single precision.
                place = bisect_right(region.edges, float(np.float32(value)))
                sums[place] += weight
                squares[place] += weight**2
            view = histogram.view(flow=True)[row]
            assert view["value"] == pytest.approx(sums, abs=1e-5), (region.name, variation)
            assert view["variance"] == pytest.approx(squares, abs=1e-5)
    assert set(output["selected"]) == {"4j1b", "4j2b"}


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_readers_and_chunks_give_the_same_bits(tmp_path: Path, pair: Models, kind: Any) -> None:
    path, _ = toy_file(tmp_path, kind=kind)
    chosen = by(pair)
    reference = run(path, N, "coffea", scoring=chosen)
    assert len(reference.output["histograms"]) == 22
    for chunk_size in (7, 33, 1000):
        done = run(path, N, "auto", chunk_size=chunk_size, scoring=chosen)
        assert done.output == reference.output
    assert run(path, N, "coffea", chunk_size=41, scoring=chosen).output == reference.output
    # Without it, the others are the same.
    without = run(path, N, "auto").output["histograms"]
    assert without == {name: reference.output["histograms"][name] for name in without}
    assert set(without) == {"4j1b", "4j2b"}


def test_other_processes_are_sent_the_models(tmp_path: Path, pair: Models) -> None:
    path, _ = toy_file(tmp_path)
    # As executors do; the folder of the models is not needed there.
    copied = shutil.copytree(pair.folder, tmp_path / "models")
    chosen = by(replace(pair, folder=copied))
    sent = pickle.dumps(chosen)
    shutil.rmtree(copied)
    done = run(path, N, "auto", scoring=pickle.loads(sent))  # noqa: S301
    assert done.output == run(path, N, "auto", scoring=by(pair)).output


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays=nanoaod(min_events=1, max_events=8))
def test_random_events(
    pair: Models, tmp_path_factory: pytest.TempPathFactory, arrays: Arrays
) -> None:
    path = tmp_path_factory.mktemp("random") / "a.root"
    write_nanoaod(path, arrays, events_per_piece=3)
    n, chosen = len(arrays["event"]), by(pair)
    reference = run(path, n, "coffea", scoring=chosen)
    assert run(path, n, "auto", chunk_size=4, scoring=chosen).output == reference.output


def test_settings_of_the_assignment_matter(tmp_path: Path, pair: Models) -> None:
    path, _ = toy_file(tmp_path)
    made = {
        name: run(path, N, "auto", scoring=by(pair, **changes)).output["histograms"]
        for name, changes in {
            "default": {},
            "reference": {"azimuth": "reference"},
            "five": {"n_jets_max": 5},
        }.items()
    }
    assert made["default"] != made["reference"]
    assert made["default"] != made["five"]
