"""Machine code of kernels, which is kept between runs."""

import fcntl
import grp
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from agc_pipeline.errors import ConfigurationError

# Seconds that a process waits for another one that compiles the same function; most take one.
_LONGEST_WAIT = 60.0
_PAUSE = 0.05


class _MachineCode(FunctionCache):  # type: ignore[misc] # numba has no types
    """The machine code that is kept of a function.

    numba prepares all that it compiles with, and imports what other packages have for that, before
    it looks for machine code. That takes most of a second, and a job that finds all of its kernels
    has no use for it: they need the functions that manage memory, and nothing else. Who compiles
    prepares by itself.
    """

    _turn: IO[bytes] | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """See numba; where nothing is kept, this process compiles, and others wait for it."""
        rtsys.initialize(target_context)
        code = self._kept(sig, target_context)
        # A function that calls itself has its turn already.
        if code is None and self._turn is None:
            self._turn = _wait(Path(self.cache_path), self._py_func)
            code = self._kept(sig, target_context)
            if code is not None:
                self._end_turn()
        return code

    def save_overload(self, sig: Any, data: Any) -> None:
        """See numba."""
        try:
            super().save_overload(sig, data)
        finally:
            self._end_turn()

    def _kept(self, sig: Any, target_context: Any) -> Any:
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn.close()
            self._turn = None


def _wait(folder: Path, function: Callable[..., object]) -> IO[bytes] | None:
    """Wait until no other process compiles a function, and have others wait.

    The first jobs of a run start together and need the same functions. One that compiles waits for
    nothing but functions that it calls, so that none waits for another in a circle.

    Returns:
        The locked file, to be closed; None where files cannot be locked, or after a minute.
    """
    end = time.monotonic() + _LONGEST_WAIT
    try:
        file = (folder / f"{function.__module__}.{function.__qualname__}.lock").open("ab")
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE)
            else:
                return file
    except OSError:
        # Whoever cannot wait compiles as well.
        return None
    file.close()
    return None


# Other releases of numba may have these under other names.
_FINDS_QUICKLY = hasattr(FunctionCache, "_load_overload") and hasattr(
    FunctionCache, "_guard_against_spurious_io_errors"
)


def compiled(function: Callable[..., object]) -> Any:
    """Compile a function, or load its machine code.

    Args:
        function: see ``compiling.kernel``.

    Raises:
        ConfigurationError: if others may write to the folder of its machine code.
    """
    try:
        dispatcher = _dispatcher(function)
    except RuntimeError:
        # numba found no folder that it may write to.
        numba.config.CACHE_DIR = str(_temporary_folder())
        dispatcher = _dispatcher(function)
    folder = Path(dispatcher.stats.cache_path)
    # For source in an archive, as Dask's workers have it, numba makes it when it writes.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder, Path(function.__code__.co_filename))
    return dispatcher


def check_folder(folder: Path, source: Path) -> None:
    """Refuse a folder of machine code into which others may put theirs.

    Args:
        folder: of the machine code.
        source: file of the function. Whoever may write beside it may change the function, too.

    Raises:
        ConfigurationError: naming what is wrong with the folder, or one above it.
    """
    beside = folder.parent == source.parent
    faults = {folder: _fault(folder, beside=beside)}
    if not beside:
        faults |= {path: _fault_above(path) for path in folder.absolute().parents}
    for place, fault in faults.items():
        if fault:
            raise ConfigurationError(
                f"the machine code of kernels, which is executed, lies in a folder that {fault}",
                place=str(place),
                remedy="make it a folder of your own (`chmod 700`), or set NUMBA_CACHE_DIR to one",
            )


def _fault(folder: Path, *, beside: bool = False) -> str:
    """What lets others write to a folder; nothing if they cannot.

    Args:
        folder: to look at.
        beside: it lies beside the source, with which a group may work together.
    """
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "is a link"
    if status.st_mode & stat.S_IWOTH:
        return "all users may write to"
    if beside:
        return ""
    if status.st_uid not in (os.getuid(), 0):
        return "belongs to another user"
    if status.st_mode & stat.S_IWGRP and not _of_one(status.st_gid):
        return "its group may write to"
    return ""


def _fault_above(folder: Path) -> str:
    """The same of a folder above, where the sticky bit protects what is in it."""
    mode = folder.stat().st_mode
    return "all users may write to" if mode & stat.S_IWOTH and not mode & stat.S_ISVTX else ""


def _of_one(group: int) -> bool:
    """Whether a group is that of root, or of this user alone."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
        return group == 0 or grp.getgrgid(group).gr_name == name
    except KeyError:
        return False


def _dispatcher(function: Callable[..., object]) -> Any:
    # The folder is made here, and for nobody else to write to.
    mask = os.umask(0o022)
    os.umask(mask | 0o022)
    try:
        dispatcher = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        if _FINDS_QUICKLY and hasattr(dispatcher, "_compilation_chain_init_hook"):
            dispatcher._cache = _MachineCode(function)
            # It imports extensions for types that no kernel has.
            dispatcher._compilation_chain_init_hook = _nothing
        return dispatcher
    finally:
        os.umask(mask)


def _nothing() -> None:
    """In place of what has no use."""


def _temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"agc_pipeline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Whoever was there first does not stop a run: it compiles anew.
    return Path(tempfile.mkdtemp()) if _fault(folder) else folder
