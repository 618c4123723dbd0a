"""What each job is given is what its stage accepts, and nothing that it does not depend on."""

import json
import os
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dask.utils import parse_bytes

from agc_pipeline import config, extras
from agc_pipeline.datasets import watched
from agc_pipeline.doctor import tools
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.layers import merged
from agc_pipeline.plan import Plan
from agc_pipeline.stages import (
    deliver,
    describe,
    descriptions,
    fit,
    histogram,
    merge,
    published,
    report,
    reproduce,
    simulate,
    track,
    train,
    validate,
    workspace,
)
from agc_pipeline.stages.description import wildcards_of
from agc_pipeline.stages.directives import Directives
from agc_pipeline.stages.settings_files import SettingsFiles
from conftest import read_config

# What is no size, and no address of a scheduler.
SIZES = ("2 Gb of", "lots", "-2 GB", "0 GB", "inf", "nan GB", "1e400x", "2 XB", "")
ADDRESSES = ("localhost", "tcp://10.0.0.1", "http://x:8786", "tcp://x:99999", "tcp://a:b", "", ":1")


def plan(*names: str, **changes: Any) -> Plan:
    return Plan(config.load(merged(read_config(*names), changes)))


@pytest.mark.parametrize(
    "name",
    [
        *((), ("smoke",), ("cms-open-data",), ("real-slice",), ("jet-assignment",)),
        *(("atlas-hzz",), ("atlas-hzz-simulated",), ("published-hzz",)),
    ],
)
def test_stages_accept_what_they_are_given(name: tuple[str, ...], tmp_path: Path) -> None:
    made = plan(*name)
    for stage in descriptions().values():
        if not stage.when(made):
            continue
        jobs: list[dict[str, str]] = [{}]
        if wildcards_of(stage.configure) == ("dataset", "batch"):
            jobs = [{"dataset": d, "batch": b} for d in made.datasets for b in made.batches(d)]
        elif wildcards_of(stage.configure):
            jobs = [{"dataset": dataset, "part": "0000"} for dataset in made.datasets]
        for job in jobs:
            path = Path(Directives(stage, made, files(tmp_path)).params["settings"](job))
            text = path.read_text()
            assert stage.settings.model_validate_json(text).model_dump_json() == text
            assert path.stat().st_mode & 0o777 == 0o600


def files(folder: Path) -> SettingsFiles:
    return SettingsFiles(folder, lambda: True)


def execution(made: Plan, name: str, folder: Path) -> Any:
    resource = Directives(describe("histogram"), made, files(folder)).resources.get(name)
    return None if resource is None else json.loads(Path(resource({})).read_text())


def test_only_runs_that_assign_jets_have_their_regions(tmp_path: Path) -> None:
    off, on = plan(), plan("jet-assignment")
    assert (off.assigns, on.assigns) == (False, True)
    assert histogram.configure(off).learned is None
    assert execution(off, "scoring", tmp_path) is None
    assert histogram.configure(on).learned is not None
    assert execution(on, "scoring", tmp_path)["scorer"] == "xgboost"
    # What scores changes no bin.
    by_server = plan(jet_assignment="triton")
    assert histogram.configure(by_server) == histogram.configure(on)
    assert execution(by_server, "scoring", tmp_path) != execution(on, "scoring", tmp_path)
    assert workspace.configure(off) == workspace.configure(on)
    assert validate.configure(off) == validate.configure(on)


def test_given_models_are_checked_before_the_first_job(tmp_path: Path) -> None:
    given = {"models": str(tmp_path)}
    with pytest.raises(InputError, match="no model card"):
        plan("jet-assignment", learning=given).check()
    plan(learning=given).check()
    plan("jet-assignment").check()


def test_simulated_and_published_input() -> None:
    simulated = plan()
    assert len(simulated.datasets) == 9
    assert (
        simulate.configure(simulated, "wjets__nominal", "0000").job["dataset"] == "wjets__nominal"
    )
    made = plan("published", n_files_max_per_sample=20)
    assert made.datasets == {}
    assert published.configure(made).n_files == 20


