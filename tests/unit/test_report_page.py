"""Values and run times of the report, and its pages."""

import base64
import hashlib
import html
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.errors import InputError
from agc_pipeline.report import page, runtimes
from agc_pipeline.report.sections import inputs
from agc_pipeline.stages.published import closure
from conftest import ROOT

ANALYSIS = analyses.load("cms_ttbar")
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_missing_value_of_a_template_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        page.render("base.html.j2", {"title": "T", "subtitle": "", "partial": True}, tmp_path)


def test_values_are_escaped(tmp_path: Path) -> None:
    hostile = '<script>alert("&")</script>'
    values = {"title": hostile, "subtitle": hostile, "partial": True, "left_out": [hostile]}
    text = page.render("base.html.j2", values, tmp_path)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]*)", html.unescape(policy)) == [f"'sha256-{digest}'"]
    assert text.count("<script") == 1
    assert text.count("&lt;script&gt;alert(&#34;&amp;&#34;)&lt;/script&gt;") == 4
    assert "PARTIAL RESULT" in text


def test_complete_result_has_no_banner(tmp_path: Path) -> None:
    values = {"title": "T", "subtitle": "", "partial": False, "left_out": []}
    assert "PARTIAL" not in page.render("base.html.j2", values, tmp_path)


def test_files_are_links_where_a_moved_page_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results"
    (folder / "sub").mkdir(parents=True)
    for name in ("fit.json", "sub/a b#1?.root", "beyond.json"):
        (folder / name).write_text("")
    (tmp_path / "beyond.json").write_text("")
    (tmp_path / "javascript:alert(1)").write_text("")
    monkeypatch.chdir(tmp_path)
    shown = {
        name: re.findall('href="([^"]*)"', page.link(name, folder))
        for name in (
            *("fit.json", "results/fit.json", str(folder / "fit.json"), "sub/a b#1?.root"),
            *("none.json", "../beyond.json", str(tmp_path / "beyond.json"), "/etc/passwd"),
            *("root://host//f.root", "javascript:alert(1)", "https://host/f?a=1&b=<"),
        )
    }
    assert shown == {
        "fit.json": ["fit.json"],
        "results/fit.json": ["fit.json"],
        str(folder / "fit.json"): ["fit.json"],
        "sub/a b#1?.root": ["sub/a%20b%231%3F.root"],
        "none.json": [],
        "../beyond.json": [],
        str(tmp_path / "beyond.json"): [],
        "/etc/passwd": [],
        "root://host//f.root": [],
        "javascript:alert(1)": [],
        "https://host/f?a=1&b=<": ["https://host/f?a=1&amp;b=&lt;"],
    }


def test_the_guide_is_found_from_results_in_the_sources(tmp_path: Path) -> None:
    inside = ROOT / "results" / "some run"
    if (ROOT / "docs/change.md").exists():
        assert page.guide(inside) == "../../docs/change.md"
    # Nobody else has the path of these sources.
    assert str(ROOT) not in page.guide(tmp_path)
    assert not page.guide(tmp_path).startswith((".", "/"))


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


def test_the_summary_tells_which_events_are_counted() -> None:
    made = record()
    generated = sum(account.n_generated for account in made.datasets.values())
    published = {"input": {"kind": "published"}}
    told = inputs.summary(published, made.datasets)
    n = f"{generated:,}".replace(",", "\u2009")
    assert told == f"Published histograms as input: {n} generated events of 9 datasets"
    assert inputs.summary(published, {}) == "Published histograms as input"
    accounts = {"expected": None, "before": 20, "after": 5, "processed": 5, "generated": 100}
    files = [
        {"source": "a.root", "error": None} | accounts,
        {"source": "b.root", "error": "truncated"} | accounts,
    ]
    whole = record(events_processed=20, files=files)
    account = whole.datasets["wjets__nominal"]
    assert account.events_delivered == 5
    told = inputs.summary({"input": {"kind": "files"}}, {"wjets__nominal": account})
    assert told.endswith(": 20 events in the files of 1 dataset")


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
