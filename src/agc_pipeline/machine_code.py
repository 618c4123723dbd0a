"""Machine code of kernels, which is kept between runs."""

import fcntl
import grp
import hashlib
import inspect
import os
import pwd
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from enum import EnumMeta
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from agc_pipeline.errors import ConfigurationError

# Seconds that a process waits for another one that compiles the same function; most take one.
_LONGEST_WAIT = 60.0
_PAUSE = 0.05
# Types of constants whose representation tells their value.
_CONSTANTS = (bool, int, float, complex, str, bytes, np.generic, type(None))
# Packages whose functions are compiled by numba in its own way.
_KNOWN = frozenset({"numba", "numpy", *sys.stdlib_module_names})


class _MachineCode(FunctionCache):  # type: ignore[misc] # numba has no types
    """The machine code that is kept of a function.

    numba prepares all that it compiles with, and imports what other packages have for that, before
    it looks for machine code. That takes most of a second, and a job that finds all of its kernels
    has no use for it: they need the functions that manage memory, and nothing else. Who compiles
    prepares by itself.
    """

    _turn: IO[bytes] | None = None

    @cached_property
    def _made_of(self) -> str:
        return made_of(self._py_func)

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """See numba, which looks at the file of the function only."""
        return (*super()._index_key(sig, codegen), self._made_of)

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


def made_of(function: Callable[..., object]) -> str:
    """Digest of all that is compiled into the machine code of a function.

    These are the function, those that it calls, and the constants that they name, also where these
    are of other modules.
    """
    total = hashlib.sha256()
    for part in _parts(function, set()):
        total.update(repr(part).encode())
    return total.hexdigest()


def _parts(value: Any, seen: set[object]) -> Iterator[Any]:
    """What decides a value, as something whose representation tells all of it.

    Args:
        value: that a function names, or the function.
        seen: functions, and names in modules, that were looked at.
    """
    # Kernels have theirs as other wrappers do, compiled functions under a name of numba's.
    value = inspect.unwrap(getattr(value, "py_func", value))
    yield type(value).__qualname__
    if isinstance(value, np.ndarray):
        yield value.dtype.str, value.shape, value.tobytes()
    elif isinstance(value, EnumMeta):
        members: Iterable[Any] = value
        yield [(member.name, member.value) for member in members]
    elif isinstance(value, tuple | list):
        yield len(value)
        for entry in value:
            yield from _parts(entry, seen)
    elif isinstance(value, frozenset):
        yield sorted(map(repr, value))
    elif isinstance(value, _CONSTANTS):
        yield value
    elif isinstance(value, FunctionType) and value not in seen:
        seen.add(value)
        yield value.__qualname__
        # numba has its own in place of those that it knows, and its version is looked at.
        if value.__module__.partition(".")[0] not in _KNOWN:
            yield from _parts_of_function(value, seen)


def _parts_of_function(function: FunctionType, seen: set[object]) -> Iterator[Any]:
    names: set[str] = set()
    for code in _codes(function.__code__):
        names.update(code.co_names)
        yield code.co_code, code.co_names, code.co_varnames
        for constant in code.co_consts:
            if not isinstance(constant, CodeType):
                yield from _parts(constant, seen)
    captured = [cell.cell_contents for cell in function.__closure__ or ()]
    for value in (*(function.__defaults__ or ()), *captured):
        yield from _parts(value, seen)
    for name in sorted(names & function.__globals__.keys()):
        yield name
        yield from _named(function.__globals__[name], names, seen)


def _named(value: Any, names: set[str], seen: set[object]) -> Iterator[Any]:
    """The same of what has a name; of a module, of its attributes that have one of the names."""
    if not isinstance(value, ModuleType):
        yield from _parts(value, seen)
        return
    for name in sorted(names & vars(value).keys()):
        if (value.__name__, name) not in seen:
            seen.add((value.__name__, name))
            yield name
            yield from _named(vars(value)[name], names, seen)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code and those of functions within."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


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


# Other releases of numba may have these under other names. Then every process compiles: what numba
# keeps by itself may be of other constants.
_KEEPS = all(
    hasattr(FunctionCache, name)
    for name in ("_load_overload", "_guard_against_spurious_io_errors", "_index_key")
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
    if not _KEEPS:
        return dispatcher
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
        dispatcher = numba.njit(cache=_KEEPS, nogil=True, error_model="numpy")(function)
        if _KEEPS:
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
