"""One point of the ladder: the histogram stage with so many workers, as a user would run it."""

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import yaml

from agc_pipeline.columnar import traces
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.manifest import Manifest
from agc_pipeline.facility import measures
from agc_pipeline.facility.records import Delivered, InputRecord, Machine, PointRecord
from agc_pipeline.facility.settings import PointJob
from agc_pipeline.files import write_json, write_text
from agc_pipeline.layers import filled
from agc_pipeline.measuring import process
from agc_pipeline.measuring.commands import CommandResult, run
from agc_pipeline.provenance import provenance

_PACKAGES = ("awkward", "coffea", "distributed", "numba", "numpy", "snakemake", "uproot")
# Shares of the core seconds add up to one, but for clocks of machines that differ.
_MOST = 1.05
# Seconds that the jobs of a point may take to leave the queue.
_CANCELLING = 120.0
# What a process tells of its work would be taken for that of the point.
_INNER = ("SNAKEMAKE", process.FOLDER)

# Dataset to the paths of its manifests.
Manifests: TypeAlias = Mapping[str, tuple[str, ...]]


def measure(job: PointJob, delivered: InputRecord, folder: Path) -> PointRecord:
    """Take a point; that it fails is no error but part of the record.

    Args:
        job: the point.
        delivered: its input.
        folder: to work in; its content is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    now = time.time()
    record = PointRecord(
        **job.model_dump(
            include={
                *("name", "site", "executor", "input", "mode", "workers", "repeat"),
                *("kind", "datasets", "n_files"),
            }
        ),
        split=job.options is not None,
        elsewhere=job.elsewhere,
        launched=now,
        stopped=now,
        machine=machine(),
        problem=delivered.problem,
        log=delivered.log if delivered.problem else str(folder / "output.log"),
    )
    if record.problem is not None:
        return record
    if job.mode == "delivery":
        return _delivery(job, folder, record)
    manifests = _manifests(job, delivered)
    files = [file for part in manifests.values() for one in part for file in one.files]
    if job.mode == "cold":
        for file in files:
            _forget(file.path)
    if job.options is None:
        record = _one_job(job, manifests, folder, record)
    else:
        record = _many_jobs(job, manifests, Path(delivered.folder), folder, record)
    processed = sum(task.events for trace in record.jobs for task in trace.tasks)
    expected = sum(file.after for file in files)
    if record.problem is None and processed != expected:
        problem = f"{processed} events were processed instead of {expected}"
        record = record.model_copy(update={"problem": problem})
    if record.problem is None and not processed:
        record = record.model_copy(update={"problem": "the files have no events"})
    if record.problem is None:
        record = record.model_copy(update={"problem": too_much_time(record)})
    return record.model_copy(
        update={
            "input_events": sum(file.before for file in files),
            "file_bytes": {
                file.path: file.size
                for file in files
                if file.path is not None and file.size is not None
            },
        }
    )


def too_much_time(record: PointRecord) -> str | None:
    """What is wrong if more tasks ran at a time than there are workers; None if nothing is.

    Args:
        record: of a point that has a result.
    """
    total = sum(measures.shares(record).values())
    if total <= _MOST:
        return None
    return (
        f"the shares of the time add up to {total:.2f}: more tasks ran at a time than there are "
        "workers; let each of them run one (Dask: one thread)"
    )


def deliver(
    name: str,
    configuration: dict[str, object],
    datasets: Sequence[str],
    n_batches: int,
    folder: Path,
    *,
    snakefile: str,
    timeout: float,
    cores: int,
) -> InputRecord:
    """Deliver an input for the points to read; that it fails is no error but part of the record.

    The kernels that its histograms take are compiled, too.

    Args:
        name: of the input.
        configuration: of the run.
        datasets: that are delivered.
        n_batches: of each of them.
        folder: of the run.
        snakefile: absolute path.
        timeout: seconds.
        cores: that it may use.
    """
    log = folder / "delivery.log"
    manifests = _targets(configuration, datasets, n_batches)
    record = InputRecord(name=name, folder=str(folder.absolute()), log=str(log))
    options = ("--cores", str(cores))
    result = _run_workflow(
        snakefile, options, _all(manifests), configuration, folder=folder, log=log, timeout=timeout
    )
    if not result.succeeded:
        return record.model_copy(update={"problem": _problem(result, timeout)})
    # The first job ever compiles the kernels, which is no part of what a point measures. If it
    # fails, the points say why.
    first = str(Path(str(configuration["results"])) / "histograms" / datasets[0] / "0000.json")
    warming = folder / "kernels.log"
    _run_workflow(
        snakefile, options, [first], configuration, folder=folder, log=warming, timeout=timeout
    )
    return record.model_copy(
        update={
            "manifests": manifests,
            "seconds": result.seconds,
            "delivered": _delivered(manifests),
        }
    )


def _targets(
    configuration: Mapping[str, object], datasets: Sequence[str], n_batches: int
) -> Manifests:
    """Dataset to its manifests."""
    results = Path(str(configuration["results"]))
    return {
        dataset: tuple(
            str(results / f"manifests/{dataset}/{number:04d}.json") for number in range(n_batches)
        )
        for dataset in datasets
    }


def _all(manifests: Manifests) -> list[str]:
    return [path for paths in manifests.values() for path in paths]


def _delivered(manifests: Manifests) -> Delivered:
    files = [file for path in _all(manifests) for file in manifest.read(Path(path)).files]
    return Delivered(
        events=sum(file.before for file in files),
        bytes_read=sum(file.bytes_read or 0 for file in files),
        bytes_written=sum(file.size or 0 for file in files if file.digest is not None),
    )


def _delivery(job: PointJob, folder: Path, record: PointRecord) -> PointRecord:
    """A delivery of its own, of which nothing is there before."""
    results = (folder / "results").absolute()
    configuration = job.configuration | {"results": str(results)}
    manifests = _targets(configuration, job.datasets, -(-job.n_files // job.files_per_job))
    launched = time.time()
    result = _run_jobs(job, _all(manifests), configuration, folder, Path(record.log))
    times = {"launched": launched, "stopped": time.time()}
    if not result.succeeded:
        return record.model_copy(update={**times, "problem": _problem(result, job.timeout)})
    delivered = _delivered(manifests)
    # Nobody reads them again.
    shutil.rmtree(results)
    return record.model_copy(
        update={**times, "delivered": delivered, "input_events": delivered.events}
    )


def machine() -> Machine:
    """This machine."""
    models = re.findall(r"^model name\s*: (.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return Machine(
        host=platform.node(),
        processor=models[0] if models else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        load=os.getloadavg()[0],
        software=provenance("facility", packages=_PACKAGES, settings={}, inputs=[])["software"],
    )


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _manifests(job: PointJob, delivered: InputRecord) -> dict[str, list[Manifest]]:
    """The manifests of the first files of each dataset, as many as the point reads."""
    read: dict[str, list[Manifest]] = {}
    for dataset in job.datasets:
        left = job.n_files
        for path in delivered.manifests[dataset]:
            if left > 0:
                one = manifest.read(Path(path))
                read.setdefault(dataset, []).append(
                    one.model_copy(update={"files": one.files[:left]})
                )
                left -= len(one.files)
    return read


def _forget(path: str | None) -> None:
    """Let the system forget what it has of a local file in memory, which takes no privileges."""
    if path is None or "://" in path:
        return
    with Path(path).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _one_job(
    job: PointJob, manifests: dict[str, list[Manifest]], folder: Path, record: PointRecord
) -> PointRecord:
    """One job of the histogram stage for each dataset, one after another, with all workers.

    Without metadata of earlier runs: in a run each file is opened for the first time.
    """
    options = {"settings": job.stage, "execution": job.execution, "network": job.network}
    if job.scoring is not None:
        options["scoring"] = job.scoring
    arguments = []
    for name, values in options.items():
        write_json(folder / f"{name}.json", values)
        arguments += [f"--{name}", str(folder / f"{name}.json")]
    if job.models is not None:
        arguments += ["--models", job.models]
    commands = []
    for dataset, parts in manifests.items():
        files = tuple(file for part in parts for file in part.files)
        place = folder / dataset
        manifest.write(
            place / "manifest.json",
            parts[0].model_copy(update={"files": files}),
        )
        commands.append(
            [
                *(sys.executable, "-m", "agc_pipeline.stages.histogram", *arguments),
                *("--manifest", str(place / "manifest.json")),
                *("--output", str(place / "histograms.json")),
                *("--performance", str(place / "dask.html")),
                *("--trace", str(place / "trace.json")),
            ]
        )
    folders = [folder / name for name in manifests]
    if job.stays and job.mode != "cold":
        # Workers that stay compile the kernels in the first point that they have.
        launched, results = time.time(), _until_failure(job, commands, folder / "warming.log")
        if results and not results[-1].succeeded:
            warming = record.model_copy(update={"log": str(folder / "warming.log")})
            return _measured(job, warming, launched, results, folders)
    launched = time.time()
    results = _until_failure(job, commands, Path(record.log))
    return _measured(job, record, launched, results, folders)


def _until_failure(
    job: PointJob, commands: Sequence[Sequence[str]], log: Path
) -> list[CommandResult]:
    """Results of commands, up to the first that fails."""
    results: list[CommandResult] = []
    for command in commands:
        results.append(run(command, log, timeout=job.timeout, environment=_variables()))
        if not results[-1].succeeded:
            break
    return results


def _many_jobs(
    job: PointJob,
    manifests: dict[str, list[Manifest]],
    place: Path,
    folder: Path,
    record: PointRecord,
) -> PointRecord:
    """Snakemake's jobs, so many at a time, in the folder where the input was delivered."""
    results = Path(str(job.configuration["results"]))
    for name in ("histograms", "traces", "file_metadata"):
        shutil.rmtree(results / name, ignore_errors=True)
    batches = [
        f"{dataset}/{number:04d}.json"
        for dataset, parts in manifests.items()
        for number in range(len(parts))
    ]
    targets = [str(results / "histograms" / batch) for batch in batches]
    launched = time.time()
    result = _run_jobs(job, targets, job.configuration, place, Path(record.log))
    kept = folder / "traces"
    if (results / "traces").exists():
        shutil.copytree(results / "traces", kept)
    return _measured(job, record, launched, [result], [kept])


