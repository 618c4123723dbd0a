"""Sizes, durations and names as text."""

from collections.abc import Sequence


def byte_size(n_bytes: float) -> str:
    """Bytes with three significant digits, in powers of 1000: ``812 MB``, ``1.43 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        # More would be rounded to four digits.
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def duration(seconds: float, *, decimals: int = 0) -> str:
    """A duration in its two largest units: ``8 s``, ``3 min 20 s``, ``2 h 05 min``.

    Args:
        seconds: the duration.
        decimals: of durations below one minute.
    """
    if round(seconds, decimals) < 60:
        return f"{seconds:.{decimals}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def shortened(text: str, longest: int = 300) -> str:
    """A text of somebody else's that may be of any length, for an error.

    Args:
        text: any.
        longest: characters of it that are shown.
    """
    return text if len(text) <= longest else f"{text[:longest]}..."


def name_list(names: Sequence[str], most: int = 10) -> str:
    """Names, the first of them where they are many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def quoted(name: str) -> str:
    """A name of somebody else's in quotes, for an error."""
    return repr(shortened(name, 80))
