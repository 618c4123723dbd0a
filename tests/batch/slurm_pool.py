"""A real Slurm on one machine, on the loopback interface, in one folder.

python tests/batch/slurm_pool.py install    installs Debian's packages, as root
python tests/batch/slurm_pool.py run CMD    runs a command beside a pool that ends with it
"""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemons import UnavailableError, answers, command_line, free_port, running, wait_until

PACKAGES = (
    *("slurmctld", "slurmd", "slurm-client", "munge", "slurm-wlm-basic-plugins"),
    # The database of accounts.
    *("slurmdbd", "mariadb-server-core", "mariadb-client-core"),
)
DAEMONS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db")
COMMANDS = (
    *("sacct", "sacctmgr", "sshare"),
    *("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun"),
)
# Where Debian puts daemons is not on every user's path.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# The node has what is said below, whatever the machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoragePass={folder}/munge.socket
# A job without an account that its user may use, or with another QOS, is refused.
AccountingStorageEnforce=associations,qos
# Without control groups it is the accounting that ends jobs over their memory.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
KillWait=1
MinJobAge=3600
ReturnToService=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb}
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=long Nodes=localhost MaxTime=INFINITE State=UP
"""

ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting_port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=root
StoragePass=none
StorageLoc=accounting
"""
# What there is beside the default: an account, and a QOS that only its users have.
ACCOUNT = "mygroup"
QOS = "high"


def install() -> None:
    """Install Slurm from Debian's packages.

    Raises:
        UnavailableError: without root or apt.
    """
    if missing() is None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError("Slurm is installed by root with apt only")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "--quiet", "--quiet", *command], env=quiet, check=True)


def missing() -> str | None:
    """Why there can be no pool here; None if there can."""
    absent = [name for name in (*DAEMONS, *COMMANDS) if shutil.which(name, path=PATH) is None]
    if not absent:
        return None
    return f"no {', '.join(absent)}: see tests/batch/slurm_pool.py install"


@contextlib.contextmanager
def slurm(*, cpus: int = 2, memory_mb: int = 8000) -> Iterator[Mapping[str, str]]:
    """A pool of one node; gives the environment in which the commands of Slurm use it.

    Args:
        cpus: that the node says it has, whatever the machine has.
        memory_mb: likewise.
    """
    reason = missing()
    if reason is not None:
        raise UnavailableError(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        user = pwd.getpwuid(os.geteuid()).pw_name
        # Jobs of a pool must not take over the environment of one that runs around it.
        environment = {key: value for key, value in os.environ.items() if "SLURM" not in key}
        environment |= {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{PATH}"}
        for part in ("state", "spool", "bin"):
            (folder / part).mkdir()
        for command in COMMANDS:
            _wrap(command, folder)
        values = {
            "folder": folder,
            "user": user,
            "controller_port": free_port(),
            "node_port": free_port(),
            "accounting_port": free_port(),
            "database_port": free_port(),
            "cpus": cpus,
            "memory_mb": memory_mb,
        }
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        accounting = folder / "slurmdbd.conf"
        accounting.touch(0o600)
        accounting.write_text(ACCOUNTING.format(**values))
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        munged = [
            *("munged", "--foreground", "--force", f"--key-file={key}"),
            *(f"--{kind}-file={folder}/munge.{kind}" for kind in ("pid", "log", "seed")),
            f"--socket={folder}/munge.socket",
        ]
        stack.enter_context(running(munged, environment, folder / "munged.out"))
        wait_until((folder / "munge.socket").exists, "munged")
        stack.enter_context(_database(folder, user, int(values["database_port"]), environment))
        log = folder / "slurmdbd.log"
        stack.enter_context(running(["slurmdbd", "-D"], environment, log))
        listed = ["sacctmgr", "list", "clusters"]
        logs = folder.glob("*.log")
        wait_until(lambda: answers(listed, environment), "slurmdbd", logs=logs)
        for add in (
            *("cluster loopback", f"account {ACCOUNT}", f"qos {QOS}"),
            f"user {user} account={ACCOUNT} defaultaccount={ACCOUNT} qos=normal,{QOS}",
        ):
            subprocess.run(
                ["sacctmgr", "--immediate", "add", *add.split()],
                env=environment,
                stdout=subprocess.DEVNULL,
                check=True,
            )
        for daemon in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "localhost"]):
            stack.enter_context(running(daemon, environment, folder / f"{daemon[0]}.log"))
        job = ["srun", "--immediate=5", "true"]
        logs = folder.glob("*.log")
        wait_until(lambda: answers(job, environment), "a node of Slurm", logs=logs)
        try:
            yield environment
        finally:
            # Jobs are no children of the daemons.
            subprocess.run(["scancel", f"--user={user}"], env=environment, check=False)
            wait_until(
                lambda: not subprocess.check_output(["squeue", "--noheader"], env=environment),
                "the end of all jobs",
            )


@contextlib.contextmanager
def _database(folder: Path, user: str, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """The database of slurmdbd, for this machine only."""
    place = ["--no-defaults", f"--user={user}", f"--datadir={folder}/database"]
    # A server that starts removes temporary tables, also those of another in the same folder.
    place.append(f"--tmpdir={folder}")
    subprocess.run(
        [
            *("mariadb-install-db", *place, "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    set_up = folder / "database.sql"
    set_up.write_text("ALTER USER root@localhost IDENTIFIED BY 'none';\n")
    socket = folder / "database.socket"
    command = [
        *("mariadbd", *place, f"--socket={socket}", f"--port={port}", f"--init-file={set_up}"),
        *("--bind-address=127.0.0.1", f"--pid-file={folder}/database.pid"),
    ]
    with running(command, environment, folder / "database.log"):
        wait_until(socket.exists, "mariadbd")
        yield


def _wrap(command: str, folder: Path) -> None:
    """A command that finds this Slurm although Snakemake's plugin drops its variables in jobs."""
    made = folder / "bin" / command
    program = shutil.which(command, path=PATH)
    made.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {program} "$@"\n')
    made.chmod(0o755)


if __name__ == "__main__":
    command_line(__doc__, install, slurm)
