"""Each benchmark as its user runs it, with as little as it takes: what it prints, no times."""

import argparse
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_train import with_truth

import command_line
import scaling
from agc_pipeline.files import read_json
from conftest import ROOT, read_config, run_command
from oracle.strategies import write_nanoaod
from project import environment

BENCHMARKS = {
    path.stem: path
    for path in (ROOT / "benchmarks").glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
}
Row = dict[str, str]


def execute(name: str, *options: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS[name]), *map(str, options)],
        cwd=folder,
        env=environment(ROOT / "src"),
        capture_output=True,
        text=True,
        check=False,
    )


def benchmark(name: str, *options: object, folder: Path) -> str:
    """What a benchmark prints that must succeed in a folder."""
    done = execute(name, *options, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tables(text: str) -> list[list[Row]]:
    """Rows of the tables in Markdown, by the titles of their columns."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [
        [dict(zip(titles, cells, strict=True)) for cells in rows]
        for titles, _, *rows in filter(None, found)
    ]


def assert_positive(*values: object) -> None:
    """Assert that numbers, or their texts, are finite and larger than zero."""
    for value in values:
        assert 0 < float(str(value).replace(",", "")) < math.inf


def test_every_benchmark_is_run() -> None:
    run = re.findall(r'= benchmark\(\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8"))
    assert set(run) == set(BENCHMARKS)


def test_forest(tmp_path: Path) -> None:
    options = ("--leaves", 8, "--trees", 3, "--rows", 1000, "--repeat", 1)
    text = benchmark("forest", *options, folder=tmp_path)
    (rows,) = tables(text)
    assert [row["way"] for row in rows] == ["xgboost", "row by row", "package"]
    assert rows[0]["over xgboost"] == "1.00"
    assert_positive(*(row["CPU seconds"] for row in rows))


def test_delivery(tmp_path: Path) -> None:
    options = ("--events", 500, "--repeat", 1, "--json", "delivery.json")
    text = benchmark("delivery", *options, folder=tmp_path)
    (rows,) = tables(text)
    records = read_json(tmp_path / "delivery.json")["rows"]
    assert [row["file"] for row in rows] == ["`ttbar.root`", "`wjets.root`"]
    for name, row in zip(("ttbar", "wjets"), rows, strict=True):
        assert int(row["of it opening [%]"]) > 50
        assert f"{name}.root has so few events that more than 50% of `read` is the opening" in text
    for row, record in zip(rows, records, strict=True):
        assert row["file"] == f"`{record['file']}`"
        assert int(row["events"]) == record["events"] == 500
        assert int(row["kept"]) == record["kept"] < 500
        assert_positive(*(value for key, value in record.items() if key not in ("file", "kept")))
        assert record["ratio"] == record["skim_cpu_seconds"] / record["read_cpu_seconds"]
    # More jets, more events that are kept.
    assert records[0]["kept"] > records[1]["kept"]


def test_inference(tmp_path: Path) -> None:
    options = ("--n-files", 1, "--repeat", 1, "--no-cabinetry-ranking", "--json", "times.json")
    text = benchmark("inference", *options, folder=tmp_path)
    record = read_json(tmp_path / "times.json")
    fit, ranking = record["fit"], record["ranking"]
    assert_positive(fit["exact_s"], fit["cabinetry_s"], ranking["exact_s"])
    assert fit["exact"] == pytest.approx(fit["cabinetry"], rel=0.05)
    # 33 parameters beside the one of interest.
    assert (ranking["fits"], ranking["exact_failed"]) == (132, 0)
    assert re.search(r"^fit +[\d.]+ +[\d.]+ +[\d.]+$", text, re.MULTILINE)
    assert re.search(r"^ranking +[\d.]+$", text, re.MULTILINE)
    assert "132 of 132 exact fits converged" in text


def test_remote(tmp_path: Path) -> None:
    options = ("--events", 1000, "--round-trips", 0, 0.001, "--repeat", 1)
    text = benchmark("remote", *options, folder=tmp_path)
    (rows,) = tables(text)
    assert [row["round trip in ms"] for row in rows] == ["local", "0", "1"]
    assert_positive(*(row["seconds"] for row in rows), *(row["over local"] for row in rows))
    # The header of the file comes in addition.
    assert all(float(row["bytes over needed"]) > 1 for row in rows[1:])


def test_training(tmp_path: Path) -> None:
    write_nanoaod(tmp_path / "events.root", with_truth(1000))
    text = benchmark("training", "events.root", "--configured", folder=tmp_path)
    n_events, n_judged = map(int, re.findall(r"(\d+) events, judged on (\d+)$", text, re.M)[0])
    assert 200 <= n_events == n_judged
    ((row,),) = tables(text)
    assert_positive(row["log loss"], row["CPU [s]"], *row["trees"].split(" + "))
    shares = [row[f"{title} [%]"].split(" ± ") for title in ("hadronic top", "all four", "trijet")]
    assert_positive(*(uncertainty for _, uncertainty in shares))
    part, whole, _ = (float(share) for share, _ in shares)
    assert 0 < whole <= part < 100


def test_histograms(tmp_path: Path) -> None:
    """The ways of one process, which the benchmark itself compares bin by bin."""
    options = ("--process", "ttbar", "--events", 1000, "--repeat", 1, "--no-root")
    text = benchmark("histograms", *options, "--json", "histograms.json", folder=tmp_path)
    record = read_json(tmp_path / "histograms.json")
    rows, measures = tables(text)
    ways = [(row["dataset"], row["path"]) for row in record["rows"]]
    assert ways == [(row["dataset"], row["path"]) for row in rows]
    firsts = ("auto first", "ntuple first")
    learned = ("plain ML", "auto ML", "skim ML")
    names = ("plain", "coffea", "auto", "ntuple", *firsts, "skim", "decompress", *learned)
    assert ways == [("ttbar", name) for name in names]
    rates = {row["path"]: row["events_per_cpu_second"] for row in record["rows"]}
    for row in record["rows"]:
        reference = "plain ML" if row["path"].endswith("ML") else "plain"
        assert_positive(row["events_per_cpu_second"])
        assert row["factor_over_plain"] == rates[row["path"]] / rates[reference]
    peaks = record["peak_mb"]["ttbar"]
    assert set(peaks) == {"coffea", "auto", "skim", "auto ML"}
    assert set(record["scaling"]) == {"two_processes_over_one", "dask_worker_over_process"}
    parts = record["auto_ns_per_event"]["ttbar"]
    assert {"decompress", "physics", "fill"} < set(parts)
    assert_positive(*peaks.values(), *record["scaling"].values(), *parts.values())
    assert len(measures) == 4 + len(peaks) + len(record["scaling"])
    assert record["skipped"] == {"RDataFrame": "--no-root"}


def published_run(folder: Path, **model: object) -> None:
    """What a run writes until its workspace, of published histograms."""
    folder.mkdir()
    merged = {"histograms": folder / "histograms.root", "closure": folder / "closure.json"}
    assert run_command("published", {"analysis": "cms_ttbar", "n_files": 1}, **merged) is None
    written = {"output": "workspace.json", "model": "model.json", "checks": "checks.json"}
    files = merged | {option: folder / name for option, name in written.items()}
    settings = {"analysis": "cms_ttbar", "model": read_config()["fit"]["model"] | model}
    assert run_command("workspace", settings, **files) is None


def test_noise_of_templates(tmp_path: Path) -> None:
    """Two runs with the same templates, which judge each other as they do themselves."""
    published_run(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    text = benchmark("template_noise", "one", "other", "--measurements", 4, folder=tmp_path)
    stated = re.findall(r"^(\w+): ttbar_norm = (\S+) \+- (\S+): fit (\S+),", text, re.MULTILINE)
    assert [name for name, *_ in stated] == ["one", "other"]
    assert stated[0][1:] == stated[1][1:]
    assert_positive(*stated[0][1:])
    judged = re.findall(
        r"^4 measurements from (\w+), fitted with (\w+) \(0 failed\): root mean square of the "
        r"misses (\S+), mean \S+; uncertainty of the fit (\S+), expected of the misses (\S+);",
        text,
        re.MULTILINE,
    )
    pairs = [("one", "one"), ("other", "other"), ("other", "one"), ("one", "other")]
    assert [(truth, task) for truth, task, *_ in judged] == pairs
    assert judged[0][2:] == judged[1][2:]
    assert judged[2][2:] == judged[3][2:]
    assert_positive(*judged[0][2:], *judged[2][2:])
    assert len(re.findall(r", \+0\.0000 from ", text)) == 2
    assert re.search(r"^all 2 pairs of runs: ", text, re.MULTILINE)


def test_noise_of_templates_of_another_configuration(tmp_path: Path) -> None:
    published_run(tmp_path / "asimov", data="asimov")
    done = execute("template_noise", "asimov", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the data of the workspace are not those of the default")
    assert "\n  where: asimov\n" in done.stderr


@pytest.mark.parametrize("number", [1, 10, 787, 20_000])
def test_scaling_plans_as_many_files_as_it_says(number: int) -> None:
    files = [name for dataset in scaling.fileset(number).values() for name in dataset["files"]]
    assert len(set(files)) == number


@pytest.mark.workflow
def test_scaling_of_plans(tmp_path: Path) -> None:
    text = benchmark("scaling", "plan", 10, folder=tmp_path)
    (rows,) = tables(text)
    assert [(row["files"], row["files in a job"]) for row in rows] == [("10", "auto"), ("10", "1")]
    assert_positive(*(row["CPU [s]"] for row in rows), *(row["memory [MB]"] for row in rows))


@pytest.mark.workflow
def test_scaling_of_jobs(tmp_path: Path) -> None:
    text = benchmark("scaling", "jobs", 2, folder=tmp_path)
    numbers = re.fullmatch(r"2 jobs: (\S+) s wall\n.*: (\S+) s CPU, (\S+) MB\n", text)
    assert numbers, text
    assert_positive(*numbers.groups())


@pytest.mark.workflow
def test_scaling_of_cores(tmp_path: Path) -> None:
    options = ("cores", 1, "--events", 1000, "--repeat", 1, "--json", "cores.json")
    if len(scaling.available()) < 2:
        pytest.skip("needs two cores")
    text = benchmark("scaling", *options, folder=tmp_path)
    (rows,) = tables(text)
    record = read_json(tmp_path / "cores.json")
    ways = [("Snakemake", 1), ("Snakemake", 2), ("Dask", 1), ("Dask", 2)]
    assert [(row["histograms by"], row["cores"]) for row in record["rows"]] == ways
    assert [(row["histograms by"], int(row["cores"])) for row in rows] == ways
    assert record["events"] == 1000
    for row in record["rows"]:
        assert_positive(row["wall"], row["cpu"], row["stages"], row["efficiency"])
        assert row["efficiency"] == 1 or row["cores"] == 2


@pytest.mark.workflow
def test_overhead_of_a_run(tmp_path: Path) -> None:
    published = ("--config", "input={kind: published}", "--", "results/histograms.root")
    text = benchmark("scaling", "overhead", "--cores", 1, *published, folder=tmp_path)
    numbers = re.fullmatch(
        r"1 jobs: (\S+) s wall, (\S+) s in stages, (\S+) s CPU\noverhead (\S+)%, (\S+) s a job\n",
        text,
    )
    assert numbers, text
    assert_positive(*numbers.groups())


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("delivery", ["text.root"], "error: not a ROOT file"),
        ("template_noise", ["."], "error: file not found\n  where: workspace.json"),
        ("scaling", ["plan", "10", "--json", "x"], "error: unrecognized arguments: --json x"),
        ("delivery", ["--json", ".."], "error: argument --json: '..' is a folder: name a file in"),
        ("inference", ["--json", "text.root/x"], "'text.root' is no folder that can be"),
        (
            "histograms",
            ["--folder", "text.root"],
            "'text.root' is no folder that can be",
        ),
        ("histograms", ["--process", "zjets"], "error: without files, --process is one of ttbar"),
    ],
)
def test_wrong_input(tmp_path: Path, name: str, options: list[str], problem: str) -> None:
    (tmp_path / "text.root").write_text("no ROOT file")
    done = execute(name, *options, folder=tmp_path)
    assert done.returncode != 0
    assert problem in done.stderr
    assert "`results:`" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (command_line.count, "0"),
        (command_line.count, "-1"),
        (command_line.count, "1.5"),
        (command_line.seconds, "-0.1"),
        (command_line.seconds, "nan"),
        (command_line.seconds, "soon"),
        (command_line.file, "none.root"),
        (command_line.output, "."),
        (command_line.folder, __file__),
    ],
)
def test_wrong_values_of_options(kind: type, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        kind(text)


def test_values_of_options(tmp_path: Path) -> None:
    assert (command_line.count("12"), command_line.seconds("0")) == (12, 0.0)
    assert command_line.file(__file__) == Path(__file__)
    assert command_line.output(f"{tmp_path}/new/x.json") == tmp_path / "new" / "x.json"
    assert list((tmp_path / "new").iterdir()) == []