def test_workspace_as_input(tmp_path: Path) -> None:
    path = tmp_path / "workspace.json"
    source = {"path": str(path)}
    with pytest.raises(InputError, match="file not found"):
        _ = plan("reproduce", input=source).datasets
    path.write_text("{}")
    made = plan("reproduce", input=source)
    assert made.datasets == {}
    assert reproduce.configure(made).input.path == str(path)
    settings = report.configure(made)
    assert settings.analysis is None
    of_fit = {"fit", "ranking", "scan", "toys", "limit", "preserve", "report"}
    assert set(settings.rules) == {"reproduce", *of_fit}
    assert ("reproduce", "fit") in settings.edges


def test_the_rules_of_a_run_follow_from_its_input() -> None:
    behind = {"validate", "workspace", "propagate", "fit", "ranking", "scan", "toys", "limit"}
    behind |= {"preserve", "report"}
    filling = {"fileset", "deliver", "histogram", "partial_sum", "merge_dataset", "merge"}
    models = {"train", "export_models"}
    simulated = {"simulate", "simulate_parts"}
    assert set(report.configure(plan()).rules) == {*simulated, *filling, *behind}
    assert set(report.configure(plan("published")).rules) == {"published", *behind}
    assert set(report.configure(plan("cms-open-data")).rules) == {*filling, *behind}
    jets = report.configure(plan("jet-assignment"))
    assert set(jets.rules) == {*simulated, *models, *filling, *behind}


def test_edges_between_stages_follow_from_their_files() -> None:
    edges = set(report.configure(plan()).edges)
    chain = ("simulate", "simulate_parts", "deliver", "histogram", "merge_dataset", "merge")
    assert set(pairwise((*chain, "workspace", "fit"))) <= edges
    others = {("fileset", "merge"), ("fit", "scan"), ("toys", "report")}
    others |= {("simulate_parts", "fileset")}
    assert others <= edges
    # What others lie between is no edge of its own.
    assert not {("fit", "report"), ("workspace", "report"), ("simulate", "merge")} & edges
    published = set(report.configure(plan("published")).edges)
    assert {("published", "validate"), ("published", "workspace")} <= published
    jets = set(report.configure(plan("jet-assignment")).edges)
    assert {("simulate", "train"), ("train", "histogram")} <= jets


def test_more_simulated_events_leave_whole_batches_alone() -> None:
    before, after = plan(), plan(simulation={"scale": 3})
    for dataset in before.datasets:
        old, new = before.batches(dataset), after.batches(dataset)
        assert len(new) >= len(old)
        for batch, files in old.items():
            if len(files) == before.config.files_per_job:
                assert deliver.configure(before, dataset, batch) == deliver.configure(
                    after, dataset, batch
                )
        assert simulate.configure(before, dataset, "0000") == simulate.configure(
            after, dataset, "0000"
        )


def test_what_one_job_is_given_does_not_depend_on_the_others() -> None:
    one = plan("cms-open-data")
    other = plan(
        "cms-open-data",
        physics={"cross_sections_pb": {"ttbar": 800}, "luminosity_per_pb": 1},
        fit={"minimiser": {"max_iterations": 5}},
        n_files_max_per_sample=2,
    )
    job = ("ttbar__nominal", "0001")
    assert deliver.configure(one, *job) == deliver.configure(other, *job)
    assert histogram.configure(one) == histogram.configure(other)
    assert workspace.configure(one) == workspace.configure(other)
    assert merge.configure(one) != merge.configure(other)
    assert fit.configure(one) != fit.configure(other)


