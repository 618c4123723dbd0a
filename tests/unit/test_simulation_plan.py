"""Which files are simulated at which scale."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import filesets
from agc_pipeline.analyses.cms_ttbar import ANALYSIS
from agc_pipeline.analyses.cms_ttbar.simulation import RECIPES, SUBSETS, Simulation
from agc_pipeline.config import load
from agc_pipeline.errors import AnalysisError, ConfigurationError
from agc_pipeline.files import write_json
from agc_pipeline.plan import Plan
from agc_pipeline.simulation.settings import SimulationJob
from agc_pipeline.stages import simulate_parts
from conftest import read_config

SCALES = st.floats(0.001, 30)


def settings(scale: float) -> Simulation:
    return Simulation(scale=scale, seed=20150613, muon_identification=False)


def test_every_dataset_of_the_analysis_can_be_simulated() -> None:
    names = {dataset.name for dataset in ANALYSIS.datasets}
    assert names == {*RECIPES, *SUBSETS}
    assert set(RECIPES).isdisjoint(SUBSETS)


@given(SCALES, SCALES, st.sampled_from(list(RECIPES)))
def test_more_events_are_more_files(one: float, other: float, dataset: str) -> None:
    small, large = settings(min(one, other)), settings(max(one, other))
    before = [small.job(dataset, part) for part in range(small.parts(dataset))]
    after = [large.job(dataset, part) for part in range(large.parts(dataset))]
    assert len(before) <= len(after)
    if len(before) > 1 or before[0].n_chunks == RECIPES[dataset].chunks_per_part:
        # Whole files stay as they are, to the letter.
        texts = [job.model_dump_json() for job in after]
        assert [job.model_dump_json() for job in before] == texts[: len(before)]
    else:
        # Less than a file: the same chunks and perhaps some more.
        assert before[0].first_chunk == after[0].first_chunk == 0
        assert before[0].n_chunks <= after[0].n_chunks


@given(SCALES, st.sampled_from(list(RECIPES)))
def test_chunks_are_consecutive(scale: float, dataset: str) -> None:
    n_parts = settings(scale).parts(dataset)
    jobs = [settings(scale).job(dataset, part) for part in range(n_parts)]
    chunks = [job.first_chunk + i for job in jobs for i in range(job.n_chunks)]
    assert chunks == list(range(len(chunks)))


def test_scale_one_is_the_recipe() -> None:
    for dataset, recipe in RECIPES.items():
        assert settings(1.0).parts(dataset) == recipe.parts
        assert settings(0.05).parts(dataset) == 1
        assert settings(0.05).job(dataset, 0).n_chunks <= 4


@given(SCALES, st.sampled_from(list(SUBSETS)))
def test_parts_of_a_dataset_have_its_chunks(scale: float, dataset: str) -> None:
    whole = SUBSETS[dataset].of
    assert settings(scale).source(dataset) == whole
    assert settings(scale).source(whole) is None
    n_parts = settings(scale).parts(whole)
    assert settings(scale).parts(dataset) == n_parts
    for part in range(n_parts):
        job = settings(scale).job(whole, part)
        assert settings(scale).job(dataset, part) == job.model_copy(update={"dataset": dataset})


def test_the_run_knows_what_is_part_of_what() -> None:
    """Its jobs depend on the files, and the model is told of it unless others are listed."""
    values = read_config()
    plan = Plan(load(values))
    parts = {name: dataset.subset_of for name, dataset in plan.datasets.items()}
    assert {name for name, whole in parts.items() if whole} == set(SUBSETS)
    assert set(plan.simulated_parts) == set(SUBSETS)
    assert set(plan.generated_datasets) == set(RECIPES)
    assert plan.simulated_source("0003") == plan.datasets["ttbar__nominal"].files[3].source
    jobs = simulate_parts.configure(plan, "0003").jobs
    assert [job["dataset"] for job in jobs] == list(plan.simulated_parts)
    assert jobs[0] == plan.simulation.job("ttbar__ME_var", 3).model_dump()


def test_parts_of_several_datasets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(load(read_config()))
    sources = {"ttbar__ME_var": "ttbar__nominal", "single_top_tW__nominal": "wjets__nominal"}
    monkeypatch.setattr(Simulation, "source", lambda _, dataset: sources.get(dataset))
    with pytest.raises(AnalysisError, match="ttbar__nominal, wjets__nominal"):
        _ = plan.simulated_parts


def test_listed_files_stand_in_the_place_of_simulated_ones() -> None:
    values = read_config()
    values["input"] = {
        "kind": "simulated",
        "mirrors": {"disk": "data"},
        "mirror_order": ["disk"],
        "datasets": {"ttbar__nominal": {"files": {"a.root": 9}}},
    }
    mixed = Plan(load(values)).datasets
    assert mixed["ttbar__nominal"].files[0].source == "data/a.root"
    assert {dataset.subset_of for dataset in mixed.values()} == {None}
    # The experiment has simulated some of the events.
    assert not Plan(load(values)).generated


def test_events_of_another_run_are_generated_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of files that a run writes names their records, of which another run learns it."""
    values = read_config()
    plan = Plan(load(values))
    assert plan.generated
    monkeypatch.chdir(tmp_path)
    files = [file for dataset in plan.datasets.values() for file in dataset.files]
    for file in files:
        Path(file.source).parent.mkdir(parents=True, exist_ok=True)
        Path(file.source).touch()
        write_json(Path(file.record or ""), {"n_events": 1, "n_generated": 1})
    described: Any = filesets.as_json(plan.datasets.values(), ANALYSIS, folder=Path("results"))
    values["input"] = {"kind": "fileset", "path": "results/fileset.json"}
    write_json(Path("results/fileset.json"), described)
    assert Plan(load(values)).generated
    # One file of unknown origin.
    first = next(iter(described["wjets__nominal"]["files"].values()))
    del first["record"]
    write_json(Path("results/fileset.json"), described)
    assert not Plan(load(values)).generated


