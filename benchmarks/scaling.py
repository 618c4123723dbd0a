"""What planning, many jobs, and a second core cost and give.

    python benchmarks/scaling.py plan [FILES ...]       dry runs with so many input files
    python benchmarks/scaling.py jobs NUMBER [OPTION ...]   so many dummy event loops
    python benchmarks/scaling.py cores [FILES] [--events N] [--repeat N] [--json FILE]
                                                        one core and two, Snakemake and Dask
    python benchmarks/scaling.py overhead [OPTION ...]  what a run takes beside its stages

Options of ``jobs`` go to Snakemake: ``--cores 2``, or ``--profile profiles/slurm``; so do those of
``overhead``, which is the default run on one core without any. ``cores`` reads so many names of one
file that it makes, of as many events as a file of the task, and takes the fastest of some runs,
which alternate. Everything is written to a temporary folder. Wall time says little where others use
the machine: CPU time, of all processes together, stands beside it.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import command_line
from agc_pipeline.facility import sample
from agc_pipeline.files import write_json
from agc_pipeline.report import runtimes
from agc_pipeline.stages.command import errors_told

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = (sys.executable, "-m", "snakemake")
# Shares of the files of the task in each dataset, in percent.
DATASETS = {"wjets__nominal": 44, "ttbar__nominal": 31, "single_top_t_chan__nominal": 25}
# Options of Snakemake that read a run's configuration; targets follow.
CONFIGURED = ("--configfile", "run.yaml", "--")
# Dummy event loops with a sum of sums behind them.
DUMMY = """
N = {number}
rule all:
    input: "total"
rule loop:
    output: "loops/{{i}}"
    wildcard_constraints: i="[0-9]+"
    resources: mem_mb=700, htcondor_request_mem_mb=700, runtime=10
    shell:
        "python -c 'print(sum(range(5_000_000)))' > {{output}}.part"
        " && mv {{output}}.part {{output}}"
rule partial:
    input: lambda w: [f"loops/{{i}}" for i in range(int(w.k) * 100, min(N, int(w.k) * 100 + 100))]
    output: "partial/{{k}}"
    wildcard_constraints: k="[0-9]+"
    localrule: True
    shell: "cat {{input}} | wc -l > {{output}}"