def _measured(
    job: PointJob,
    record: PointRecord,
    launched: float,
    results: Sequence[CommandResult],
    folders: Sequence[Path],
) -> PointRecord:
    jobs = [
        traces.read(path)
        for folder in folders
        for path in sorted(folder.rglob("*.json"))
        if path.name == "trace.json" or folder.name == "traces"
    ]
    text = results[-1].output if results else ""
    failed = len(re.findall(r"^[\d:]{8} failed +\w+", text, re.MULTILINE))
    problem = None
    if not results:
        problem = "there is nothing to read"
    elif not results[-1].succeeded:
        problem = _problem(results[-1], job.timeout)
    return record.model_copy(
        update={
            "launched": launched,
            "stopped": time.time(),
            "cpu_seconds": sum(result.cpu_seconds for result in results),
            "jobs": tuple(sorted(jobs, key=lambda trace: trace.launched)),
            "attempts": len(jobs) + failed,
            "problem": problem,
        }
    )


def _run_jobs(
    job: PointJob,
    targets: Sequence[str],
    configuration: Mapping[str, object],
    folder: Path,
    log: Path,
) -> CommandResult:
    """Run Snakemake with the options of a point; profiles are named from the Snakefile's folder."""
    project = Path(job.snakefile).parent
    options = [
        str(project / option) if option.startswith("profiles/") else option
        for option in filled(job.options or (), workers=str(job.workers))
    ]
    # Jobs of a point that was killed would take its place in the queue, and write to its files.
    cancel_jobs(options, folder, log)
    result = _run_workflow(
        job.snakefile,
        options,
        targets,
        configuration,
        folder=folder,
        log=log,
        timeout=job.timeout,
    )
    if not result.succeeded:
        cancel_jobs(options, folder, log)
    return result


