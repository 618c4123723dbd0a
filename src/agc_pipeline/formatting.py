"""Numbers, sizes, durations and names as text."""

import math
from collections.abc import Iterable, Sequence


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


def name_list(names: Sequence[str], most: int = 10, *, separator: str = ", ") -> str:
    """Names, the first of them where they are many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def quoted(name: str) -> str:
    """A name of somebody else's in quotes, for an error."""
    return repr(shortened(name, 80))


def plural(noun: str, number: int) -> str:
    """A noun as it stands behind a number."""
    if number == 1:
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"


def count(value: float) -> str:
    """A number of things with thin spaces between thousands: ``1 234 567``."""
    return fixed(value, 0)


def number(value: float, digits: int = 3) -> str:
    """A number with significant digits and a proper minus sign, without powers of ten."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    return fixed(rounded, max(0, digits - 1 - _exponent(rounded)))


def rounded_like(value: float, uncertainty: float, digits: int = 3) -> str:
    """A number with the decimals that its uncertainty has with so many significant digits."""
    return fixed(value, max(0, digits - 1 - _exponent(float(f"{uncertainty:.{digits}g}"))))


def plain(value: float, digits: int = 6) -> str:
    """A number with as many digits as it has, up to ``digits``: ``729.84``."""
    return _grouped(f"{value:,.{digits}g}")


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals; what rounds to zero has no sign."""
    text = f"{value:,.{decimals}f}"
    return _grouped(text if text.strip("-0.") else text.removeprefix("-"))


def scientific(value: float, decimals: int = 1) -> str:
    """A number as ``1.5e-9``, with a proper minus sign."""
    return _grouped(f"{value:.{decimals}e}")


def decimals(values: Iterable[float | None], digits: int = 2) -> int:
    """Decimals with which all numbers of a column are shown.

    Args:
        values: of the column; what is None, zero or not finite counts for nothing.
        digits: significant digits of the largest; there is one more decimal where without it the
            smallest would be shown as zero.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return 0
    of_largest = max(0, digits - 1 - _exponent(float(f"{max(sizes):.{digits}g}")))
    return of_largest + (round(min(sizes), of_largest) == 0)


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])


def _grouped(text: str) -> str:
    """Thin spaces between thousands and a proper minus sign."""
    return text.replace(",", "\u2009").replace("-", "\u2212")
