"""Functions that are compiled at their first call.

Many processes import kernels and few call them: numba is loaded only by those that do.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


class Kernel:
    """A function and, from its first call on, what it is compiled to."""

    __wrapped__: Callable[..., object]

    def __init__(self, function: Callable[..., object]) -> None:
        functools.update_wrapper(self, function)

    @functools.cached_property
    def compiled(self) -> Any:
        """The compiled function, of numba's type."""
        from agc_pipeline import machine_code  # noqa: PLC0415

        return machine_code.compiled(self.__wrapped__)

    @property
    def _numba_type_(self) -> Any:
        """What numba takes it for in a kernel that calls it."""
        return self.compiled._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self.compiled(*arguments)

    def __reduce__(self) -> str:
        # As functions are pickled: by its name.
        return self.__wrapped__.__qualname__


def kernel(function: Function) -> Function:
    """Compile a function of numbers and numpy arrays at its first call.

    Arithmetic is that of IEEE 754 in the order written, so that a kernel gives the bits that numpy
    gives. The machine code is kept beside the source or, where that cannot be written, in the
    user's cache folder, so that only the very first run compiles, and the first after a change of
    the function, of those that it calls, or of constants that they name. What lies there is
    executed: the first call raises ``ConfigurationError`` if it is a folder to which others may
    write.
    """
    return cast(Function, Kernel(function))
