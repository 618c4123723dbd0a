"""What all servers of the tests share: a process on a port of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

SECONDS_TO_START = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _stopped(thread: Path) -> bool:
    # The name in parentheses may hold anything; the state comes behind it.
    return (thread / "stat").read_text().rpartition(") ")[2].startswith("T")


class ServerProcess:
    """A server that is started, killed, frozen, and started again on the same port.

    Attributes:
        files: the folder that it serves.
        port: where it listens.
        seconds_to_start: that it may take, on a busy machine.
    """

    scheme: str
    seconds_to_start = SECONDS_TO_START

    def __init__(self, files: Path) -> None:
        self.files = files
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # Tests start it in one thread and kill it in another.
        self._lock = threading.RLock()

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str] | None:
        """Variables of the process; None are those of this one."""
        return None

    def url(self, name: str, *, port: int | None = None) -> str:
        raise NotImplementedError

    def start(self) -> Self:
        with self._lock:
            self._process = subprocess.Popen(
                self.command(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.environment(),
                process_group=0,
                # `python -m servers.NAME` finds the module there.
                cwd=Path(__file__).resolve().parent.parent,
            )
            last = time.monotonic() + self.seconds_to_start
            while not self._listens():
                if self._process.poll() is not None or time.monotonic() > last:
                    self.kill()
                    raise RuntimeError(f"{self.command()} does not start")
                time.sleep(0.02)
        return self

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def kill(self) -> None:
        with self._lock:
            if self._process is not None:
                # With all that it started.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections, but answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # A thread that is on another core may answer one more request before it stops.
        while not all(map(_stopped, Path(f"/proc/{self._process.pid}/task").iterdir())):
            time.sleep(0.001)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