rule total:
    input: expand("partial/{{k}}", k=range((N + 99) // 100))
    output: "total"
    localrule: True
    shell: "cat {{input}} | awk '{{{{ n += $1 }}}} END {{{{ print n }}}}' > {{output}}"
"""


class Cost(NamedTuple):
    """Seconds of wall-clock and CPU time, and MB of the largest process."""

    wall: float
    cpu: float
    memory: float


def run(command: Sequence[str], folder: Path, *, cores: int | None = None) -> Cost:
    """Run a command to its end, on so many cores; its output is shown only if it fails."""
    if cores is not None:
        command = ("taskset", "--cpu-list", ",".join(map(str, available()[:cores])), *command)
    log = folder / "output.log"
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status != 0:
        sys.exit(f"{' '.join(command)}\n{log.read_text()[-3000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def available() -> list[int]:
    """Numbers of the cores that may be used."""
    return sorted(os.sched_getaffinity(0))


def workflow(*options: str) -> list[str]:
    """Command that runs this project's workflow in any folder."""
    return [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), *options]


def placed(options: Sequence[str]) -> list[str]:
    """Options in which files of this project are found from any folder."""
    ours = ("profiles/", "config/")
    return [str(ROOT / part) if part.startswith(ours) else part for part in options]


def fileset(number: int) -> dict[str, object]:
    """So many addresses, those of each dataset with its share."""
    content: dict[str, object] = {}
    share = 0
    for name, percent in DATASETS.items():
        first, share = number * share // 100, share + percent
        if files := range(first, number * share // 100):
            content[name] = {
                "files": {
                    f"root://eos.example.org//{name}/{i:05d}.root": {"num_entries": 1_200_000}
                    for i in files
                }
            }
    return content


def plan(folder: Path, numbers: Sequence[int]) -> None:
    """Plan runs of the default number of files for each job, and of one."""
    print("| files | files in a job | wall [s] | CPU [s] | memory [MB] |")
    print("| --- | --- | --- | --- | --- |")
    for number in numbers:
        (folder / "fileset.json").write_text(json.dumps(fileset(number)))
        for files_per_job in ("auto", 1):
            given = {"kind": "fileset", "path": "fileset.json"}
            # Of few files, some datasets have none.
            fit = {"model": {"missing_datasets": "drop", "data": "asimov"}}
            configured(folder, {"input": given, "files_per_job": files_per_job, "fit": fit})
            command = workflow("--cores", "2", "--dry-run", "--quiet", "all", *CONFIGURED)
            cost = run(command, folder)
            shown = f"{cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.0f}"
            print(f"| {number} | {files_per_job} | {shown} |", flush=True)


def jobs(folder: Path, number: int, options: Sequence[str]) -> None:
    """Run dummy event loops and add them up."""
    (folder / "Snakefile").write_text(DUMMY.format(number=number))
    cost = run([*SNAKEMAKE, *placed(options), "--scheduler", "greedy"], folder)
    total = int((folder / "total").read_text())
    if total != number:
        sys.exit(f"{number} jobs ended well, but only {total} outputs are whole")
    print(f"{number} jobs: {cost.wall:.1f} s wall")
    print(f"Snakemake and what it started here: {cost.cpu:.1f} s CPU, {cost.memory:.0f} MB")


def cores(folder: Path, number: int, n_events: int, repeat: int, record: Path | None) -> None:
    """Histogram so many files of so many events with one core and with two."""
    if len(available()) < 2:
        sys.exit("needs two cores")
    (folder / "data").mkdir()
    first = folder / "data/0000.root"
    sample.write(first, "ttbar", n_events)
    for i in range(1, number):
        os.link(first, folder / f"data/{i:04d}.root")
    files = {str(path): "Events" for path in sorted((folder / "data").iterdir())}
    # A job on each core, several times over; or one job, a cluster on all cores.
    files_per_job = {"Snakemake": math.ceil(number / 10), "Dask": number}
    for name, n_files in files_per_job.items():
        # Snakemake would take the other's manifests for old ones of its own.
        (folder / name).mkdir()
        (folder / name / "fileset.json").write_text(
            json.dumps({"ttbar__nominal": {"files": files}})
        )
        configured(folder / name, scaled(name, n_files, 1))
        batches = math.ceil(number / n_files)
        manifests = [f"results/manifests/ttbar__nominal/{i:04d}.json" for i in range(batches)]
        run(workflow("--cores", "2", *CONFIGURED, *manifests), folder / name)
        shutil.move(folder / name / "results", folder / name / "delivered")
    costs: dict[tuple[str, int], list[tuple[Cost, float]]] = {}
    for i in range(repeat):
        for name, n_files in files_per_job.items():
            for n in (1, 2):
                configured(folder / name, scaled(name, n_files, n))
                costs.setdefault((name, n), []).append(filled(folder / name, n))
                wall = costs[name, n][-1][0].wall
                print(f"run {i + 1}: {name}, {n} cores, {wall:.1f} s", file=sys.stderr)
    print("| histograms by | cores | wall [s] | CPU [s] | in stages [s] | efficiency |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for (name, n), runs in costs.items():
        # What else the machine does only makes a run slower.
        cost, stages = min(runs)
        efficiency = min(costs[name, 1])[0].wall / n / cost.wall
        shown = " | ".join(f"{value:.1f}" for value in (cost.wall, cost.cpu, stages))
        print(f"| {name} | {n} | {shown} | {efficiency:.2f} |")
        row = {"histograms by": name, "cores": n, "wall": cost.wall, "cpu": cost.cpu}
        rows.append(row | {"stages": stages, "efficiency": efficiency})
    if record is not None:
        write_json(record, {"events": number * n_events, "rows": rows})


def scaled(way: str, files_per_job: int, n: int) -> dict[str, object]:
    """The configuration for one of both ways, on so many cores."""
    histograms = {
        "executor": "dask" if way == "Dask" else "iterative",
        "workers": n,
        "dask": {"cluster": "local", "performance_report": False},
    }
    return {
        "input": {"kind": "fileset", "path": "fileset.json"},
        "delivery": {"backend": "none"},
        "files_per_job": files_per_job,
        "histograms": histograms,
    }


def filled(folder: Path, n: int) -> tuple[Cost, float]:
    """What the histograms of delivered files cost on so many cores, and the time in stages."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    shutil.copytree(folder / "delivered", folder / "results")
    command = workflow("--cores", str(n), *CONFIGURED, "results/histograms.root")
    # With one worker only, Dask's scheduler would have the second core to itself.
    cost = run(command, folder, cores=n)
    times = runtimes.collect([folder / "results/benchmarks"], {"histogram", "merge"})
    return cost, sum(time.wall for time in times)


def configured(folder: Path, values: Mapping[str, object]) -> None:
    """Write a configuration for ``CONFIGURED``."""
    (folder / "run.yaml").write_text(json.dumps(values))


def overhead(folder: Path, options: Sequence[str]) -> None:
    """Run the workflow, and compare its time with that of its stages."""
    cost = run(workflow(*placed(options)), folder)
    times = runtimes.collect(sorted(folder.glob("results/**/benchmarks")))
    stages, jobs = sum(time.wall for time in times), sum(time.jobs for time in times)
    if not stages:
        sys.exit("error: no stage ran that `results/benchmarks` has the time of")
    print(f"{jobs} jobs: {cost.wall:.1f} s wall, {stages:.1f} s in stages, {cost.cpu:.1f} s CPU")
    print(f"overhead {cost.wall / stages - 1:.1%}, {(cost.wall - stages) / jobs:.2f} s a job")


def main() -> None:
    """Command line."""
    arguments = command_line.parser(__doc__)
    commands = arguments.add_subparsers(required=True, dest="command", metavar="COMMAND")
    command = commands.add_parser("plan", help="time and memory of a plan")
    command.add_argument("files", type=command_line.count, nargs="*", default=[787, 20_000])
    command = commands.add_parser("jobs", help="a run of files of few events")
    command.add_argument("files", type=command_line.count)
    command = commands.add_parser("cores", help="the histograms on one core, and on more")
    command.add_argument("files", type=command_line.count, nargs="?", default=100)
    command.add_argument("--events", type=command_line.count, default=1_200_000, help="of a file")
    command.add_argument("--repeat", type=command_line.count, default=2)
    command.add_argument("--json", type=command_line.output, help="record of the result")
    commands.add_parser("overhead", help="a run, and what its stages take of it")
    # What is left is for Snakemake: cores, or a profile.
    options, rest = arguments.parse_known_args()
    if rest and options.command in ("plan", "cores"):
        arguments.error(f"unrecognized arguments: {' '.join(rest)}")
    with errors_told(output="the command line"), tempfile.TemporaryDirectory() as name:
        match options.command:
            case "plan":
                plan(Path(name), options.files)
            case "jobs":
                jobs(Path(name), options.files, rest or ["--cores", "2"])
            case "cores":
                cores(Path(name), options.files, options.events, options.repeat, options.json)
            case _:
                overhead(Path(name), rest or ["--cores", "1"])


if __name__ == "__main__":
    main()