@pytest.mark.parametrize(
    "dask",
    [
        {"cluster": "local", "memory_limit": "2 GB"},
        {"cluster": "scheduler", "address": "tls://127.0.0.1:8786"},
        {"cluster": "slurm", "extra": ["--partition=long"]},
        {"cluster": "gateway", "options": {"worker_cores": 2}},
    ],
)
def test_how_histograms_are_filled_is_no_part_of_what_they_are(
    dask: dict[str, Any], tmp_path: Path
) -> None:
    one, other = plan(), plan(histograms={"executor": "dask", "workers": 7, "dask": dask})
    assert histogram.configure(one) == histogram.configure(other)
    assert execution(one, "execution", tmp_path) != execution(other, "execution", tmp_path)
    local = dask["cluster"] == "local"
    assert other.config.histograms.elsewhere is not local
    assert other.config.histograms.threads == (7 if local else 1)


def test_a_dataset_of_many_files_is_added_in_a_tree(tmp_path: Path) -> None:
    files = {f"root://x//{i}.root": {"num_entries": 1_200_000} for i in range(20_000)}
    (tmp_path / "many.json").write_text(json.dumps({"wjets__nominal": {"files": files}}))
    source = {"kind": "fileset", "path": str(tmp_path / "many.json")}
    made = plan(input=source)
    assert made.files_per_job == 16
    assert len(made.batches("wjets__nominal")) == 1250
    assert made.summands("wjets__nominal") == [f"sum1/{i:04d}" for i in range(13)]
    assert made.partial_summands("wjets__nominal", "1", "0012") == [
        f"{i:04d}" for i in range(1200, 1250)
    ]
    each = plan(input=source, files_per_job=1)
    assert each.summands("wjets__nominal") == ["sum2/0000", "sum2/0001"]
    added: list[str] = []
    for level_2 in each.summands("wjets__nominal"):
        for level_1 in each.partial_summands("wjets__nominal", "2", level_2.split("/")[1]):
            added += each.partial_summands("wjets__nominal", "1", level_1.split("/")[1])
    assert added == list(each.batches("wjets__nominal"))


def test_every_retry_asks_for_more() -> None:
    resources = plan().config.resources
    first, second = (resources.of("deliver").at(attempt, files=3) for attempt in (1, 2))
    assert all(second[name] == 2 * value for name, value in first.items())
    assert first["allowed_execute_duration"] == 60 * first["runtime"]
    assert first["htcondor_request_mem_mb"] == first["mem_mb"]
    assert resources.of("deliver").at(1, files=4)["runtime"] > first["runtime"]
    # Also names of methods of the settings are rules.
    assert resources.of("validate") == resources.default


def test_models_are_trained_only_where_they_are_used() -> None:
    assert not plan().trains
    assert not plan(input={"kind": "published"}, jet_assignment="xgboost").trains
    made = plan("jet-assignment")
    assert made.trains
    assert not made.tracks
    assert made.models[0] == "results/models/even.json"
    given = train.configure(made)
    assert given.files == made.datasets["ttbar__nominal"].files
    assert len(watched(made.training_files)) == 2 * len(given.files)
    earlier = plan("jet-assignment", learning={"models": "mine"})
    assert not earlier.trains
    assert earlier.models[0] == "mine/even.json"
    few = plan("cms-open-data", jet_assignment="xgboost", learning={"training": {"n_files_max": 2}})
    assert len(train.configure(few).files) == 2


def test_where_a_training_is_kept_changes_no_model() -> None:
    kept = plan("jet-assignment", learning={"training": {"tracking": "runs"}})
    assert kept.tracks
    assert track.configure(kept).tracking == "runs"
    assert train.configure(kept) == train.configure(plan("jet-assignment"))
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_PASSWORD"):
        plan(learning={"training": {"tracking": "https://me:secret@mlflow.example.org"}})


