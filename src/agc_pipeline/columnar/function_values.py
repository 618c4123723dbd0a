"""What functions of an analysis return, checked: a bool or a number for each event or object."""

from typing import Any

import numpy as np

from agc_pipeline.declaration.analysis import EventFunction
from agc_pipeline.errors import AnalysisError
from agc_pipeline.functions import place_of
from agc_pipeline.readers.columns import Array


def array_of(values: Any) -> Any:
    """What a function of events returns, with missing values of awkward arrays masked."""
    convert = getattr(values, "to_numpy", None)
    return values if convert is None else convert()


def mask_of(function: EventFunction, events: Any, selection: Any, n: int) -> Array:
    """The events that a mask lets pass: ``n * bool``.

    Args:
        function: the mask.
        events: that it is asked for.
        selection: ``physics.selection``.
        n: number of events.

    Raises:
        AnalysisError: if it returns something else.
    """
    passed = function(events, selection)
    place = place_of(function)
    try:
        passed = array_of(passed)
    except (ValueError, TypeError) as error:
        # Lists of other lengths are no array.
        raise AnalysisError(
            f"a mask of {n} events has the type {getattr(passed, 'type', type(passed).__name__)}",
            place=place,
            remedy="return one bool for each event, e.g. with `ak.any(mask, axis=1)`",
        ) from error
    if isinstance(passed, np.ma.MaskedArray) and passed.mask.any():
        n_missing = int(np.count_nonzero(passed.mask))
        raise AnalysisError(
            f"a mask has missing values: {n_missing} of {n} events have no value",
            place=place,
            remedy="return one bool for each event, e.g. with `ak.fill_none(mask, False)`",
        )
    mask = np.asarray(passed)
    if mask.shape != (n,) or mask.dtype != np.bool_:
        raise AnalysisError(
            f"a mask of {n} events has the shape {mask.shape} and the type {mask.dtype}",
            place=place,
            remedy="return one bool for each event",
        )
    return mask


def check_real(values: Any, function: object) -> None:
    """Refuse complex numbers, texts and times, of which numpy would make real numbers.

    Args:
        values: that a function of an analysis returned.
        function: of the analysis.

    Raises:
        AnalysisError: naming the function and the type.
    """
    kind = np.asarray(values).dtype
    if kind.kind in "cSUmM":
        raise AnalysisError(
            f"a function returned values of the type {kind}",
            place=place_of(function),
            remedy="return real numbers",
        )


def check_each(values: np.ndarray[Any, Any], n: int, of: str, function: object) -> None:
    """Refuse what a function of an analysis returns, if it is not one number for each.

    Kernels do not look at how long arrays are, and numpy repeats a single number in silence.

    Args:
        values: that it returned.
        n: number of what it was asked for.
        of: what that is.
        function: of the analysis.

    Raises:
        AnalysisError: naming the function, the number and the shape.
    """
    if values.shape != (n,):
        raise AnalysisError(
            f"a function of {n} {of} returned values of the shape {values.shape}",
            place=place_of(function),
            remedy=f"return one number for each of the {of}",
        )
