"""HTML pages: one file each, without anything from outside.

Numbers of a page are ``data`` elements: what a person reads is rounded, and the whole number stands
beside it for machines, such as the files of the tables.
"""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from agc_pipeline import formatting
from agc_pipeline.files import write_text
from agc_pipeline.report import tables

# Scripts run if they are these, so that nothing foreign in a page can, even if it were not escaped.
_POLICY = (
    "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; "
    "base-uri 'none'; form-action 'none'"
)
_PACKAGE = "agc-pipeline"
_GUIDE = "docs/change.md"
_ADDRESSES = ("Documentation", "Repository", "Homepage")
_REMOTE = re.compile(r"https?://\S+", re.IGNORECASE)


def write(path: Path, template: str, values: Mapping[str, Any], folder: Path) -> None:
    """Write a page, and each of its tables as CSV and LaTeX.

    Args:
        path: of the page.
        template: name of the file in ``templates``.
        values: what the template uses.
        folder: for the tables.
    """
    html = render(template, values, path.parent, os.path.relpath(folder, path.parent))
    tables.write(tables.read(html), folder)
    write_text(path, html)


def render(
    template: str, values: Mapping[str, Any], folder: Path, of_tables: str = "tables"
) -> str:
    """Fill a template of this package; everything that is not markup is escaped.

    Args:
        template: name of the file in ``templates``.
        values: what the template uses; a name that is missing is an error.
        folder: of the page; files in it are links.
        of_tables: folder of the tables, relative to that of the page.
    """
    environment = Environment(
        loader=PackageLoader("agc_pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= _FILTERS
    style, script = (_part(name) for name in ("style.css", "script.js"))
    environment.globals |= {
        "style": Markup(style),  # noqa: S704 our own
        "script": Markup(script),  # noqa: S704 our own
        "policy": _POLICY.format(style=_hash(style), script=_hash(script)),
        "file": lambda name, text=None: link(name, folder, text),
        "address": lambda name: quote(str(name)),
        "of_tables": of_tables,
    }
    return environment.get_template(template).render(**values)


def link(name: str, folder: Path, text: str | None = None) -> Markup:
    """A file that a page names, as a link where a reader of the page can follow it.

    Args:
        name: path from the folder of the page or from the working directory, or an address.
        folder: of the page. Files elsewhere are named only: a page may be moved with its folder.
        text: to show instead of the name.
    """
    shown = Markup("<code>{}</code>").format(text or name)
    if _REMOTE.fullmatch(name):
        return Markup('<a href="{}">{}</a>').format(name, shown)
    inside = (os.path.relpath(path, folder) for path in (folder / name, Path(name)))
    for path in inside:
        if not path.startswith(os.pardir) and (folder / path).exists():
            # Where the folder lies on this machine is of no use to others.
            near = text or (path if Path(name).is_absolute() else name)
            return Markup('<a href="{}"><code>{}</code></a>').format(quote(path), near)
    return shown


def guide(folder: Path) -> str:
    """Address of the guide to changes of an analysis, as a page in a folder can name it.

    Returns:
        A path, if the folder lies in the sources; otherwise the page of the project, if its package
        tells one, or nothing.
    """
    sources = Path(__file__).resolve().parents[3]
    if (sources / _GUIDE).exists() and folder.resolve().is_relative_to(sources):
        return quote(os.path.relpath(sources / _GUIDE, folder.resolve()))
    addresses = dict(
        line.split(", ", 1) for line in metadata.metadata(_PACKAGE).get_all("Project-URL") or ()
    )
    return next((addresses[name] for name in _ADDRESSES if name in addresses), "")


def _part(name: str) -> str:
    return (files("agc_pipeline.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


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


def _data(value: float, text: str, unit: str = "") -> Markup:
    number = float(value)
    whole = number.is_integer() and abs(number) < 1e15
    of_unit = Markup(' data-unit="{}"').format(unit) if unit else ""
    return Markup('<data value="{}"{}>{}</data>').format(
        int(number) if whole else repr(number), of_unit, text
    )


def _as_data(text: Callable[..., str], unit: str = "") -> Callable[..., Markup]:
    """A filter that shows a number as this text."""
    return lambda value, *args: _data(value, text(value, *args), unit)


def _measured(value: float, uncertainty: float, decimals: int) -> Markup:
    """A value and its uncertainty, with the same decimals."""
    value_text, uncertainty_text = (
        formatting.fixed(number, decimals) for number in (value, uncertainty)
    )
    return Markup("{} \u00b1 {}").format(
        _data(value, value_text), _data(uncertainty, uncertainty_text)
    )


_FILTERS: dict[str, Callable[..., Any]] = {
    **{
        text.__name__: _as_data(text)
        for text in (
            formatting.count,
            formatting.number,
            formatting.rounded_like,
            formatting.plain,
            formatting.fixed,
            formatting.scientific,
        )
    },
    "measured": _measured,
    "decimals": formatting.decimals,
    "prose": prose,
    "quoted": quoted,
    "seconds": _as_data(lambda seconds: formatting.duration(seconds, decimals=1), "s"),
    "size": lambda megabytes: _data(
        round(1e6 * megabytes), formatting.byte_size(1e6 * megabytes), "B"
    ),
}
