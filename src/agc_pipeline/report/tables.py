"""The tables of a page as files, read from the page itself: one source of every number.

CSV has whole numbers in plain characters, and an uncertainty in a column of its own; LaTeX
(``booktabs``) has what the page shows.
"""

import csv
import io
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from agc_pipeline.files import write_text

_GROUP = "group"
_BLANKS = re.compile(r"[^\S\u2009\u00a0]+")
# Between and around the numbers of a cell that has nothing else.
_NO_WORDS = re.compile(r"[\s\u00b1%]*")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\u00b1": r"$\pm$",
    "\u2212": r"$-$",
    "\u2192": r"$\rightarrow$",
    "\u2265": r"$\geq$",
    "\u2264": r"$\leq$",
    "\u00d7": r"$\times$",
    "\u2013": "--",
    "\u2009": r"\,",
    "\u00a0": "~",
} | {character: f"\\{character}" for character in "&%$#_{}"}


@dataclass
class Cell:
    """A cell of a table.

    Attributes:
        header: whether it is the header of its row or column.
        text: what a person reads.
        words: the text without its numbers.
        values: its numbers, as they stand in the page for machines.
        unit: of its numbers; empty if the page does not tell one.
        columns: that it spans.
        rows: that it spans.
        number: aligned as a number.
    """

    header: bool
    columns: int = 1
    rows: int = 1
    number: bool = False
    text: str = ""
    words: str = ""
    values: list[str] = field(default_factory=list)
    unit: str = ""

    @property
    def numbers(self) -> bool:
        """Whether it has numbers, or nothing."""
        return _NO_WORDS.fullmatch(self.words) is not None


@dataclass
class Table:
    """A table of a page.

    Attributes:
        name: of its files.
        caption: its title.
        head: rows of the header.
        body: the other rows; a group of rows begins with a row of one cell.
    """

    name: str
    caption: str = ""
    head: list[list[Cell]] = field(default_factory=list)
    body: list[list[Cell]] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of columns."""
        rows = [*self.head, *self.body]
        return max((sum(cell.columns for cell in row) for row in rows), default=0)


class _Reader(HTMLParser):
    """Collects the tables that have a name."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self._table: Table | None = None
        self._rows: list[list[Cell]] = []
        self._cell: Cell | None = None
        self._in_caption = False
        self._in_number = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "table" and "data-name" in values:
            self._table = Table(values["data-name"])
            self.tables.append(self._table)
        if self._table is None:
            return
        match tag:
            case "caption":
                self._in_caption = True
                self._table.caption = ""
            case "thead":
                self._rows = self._table.head
            case "tbody":
                self._rows = self._table.body
            case "tr":
                self._rows.append([])
            case "td" | "th":
                self._cell = Cell(
                    header=tag == "th",
                    columns=int(values.get("colspan", 1)),
                    rows=int(values.get("rowspan", 1)),
                    number="n" in values.get("class", "").split(),
                )
                self._rows[-1].append(self._cell)
            case "data" if self._cell is not None:
                self._in_number = True
                self._cell.values.append(values["value"])
                self._cell.unit = values.get("data-unit", "")
            case "br":
                self.handle_data("; ")

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "table":
                self._table = None
            case "caption":
                self._in_caption = False
            case "td" | "th":
                self._cell = None
            case "data":
                self._in_number = False

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.text += data
            if not self._in_number:
                self._cell.words += data
        elif self._in_caption and self._table is not None:
            self._table.caption += data


