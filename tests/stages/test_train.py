"""The stages `train` and `track` on toy events with generator particles."""

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import mlflow
import numpy as np
import pytest

import toy
from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import CONVENTION, FEATURES
from agc_pipeline.learning import models, tracking, training_record
from conftest import read_config, run_command
from oracle.matching import LAST_COPY
from oracle.strategies import Arrays, write_nanoaod

Command = Callable[..., str | None]

N = 1200
READING = read_config()["delivery"]
# Right after the tops and W bosons: quarks of the W, b of the hadronic and of the leptonic top.
KINDS = (6, -6, 24, -24, -11, 12, 1, -2, -5, 5)
MOTHERS = (-1, -1, 0, 1, 2, 2, 3, 3, 1, 0)
QUARKS = (6, 7, 8, 9)


def with_truth(n: int) -> Arrays:
    """Toy events whose leading good jets come from the quarks; those of the tops are b-tagged."""
    arrays = toy.events(n)
    rng = np.random.default_rng(5)
    good = (arrays["Jet_pt"] > 30) & (abs(arrays["Jet_eta"]) < 2.4) & (arrays["Jet_jetId"] == 6)
    columns: dict[str, list[list[float]]] = {"eta": [], "phi": []}
    tags = arrays["Jet_btagCSVV2"].tolist()
    for event in range(n):
        leading = np.flatnonzero(good[event])[:4].tolist()
        directions = {name: [9.0 if name == "eta" else 0.0] * len(KINDS) for name in columns}
        order = rng.permutation(len(QUARKS))[: len(leading)]
        for jet, quark in zip(leading, order, strict=True):
            tags[event][jet] = 0.9 if quark >= 2 else 0.1
            for name in columns:
                value = float(arrays[f"Jet_{name}"][event, jet]) + rng.normal(0, 0.02)
                at = math.remainder(value, 2 * math.pi) if name == "phi" else value
                directions[name][QUARKS[quark]] = at
        for name, values in columns.items():
            values.append(directions[name])
    arrays["Jet_btagCSVV2"] = ak.values_astype(ak.Array(tags), np.float32)
    for name, values in columns.items():
        arrays[f"GenPart_{name}"] = ak.values_astype(ak.Array(values), np.float32)
    for name, same in (
        ("pdgId", KINDS),
        ("genPartIdxMother", MOTHERS),
        ("statusFlags", [LAST_COPY] * len(KINDS)),
    ):
        arrays[f"GenPart_{name}"] = ak.values_astype(ak.Array([list(same)] * n), np.int32)
    return arrays


def settings(*paths: Path, **training: Any) -> dict[str, Any]:
    config = read_config()
    chosen = config["learning"]["training"] | {"n_trees_max": 30, "n_events_min": 20} | training
    del chosen["tracking"]
    return {
        "analysis": "cms_ttbar",
        "selection": config["physics"]["selection"],
        "learned": config["physics"]["jet_assignment"],
        "training": chosen,
        "files": [{"urls": [str(path)]} for path in paths],
    }


