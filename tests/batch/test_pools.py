"""profiles/slurm and profiles/htcondor on a real Slurm and a real HTCondor."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import scenarios
from daemons import UnavailableError
from htcondor_pool import as_user, htcondor
from slurm_pool import slurm

pytestmark = pytest.mark.batch

POOLS = {"slurm": slurm, "htcondor": htcondor}
PREFIXES = {"slurm": (), "htcondor": as_user()}
MODULES = {"slurm": Path(__file__).parent / "attentive", "htcondor": None}
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
# What a pool without an accounting database needs; it does no harm to one that has it.
WITHOUT_ACCOUNTING = {"slurm": ("--slurm-status-command", "squeue"), "htcondor": ()}
# What the profiles have as examples, and what jobs then are.
EXAMPLES = {
    "slurm": (
        "slurm-qos: high",
        "default-resources:",
        "  slurm_account: \"'mygroup'\"",
        "  slurm_partition: \"'long'\"",
    ),
    "htcondor": (
        "classad_JobFlavour: \"'longlunch'\"",
        "classad_AccountingGroup: \"'group_u_CMS.u_zh.users'\"",
    ),
}
SHOW = {
    "slurm": (
        *("sh", "-c"),
        "squeue --states=all --noheader --format='%j %P %a %q' | sed -n 's/^agc_[^ ]* //p'",
    ),
    "htcondor": (
        *("condor_history", "-constraint", "AgcPipeline isnt undefined"),
        *("-autoformat", "JobFlavour", "AccountingGroup"),
    ),
}
SHOWN = {"slurm": "long mygroup high", "htcondor": "longlunch group_u_CMS.u_zh.users"}
# Slurm says it in the words of whoever notices first, the node or the controller.
MEMORY_MESSAGES = {"slurm": r"[Ee]xceeded (job )?memory limit", "htcondor": "is held"}


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> scenarios.Filled:
    """Histograms of the run on one machine that all others must agree with; it is done once."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    record = shared / "laptop.json"
    with (shared / "laptop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            run = scenarios.SmallestRun(shared / "laptop")
            done = run.run(*scenarios.HISTOGRAMS)
            assert done.returncode == 0, done.stdout
            record.write_text(json.dumps(run.filled()))
    filled: scenarios.Filled = json.loads(record.read_text())
    return filled


@pytest.fixture(scope="class")
def project(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    laptop: scenarios.Filled,
) -> Iterator[scenarios.PoolProject]:
    """The default run at its smallest scale, killed and resumed; the tests go on from there."""
    name = request.cls.profile
    try:
        with POOLS[name]() as environment:
            project = scenarios.PoolProject(
                tmp_path_factory.mktemp(name) / "project",
                name,
                environment,
                prefix=PREFIXES[name],
                modules=MODULES[name],
                options=OPTIONS[name],
            )
            project.uncomment(*EXAMPLES[name])
            scenarios.killed_and_resumed(project, laptop)
            yield project
    except UnavailableError as error:
        pytest.skip(str(error))


class PoolTests:
    """What each batch system must pass, in this order; a class is one pool and one worker."""

    def test_jobs_are_what_the_profile_asks_for(self, project: scenarios.PoolProject) -> None:
        name = project.profile
        shown = project.output(*SHOW[name]).splitlines()
        # Two datasets are generated, one job takes parts of one, three are delivered and filled.
        assert len(shown) >= 2 + 1 + 3 + 3
        assert set(shown) == {SHOWN[name]}

    def test_run_again_at_once(
        self, project: scenarios.PoolProject, laptop: scenarios.Filled
    ) -> None:
        scenarios.run_again_at_once(project, laptop, WITHOUT_ACCOUNTING[project.profile])

    def test_dask_workers_as_jobs(self, project: scenarios.PoolProject) -> None:
        scenarios.dask_workers_as_jobs(project)

    def test_facility(self, project: scenarios.PoolProject) -> None:
        scenarios.facility(project)

    def test_another_analysis(self, project: scenarios.PoolProject) -> None:
        scenarios.another_analysis(project)

    def test_too_little_memory_and_a_bad_file(self, project: scenarios.PoolProject) -> None:
        scenarios.too_little_memory_and_a_bad_file(project, MEMORY_MESSAGES[project.profile])


class TestSlurm(PoolTests):
    profile = "slurm"


class TestHTCondor(PoolTests):
    profile = "htcondor"
