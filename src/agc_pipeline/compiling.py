"""Compiled functions whose machine code is kept between runs."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function of numbers and numpy arrays at its first call.

    Arithmetic is that of IEEE 754 in the order written, so that a kernel gives the bits that numpy
    gives. The machine code is kept beside the source or, where that cannot be written, in the
    user's cache folder, so that only the very first run compiles.
    """
    try:
        return _compiled(function)
    except RuntimeError:
        # numba found no folder that it may write to.
        numba.config.CACHE_DIR = str(_temporary_folder())
        return _compiled(function)


def _compiled(function: Function) -> Function:
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"agc_pipeline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Code from another user's folder must not be run.
    return folder if folder.stat().st_uid == os.getuid() else Path(tempfile.mkdtemp())
