"""HTML pages: one file each, without anything from outside."""

import re
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from agc_pipeline.formatting import byte_size, duration


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of this package; everything that is not markup is escaped.

    Args:
        template: name of the file in ``templates``.
        values: what the template uses; a name that is missing is an error.
    """
    environment = Environment(
        loader=PackageLoader("agc_pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": count,
        "events": events,
        "number": number,
        "rounded_like": rounded_like,
        "plain": plain,
        "prose": prose,
        "quoted": quoted,
        "seconds": partial(duration, decimals=1),
        "size": lambda megabytes: byte_size(1e6 * megabytes),
    }
    style = (files("agc_pipeline.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **values)


def count(value: float) -> str:
    """A number of things with thin spaces between thousands: ``1 234 567``."""
    return _grouped(f"{value:,.0f}")


def number(value: float, digits: int = 3) -> str:
    """A number with significant digits and a proper minus sign, without powers of ten."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - _exponent(rounded))
    return _grouped(f"{rounded:,.{decimals}f}")


def rounded_like(value: float, uncertainty: float, digits: int = 3) -> str:
    """A number with the decimals that its uncertainty has with so many significant digits."""
    decimals = max(0, digits - 1 - _exponent(float(f"{uncertainty:.{digits}g}")))
    return _grouped(f"{value:,.{decimals}f}")


def plain(value: float, digits: int = 6) -> str:
    """A number with as many digits as it has, up to ``digits``: ``729.84``."""
    return _grouped(f"{value:,.{digits}g}")


def quoted(text: str) -> str:
    """A result in plain characters as it is printed: with proper signs, uncertainties in one piece.

    ``693 +62 -58 pb`` and ``+- 25 (stat)``.
    """
    return text.replace("+- ", "\u00b1\u00a0").replace("-", "\u2212")


def prose(text: str) -> Markup:
    """Sentences as they are printed: keys in backticks as code, numbers with proper minus signs."""
    words = re.sub(r"(?<![\w-])-(?=\d)", "\u2212", text)
    parts = escape(words).split("`")
    # Every other part was between two of them.
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    )


def events(value: float, uncertainty: float) -> str:
    """Expected events and their uncertainty, with decimals only where they mean something."""
    decimals = 1 if uncertainty < 10 else 0
    return _grouped(f"{value:,.{decimals}f} \u00b1 {uncertainty:,.{decimals}f}")


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])


def _grouped(text: str) -> str:
    """Thin spaces between thousands and a proper minus sign."""
    return text.replace(",", "\u2009").replace("-", "\u2212")
