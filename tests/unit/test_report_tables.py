"""Tables of a page as CSV and LaTeX."""

import csv
import io
from pathlib import Path

from agc_pipeline.report import tables

PAGE = """
<table><tr><td>without a name</td></tr></table>
<table data-name="all">
<caption>Title &amp; <em>more</em>
%</caption>
<thead>
<tr><th colspan="2"></th><th class="n" colspan="2">of both</th></tr>
<tr><th>Name</th><th>State</th><th class="n">Size</th><th class="n">Share</th></tr>
</thead>
<tbody>
<tr><th colspan="4">first_group</th></tr>
<tr><th rowspan="2">=1+1 &lt;b&gt; &sigma;</th><td><span>good</span> <a href="#">here</a></td>
<td class="n"><data value="1234.5">1\u2009235</data> \u00b1 <data value="0.25">0</data></td>
<td class="n"><data value="-3.25">\u22123.2</data> %</td></tr>
<tr><td>10 \u00b1 <data value="1">1</data> of <data value="5">5</data></td>
<td class="n"><data value="2">2</data></td><td class="n"></td></tr>
<tr><th colspan="4">\u22122 ln L</th></tr>
<tr><td>x<br>y</td><td>-z</td><td class="n"></td>
<td class="n"><data value="50">50.0</data> %</td></tr>
</tbody>
</table>
<table data-name="sizes"><tbody>
<tr><th>a</th><td><data value="1500" data-unit="B">1.5 kB</data></td></tr>
<tr><th>b</th><td><data value="2000000" data-unit="B">2 MB</data></td></tr>
</tbody></table>
"""


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_csv_has_whole_numbers_and_one_header() -> None:
    everything, sizes = tables.read(PAGE)
    assert (everything.name, everything.caption) == ("all", "Title & more %")
    assert rows(tables.as_csv(everything)) == [
        [
            *("group", "Name", "State", "of both Size", "of both Size uncertainty"),
            "of both Share [%]",
        ],
        # Spreadsheets would compute what begins with such a sign.
        ["first_group", "'=1+1 <b> \u03c3", "good here", "1234.5", "0.25", "-3.25"],
        ["first_group", "'=1+1 <b> \u03c3", "10 \u00b1 1 of 5", "2", "", ""],
        ["-2 ln L", "x; y", "'-z", "", "", "50"],
    ]
    assert rows(tables.as_csv(sizes)) == [["", " [B]"], ["a", "1500"], ["b", "2000000"]]


def test_latex_shows_what_the_page_does() -> None:
    assert tables.as_latex(tables.read(PAGE)[0]).splitlines() == [
        "% Title & more %",
        r"\begin{tabular}{llrr}",
        r"\toprule",
        r"\multicolumn{2}{l}{} & \multicolumn{2}{r}{of both} \\",
        r"Name & State & Size & Share \\",
        r"\midrule",
        r"\multicolumn{4}{l}{first\_group} \\",
        r"=1+1 \textless{}b\textgreater{} $\sigma$ & good here & 1\,235 $\pm$ 0 & $-$3.2 \% \\",
        r" & 10 $\pm$ 1 of 5 & 2 &  \\",
        r"\midrule",
        r"\multicolumn{4}{l}{$-$2 ln L} \\",
        r"x; y & -z &  & 50.0 \% \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_folder_has_the_tables_of_its_page_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "old.csv").write_text("")
    tables.write(tables.read(PAGE), folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("all.csv", "all.tex", "sizes.csv", "sizes.tex"),
    ]