def read(html: str) -> list[Table]:
    """The tables of a page that have a ``data-name``."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    for table in reader.tables:
        table.caption = _tidy(table.caption)
        for cell in (cell for row in (*table.head, *table.body) for cell in row):
            cell.text = _tidy(cell.text)
    return reader.tables


def write(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as CSV and LaTeX into a folder, which has nothing else afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for table in tables:
        write_text(folder / f"{table.name}.csv", as_csv(table))
        write_text(folder / f"{table.name}.tex", as_latex(table))


def as_csv(table: Table) -> str:
    """A table with one header row, for machines; titles of groups are a column."""
    grid = list(zip(table.body, _filled(table.body, table.width), strict=True))
    rows = [filled for row, filled in grid if not _is_group(row, table.width)]
    groups = len(rows) < len(grid)
    columns = [_Column.of([row[place] for row in rows]) for place in range(table.width)]
    heads = zip(*_filled(table.head, table.width), strict=True)
    titles = [_title(head) for head in heads] or [""] * table.width
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    line = [_GROUP] if groups else []
    for title, column in zip(titles, columns, strict=True):
        line += column.titles(title)
    writer.writerow(line)
    group = ""
    for row, filled in grid:
        if _is_group(row, table.width):
            group = _plain(row[0].text)
            continue
        line = [group] if groups else []
        for cell, column in zip(filled, columns, strict=True):
            line += column.entries(cell)
        writer.writerow(line)
    return text.getvalue()


def _title(head: Sequence[Cell | None]) -> str:
    """Title of a column: all of the header above it."""
    return " ".join(dict.fromkeys(_plain(cell.text) for cell in head if cell and cell.text))


@dataclass(frozen=True)
class _Column:
    """A column of a table in a CSV file.

    Attributes:
        numbers: of each cell; 0 for text.
        unit: of the numbers.
    """

    numbers: int
    unit: str = ""

    @classmethod
    def of(cls, cells: Sequence[Cell | None]) -> "_Column":
        present = [cell for cell in cells if cell is not None]
        if not all(cell.numbers for cell in present):
            return cls(0)
        units = {"%" if "%" in cell.words else cell.unit for cell in present if cell.values}
        return cls(
            max((len(cell.values) for cell in present), default=0),
            units.pop() if len(units) == 1 else "",
        )

    def titles(self, title: str) -> list[str]:
        full = f"{title} [{self.unit}]" if self.unit else title
        return [full, *[f"{full} uncertainty"] * (self.numbers - 1)]

    def entries(self, cell: Cell | None) -> list[str]:
        if not self.numbers:
            return ["" if cell is None else _plain(cell.text)]
        values = [] if cell is None else cell.values
        return [*values, *[""] * (self.numbers - len(values))]


def as_latex(table: Table) -> str:
    r"""A table for ``\input``, with the rules of the package booktabs."""
    width = table.width
    columns = zip(*_filled(table.body, width), strict=True)
    alignment = "".join("r" if any(c and c.number for c in cells) else "l" for cells in columns)
    lines = [f"% {_tidy(table.caption)}"] if table.caption else []
    lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines += [_latex_row(row, width) for row in table.head]
    if table.head:
        lines.append(r"\midrule")
    for number, row in enumerate(table.body):
        if number and _is_group(row, width):
            lines.append(r"\midrule")
        lines.append(_latex_row(row, width))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(row: Sequence[Cell], width: int) -> str:
    parts = []
    # Cells of the rows above that reach into this one are at its beginning.
    missing = width - sum(cell.columns for cell in row)
    parts += [""] * missing
    for cell in row:
        text = _latex(cell.text)
        if cell.columns > 1:
            text = rf"\multicolumn{{{cell.columns}}}{{{'r' if cell.number else 'l'}}}{{{text}}}"
        parts.append(text)
    return " & ".join(parts) + r" \\"


def _is_group(row: Sequence[Cell], width: int) -> bool:
    return len(row) == 1 and row[0].header and row[0].columns == width > 1


def _filled(rows: Sequence[Sequence[Cell]], width: int) -> Iterator[list[Cell | None]]:
    """Rows with a cell for each column; a cell that spans several is in all of them."""
    reaching: dict[int, tuple[Cell, int]] = {}
    for row in rows:
        line: list[Cell | None] = []
        cells = iter(row)
        while len(line) < width:
            place = len(line)
            if place in reaching:
                cell, left = reaching.pop(place)
                line.append(cell)
                if left > 1:
                    reaching[place] = cell, left - 1
                continue
            following = next(cells, None)
            if following is None:
                line.append(None)
                continue
            for other in range(place, min(place + following.columns, width)):
                line.append(following)
                if following.rows > 1:
                    reaching[other] = following, following.rows - 1
        yield line


def _tidy(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()


def _plain(text: str) -> str:
    """Text in which numbers have no typography, and which no spreadsheet takes for a formula."""
    shown = text.replace("\u2009", "").replace("\u2212", "-").replace("\u00a0", " ")
    return f"'{shown}" if text.startswith(("=", "+", "-", "@")) else shown


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character) or _greek(character) for character in text)


def _greek(character: str) -> str:
    """A Greek letter by its name in mathematics; any other character as it is."""
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"] and words[2:3] == ["LETTER"] and len(words) == 4:
        name = words[3].lower()
        return f"${chr(92)}{name.capitalize() if words[1] == 'CAPITAL' else name}$"
    return character