def cancel_jobs(options: Sequence[str], folder: Path, log: Path) -> None:
    """Remove the jobs of a folder from a batch system, as its profile does after a kill.

    Args:
        options: of Snakemake, of which the profile has the program ``cancel``, if there are jobs.
        folder: where Snakemake ran.
        log: of the run; that of the program lies beside it.
    """
    for before, profile in pairwise(options):
        script = Path(profile, "cancel")
        if before == "--profile" and os.access(script, os.X_OK):
            run(
                [str(script.absolute())],
                log.with_name("cancel.log"),
                timeout=_CANCELLING,
                environment=_variables(),
                folder=folder,
            )


def _run_workflow(
    snakefile: str,
    options: Sequence[str],
    targets: Sequence[str],
    configuration: Mapping[str, object],
    *,
    folder: Path,
    log: Path,
    timeout: float,
) -> CommandResult:
    """Run Snakemake in a folder, with a configuration."""
    write_text(
        folder / "configuration.yaml",
        yaml.safe_dump(dict(configuration), sort_keys=False),
        private=True,
    )
    profile = [] if "--profile" in options else ["--workflow-profile", "none"]
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", snakefile, *profile),
        *("--scheduler", "greedy", "--rerun-incomplete", "--nolock", "--nocolor"),
        *("--logger", "agc", *options, "--configfile", "configuration.yaml", "--", *targets),
    ]
    return run(command, log, timeout=timeout, environment=_variables(), folder=folder)


def _variables() -> dict[str, str]:
    """Environment variables without those that Snakemake gives its jobs."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(_INNER)}
    return own | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def _problem(result: CommandResult, timeout: float) -> str:
    """The first error that a stage or Snakemake reports, else the end of the output."""
    if result.code is None:
        return f"did not finish within {timeout:.0f} s"
    return result.error or f"status {result.code}"
