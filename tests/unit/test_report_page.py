"""Numbers, tables and run times of the report, and its pages."""

from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.errors import InputError
from agc_pipeline.report import page, runtimes
from agc_pipeline.report.sections import inputs
from agc_pipeline.stages.published import closure

ANALYSIS = analyses.load("cms_ttbar")
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def ascii_number(text: str) -> float:
    return float(text.replace("\u2009", "").replace("\u2212", "-"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (729.84, "730"),
        (0.0919386, "0.0919"),
        (67.1, "67.1"),
        (-1234.5, "\u22121\u2009230"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert page.number(value) == text


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (0.95331, 0.091938, "0.9533"),
        (695.77, 67.1, "695.8"),
        (695.77, 0.0999951, "695.770"),
        (12345.6, 1234.0, "12\u2009346"),
        (-0.02, 0.5, "\u22120.020"),
    ],
)
def test_rounded_like(value: float, uncertainty: float, text: str) -> None:
    assert page.rounded_like(value, uncertainty) == text


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e6))
def test_shown_numbers_are_the_numbers(value: float, uncertainty: float) -> None:
    # Three digits of the uncertainty keep the rounding under a two-hundredth of it.
    shown = ascii_number(page.rounded_like(value, uncertainty))
    assert abs(shown - value) <= 0.0051 * uncertainty + 1e-12 * abs(value)
    assert ascii_number(page.number(uncertainty)) == pytest.approx(uncertainty, rel=0.0051)


def test_events_have_decimals_where_they_mean_something() -> None:
    assert page.events(6.94, 1.81) == "6.9 \u00b1 1.8"
    assert page.events(21085.2, 7616.9) == "21\u2009085 \u00b1 7\u2009617"


def test_missing_value_of_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page.render("base.html.j2", {"title": "T", "subtitle": "", "partial": True})


def test_values_are_escaped() -> None:
    hostile = '<script>alert("&")</script>'
    values = {"title": hostile, "subtitle": hostile, "partial": True, "left_out": [hostile]}
    text = page.render("base.html.j2", values)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#34;&amp;&#34;)&lt;/script&gt;") == 4
    assert "PARTIAL RESULT" in text


def test_complete_result_has_no_banner() -> None:
    values = {"title": "T", "subtitle": "", "partial": False, "left_out": []}
    assert "PARTIAL" not in page.render("base.html.j2", values)


def record(**changes: Any) -> Closure:
    made_by: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    made = closure(ANALYSIS, 1, made_by).model_dump()
    made["datasets"]["wjets__nominal"] |= changes
    made["datasets"] = dict(sorted(made["datasets"].items()))
    return Closure.model_validate(made)


def test_accounts_are_in_the_order_of_the_analysis() -> None:
    datasets = inputs.accounts(ANALYSIS, record())
    assert list(datasets) == [dataset.name for dataset in ANALYSIS.datasets]
    assert all(account.complete for account in datasets.values())
    assert datasets["ttbar__nominal"].xsec_pb == 729.84
    assert inputs.cuts(datasets) == ["all", "4j1b", "4j2b"]


def test_incomplete_dataset() -> None:
    made = record(left_out=["b.root: truncated"])
    assert not made.datasets["wjets__nominal"].complete
    assert made.left_out == ("b.root: truncated",)


def benchmark(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))


def test_run_times_by_rule(tmp_path: Path) -> None:
    benchmark(tmp_path / "histogram/ttbar/0000.tsv", "10\t0:00:10\t800\t1\t1\t1\t1\t1\t90\t9.5")
    benchmark(tmp_path / "histogram/wjets/0000.tsv", "4\t0:00:04\t900\t1\t1\t1\t1\t1\t90\t3.5")
    benchmark(tmp_path / "fit.tsv", "0.5\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA")
    assert runtimes.collect([tmp_path]) == [
        runtimes.Runtime("histogram", jobs=2, wall=14, longest=10, cpu=13, memory=900),
        runtimes.Runtime("fit", jobs=1, wall=0.5, longest=0.5, cpu=None, memory=None),
    ]
    assert runtimes.collect([tmp_path / "fit.tsv"])[0].rule == "fit"
    assert [runtime.rule for runtime in runtimes.collect([tmp_path], ["fit", "other"])] == ["fit"]


def test_repeated_benchmark_counts_every_row(tmp_path: Path) -> None:
    row = "2\t0:00:02\t800\t1\t1\t1\t1\t1\t90\t1"
    benchmark(tmp_path / "fit.tsv", row, row, row)
    assert runtimes.collect([tmp_path])[0].jobs == 3


def test_no_benchmarks(tmp_path: Path) -> None:
    assert runtimes.collect([]) == runtimes.collect([tmp_path / "none"]) == []


@pytest.mark.parametrize("text", ["a\tb\n1\t2\n", HEADER + "soon\t\t1\n"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "fit.tsv").write_text(text)
    with pytest.raises(InputError, match="not a benchmark of Snakemake"):
        runtimes.collect([tmp_path])


def test_prose_has_code_and_signs_and_is_escaped() -> None:
    shown = page.prose("`fit.model` shifts <b>m-2 by -0.39 in pseudo-experiments")
    assert shown == (
        "<code>fit.model</code> shifts &lt;b&gt;m-2 by \u22120.39 in pseudo-experiments"
    )
    assert page.quoted("693 +62 -58 pb, +- 25 (stat)") == (
        "693 +62 \u221258 pb, \u00b1\u00a025 (stat)"
    )
