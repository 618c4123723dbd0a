"""The repository for Triton, and what tells its models from others."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import boosters
from agc_pipeline.config import load
from agc_pipeline.files import read_json
from agc_pipeline.learning import forest, repository, rounding
from agc_pipeline.learning.models import PARITIES, Models, sha256
from agc_pipeline.learning.scoring import ForestScorer
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.plan import Plan
from agc_pipeline.stages import export_models
from conftest import read_config, run_command
from scoring import FEATURES, settings


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return boosters.pair(tmp_path_factory.mktemp("models"), FEATURES)


def test_the_stage_writes_what_triton_loads(tmp_path: Path, models: Models) -> None:
    values = read_config()
    plan = Plan(load(values | {"jet_assignment": "xgboost", "results": str(tmp_path)}))
    message = run_command(
        "export_models",
        {
            "analysis": "cms_ttbar",
            "served": {"model": "jets", "versions": {"even": "4", "odd": "2"}, "batch_size": 500},
        },
        models=models.folder,
        output=export_models.repository_folder(plan),
    )
    assert message is None
    folder = Path(export_models.repository_folder(plan)) / "jets"
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    found = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (found.name, found.backend, found.max_batch_size) == ("jets", "fil", 500)
    assert found.version_policy.WhichOneof("policy_choice") == "all"
    assert [list(tensor.dims) for tensor in (*found.input, *found.output)] == [[20], [1]]
    parameters = {name: value.string_value for name, value in found.parameters.items()}
    assert parameters["model_type"] == "xgboost_json"
    assert parameters[repository.DIGEST] == models.digest
    for version, parity in (("4", "even"), ("2", "odd")):
        content = (folder / version / "xgboost.json").read_bytes()
        assert sha256(content) == models.card.of(parity).sha256
    assert read_json(folder / "card.json") == read_json(models.folder / "card.json")


def test_only_runs_that_assign_jets_export_models() -> None:
    values = read_config()
    off, on, elsewhere = (
        Plan(load(values | {"jet_assignment": kind, "learning": values["learning"] | given}))
        for kind, given in (("off", {}), ("xgboost", {}), ("triton", {"models": "kept"}))
    )
    assert export_models.exported(off) == []
    names = ("config.pbtxt", "card.json", "1/xgboost.json", "2/xgboost.json")
    assert export_models.exported(on) == [
        f"results/models/triton/jet_assignment/{name}" for name in names
    ]
    assert export_models.exported(elsewhere) == export_models.exported(on)
    # How a server is asked changes nothing of it.
    patient = values["learning"]["triton"] | {"url": "other:1", "timeout": 7, "attempts": 9}
    again = values | {"learning": values["learning"] | {"triton": patient}}
    assert export_models.configure(Plan(load(again))) == export_models.configure(on)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "a/b"},
        {"model": ".hidden"},
        {"versions": {"even": "1", "odd": "1"}},
        {"versions": {"even": "0", "odd": "1"}},
        {"versions": {"even": "v1", "odd": "v2"}},
        {"tls": {"cert": "a.pem"}},
    ],
)
def test_names_that_no_server_has(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        settings("localhost:1", **changes)
    assert isinstance(settings("localhost:1"), TritonSettings)


@pytest.mark.parametrize("parity", PARITIES)
def test_the_order_of_the_sum_stays_within_the_bound(models: Models, parity: str) -> None:
    known = ForestScorer(models).forests[parity]
    allowed = rounding.of_forest(known)
    rows = rounding.probe_rows(known, 200)
    scores = forest.scores(known, rows)
    assert not allowed.differ(scores, scores).any()
    # Leaves of each tree, by xgboost, added in other orders.
    booster = boosters.booster(models, parity)
    parts = np.stack(
        [
            booster[tree].inplace_predict(rows, predict_type="margin", validate_features=False)
            - known.base
            for tree in range(booster.num_boosted_rounds())
        ]
    ).astype(np.float32)
    random = np.random.default_rng(0)
    largest = 0.0
    for _ in range(20):
        sums = np.full(len(rows), known.base, np.float32)
        for part in random.permutation(parts):
            sums += part
        others = 1 / (1 + np.exp(-sums))
        assert not allowed.differ(scores, others).any()
        largest = max(largest, float(np.abs(scores - others).max()))
    # They do differ, and what is a thousand times as far off is another model.
    assert largest > 0
    assert allowed.differ(scores, scores + 0.01).any()


def test_rows_go_through_all_parts_of_a_forest(models: Models) -> None:
    known = ForestScorer(models).forests["even"]
    rows = rounding.probe_rows(known, 512)
    assert rows.tolist() == rounding.probe_rows(known, 512).tolist()
    tested = known.nodes.feature >= 0
    passed = np.array(
        [
            (rows[:, feature] < threshold).mean()
            for feature, threshold in zip(
                known.nodes.feature[tested], known.nodes.threshold[tested], strict=True
            )
        ]
    )
    # Each test has rows on both sides.
    assert passed.min() > 0
    assert passed.max() < 1


def test_undecided_events() -> None:
    scores = np.array([0.5, 0.5, 0.9, 0.1, 0.5, 0.4999, 0.3, 0.3], np.float32)
    offsets = np.array([0, 2, 4, 6, 7, 8])
    found = rounding.undecided(scores, offsets, rounding.Rounding(1e-3))
    assert found.tolist() == [True, False, True, False, False]
    # A single leaf of magnitude 1 and the base.
    assert rounding.of_sum(np.array([1.0, -1.0])).margin == pytest.approx(2 * 2 * 2 * 2**-24)
