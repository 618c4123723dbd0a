"""Cores, memory, disk, and whether the packages are those of the lock file."""

import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from agc_pipeline import locks
from agc_pipeline.doctor.findings import Finding
from agc_pipeline.formatting import byte_size, name_list

# A histogram job requests 2 GB; a default run writes less than 1 GB.
_MEMORY_MIN = 2e9
_DISK_MIN = 5e9
_NAMES_MAX = 8


def cores() -> Finding:
    """Cores that this process may use."""
    n = len(os.sched_getaffinity(0))
    return Finding("cores", "ok", f"{n} of {os.cpu_count()}" if n != os.cpu_count() else str(n))


def memory() -> Finding:
    """Memory that is available now."""
    page = os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * page
    total = os.sysconf("SC_PHYS_PAGES") * page
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        # Unlike the pages above it counts caches, which the system releases when needed.
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    detail = f"{byte_size(free)} of {byte_size(total)} free"
    if free < _MEMORY_MIN:
        remedy = (
            f"a job needs up to {byte_size(_MEMORY_MIN)}: end other programs, or use fewer cores"
        )
        return Finding("memory", "failed", detail, remedy)
    return Finding("memory", "ok", detail)


def disk(folder: Path) -> Finding:
    """Space where the results go."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{byte_size(free)} free at {folder}"
    if free < _DISK_MIN:
        return Finding("disk", "failed", detail, "free some space, or set `results`")
    return Finding("disk", "ok", detail)


def packages() -> Finding:
    """Installed packages against the lock files, where there are some.

    Those of a run must be there; of the others, those that are there must have their version.
    """
    name = "packages"
    if not (_project() / locks.DEVELOPMENT).exists():
        return Finding(name, "unused", "no lock file to compare with")
    run, development = (
        locks.pins((_project() / path).read_text(encoding="utf-8"))
        for path in (locks.RUN, locks.DEVELOPMENT)
    )
    different: list[str] = []
    missing: list[str] = []
    total = 0
    for line in development:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        locked = str(requirement.specifier).removeprefix("==")
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            if line in run:
                missing.append(requirement.name)
            continue
        total += 1
        if installed != locked:
            different.append(f"{requirement.name} {installed} instead of {locked}")
    if not different and not missing:
        return Finding(name, "ok", f"all {total} as locked")
    problems = [f"missing: {name_list(missing, _NAMES_MAX)}"] if missing else []
    problems += [f"other versions: {name_list(different, _NAMES_MAX)}"] if different else []
    remedy = (
        "install the locked versions with `make setup`; `snakemake matrix` tests other versions"
    )
    return Finding(name, "failed" if different else "missing", "; ".join(problems), remedy)


def _project() -> Path:
    """The checkout that this package is in, if it is in one."""
    return Path(__file__).parents[3]