def test_training_needs_its_dataset(tmp_path: Path) -> None:
    fileset = tmp_path / "fileset.json"
    metadata = {"n_events": 7}
    content = {"wjets__nominal": {"files": {"a.root": "Events"}, "metadata": metadata}}
    fileset.write_text(json.dumps(content))
    source = {"kind": "fileset", "path": str(fileset)}
    made = plan(input=source, jet_assignment="xgboost")
    with pytest.raises(ConfigurationError, match="no ttbar__nominal"):
        train.configure(made)
    # With models of an earlier training it is not needed.
    assert not plan(input=source, jet_assignment="xgboost", learning={"models": "mine"}).trains


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({}, "simulation"),
        ({"histograms": {"executor": "dask"}}, "cluster"),
        ({"jet_assignment": "xgboost"}, "learning"),
        ({"jet_assignment": "triton", "learning": {"models": "mine"}}, "learning"),
        (
            {"jet_assignment": "xgboost", "learning": {"training": {"tracking": "runs"}}},
            "tracking",
        ),
        ({"input": {"kind": "fileset", "path": "fileset.json"}}, "xrootd"),
    ],
)
def test_packages_that_are_not_installed_are_named_at_the_plan(
    changes: dict[str, Any], extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"wjets__nominal": {"files": {"root://example.org//a.root": "Events"}}}
    Path("fileset.json").write_text(json.dumps(content))
    needed = plan(**changes)
    needed.check_packages()
    monkeypatch.setattr(extras, "installed", lambda name: name != extra)
    with pytest.raises(ConfigurationError, match=rf"agc-pipeline\[{extra}\]"):
        needed.check_packages()
    # A run that uses none of them does not ask for any.
    monkeypatch.setattr(extras, "installed", lambda _: False)
    plan(input={"kind": "published"}).check_packages()


def listed(*names: str, **mirrors: str) -> dict[str, Any]:
    """Input of files of one dataset."""
    datasets = {"wjets__nominal": {"files": dict.fromkeys(names, 10)}}
    return {"mirrors": mirrors, "mirror_order": list(mirrors), "datasets": datasets}


def test_missing_files_are_told_by_one_error(tmp_path: Path) -> None:
    names = [f"{number}.root" for number in range(8)]
    for name in names[:2]:
        (tmp_path / name).write_text("root")
    files = {"input": {"kind": "files", **listed(*names, disk=str(tmp_path))}}
    problem = "6 of 8 input files cannot be found: {0}/2.root, {0}/3.root, {0}/4.root, {0}/5.root"
    with pytest.raises(ConfigurationError) as caught:
        plan(**files).check_files()
    assert caught.value.problem == f"{problem.format(tmp_path)} and 2 more"
    assert caught.value.place == "input.datasets"
    # They may be left out, or be on servers, which are not asked.
    plan(**files, allow_partial=True).check_files()
    servers = listed(*names, disk=str(tmp_path), server="https://a.org/x")
    plan(input={"kind": "files", **servers}).check_files()
    for name in names:
        (tmp_path / name).write_text("root")
    plan(**files).check_files()
    # Of a list in a file, the file is named.
    fileset = tmp_path / "fileset.json"
    content = {"wjets__nominal": {"files": {"no.root": "Events"}, "metadata": {"n_events": 10}}}
    fileset.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=f"1 of 1 .*: {tmp_path}/no.root") as caught:
        plan(input={"kind": "fileset", "path": str(fileset)}).check_files()
    assert caught.value.place == str(fileset)


def model_of(folder: Path, made: Plan, stage: str = "workspace") -> Any:
    """What Snakemake is told of the histograms when it plans the model."""
    return Directives(describe(stage), made, files(folder)).input["histograms"]({})


def without(*names: str, **model: Any) -> Plan:
    """A run of files without some datasets."""
    every = [dataset.name for dataset in plan().analysis.datasets]
    datasets = {name: {"files": {f"{name}.root": 10}} for name in every if name not in names}
    source = {"kind": "files", "mirrors": {"disk": "."}, "mirror_order": ["disk"]}
    return plan(input=source | {"datasets": datasets}, fit={"model": model})


