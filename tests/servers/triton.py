"""A real Triton server, from the package nvidia-pytriton, in an environment of its own.

Its binary and its Python backend are used as they are; ``triton_backends/fil`` takes the place of
the FIL backend. The environment is built once, and kept in the user's cache. Run as a program, it
serves the repository ``argv[1]`` on port ``argv[2]`` until it is interrupted.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import separate
from agc_pipeline.matrix import environments
from servers.process import ServerProcess

# xgboost of another series than the models are written with: a facility has its own, too.
REQUIREMENTS = ("nvidia-pytriton==0.7.0", "xgboost-cpu==3.1.*")
# The backend needs a shared library of a Python that it was built for.
_VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
_SECONDS_TO_BUILD = 300.0
_BACKENDS = Path(__file__).resolve().parent / "triton_backends"


class UnavailableError(Exception):
    """The environment cannot be had here; says why."""


def environment(logs: Path) -> Path:
    """Interpreter of the environment.

    Raises:
        UnavailableError: without a suitable Python, or without the package index.
    """
    python = _python()
    if python is None:
        raise UnavailableError("no Python with a shared library that Triton's backend knows")
    made = separate.environment(
        "triton", REQUIREMENTS, logs, python=python, timeout=_SECONDS_TO_BUILD
    )
    if made.unavailable is not None:
        raise UnavailableError(made.unavailable)
    assert made.interpreter is not None, environments.describe(made)
    return Path(made.interpreter)


def _python() -> str | None:
    # Debian's own comes first: other builds often have no shared library.
    names = ("/usr/bin/python3", sys.executable, *(f"python{version}" for version in _VERSIONS))
    return next((found for name in names if (found := shutil.which(name)) and _suits(found)), None)


def _suits(python: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    name = version.stdout.strip()
    try:
        ctypes.CDLL(f"libpython{name}.so.1.0")
    except OSError:
        return False
    return name in _VERSIONS


class TritonServer(ServerProcess):
    """Serves a repository of models on 127.0.0.1, by gRPC only.

    Attributes:
        options: more of its command line.

    Args:
        files: the repository.
        interpreter: of the server's environment.
        work: folder for logs and backends.
    """

    scheme = ""
    seconds_to_start = 120.0

    def __init__(self, files: Path, interpreter: Path, work: Path) -> None:
        super().__init__(files)
        self._interpreter = interpreter
        self.options: Sequence[str] = ()
        self._work = work
        lib = next((interpreter.parent.parent / "lib").glob("python3.*"))
        self._installed = lib / "site-packages"
        self._server = self._installed / "pytriton" / "tritonserver"
        self._make_backends(lib.name.removeprefix("python"))

    def _make_backends(self, python: str) -> None:
        folder = self._work / "backends"
        shutil.copytree(_BACKENDS, folder, dirs_exist_ok=True)
        shutil.copytree(self._server / "backends" / "python", folder / "python", dirs_exist_ok=True)
        stub = "triton_python_backend_stub"
        shutil.copy(self._server / "python_backend_stubs" / python / stub, folder / "python")

    def command(self) -> list[str]:
        return [
            str(self._server / "bin" / "tritonserver"),
            f"--model-repository={self.files}",
            f"--backend-directory={self._work / 'backends'}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.port}",
            "--allow-http=false",
            "--allow-metrics=false",
            f"--log-file={self._work / 'triton.log'}",
            *self.options,
        ]

    def environment(self) -> dict[str, str]:
        return os.environ | {
            # The backend runs the first Python that it finds.
            "PATH": f"{self._interpreter.parent}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(self._installed / "nvidia_pytriton.libs"),
            "OMP_NUM_THREADS": "1",
        }

    def url(self, name: str = "", *, port: int | None = None) -> str:
        return f"127.0.0.1:{port or self.port}{name}"

    def kill(self) -> None:
        with self._lock:
            # Killed, it leaves its shared memory behind.
            shared = set() if self._process is None else _shared(self._process.pid)
            super().kill()
            for block in shared:
                block.unlink(missing_ok=True)


def _shared(process: int) -> set[Path]:
    """Blocks of shared memory that a process has mapped and others can open."""
    maps = Path(f"/proc/{process}/maps").read_text(encoding="utf-8").splitlines()
    names = (line.split(maxsplit=5)[-1] for line in maps)
    return {Path(name) for name in names if name.startswith("/dev/shm/")}  # noqa: S108


def main() -> None:
    files, port = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        server = TritonServer(Path(files).absolute(), environment(work / "logs"), work)
        server.port = int(port)
        server.start()
        print(f"serving {files} at {server.url()}; end with Ctrl-C", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            server.kill()


if __name__ == "__main__":
    main()