def train(folder: Path, given: dict[str, Any], *, threads: int = 1, chunk: int = 100_000) -> Any:
    reading = {"chunk_size": chunk, "network": READING["network"]}
    return run_command(
        "train",
        given,
        reading=reading,
        threads=threads,
        models=folder / "models",
        record=folder / "training.json",
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files with truth, and one without."""
    folder = tmp_path_factory.mktemp("inputs")
    arrays = with_truth(N)
    paths = [folder / f"{name}.root" for name in ("first", "second", "without")]
    write_nanoaod(paths[0], {name: values[: N // 2] for name, values in arrays.items()})
    write_nanoaod(
        paths[1], {name: values[N // 2 :] for name, values in arrays.items()}, kind="rntuple"
    )
    write_nanoaod(paths[2], toy.events(10))
    return paths


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, inputs: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, settings(*inputs[:2])) is None
    return folder


def test_models_and_their_card(trained: Path, inputs: list[Path]) -> None:
    read = models.read(trained / "models", features=FEATURES, convention=CONVENTION)
    card = read.card
    assert [file.name for file in card.data] == [str(path) for path in inputs[:2]]
    assert sum(file.n_events for file in card.data) == N
    n_matched = sum(file.n_matched for file in card.data)
    used = [
        card.of(parity).n_events + card.of(parity).n_events_validation for parity in ("even", "odd")
    ]
    assert n_matched == sum(used) > 100
    assert card.configuration["training"]["seed"] == 2015
    assert "xgboost" in " ".join(card.provenance["software"])


def test_the_record_tells_what_they_can_do(trained: Path) -> None:
    record = training_record.read(trained / "training.json")
    card = models.read(trained / "models", features=FEATURES, convention=CONVENTION).card
    assert record.models == {"even": card.even.sha256, "odd": card.odd.sha256}
    assert record.even.metrics == card.even.metrics
    everything, *by_size = record.rows
    assert everything.n_events == sum(row.n_events for row in by_size)
    assert {row.size for row in by_size} <= {4, 5, 6}
    # The b-tags say which jets are the b-quarks': much better than by lot.
    assert everything.whole.value > 2 * everything.random_whole


def test_the_same_bytes_again(trained: Path, inputs: list[Path], tmp_path: Path) -> None:
    assert train(tmp_path, settings(*inputs[:2]), threads=2, chunk=77) is None
    names = ("models/even.json", "models/odd.json", "models/card.json", "training.json")
    for name in names:
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_no_more_files_than_needed_are_read(
    trained: Path, inputs: list[Path], tmp_path: Path
) -> None:
    few = settings(*inputs[:2], n_events_max=30)
    assert train(tmp_path, few) is None
    card = models.read(tmp_path / "models", features=FEATURES, convention=CONVENTION).card
    assert [file.name for file in card.data] == [str(inputs[0])]
    assert card.even.n_events + card.even.n_events_validation == 30


def test_files_without_generator_particles_are_refused(inputs: list[Path], tmp_path: Path) -> None:
    message = train(tmp_path, settings(inputs[2]))
    assert "branches missing: nGenPart, GenPart_eta" in message
    assert str(inputs[2]) in message
    assert "before any skim" in message
    assert not (tmp_path / "models").exists()


def test_too_few_events_are_told(inputs: list[Path], tmp_path: Path) -> None:
    message = train(tmp_path, settings(inputs[0], n_events_min=5000))
    assert "matched events with even numbers, 5000 are needed" in message
    assert "learning.training.n_events_min" in message


def track(folder: Path, trained: Path, address: str) -> str | None:
    return run_command(
        "track",
        {"analysis": "cms_ttbar", "tracking": address},
        models=trained / "models",
        record=trained / "training.json",
        figures=trained,
        output=folder / "tracked.json",
    )


def test_mlflow_keeps_a_training_once(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trained / "training_scores.png").write_bytes(b"a figure")
    store = tmp_path / "store"
    assert track(tmp_path, trained, str(store)) is None
    kept = json.loads((tmp_path / "tracked.json").read_text())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(store.as_uri())
    run = client.get_run(kept["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["training.hyperparameters.max_depth"]
    assert run.data.params["n_events"] == str(N)
    record = training_record.read(trained / "training.json")
    assert run.data.metrics["part"] == record.rows[0].part.value
    curve = client.get_metric_history(kept["run_id"], "even/validation/logloss")
    expected = enumerate(record.even.curves["validation"]["logloss"], 1)
    assert sorted((metric.step, metric.value) for metric in curve) == list(expected)
    artifacts = {item.path for item in client.list_artifacts(kept["run_id"])}
    assert artifacts == {
        *("even.json", "odd.json", "card.json", "training.json", "training_scores.png")
    }
    # Tried again, for example after the page was drawn anew.
    assert track(tmp_path, trained, str(store)) is None
    assert json.loads((tmp_path / "tracked.json").read_text()) == kept
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_a_server_that_does_not_answer_loses_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    message = track(tmp_path, trained, f"http://127.0.0.1:{port}")
    assert message is not None
    assert "the training could not be recorded" in message
    assert "Connection refused" in message
    assert "run again" in message
    assert not (tmp_path / "tracked.json").exists()
    models.read(trained / "models", features=FEATURES, convention=CONVENTION)


def test_a_database_needs_its_packages(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "alembic" else name)
    message = track(tmp_path, trained, f"sqlite:///{tmp_path}/runs.db")
    assert message is not None
    assert "pip install alembic" in message


def test_real_events_train(sample: Callable[[str], Path], tmp_path: Path) -> None:
    given = settings(sample("ttbar2017_NanoAODv5_1000ev.root"), n_events_min=2)
    assert train(tmp_path, given) is None
    (file,) = models.read(tmp_path / "models", features=FEATURES, convention=CONVENTION).card.data
    assert (file.n_events, file.n_matched) == (1000, 9)
