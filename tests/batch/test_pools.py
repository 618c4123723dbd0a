"""profiles/slurm and profiles/htcondor on a real Slurm and a real HTCondor."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import scenarios
from daemons import UnavailableError
from htcondor_pool import as_user, htcondor
from project import Project
from slurm_pool import slurm

pytestmark = pytest.mark.batch

POOLS = {"slurm": slurm, "htcondor": htcondor}
PREFIXES = {"slurm": (), "htcondor": as_user()}
OPTIONS = {
    # There is no accounting database, and the default waits longer than all jobs take.
    "slurm": (
        *("--slurm-status-command", "squeue"),
        *("--slurm-init-seconds-before-status-checks", "2"),
        # Snakemake waits for the output of jobs that Slurm kills.
        *("--latency-wait", "5"),
    ),
    "htcondor": ("--seconds-between-status-checks", "2"),
}
MEMORY_MESSAGES = {"slurm": "exceeded memory limit", "htcondor": "is held"}


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The run on one machine that all others must agree with."""
    project = Project(tmp_path_factory.mktemp("laptop") / "project")
    done = project.run(scenarios.HISTOGRAMS)
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in POOLS],
)
def pool(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Name of a batch system, and the environment in which commands use it."""
    try:
        with POOLS[request.param]() as environment:
            yield request.param, environment
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def project(tmp_path: Path, pool: tuple[str, Mapping[str, str]]) -> scenarios.PoolProject:
    name, environment = pool
    return scenarios.PoolProject(
        tmp_path / "project", name, environment, prefix=PREFIXES[name], options=OPTIONS[name]
    )


def test_killed_resumed_and_run_again(project: scenarios.PoolProject, laptop: Project) -> None:
    scenarios.killed_resumed_and_run_again(project, laptop)


def test_too_little_memory_and_a_bad_file(project: scenarios.PoolProject) -> None:
    scenarios.too_little_memory_and_a_bad_file(project, MEMORY_MESSAGES[project.profile])


def test_dask_workers_as_jobs(project: scenarios.PoolProject, laptop: Project) -> None:
    scenarios.dask_workers_as_jobs(project, laptop)