def test_datasets_that_the_model_lacks_are_told_before_the_first_job(tmp_path: Path) -> None:
    complete = without()
    assert model_of(tmp_path, complete) == f"{complete.folder}/histograms.root"
    lacking = without("wjets__nominal", "ttbar__PS_var")
    # Those who want histograms get them.
    lacking.check()
    for stage in ("workspace", "optimise"):
        with pytest.raises(ConfigurationError) as caught:
            model_of(tmp_path, lacking, stage)
        assert caught.value.problem == (
            "dataset ttbar__PS_var is not in the run; dataset wjets__nominal is not in the run"
        )
        assert caught.value.place == "input.datasets"
        assert "`fit.model.missing_datasets: drop`" in caught.value.remedy
    # What is fitted needs its datasets, whatever else is left out.
    dropped = without("wjets__nominal", "ttbar__PS_var", missing_datasets="drop")
    with pytest.raises(ConfigurationError, match=r"^dataset ttbar__PS_var is not in the run"):
        model_of(tmp_path, dropped)
    assert model_of(tmp_path, dropped, "optimise")
    assert model_of(tmp_path, without("wjets__nominal", missing_datasets="drop", data="asimov"))
    with pytest.raises(ConfigurationError, match="no yield of process 'ttbar'"):
        model_of(tmp_path, without("ttbar__nominal", missing_datasets="drop", data="asimov"))
    # Published histograms have no datasets of the run.
    assert model_of(tmp_path, plan("published"))


