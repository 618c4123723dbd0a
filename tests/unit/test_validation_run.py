"""A whole run against the published histograms."""

import copy
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import yaml

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.columnar.closure import read as read_closure
from agc_pipeline.errors import InputError
from agc_pipeline.stages.published import closure
from agc_pipeline.validation import published, results, run
from agc_pipeline.validation.compare import Agreement
from agc_pipeline.validation.settings import ValidationSettings

CONFIG = Path(__file__).parents[2] / "config" / "cms_ttbar" / "validation.yaml"
SETTINGS = ValidationSettings.model_validate(yaml.safe_load(CONFIG.read_text())["validation"])


def inputs(n_files: int = 5) -> tuple[dict[str, hist.Hist], dict[str, Any]]:
    analysis = analyses.load("cms_ttbar")
    made_by: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    return published.load(analysis, n_files), closure(analysis, n_files, made_by).model_dump()


def validate(histograms: dict[str, hist.Hist], record: dict[str, Any]) -> results.ValidationResult:
    accounts = Closure.model_validate(record)
    return run.validate(
        analyses.load("cms_ttbar"), histograms, accounts, SETTINGS, {"stage": "test"}
    )


def agreement(result: results.ValidationResult, name: str) -> Agreement:
    (found,) = [item for item in result.templates if item.name == name]
    return found.comparison.agreement


def change(histogram: hist.Hist, position: int, by: float) -> None:
    histogram.view(flow=True)["value"][position] += by


@pytest.mark.parametrize("n_files", [1, 5, -1])
def test_published_histograms_agree_exactly(n_files: int) -> None:
    result = validate(*inputs(n_files))
    assert result.verdict == "agrees"
    assert result.mode.same_events
    assert result.mode.n_files == n_files
    assert result.counts[Agreement.EXACT] == 124 == len(result.templates)
    assert result.not_compared == ()


def test_one_moved_event_is_migration_also_of_the_pseudodata() -> None:
    histograms, record = inputs()
    weight = record["datasets"]["wjets__nominal"]["weight"]
    for name in ("4j2b_wjets", "4j2b_pseudodata"):
        change(histograms[name], 9, -weight)
        change(histograms[name], 10, +weight)
    result = validate(histograms, record)
    assert agreement(result, "4j2b_wjets") is Agreement.MIGRATION
    assert agreement(result, "4j2b_pseudodata") is Agreement.MIGRATION
    assert result.counts[Agreement.EXACT] == 122
    assert result.verdict == "agrees"
    assert "2 differ by single events" in result.summary


def test_pseudodata_must_be_the_sum_of_their_parts() -> None:
    histograms, record = inputs()
    change(histograms["4j1b_pseudodata"], 9, 1.0)
    result = validate(histograms, record)
    assert agreement(result, "4j1b_pseudodata") is Agreement.DISAGREEMENT
    assert result.verdict == "disagrees"


def test_wrong_cut_disagrees() -> None:
    histograms, record = inputs()
    name = "4j1b_ttbar_btag_var_1_up"
    histograms[name] = histograms[name] * 1.01
    result = validate(histograms, record)
    assert agreement(result, name) is Agreement.DISAGREEMENT
    assert result.summary.startswith("1 of 124 histograms disagree")


def test_only_the_datasets_of_the_run_are_compared() -> None:
    histograms, record = inputs()
    for name in list(record["datasets"]):
        if name != "single_top_tW__nominal":
            del record["datasets"][name]
    result = validate(histograms, record)
    assert {item.process for item in result.templates} == {"single_top_tW"}
    assert result.counts[Agreement.EXACT] == len(result.templates) == 2 * 11
    assert len(result.not_compared) == 8
    assert "wjets__nominal" in result.not_compared


def test_other_events_are_compared_with_all_files() -> None:
    histograms, record = inputs()
    # As in a simulation: fewer events in the files than they stand for.
    for dataset in record["datasets"].values():
        dataset["events_processed"] //= 10
    result = validate(histograms, record)
    assert not result.mode.same_events
    assert result.mode.n_files == -1
    assert "agrees by construction" in result.mode.description
    assert result.verdict == "agrees"
    assert result.counts[Agreement.STATISTICAL] == 124


def test_partial_input_is_not_the_published_one() -> None:
    histograms, record = inputs()
    record["partial"] = True
    dataset = record["datasets"]["ttbar__nominal"]
    dataset["n_generated"] -= 1334428
    dataset["events_processed"] -= 1334428
    result = validate(histograms, record)
    assert result.partial
    assert not result.mode.same_events


def test_luminosity_and_cross_sections_do_not_matter() -> None:
    histograms, record = inputs()
    for name in histograms:
        histograms[name] = histograms[name] * 3.0
    for dataset in record["datasets"].values():
        dataset["weight"] *= 3.0
    assert validate(histograms, record).counts[Agreement.EXACT] == 124


def test_missing_histogram() -> None:
    histograms, record = inputs()
    del histograms["4j2b_wjets_scale_var_up"]
    with pytest.raises(InputError, match="no histogram '4j2b_wjets_scale_var_up'"):
        validate(histograms, record)


def test_other_bins() -> None:
    histograms, record = inputs()
    histograms["4j1b_ttbar"] = histograms["4j1b_ttbar"][:: hist.rebin(5)]
    with pytest.raises(InputError, match="has 5 bins from 50 to 550, but the published one has 25"):
        validate(histograms, record)


def test_result_survives_its_file(tmp_path: Path) -> None:
    histograms, record = inputs()
    change(histograms["4j1b_ttbar"], 9, 40.0)
    result = validate(histograms, copy.deepcopy(record))
    path = tmp_path / "validation.json"
    path.write_text(result.model_dump_json())
    assert results.read(path) == result


def test_other_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validation.json"
    path.write_text('{"verdict": "splendid"}')
    with pytest.raises(InputError, match="not the output of the rule `validate`"):
        results.read(path)


def test_inputs_are_not_changed() -> None:
    histograms, record = inputs()
    before = {name: histogram.copy() for name, histogram in histograms.items()}
    kept = copy.deepcopy(record)
    validate(histograms, record)
    assert record == kept
    assert all(np.array_equal(before[name].view(), histograms[name].view()) for name in before)


@pytest.mark.parametrize("text", ["{}", '{"partial": false, "datasets": {"a": {}}}', "[]"])
def test_other_json_is_no_closure(tmp_path: Path, text: str) -> None:
    path = tmp_path / "closure.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not a closure record"):
        read_closure(path)
