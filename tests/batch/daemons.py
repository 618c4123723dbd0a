"""Starting daemons in the foreground, waiting until they answer, and leaving none behind."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path


class UnavailableError(Exception):
    """This machine cannot have the pool; the message is the reason."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    ready: Callable[[], bool], what: str, *, seconds: float = 60, logs: Iterable[Path] = ()
) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: naming what did not come, with the ends of the logs.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s\n{ends(logs)}")
        time.sleep(0.1)


def answers(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command succeeds."""
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return done.returncode == 0


def ends(logs: Iterable[Path], *, lines: int = 10) -> str:
    """The last lines of log files."""
    return "\n".join(
        "\n".join([f"{path.name}:", *path.read_text().splitlines()[-lines:]]) for path in logs
    )


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon in a session of its own; at the end, end it and whatever it started there.

    It ends, too, if this process is killed.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def command_line(
    about: str,
    install: Callable[[], None],
    pool: Callable[..., AbstractContextManager[Mapping[str, str]]],
    *,
    prefix: Callable[[], Sequence[str]] = tuple,
) -> None:
    """What the module of a pool does as a program: install it, or run a command beside it.

    Args:
        about: what ``--help`` says.
        install: gets the programs.
        pool: takes the number of ``cpus``, and gives the environment of commands.
        prefix: gives what to put before commands.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("install")
    run = actions.add_parser("run")
    run.add_argument("--cpus", type=int, default=2, help="that the node says it has")
    run.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    try:
        if given.action == "install":
            install()
            return
        with pool(cpus=given.cpus) as environment:
            done = subprocess.run([*prefix(), *given.command], env=environment, check=False)
    except UnavailableError as error:
        sys.exit(f"error: {error}")
    sys.exit(done.returncode)
