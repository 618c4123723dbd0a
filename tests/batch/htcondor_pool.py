"""A real HTCondor on one machine, on the loopback interface, in one folder.

python tests/batch/htcondor_pool.py install    takes its programs out of Debian's packages
python tests/batch/htcondor_pool.py run CMD    runs a command beside a pool that ends with it

Nothing is installed on the machine, and neither step needs root. The programs are kept in
``$XDG_CACHE_HOME/agc_pipeline/htcondor``, with the C library and all else that they need.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from daemons import UnavailableError, answers, command_line, free_port, running, wait_until

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "agc_pipeline/htcondor"
# The first suite of Debian with HTCondor 25, whose authentication suits the Python bindings.
SUITE = "forky"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAMS = ("usr/bin/condor_*", "usr/sbin/condor_*", "usr/libexec/condor/*")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
_ELF = b"\x7fELF"

CONFIGURATION = """
RELEASE_DIR = {root}/usr
LIB = $(RELEASE_DIR)/lib/condor
LIBEXEC = $(RELEASE_DIR)/libexec/condor
SHARE = $(RELEASE_DIR)/share/condor
LOCAL_DIR = {folder}
RUN = $(LOCAL_DIR)/run
LOG = $(LOCAL_DIR)/log
LOCK = $(LOCAL_DIR)/lock
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/execute
CRED_STORE_DIR = $(LOCAL_DIR)/cred
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
use ROLE: Personal
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
USE_SHARED_PORT = False
UID_DOMAIN = localhost
FILESYSTEM_DOMAIN = localhost
TRUST_UID_DOMAIN = True
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_ADMINISTRATOR = *
ALLOW_NEGOTIATOR = *
# Everything often: the tests wait for it.
SCHEDD_INTERVAL = 2
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
STARTER_INITIAL_UPDATE_INTERVAL = 1
STARTER_UPDATE_INTERVAL = 2
SHADOW_QUEUE_UPDATE_INTERVAL = 5
UPDATE_INTERVAL = 5
POLLING_INTERVAL = 1
PROCD_MAX_SNAPSHOT_INTERVAL = 1
RUNBENCHMARKS = 0
NUM_CPUS = {cpus}
MEMORY = {memory_mb}
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = TRUE
START = TRUE
SUSPEND = FALSE
PREEMPT = FALSE
KILL = FALSE
use POLICY: HOLD_IF_MEMORY_EXCEEDED
DISCARD_SESSION_KEYRING_ON_STARTUP = False
"""


def _mirror() -> str:
    """The mirror of Debian that this machine is set up for.

    Raises:
        UnavailableError: if it is set up for none.
    """
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    sites = [site for site in listed if site.rstrip("/").endswith("/debian")]
    if not sites:
        raise UnavailableError("no mirror of Debian is set up here, see `man sources.list`")
    return sites[0]


def install() -> None:
    """Take HTCondor out of Debian's packages, unless it is there.

    Raises:
        UnavailableError: if this machine or the mirror cannot give it.
    """
    if (CACHE / "root").exists():
        return
    absent = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if absent or not KEYS.exists():
        raise UnavailableError(
            f"no {', '.join(absent) or KEYS}: HTCondor comes from Debian's packages"
        )
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        packages = _download(folder)
        root = folder / "root"
        root.mkdir()
        for package in packages:
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
        _make_native(root, CACHE / "root")
        root.replace(CACHE / "root")


def _download(folder: Path) -> list[Path]:
    """HTCondor and patchelf with all that they depend on, as if nothing were installed."""
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    mirror = _mirror()
    (folder / "sources").write_text(f"deb [signed-by={KEYS}] {mirror} {SUITE} main\n")
    options = {
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": folder / "sources",
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": pwd.getpwuid(os.geteuid()).pw_name,
        "APT::Install-Recommends": "false",
        # A mirror may lag behind; the signature is checked.
        "Acquire::Check-Valid-Until": "false",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "--quiet", "--quiet", *(f"-o{key}={value}" for key, value in options.items())]
    for step in (["update"], ["install", "--yes", "--download-only", "condor", "patchelf"]):
        done = subprocess.run([*apt, *step], text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"no HTCondor from {mirror} {SUITE}: {done.stderr.strip()}")
    return sorted((folder / "archives").glob("*.deb"))


def _make_native(root: Path, place: Path) -> None:
    """Let the programs in ``root``, to be moved to ``place``, use the libraries beside them."""
    loader = f"{LIBRARIES}/ld-linux-x86-64.so.2"
    folders = (LIBRARIES, "usr/lib/condor", "usr/lib")
    here, there = (":".join(str(base / part) for part in folders) for base in (root, place))
    patchelf = [root / loader, "--library-path", here, root / "usr/bin/patchelf"]
    options = ["--set-interpreter", place / loader, "--force-rpath", "--set-rpath", there]
    for pattern in PROGRAMS:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and not path.is_symlink() and _is_program(path):
                subprocess.run([*patchelf, *options, path], check=True)


def _is_program(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ELF and ".so" not in path.suffixes


def missing() -> str | None:
    """Why there can be no pool here; None if there can."""
    if not (CACHE / "root").exists():
        return f"no HTCondor in {CACHE}: see tests/batch/htcondor_pool.py install"
    if not answers([*as_user(), "true"], os.environ):
        return "HTCondor does not run jobs of root, and there are no user namespaces"
    return None


def as_user() -> Sequence[str]:
    """What to put before a command so that it runs as an ordinary user.

    To itself, root is someone else in a user namespace; everywhere else it is still root, and its
    files, Python's among them, can be read.
    """
    if os.geteuid() != 0:
        return ()
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    return ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}")


@contextlib.contextmanager
def htcondor(*, cpus: int = 2, memory_mb: int = 8000) -> Iterator[Mapping[str, str]]:
    """A pool of one node; gives the environment in which commands and bindings use it.

    They must be run with ``as_user`` in front.

    Args:
        cpus: that the node says it has, whatever the machine has.
        memory_mb: likewise.
    """
    reason = missing()
    if reason is not None:
        raise UnavailableError(reason)
    with tempfile.TemporaryDirectory(prefix="htcondor-") as name:
        folder = Path(name)
        for part in ("bin", "run", "log", "lock", "spool", "execute", "cred"):
            (folder / part).mkdir()
        # Only HTCondor's programs: not the other suite's Python and Perl.
        for place in ("usr/bin", "usr/sbin"):
            for program in (CACHE / "root" / place).glob("condor_*"):
                (folder / "bin" / program.name).symlink_to(program)
        configuration = folder / "condor_config"
        configuration.write_text(
            CONFIGURATION.format(
                root=CACHE / "root",
                folder=folder,
                port=free_port(),
                cpus=cpus,
                memory_mb=memory_mb,
            )
        )
        environment = {
            **os.environ,
            "CONDOR_CONFIG": str(configuration),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }
        master = [*as_user(), "condor_master", "-f"]
        with running(master, environment, folder / "master.out"):
            logs = (folder / "log").glob("*Log")
            wait_until(lambda: _ready(environment), "a slot of HTCondor", logs=logs)
            try:
                yield environment
            finally:
                everything = [*as_user(), "condor_rm", "-all"]
                subprocess.run(everything, env=environment, capture_output=True, check=False)


def _ready(environment: Mapping[str, str]) -> bool:
    slots = [*as_user(), "condor_status", "-autoformat", "Name"]
    done = subprocess.run(slots, env=environment, capture_output=True, check=False)
    return bool(done.stdout.strip()) and answers([*as_user(), "condor_q"], environment)


if __name__ == "__main__":
    command_line(__doc__, install, htcondor, prefix=as_user)