def test_job_holds_nothing_of_the_scale() -> None:
    job = settings(1.0).job("wjets__nominal", 1)
    assert SimulationJob.model_validate_json(job.model_dump_json()) == job
    assert set(job.model_dump()) == {
        "dataset",
        "seed",
        "muon_identification",
        "first_chunk",
        "n_chunks",
        "showers",
    }


def test_unknown_dataset() -> None:
    with pytest.raises(ConfigurationError, match="'ttbar__nominl'") as caught:
        settings(1.0).parts("ttbar__nominl")
    assert "ttbar__nominal" in caught.value.remedy


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("electron", {"pt_min": 20}, "electrons with pt > 20, and .* only where pt > 25"),
        ("muon", {"pt_min": 24.9}, "muons with pt > 24.9"),
        ("electron", {"abs_eta_max": 2.5}, r"electrons with abs\(eta\) < 2.5"),
        # Jets are varied by factors of 0.7 to 1.3, and all there from 20 GeV on.
        ("jet", {"pt_min": 25}, "jets with pt > 25 under variations by factors of 0.7 to 1.3"),
        ("jet", {"abs_eta_max": 2.7}, "jets with"),
    ],
)
def test_a_selection_of_more_than_is_simulated_is_refused(
    part: str, change: dict[str, float], problem: str
) -> None:
    values = read_config()
    values["physics"]["selection"][part] |= {
        "electron": {"pt_min": 25},
        "muon": {"pt_min": 26},
        "jet": {"pt_min": 26.01, "abs_eta_max": 2.6, "n_min": 3},
    }[part]
    Plan(load(values)).check()
    values["physics"]["selection"][part] |= change
    with pytest.raises(ConfigurationError, match=problem):
        Plan(load(values)).check()
    # Files of others have what they have.
    dataset = {"ttbar__nominal": {"files": {"a.root": None}}}
    values["input"] = {
        "kind": "files",
        "mirrors": {"disk": "data"},
        "mirror_order": ["disk"],
        "datasets": dataset,
    }
    Plan(load(values)).check()
