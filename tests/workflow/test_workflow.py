"""The workflow as a user meets it: runs, reruns, resumes, and says what is wrong.

It runs from a copy of the project, so that the tests may edit code, on toy files of some datasets.
"""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from copy import copy
from importlib.metadata import version
from pathlib import Path

import pytest

import toy
from agc_pipeline.files import read_json
from conftest import ROOT
from documentation import Change, changes
from oracle.strategies import write_nanoaod
from project import DATASETS, Project

pytestmark = pytest.mark.workflow

# Rules behind the histograms of all datasets; the last is the target.
OF_FIT = {"ranking": 1, "scan": 1, "toys": 1, "limit": 1, "propagate": 1, "preserve": 1}
BEHIND = {"merge": 1, "validate": 1, "workspace": 1, "fit": 1, **OF_FIT, "report": 1, "all": 1}
EACH = len(DATASETS)
# Drawing figures is most of the time of a small run.
FIT = "results/fit.json"
VALIDATION = "results/validation.json"
# What the first run wrote, which was no terminal.
TOLD = "told.txt"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("finished"))
    done = project.run()
    assert done.returncode == 0, done.stdout
    (project.folder / TOLD).write_text(done.stdout)
    return project


@pytest.fixture
def restored(finished: Project) -> Iterator[Project]:
    """The finished project, whose code and configuration are put back after the test."""
    places = ("src", "config", "toy.yaml")
    with_content = {
        path: path.read_bytes()
        for place in places
        for path in [finished.folder / place, *(finished.folder / place).rglob("*")]
        if path.is_file() and path.parent.name != "__pycache__"
    }
    files = {name: list(paths) for name, paths in finished.files.items()}
    yield finished
    finished.files = files
    for path, content in with_content.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def test_a_run_makes_everything_and_then_there_is_nothing_to_do(finished: Project) -> None:
    results = finished.folder / "results"
    for name in ("histograms.root", "workspace.json", "validation.json", "report.html"):
        assert (results / name).stat().st_size > 0
    fit = read_json(results / "fit.json")
    assert fit["poi"]["bestfit"] == pytest.approx(1, abs=1e-6)
    n = len(fit["labels"])
    assert len(fit["bestfit"]) == len(fit["uncertainty"]) == len(fit["correlation"]) == n
    # Of each region: 11 variations of ttbar, 13 of W+jets, the alternative sample, and of both
    # processes what the two variations of momenta move between bins.
    assert len(finished.contents()) == 2 * (11 + 13 + 1 + 2 * 2)
    assert finished.todo() == {}


def test_the_end_of_a_run_tells_what_is_in_its_files(finished: Project) -> None:
    told = (finished.folder / TOLD).read_text()
    results = finished.folder / "results"
    headline, parameter = read_json(results / "summary.json")["headlines"]
    assert f"\n  result      {headline['quantity']} = {headline['text']}\n" in told
    assert f"\n              {headline['parts']}\n" in told
    assert f"\n              ttbar_norm = {parameter['text']}\n" in told
    assert f"\n  validation  {read_json(finished.folder / VALIDATION)['summary']}\n" in told
    accounts = read_json(results / "closure.json")["datasets"].values()
    processed = sum(account["events_processed"] for account in accounts)
    assert f"\n  closure     complete: all {processed:,} events of 6 files\n" in told
    assert "\n  page        results/report.html\n" in told
    assert re.search(r"^Done in .*: 3\d jobs\.$", told, re.M)
    # One line when a job starts, and one when it ends.
    assert (
        len(re.findall(r"^[\d:]{8} (?:started|finished) +deliver wjets__nominal 0000", told, re.M))
        == 2
    )
    assert not re.search(r"Execute \d|is extended|\binput:|Select jobs", told)
    assert not CONTROL.search(told)
    # The same without anything to do.
    again = finished.run().stdout
    assert "\nNothing to be done: everything is up to date.\n" in again
    assert told[told.index("\n  result ") :] == again[again.index("\n  result ") :]