@pytest.mark.parametrize("name", [(), ("published",)])
def test_data_that_the_analysis_does_not_declare_are_told_before_the_first_job(
    name: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        model_of(tmp_path, plan(*name, fit={"model": {"data": "observed"}}))
    assert caught.value.problem == "the analysis cms_ttbar declares no collision data"
    assert caught.value.place == "fit.model.data"
    assert "`fit.model.data: pseudodata`" in caught.value.remedy


@pytest.mark.parametrize("name", ["smoke", "cms-open-data", "real-slice", "atlas-hzz"])
def test_subsets_that_are_configured_have_a_model(name: str, tmp_path: Path) -> None:
    assert model_of(tmp_path, plan(name))


@pytest.mark.parametrize(
    ("dask", "key"),
    [
        *(({"cluster": "local", "memory_limit": value}, "memory_limit") for value in SIZES),
        *(({"cluster": "slurm", "memory": value}, "memory") for value in (*SIZES, "0.5", "auto")),
        *(({"cluster": "htcondor", "disk": value}, "disk") for value in SIZES),
        *(({"cluster": "scheduler", "address": value}, "address") for value in ADDRESSES),
        *(({"cluster": "slurm", "walltime": value}, "walltime") for value in ("a day", "4h", "")),
    ],
)
def test_settings_of_dask_are_told_at_the_plan(dask: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"`histograms.dask.{key}` cannot be"):
        plan(histograms={"dask": dask})


@pytest.mark.parametrize(
    "dask",
    [
        *(
            {"cluster": "local", "memory_limit": x}
            for x in ("auto", "0", "0.5", "2GB", "1.5e3 MiB")
        ),
        {"cluster": "slurm", "memory": "2 G", "walltime": "1-02:00:00"},
        {"cluster": "htcondor", "memory": "500 MiB", "disk": "1 tb", "walltime": "90"},
        *({"cluster": "scheduler", "address": x} for x in ("localhost:8786", "tcp://[::1]:1")),
        {"cluster": "scheduler", "address": "tls://dask.example.org:8786"},
    ],
)
def test_settings_that_dask_takes(dask: dict[str, Any]) -> None:
    assert (
        plan(histograms={"dask": dask}).config.histograms.dask.model_dump().items() >= dask.items()
    )


def test_dask_reads_these_sizes_in_the_same_way() -> None:
    """Source: dask.utils.parse_bytes."""
    for value in ("2 GB", "2gb", "500 MiB", "1 tb", "1.5e3 MiB", "7 B", "2 G", "3 ki"):
        assert parse_bytes(value) > 0
        assert plan(histograms={"dask": {"cluster": "slurm", "memory": value}})


@pytest.mark.parametrize("cluster", ["slurm", "htcondor"])
def test_a_batch_system_that_is_missing_for_dask_is_told_at_the_plan(
    cluster: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    histograms = {"executor": "dask", "dask": {"cluster": cluster}}
    name, command, _ = tools.BATCH_SYSTEMS[cluster]
    program = tmp_path / command
    program.write_text("#!/bin/sh\necho no configuration >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    # Without jobs that need it, and for other executors, nobody asks.
    plan(histograms=histograms).check()
    plan(histograms=histograms | {"executor": "futures"}).check_pool()
    with pytest.raises(ConfigurationError, match=f"{name} cannot be used .*: no conf") as caught:
        plan(histograms=histograms).check_pool()
    assert caught.value.place == "histograms.dask.cluster"
    program.write_text("#!/bin/sh\necho 26.05\n")
    plan(histograms=histograms).check_pool()


@pytest.mark.parametrize(
    ("cluster", "scheme"), [("scheduler", "tcp"), ("scheduler", "tls"), ("gateway", "http")]
)
def test_a_dask_cluster_that_does_not_answer_is_told_at_the_plan(
    cluster: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        dask = {"executor": "dask", "dask": {"cluster": cluster, "address": address}}
        if scheme != "tcp":
            plan(histograms=dask).check_pool()
    plan(histograms=dask).check()
    plan(histograms=dask | {"executor": "futures"}).check_pool()
    with pytest.raises(ConfigurationError) as caught:
        plan(histograms=dask).check_pool()
    assert f"here: {address} does not answer: Connection refused" in caught.value.problem
    assert caught.value.place == "histograms.dask.address"
    assert caught.value.remedy.startswith(f"start the {cluster}, or correct ")
    # Of a gateway behind a proxy, or that only Dask knows, nothing is known here.
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    if cluster == "gateway":
        plan(histograms=dask).check_pool()
        plan(histograms={"executor": "dask", "dask": {"cluster": "gateway"}}).check_pool()


def test_sums_of_weights_are_for_analyses_that_have_weights() -> None:
    with pytest.raises(ConfigurationError, match="the analysis cms_ttbar normalises to numbers"):
        plan(physics={"sums_of_weights": {"wjets__nominal": 5.0}})


def test_pipes_folders_and_empty_files_are_told_with_those_that_are_missing(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe.root")
    (tmp_path / "folder.root").mkdir()
    (tmp_path / "empty.root").touch()
    (tmp_path / "good.root").write_text("root")
    names = ("pipe.root", "folder.root", "empty.root", "no.root", "good.root")
    made = plan(input={"kind": "files", **listed(*names, disk=str(tmp_path))})
    # It reads the headers of files, and would wait for whoever writes the pipe.
    made.check()
    with pytest.raises(ConfigurationError) as caught:
        made.check_files()
    reasons = ("a named pipe", "a folder", "empty", "not there")
    told = [f"{tmp_path}/{name} ({why})" for name, why in zip(names[:4], reasons, strict=True)]
    assert caught.value.problem == f"4 of 5 input files cannot be read: {', '.join(told)}"
    assert caught.value.place == "input.datasets"


def test_files_that_the_run_makes_are_not_missing(tmp_path: Path) -> None:
    plan("smoke", results=str(tmp_path)).check_files()
    some = listed("no.root", disk=str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"^1 of 1 input file cannot be found"):
        plan("smoke", results=str(tmp_path), input={"kind": "simulated", **some}).check_files()


def test_braces_in_paths_are_refused_before_snakemake_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in {dataset}"
    folder.mkdir()
    (folder / "a.root").touch()
    files = {"datasets": {"ttbar__nominal": {"files": {"a.root": 1}}}, "mirror_order": ["disk"]}
    for source in (
        {"kind": "files", "mirrors": {"disk": str(folder)}, **files},
        {"kind": "workspace", "path": str(folder / "a.root")},
    ):
        with pytest.raises(InputError, match=r"takes braces(.|\n)*where: .*in \{dataset\}/a.root"):
            plan(input=source).check()