def test_a_graph_is_all_of_standard_output(finished: Project) -> None:
    graph = subprocess.run(
        finished.arguments("--rulegraph", "--", FIT),
        cwd=finished.folder,
        env=finished.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert graph.stdout.startswith("digraph")
    assert graph.stdout.rstrip().endswith("}")
    assert "is extended" not in graph.stderr


# Phases of a job: it waits for an interrupt, is killed, and waits for a file.
PHASES = """
    import os, signal, time
    if not Path("waits").exists():
        Path("waits").touch()
        time.sleep(600)
    if not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if Path("stop").exists():
        Path("stop").unlink()
        while not Path("go").exists():
            time.sleep(0.05)
"""


def test_a_run_is_stopped_and_goes_on(finished: Project, tmp_path: Path) -> None:
    project = copy(finished)
    project.folder = shutil.copytree(finished.folder, tmp_path / "stopped", symlinks=True)
    stage = project.folder / "src/agc_pipeline/stages/validate.py"
    code = stage.read_text()
    stage.write_text(re.sub(r'(def run\((?s:.*?)\n    """\n)', rf"\1{PHASES}", code, count=1))

    # Ctrl-C on a terminal.
    status, raw = _interrupted(project, VALIDATION)
    assert status != 0
    text = re.sub(r"\x1b\[[\d;?]*\w", "", raw)
    assert re.search(r"Stopped as you asked after .*: 1 of 2 jobs done\.", text), text
    assert "give the same command again" in text
    assert "validate" in text
    assert not re.search(r"Traceback|CalledProcessError|failed", text)
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")

    # The same command, without a terminal; the first attempt is killed.
    done = project.run("--retries", "1", "--", VALIDATION)
    assert done.returncode == 0, done.stdout
    assert "\nerror: the job was killed by SIGKILL\n" in done.stdout
    assert re.search(r"^\S+ started   validate, attempt 2$", done.stdout, re.M)
    assert re.search(r"^Done in .*: 1 job, 1 after a retry\.$", done.stdout, re.M)
    assert not CONTROL.search(done.stdout)

    # SIGTERM: what runs is finished, and nothing else begins.
    (project.folder / "stop").touch()
    log = project.folder / "run.log"
    command = project.arguments("--forcerun", "validate", "--", VALIDATION, "results/report.html")
    with log.open("w") as file:
        run = subprocess.Popen(
            command, cwd=project.folder, env=project.environment(), stdout=file, stderr=file
        )
    _wait(lambda: not (project.folder / "stop").exists(), run)
    run.terminate()
    _wait(lambda: "Stopping when the jobs that run are done." in log.read_text(), run)
    (project.folder / "go").touch()
    assert run.wait(300) != 0
    told = log.read_text()
    assert re.search(r"^Stopped as you asked after .*: 1 of \d jobs done\.$", told, re.M), told
    assert "failed" not in told
    assert re.findall(r"\S*report\.html.*", told) == [
        "results/report.html is that of an earlier run"
    ]


def _wait(condition: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _interrupted(project: Project, target: str) -> tuple[int, str]:
    """Status and output of a run on a terminal that gets Ctrl-C once its job waits."""
    environment = project.environment() | {"TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    terminal, end = pty.openpty()
    run = subprocess.Popen(
        [
            # Whoever runs the tests in the background lets them ignore it.
            *("env", "--default-signal=INT"),
            *(word for word in project.arguments("--", target) if word != "--nocolor"),
        ],
        cwd=project.folder,
        env=environment,
        **dict.fromkeys(("stdin", "stdout", "stderr"), end),
        start_new_session=True,
    )
    os.close(end)
    raw, typed = b"", False
    # It cannot be read once nobody writes to it.
    with contextlib.suppress(OSError):
        while content := os.read(terminal, 65536):
            raw += content
            if not typed and (project.folder / "waits").exists():
                # As a terminal does, to Snakemake and its jobs.
                os.killpg(run.pid, signal.SIGINT)
                typed = True
    os.close(terminal)
    return run.wait(), raw.decode()


def test_a_project_that_moved_is_finished(finished: Project, tmp_path: Path) -> None:
    place = finished.folder
    finished.folder = place.rename(tmp_path / "moved")
    try:
        assert finished.todo() == {}
    finally:
        finished.folder = finished.folder.rename(place)


def test_code_of_the_readers_of_skims_fills_histograms_again(restored: Project) -> None:
    path = "src/agc_pipeline/columnar/runner.py"
    restored.edit(path, '"""', '"""Changed. ')
    assert restored.todo() == {"code": 1, "histogram": EACH, "merge_dataset": EACH, **BEHIND}


def test_code_of_the_analysis_reruns_delivery_too(restored: Project) -> None:
    path = "src/agc_pipeline/analyses/cms_ttbar/objects.py"
    restored.edit(path, '"""', '"""Changed. ')
    todo = restored.todo()
    assert todo.pop("code") >= 2
    # The list of inputs has names of the analysis.
    each = {"deliver": EACH, "histogram": EACH, "merge_dataset": EACH}
    assert todo == {"fileset": 1, **each, **BEHIND}


def test_a_file_that_is_replaced_by_an_older_one_is_noticed(restored: Project) -> None:
    """As after a copy that keeps times, a checkout, or an archive."""
    code = "src/agc_pipeline/stages/scan.py"
    published = "src/agc_pipeline/analyses/cms_ttbar/published/2_files.json"
    for path, old, new in ((code, '"""', '"""Changed. '), (published, "{", "{ ")):
        restored.edit(path, old, new)
        os.utime(restored.folder / path, (0, 0))
    of_published = {"validate": 1, "report": 1, "all": 1}
    assert restored.todo() == {"code": 1, "scan": 1, "preserve": 1, **of_published}
    # The same content with another date is the same file.
    for path, old, new in ((code, '"""Changed. ', '"""'), (published, "{ ", "{")):
        restored.edit(path, old, new)
    assert restored.todo() == {}


def test_results_of_other_versions_of_packages_are_told(restored: Project) -> None:
    metadata = restored.folder / "src/uproot-99.0.dist-info/METADATA"
    metadata.parent.mkdir()
    try:
        metadata.write_text("Metadata-Version: 2.1\nName: uproot\nVersion: 99.0\n")
        told = restored.run("--dry-run").stdout
        forced = restored.todo("--forcerun", "code")
    finally:
        shutil.rmtree(metadata.parent)
    assert f"than are installed: uproot {version('uproot')} (now 99.0). They are kept" in told
    assert "Nothing to be done" in told
    assert forced["deliver"] == forced["histogram"] == EACH
    assert "than are installed" not in restored.run("--dry-run").stdout


@pytest.mark.parametrize("rule", ["deliver", "code"])
def test_a_forced_delivery_takes_no_skims_of_before(rule: str, tmp_path: Path) -> None:
    """As after a change that nothing follows."""
    project = Project(tmp_path / "tree")
    manifest = "results/manifests/wjets__nominal/0000.json"
    folder = project.folder / "results/skims/wjets__nominal"

    def skims(*options: str) -> dict[str, int]:
        done = project.run(*options, "--", manifest)
        assert done.returncode == 0, done.stdout
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.root")}

    first = skims()
    assert len(first) == 2
    # A dry run forces nothing; nor does a rule that makes no skims.
    assert skims("--dry-run", "--forcerun", rule) == skims("--forcerun", "fileset") == first
    forced = skims("--forcerun", rule)
    assert len(forced) == 2
    assert not forced.keys() & first.keys()
    # What was delivered is there for later runs.
    (project.folder / manifest).unlink()
    assert skims() == forced


def test_results_without_records_are_told(restored: Project) -> None:
    """Snakemake alone would say that they are up to date."""
    records = restored.folder / ".snakemake/metadata"
    elsewhere = records.rename(restored.folder / "metadata")
    restored.edit("config/cms_ttbar/physics.yaml", "sip3d_max: 4", "sip3d_max: 3")
    try:
        told = restored.run("--dry-run").stdout
        forced = restored.todo("--forcerun", "code")
    finally:
        shutil.rmtree(records, ignore_errors=True)
        elsewhere.rename(records)
    assert told.count("Snakemake has no records of how results in results were made") == 1
    assert forced["deliver"] == EACH
    told = restored.run("--dry-run").stdout
    assert "has no records" not in told
    assert re.search(rf"^ +deliver +{EACH} ", told, re.M)


def test_a_plot_reruns_only_plots(restored: Project) -> None:
    path = "src/agc_pipeline/report/figures/distributions.py"
    restored.edit(path, '"""', '"""Changed. ')
    assert restored.todo() == {"code": 1, "report": 1, "all": 1}


def test_the_minimiser_reruns_the_fit(restored: Project) -> None:
    restored.edit("config/fit.yaml", "max_iterations: 200", "max_iterations: 201")
    assert restored.todo() == {"fit": 1, **OF_FIT, "report": 1, "all": 1}


def test_a_longer_scan_fits_nothing_again(restored: Project) -> None:
    restored.edit("config/fit.yaml", "reach: 3", "reach: 4")
    assert restored.todo() == {"scan": 1, "preserve": 1, "report": 1, "all": 1}


def test_how_histograms_are_filled_reruns_none(restored: Project) -> None:
    histograms = {"executor": "dask", "workers": 2, "chunk_size": 500}
    restored.configure(histograms=histograms, resources={"histogram": {"mem_mb": 5000}})
    # The report shows the configuration.
    assert restored.todo() == {"report": 1, "all": 1}


def test_more_batches_than_one_job_adds(finished: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "tree")
    project.configure(files_per_job=1)
    project.edit("src/agc_pipeline/plan.py", "_FAN_IN = 100", "_FAN_IN = 2")
    wjets = project.files["wjets__nominal"]
    for _ in range(3):
        added = f"wjets__nominal.{len(wjets)}.root"
        write_nanoaod(project.folder / "data" / added, toy.events(60, seed=len(wjets)))
        wjets.append(added)
    project.configure(files_per_job=1)
    # Five files are three sums of up to two, and these two sums.
    assert project.todo("results/histograms/wjets__nominal.json")["partial_sum"] == 5
    done = project.run("results/histograms/wjets__nominal.json")
    assert done.returncode == 0, done.stdout
    summed = read_json(project.folder / "results/histograms/wjets__nominal.json")
    assert [Path(file["source"]).name for file in summed["files"]] == wjets
    # Without the tree, and with other batches.
    project.edit("src/agc_pipeline/plan.py", "_FAN_IN = 2", "_FAN_IN = 100")
    project.configure(files_per_job=5)
    done = project.run("results/histograms/wjets__nominal.json")
    assert done.returncode == 0, done.stdout
    at_once = read_json(project.folder / "results/histograms/wjets__nominal.json")
    for part in ("histograms", "cutflow", "files"):
        assert at_once[part] == summed[part]


def test_a_cross_section_fills_no_histogram_again(restored: Project) -> None:
    restored.edit("config/cms_ttbar/physics.yaml", "ttbar: 729.84", "ttbar: 800")
    assert restored.todo() == {"fileset": 1, **BEHIND}


def test_a_cut_makes_new_skims(restored: Project) -> None:
    restored.edit("config/cms_ttbar/physics.yaml", "sip3d_max: 4", "sip3d_max: 3")
    assert restored.todo()["deliver"] == EACH


CHANGES = list(changes(ROOT / "docs/change.md"))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.title)
def test_what_runs_again_after_a_documented_change(restored: Project, change: Change) -> None:
    for edit in change.edits:
        restored.edit(*edit)
    todo = restored.todo(*change.options)
    behind = set(BEHIND) if "merge_dataset" in change.rules else {"fit", *OF_FIT, "report", "all"}
    assert set(todo) - {"code"} == {*change.rules} | behind


def test_documented_changes_work(finished: Project, tmp_path: Path) -> None:
    assert len(CHANGES) == 5
    project = copy(finished)
    project.folder = shutil.copytree(finished.folder, tmp_path / "changed")
    for edit in (edit for change in CHANGES for edit in change.edits):
        project.edit(*edit)
    done = project.run("results/propagated.json", "results/validation.json")
    assert done.returncode == 0, done.stdout
    validation = read_json(project.folder / "results/validation.json")
    assert {"second_pt", "Top momentum, up"} <= set(validation["unpublished"])
    datasets = read_json(project.folder / "results/closure.json")["datasets"]
    assert "at most eight jets" in datasets["ttbar__nominal"]["cutflow"]
    labels = read_json(project.folder / "results/fit.json")["labels"]
    assert {"W+jets cross section", "Top momentum"} <= set(labels)
    assert "Second jet" in read_json(project.folder / "results/propagated.json")["channels"]
    assert "second_pt_ttbar_top_pt_up" in project.contents()


def test_an_added_file_processes_only_its_batch(restored: Project) -> None:
    added = "ttbar__ME_var.2.root"
    write_nanoaod(restored.folder / "data" / added, toy.events(60, seed=99))
    restored.files["ttbar__ME_var"].append(added)
    restored.configure()
    # The list of inputs is written anew as well.
    one = {"fileset": 1, "deliver": 1, "histogram": 1, "merge_dataset": 1}
    assert restored.todo() == one | BEHIND


def test_killed_and_resumed(finished: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "killed")
    run = subprocess.Popen(
        project.arguments(FIT),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for = [project.folder / f"results/histograms/{name}" for name in DATASETS]
    deadline = time.monotonic() + 300
    while not any(list(folder.glob("*.json")) for folder in wait_for):
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    results = project.folder / "results"
    before = {
        path: path.stat().st_mtime_ns
        for kind in ("manifests", "histograms")
        for path in (results / kind).rglob("*.json")
    }
    # Jobs that were running may still end; no others start.
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(run.pid, 0)
            time.sleep(0.05)

    locked = project.run(FIT)
    assert locked.returncode != 0
    assert "make resume" in locked.stdout
    assert project.run(FIT, "--unlock").returncode == 0
    resumed = project.run(FIT)
    assert resumed.returncode == 0, resumed.stdout
    again = [path for path, mtime in before.items() if path.stat().st_mtime_ns != mtime]
    # The one or two jobs that had just ended may not yet have been noted as finished.
    assert len(again) <= 2
    assert len(before) > 2
    assert project.contents() == finished.contents()
    fits = [read_json(p.folder / "results/fit.json") for p in (project, finished)]
    assert fits[0]["bestfit"] == fits[1]["bestfit"]
    assert fits[0]["workspace_digest"] == fits[1]["workspace_digest"]


def test_a_bad_file_fails_its_job_and_the_rest_goes_on(finished: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "bad")
    bad = project.folder / "data/wjets__nominal.0.root"
    content = bad.read_bytes()
    bad.write_bytes(content[: len(content) // 2])
    failed = project.run(FIT)
    assert failed.returncode != 0
    assert "error: the file is cut off" in failed.stdout
    assert "where: data/wjets__nominal.0.root" in failed.stdout
    assert "Traceback" not in failed.stdout
    end = failed.stdout.partition("\nFailed after ")[2]
    assert "\n  deliver wjets__nominal 0000: the file is cut off: " in end
    assert "\n    log: results/logs/deliver/wjets__nominal/0000.log\n" in end
    # There is no result, and no old one is told.
    assert "  result " not in end
    assert not (project.folder / "results/histograms.root").exists()
    # Everything that does not need the file is done, and stays.
    behind = {"merge": 1, "workspace": 1, "fit": 1}
    assert project.todo(FIT) == {"deliver": 1, "histogram": 1, "merge_dataset": 1, **behind}

    partial = project.run(FIT, "--config", "allow_partial=true")
    assert partial.returncode == 0, partial.stdout
    closure = read_json(project.folder / "results/closure.json")
    assert closure["partial"] is True
    assert "\n  closure     PARTIAL: 1 file left out, " in partial.stdout
    assert closure["datasets"]["wjets__nominal"]["left_out"]
    assert read_json(project.folder / FIT)["partial"] is True

    bad.write_bytes(content)
    mended = project.run(FIT)
    assert mended.returncode == 0, mended.stdout
    assert project.contents() == finished.contents()


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--config", "delivrey=none"], ["unknown configuration key `delivrey`", "`delivery`"]),
        (
            ["--config", 'delivery={"backend": "nnone"}'],
            ["'nnone'", "'local', 'servicex' or 'none'"],
        ),
        (["--configfile", "fileset.yaml"], ["file not found", "no.json"]),
        (["--configfile", "typo.yaml"], ["`simulaton`", "typo.yaml, line 1", "`simulation`"]),
        (["--config", "results=toy.yaml/x"], ["toy.yaml is not a folder", "`results`"]),
        (["--config", "results=src"], ["src is a folder of sources", "`results` in --config"]),
        (
            ["--configfile", "toy.yaml", "absent.yaml"],
            ["1 of 7 input files cannot be found: data/no.root\n", "`input.datasets` in absent.y"],
        ),
        (
            ["--config", 'physics={"cross_sections_pb": {"ttbar": -729.84}}'],
            ["cross_sections_pb.ttbar", "-729.84"],
        ),
        (
            ["--config", 'fit={"model": {"missing_datasets": "error"}}'],
            ["dataset ttbar__PS_var is not in the run", "`input.datasets` in toy.yaml, line "],
        ),
    ],
)
def test_a_wrong_configuration_is_told_before_the_first_job(
    finished: Project, options: list[str], messages: list[str]
) -> None:
    fileset = finished.folder / "fileset.yaml"
    fileset.write_text("input: {kind: fileset, path: no.json}")
    (finished.folder / "typo.yaml").write_text("simulaton: {scale: 0.05}")
    absent = "input: {datasets: {wjets__nominal: {files: {no.root: null}}}}"
    (finished.folder / "absent.yaml").write_text(absent)
    done = finished.run(*options)
    assert done.returncode != 0
    for message in [*messages, "where: ", "remedy: "]:
        assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_a_batch_system_that_is_missing_for_dask_is_told_before_the_first_job(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = finished.folder / "bin"
    programs.mkdir()
    sinfo = programs / "sinfo"
    sinfo.write_text("#!/bin/sh\necho no configuration >&2\nexit 1\n")
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    slurm = 'histograms={"executor": "dask", "dask": {"cluster": "slurm"}}'
    # Histograms that are there need none.
    assert "histogram" not in finished.todo("--config", slurm)
    told = finished.run("-n", "--config", slurm, "results=elsewhere")
    assert told.returncode != 0
    assert "Slurm cannot be used here" in told.stdout
    assert "`histograms.dask.cluster` in --config" in told.stdout


def test_a_new_stage_is_a_module_and_a_rule(restored: Project) -> None:
    name = "n_datasets"
    module = restored.folder / f"src/agc_pipeline/stages/{name}.py"
    module.write_text(
        '''"""Count the datasets."""

from pathlib import Path

from agc_pipeline.files import read_json, write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, writes


class CountStage(Settings):
    unit: str


class CountOptions(Options):
    fileset: Path = reads("fileset.json", "the datasets")
    output: Path = writes("counts/n datasets.json", "record to write")


def configure(plan):
    return CountStage(unit=f"datasets of {plan.config.analysis}")


def run(settings, options):
    write_json(options.output, {settings.unit: len(read_json(options.fileset))})


STAGE = Stage(
    name="n_datasets",
    settings=CountStage,
    options=CountOptions,
    configure=configure,
    run=run,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
'''
    )
    rules = restored.folder / "workflow/rules/report.smk"
    before = rules.read_text()
    another = re.search(r"^rule report:.*?\n(?=^rule |\Z)", before, re.M | re.S)
    assert another is not None
    rule = another[0].replace("rule report:", f"rule {name}:").replace("REPORT", name.upper())
    rules.write_text(f'{before}\n\n{name.upper()} = directives("{name}")\n\n\n{rule}')
    target = "results/counts/n datasets.json"
    try:
        done = restored.run(target)
        assert done.returncode == 0, done.stdout
        written = read_json(restored.folder / target)
        assert written == {"datasets of cms_ttbar": len(DATASETS)}
        assert restored.todo(target) == {}
        # The report has a table of the rules' run times.
        assert restored.todo() == {"report": 1, "all": 1}
        text = module.read_text()
        module.write_text(text.replace("datasets of", "data sets of"))
        assert restored.todo(target) == {"code": 1, name: 1}
        log = restored.folder / f"results/logs/{name}.log"
        assert log.exists()
        assert (restored.folder / f"results/benchmarks/{name}.tsv").exists()
    finally:
        module.unlink()
        rules.write_text(before)


def test_what_would_be_delivered_is_told(restored: Project) -> None:
    done = restored.run("--", "delivery_plan")
    assert done.returncode == 0, done.stdout
    table = re.findall(
        r"^(\w+__\w+) +(\w+) \(as configured\) +data +2 +2 +0 +0 B$", done.stdout, re.M
    )
    assert set(table) == {(name, "local") for name in DATASETS}
    restored.files["wjets__nominal"].append("wjets__nominal.9.root")
    write_nanoaod(restored.folder / "data/wjets__nominal.9.root", toy.events(50))
    restored.configure()
    done = restored.run("--", "delivery_plan")
    assert re.search(
        r"^wjets__nominal .* data +3 +2 +\d* *unknown +about [\d.]+ kB$", done.stdout, re.M
    )


def test_an_environment_need_not_be_activated(restored: Project) -> None:
    """The `python` of jobs is the one of Snakemake, also if another comes first in PATH."""
    other = restored.folder / "other"
    other.mkdir()
    (other / "python").write_text("#!/bin/sh\nexit 9\n")
    (other / "python").chmod(0o755)
    target = "results/fileset.json"
    (restored.folder / target).unlink()
    done = subprocess.run(
        restored.arguments(target),
        cwd=restored.folder,
        env=restored.environment() | {"PATH": f"{other}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (restored.folder / target).is_file()


def test_auto_says_what_it_takes(finished: Project) -> None:
    done = finished.run("--dry-run", "--config", 'delivery={"backend": "auto"}')
    assert "delivery.backend auto is local (the files are on this machine) for all" in done.stdout


def test_the_list_of_all_files_of_the_task_is_written(finished: Project) -> None:
    done = finished.run(
        *("--configfile", "config/cms-open-data.yaml"),
        *("--config", "results=results-all", "--", "results-all/fileset.json"),
    )
    assert done.returncode == 0, done.stdout
    fileset = read_json(finished.folder / "results-all/fileset.json")
    # Source: nanoaod_inputs.json of iris-hep/analysis-grand-challenge.
    assert sum(len(dataset["files"]) for dataset in fileset.values()) == 787


def test_published_command_works_as_written(finished: Project) -> None:
    done = finished.run(
        *("--configfile", "config/published.yaml"),
        *("--config", "n_files_max_per_sample=5", "results=results-published"),
    )
    assert done.returncode == 0, done.stdout
    results = finished.folder / "results-published"
    poi = read_json(results / "fit.json")["poi"]
    # Value: the published histograms fitted with exact derivatives, and independently with RooFit.
    assert poi["bestfit"] == pytest.approx(0.9533, abs=1e-3)
    assert poi["uncertainty"] == pytest.approx(0.0919, abs=2e-3)
    assert read_json(results / "validation.json")["verdict"] == "agrees"
