"""The stage `report` as a process: one page from a partial run with hostile file names."""

import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import browser
from agc_pipeline.files import read_json, write_json
from agc_pipeline.inference.derived_records import RankingRecord
from agc_pipeline.report import page
from agc_pipeline.report.facts import grouped
from agc_pipeline.report.settings import ReportStage
from agc_pipeline.report.summary import Summary
from agc_pipeline.stages import (
    fit,
    limit,
    propagate,
    published,
    ranking,
    report,
    scan,
    toys,
    validate,
    workspace,
)
from agc_pipeline.stages.description import Stage
from conftest import read_config, settings_file

HOSTILE = 'root://host//<script>alert("{{ title }}")</script>&f.root'
OF_FIT = ("ranking", "scan", "toys", "limit", "sensitivity")
OF_LIMIT = ["limit", "spending"]
BESIDE = (*OF_FIT, "checks", "propagated")
VOID = {"meta", "link", "img", "br"}


class Reader(HTMLParser):
    """Collects tags, text, and elements that were closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.misnested: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class Page:
    folder: Path
    html: str
    read: Reader
    fit: dict[str, Any]
    log: str


def configuration() -> dict[str, Any]:
    values = read_config()
    names = ("analysis", "input", "physics", "fit", "validation", "report")
    shown = {name: values[name] for name in names} | {"input": {"kind": "simulated"}}
    shown["fit"]["toys"]["count"] = 10
    return shown


def run(stage: Stage[Any, Any], settings: Any, paths: dict[str, Path], **output: Path) -> None:
    """Run a stage in this process with those of the files that it has options for."""
    files = {name: path for name, path in paths.items() if name in stage.options.described()}
    stage.run(stage.settings.model_validate(settings), stage.options(**(files | output)))


def stage_settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "analysis": "cms_ttbar",
        "report": settings["report"],
        "luminosity_per_pb": 3378,
        "rules": ["fit"],
        "edges": [["workspace", "fit"], ["fit", "report"]],
        "configuration": settings,
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("results")
    settings = configuration()
    names = ("closure", "validation", "workspace", "model", "checks", "fit", *OF_FIT, "propagated")
    paths = {name: folder / f"{name}.json" for name in names} | {
        "histograms": folder / "histograms.root",
        "page": folder / "validation.html",
    }
    run(published.STAGE, {"analysis": "cms_ttbar", "n_files": 1}, paths)
    _make_partial(paths["closure"])
    given = {"analysis": "cms_ttbar", "validation": settings["validation"]}
    run(
        validate.STAGE,
        given,
        paths,
        output=paths["validation"],
        tables=folder / "validation_tables",
    )
    model = {"analysis": "cms_ttbar", "model": settings["fit"]["model"]}
    run(workspace.STAGE, model, paths, output=paths["workspace"])
    of_fit = {"minimiser": settings["fit"]["minimiser"]}
    of_noise = {"template_noise": settings["fit"]["template_noise"]}
    run(fit.STAGE, of_fit | of_noise | {"compare": True}, paths, output=paths["fit"])
    run(ranking.STAGE, of_fit, paths, output=paths["ranking"])
    for stage, keys in ((scan.STAGE, ["scan"]), (toys.STAGE, ["toys"]), (limit.STAGE, OF_LIMIT)):
        wanted = of_fit | {key: settings["fit"][key] for key in keys}
        run(stage, wanted, paths, output=paths[keys[0]])
    run(propagate.STAGE, model, paths, output=paths["propagated"])
    (folder / "dask" / "wjets__nominal").mkdir(parents=True)
    (folder / "dask" / "wjets__nominal" / "0000.html").write_text("a page of Dask")
    benchmark = folder / "benchmarks" / "fit.tsv"
    benchmark.parent.mkdir()
    benchmark.write_text("s\tmax_rss\tcpu_time\n123.4\t512.3\t98.7\n")
    inputs = ("histograms", "closure", "workspace", "fit", "validation", *BESIDE)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "agc_pipeline.stages.report",
            f"--settings={settings_file(folder, stage_settings(settings))}",
            *(f"--{name}={paths[name]}" for name in inputs),
            f"--benchmarks={benchmark.parent}",
            f"--dask={folder / 'dask'}",
            f"--training={_training(folder / 'training.json')}",
            f"--optimisation={_optimisation(folder / 'optimise.json', paths)}",
            f"--output={folder / 'report.html'}",
            f"--missing={folder / 'missing.json'}",
            f"--summary={folder / 'summary.json'}",
            f"--figures={folder / 'figures'}",
            f"--tables={folder / 'tables'}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    html = (folder / "report.html").read_text()
    reader = Reader()
    reader.feed(html)
    reader.close()
    return Page(folder, html, reader, json.loads(paths["fit"].read_text()), result.stderr)


def _training(path: Path) -> Path:
    """The record of a training, as it might be."""
    scores = {"right": [1, 2, 5], "wrong": [50, 2, 0]}
    curves = {"logloss": [0.3, 0.2, 0.1], "wrong": [0.5, 0.4, 0.2]}
    model = {
        "n_trees": 2,
        "n_events": 1234,
        "n_events_validation": 300,
        "curves": {"training": curves, "validation": curves},
        "training_scores": scores,
        "test_scores": scores,
        "importance": {"mass_w1w2": 0.75, "pt_w1": 0.25},
        "metrics": {"log_loss": 0.0654, "area_under_curve": 0.9703},
    }

    def row(size: int | None, part: float) -> dict[str, Any]:
        fractions = {"whole": part - 0.1, "part": part, "baseline": 0.5, "gain": part - 0.5}
        return {
            "size": size,
            "n_events": 1500,
            **{name: {"value": v, "uncertainty": 0.0123} for name, v in fractions.items()},
            "random_whole": 0.0625,
            "random_part": 0.2125,
        }

    record = {
        "wording": {
            "whole": "all four jets",
            "part": "the three jets of the hadronic top",
            "baseline": "trijet with the largest pt",
            "size": "jets",
        },
        "edges": [0, 0.2, 0.5, 1],
        "rows": [row(None, 0.8), row(4, 0.84), row(6, 0.61)],
        "even": model,
        "odd": model,
        "models": {"even": "e" * 64, "odd": "0" * 64},
        "provenance": {
            "stage": "train",
            "software": {"xgboost-cpu": "3.2.0"},
            "settings": "5" * 64,
            "inputs": {},
        },
    }
    path.write_text(json.dumps(record))
    return path


def _optimisation(path: Path, paths: dict[str, Path]) -> Path:
    """The record of an optimisation whose best bins are those of the run."""
    sensitivity, of_fit = read_json(paths["sensitivity"]), read_json(paths["fit"])
    channels = of_fit["channels"].values()
    spending, expected = sensitivity["spending"], sensitivity["values"]["uncertainty"]
    promised = {
        "method": "gradient",
        "edges": {channel["region"]: channel["edges"] for channel in channels},
        "contents": {channel["region"]: {"ttbar": channel["observed"]} for channel in channels},
        "thresholds": {"jet pt": 30},
        "uncertainty": spending["uncertainty"],
        "fit": expected,
        "templates": spending["templates"],
        "losses": [2 * expected, expected],
    }
    region = next(iter(promised["edges"]))
    free = {"edges": [50, 101, 550], "soft": [110, 90], "steps": [100, 100], "rounded": [98, 102]}
    promised["yields"] = {region: free}
    finer = {name: ["-inf", *edges, "inf"] for name, edges in promised["edges"].items()}
    contents = {name: {"ttbar": [1, *of["ttbar"], 1]} for name, of in promised["contents"].items()}
    untuned = {"method": "untuned", "edges": finer, "contents": contents, "losses": []}
    whole = {"uncertainty": expected, "toys": 0, "bias": None, "coverage": None}
    record = {
        "analysis": "cms_ttbar",
        "candidates": [promised | untuned | {"yields": None}, promised],
        "trials": {"jet pt": [30, 40]},
        "objective": "uncertainty",
        "noise": True,
        "best": "gradient",
        "fits": {"untuned": whole, "gradient": whole},
        "gradients": {name: sensitivity[name] for name in ("values", "reasons", "templates")},
        "provenance": {},
    }
    path.write_text(json.dumps(record))
    return path


def _make_partial(path: Path) -> None:
    """Turn the closure into that of a partial run on other events than the published ones."""
    closure = read_json(path)
    closure["partial"] = True
    dataset = closure["datasets"]["wjets__nominal"]
    dataset["events_processed"] = dataset["events_expected"] // 2
    accounts = {"expected": 10, "before": 10, "after": 5, "processed": 5, "generated": 10}
    dataset["files"] = [
        {"source": HOSTILE, "error": None} | accounts,
        {"source": f"{HOSTILE}.2", "error": "OSError: <b>truncated</b>"} | accounts,
    ]
    dataset["left_out"] = [f"{HOSTILE}.2: OSError: <b>truncated</b>"]
    dataset["not_checked"] = [HOSTILE]
    write_json(path, closure)


def test_html_is_well_formed(made: Page) -> None:
    assert made.read.misnested == []
    assert made.read.open == []
    identifiers = [attrs["id"] for _, attrs in made.read.tags if "id" in attrs]
    assert len(set(identifiers)) == len(identifiers)


def test_every_link_leads_somewhere_and_every_file_is_one(made: Page) -> None:
    for name in ("report.html", "validation.html"):
        reader = Reader()
        reader.feed((made.folder / name).read_text())
        identifiers = {attrs["id"] for _, attrs in reader.tags if "id" in attrs}
        targets = [attrs["href"] or "" for tag, attrs in reader.tags if tag == "a"]
        within = {target.removeprefix("#") for target in targets if target.startswith("#")}
        assert within <= identifiers
        files = {unquote(target) for target in targets if not target.startswith("#")}
        # Of nothing but the folder of the page, so that both can be moved.
        assert not [path for path in files if path.startswith(("/", "..")) or ":" in path]
        assert [path for path in files if not (made.folder / path).exists()] == []
        tables = {attrs["data-name"] for tag, attrs in reader.tags if tag == "table"}
        of_tables = "tables" if name == "report.html" else "validation_tables"
        expected = {f"{of_tables}/{table}.{kind}" for table in tables for kind in ("csv", "tex")}
        assert expected <= files
        assert {f"{of_tables}/{path.name}" for path in (made.folder / of_tables).iterdir()} == (
            expected
        )
        if name == "report.html":
            figures = {f"figures/{path.name}" for path in (made.folder / "figures").iterdir()}
            named = {"dask/wjets__nominal/0000.html", "validation.html", "fit.json", "scan.json"}
            assert figures | named <= files
            assert len(tables) > 12
        # A file that is named without a link is not there.
        for path in re.findall(r"(?<!>)<code>([^<]*)</code>", (made.folder / name).read_text()):
            assert not (made.folder / path).exists(), path


def test_events_that_nobody_counted_are_told(made: Page) -> None:
    assert "not checked: 1 " in " ".join(made.read.text.split())
    assert "<em>Not checked</em>: of so many files" in made.html


def test_nothing_comes_from_outside(made: Page) -> None:
    sources = [
        value
        for tag, attrs in made.read.tags
        for name, value in attrs.items()
        if name in ("src", "srcset", "action") or (tag == "link" and name == "href")
    ]
    assert len(sources) > 8
    assert all(value is not None and value.startswith("data:") for value in sources)
    scripts = [attrs for tag, attrs in made.read.tags if tag == "script"]
    # The page's own, and numbers for it, which nothing runs.
    assert [attrs for attrs in scripts if attrs.get("type") != "application/json"] == [{}]
    assert len(made.html.encode()) < 3e6
    outside_of_images = re.sub('"data:[^"]*"', "", made.html)
    assert not re.search(r"@import|url\(", outside_of_images)


def test_no_template_is_left(made: Page) -> None:
    # The only braces are those of the hostile name, of the style sheet and of the script.
    text = made.read.text.replace(HOSTILE, "")
    assert not re.search(r"\{[{%#]|[}%#]\}", text)


def test_hostile_names_are_shown_and_do_nothing(made: Page) -> None:
    assert HOSTILE in made.read.text
    assert "OSError: <b>truncated</b>" in made.read.text

    assert "<b>truncated" not in made.html


def test_result_is_that_of_the_fit(made: Page) -> None:
    poi, noise = made.fit["poi"], made.fit["template_noise"]
    intervals = read_json(made.folder / "scan.json")["intervals"]
    (minos,) = (entry for entry in intervals if entry["parameter"] == poi["name"])
    # With the statistics of the varied templates, which count in the total.
    assert noise["in_total"]
    size = max(noise["observed"], noise["expected"])
    up, down = math.hypot(minos["up"], size), math.hypot(minos["down"], size)
    pattern = (
        r'class="value[^"]*">([\d.]+) (?:\+([\d.]+) \u2212([\d.]+)|\u00b1\u00a0([\d.]+)) ?'
        r'(<span class="unit">pb</span>)?</div>'
    )
    (section, norm) = re.findall(pattern, made.html)
    # 396.87 pb + 332.97 pb: the cross section that the task uses.
    for shown, scale in ((section, 729.84), (norm, 1.0)):
        value, *sides, both, unit = shown
        assert bool(unit) == (scale > 1)
        decimals = len(value.partition(".")[2])
        half = 0.51 * 10**-decimals
        assert float(value) == pytest.approx(scale * poi["bestfit"], abs=half)
        for text, size in zip(sides, (up, down), strict=True):
            assert float(text or both) == pytest.approx(scale * size, abs=half)
    summary = Summary.model_validate(read_json(made.folder / "summary.json"))
    assert [entry.unit for entry in summary.headlines] == ["pb", ""]
    for entry in summary.headlines:
        assert page.quoted(entry.text.removesuffix(entry.unit)) in made.html
        assert math.hypot(*entry.sources.values()) == pytest.approx(entry.symmetric)
        assert page.quoted(entry.parts) in made.html


def test_what_to_look_at(made: Page) -> None:
    summary = Summary.model_validate(read_json(made.folder / "summary.json"))
    kinds = {fact.kind for fact in summary.facts}
    assert {"partial input", "mirrored templates"} <= kinds
    part = made.html[made.html.index('<h2 id="attention">') : made.html.index('id="distributions"')]
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", part)
    groups = grouped(summary.facts)
    assert len(rows) == len(groups) < len(summary.facts)
    for group, row in zip(groups, rows, strict=True):
        assert group.kind in row
        assert page.prose(group.remedy) in row
        assert all(page.prose(statement[1:]) in row for statement in group.statements)
    # As the terminal counts them.
    told = sum(group.severity != "note" for group in groups)
    assert f'<a href="#attention">{told} fact' in made.html


def test_parameters_have_titles(made: Page) -> None:
    assert any(label.startswith("staterror_4j1b-CR[") for label in made.fit["labels"])
    assert "staterror" not in made.html
    rows = read_json(made.folder / "figures" / "ranking.json")
    titles = {row["parameter"]: row["title"] for row in rows}
    assert any(name != title for name, title in titles.items())


def test_tables_have_the_numbers_of_the_records(made: Page) -> None:
    def table(name: str, *labels: str) -> list[list[float | str]]:
        with (made.folder / "tables" / f"{name}.csv").open(newline="") as file:
            return [
                [float(row[key]) if row[key] else "" for key in row if key not in labels]
                for row in csv.DictReader(file)
            ]

    fit = made.fit
    expected = {}
    for title, channel in fit["channels"].items():
        before, after = (fit["yields"][moment][title] for moment in ("prefit", "postfit"))
        pairs = {
            name: (events, after["samples"][name]) for name, events in before["samples"].items()
        }
        for name, pair in (pairs | {"all processes": (before["all"], after["all"])}).items():
            expected[title, name] = [x[key] for x in pair for key in ("total", "total_uncertainty")]
        observed = pytest.approx(sum(channel["observed"]), rel=1e-12)
        expected[title, "Pseudodata"] = [observed, "", observed, ""]
    with (made.folder / "tables/yields.csv").open(newline="") as file:
        names = [(row["group"], row["Process"]) for row in csv.DictReader(file)]
    assert len(names) == len(expected)
    assert dict(zip(names, table("yields", "group", "Process"), strict=True)) == expected
    # Of the breakdown, groups and data in falling order, then curvature and totals.
    breakdown = fit["breakdown"]
    total, parts = breakdown["total"], [*breakdown["groups"].values(), breakdown["data"]]
    uncertainties = table("uncertainties", "Source")
    assert [size for size, _ in uncertainties[: len(parts)]] == pytest.approx(
        sorted(parts, reverse=True)
    )
    assert uncertainties[len(parts) + 1] == [total, 100.0]
    for size, share in uncertainties[: len(parts)]:
        assert share == pytest.approx(100 * (float(size) / total) ** 2)
    noise = [[entry["observed"], entry["expected"]] for entry in fit["template_noise"]["sources"]]
    assert table("template_statistics", "Templates of") == noise[:10]
    closure = read_json(made.folder / "closure.json")["datasets"]
    rows = table("events", "Dataset", "Account", "Files")
    # Of the published histograms, which are no files, and of the dataset with one complete file.
    events = {
        name: [entry["events_expected"], entry["events_processed"], 5]
        if entry["files"]
        else [""] * 3
        for name, entry in closure.items()
    }
    assert sorted(rows[:-1], key=str) == sorted(
        (
            [float(entry["n_generated"]), *events[name], entry["xsec_pb"], entry["weight"]]
            for name, entry in closure.items()
        ),
        key=str,
    )
    generated = sum(entry["n_generated"] for entry in closure.values())
    assert rows[-1][:4] == [generated, *events["wjets__nominal"]]
    # What the page shows is what stands in it for machines, rounded.
    for value, text in re.findall(r'<data value="([^"]*)">([^<]*)</data>', made.html):
        digits = text.replace("\u2009", "").replace("\u2212", "-")
        shown = Decimal(digits)
        step = Decimal(1).scaleb(int(shown.as_tuple().exponent))
        assert (
            abs(shown - Decimal(value)) <= step * Decimal("0.5001")
            or len(digits.strip("-0.").replace(".", "")) >= 3
        ), (value, text)


def test_figures_have_the_numbers_of_the_records(made: Page) -> None:
    record = RankingRecord.model_validate(read_json(made.folder / "ranking.json"))
    ranking = [row.model_dump() for row in record.rows]
    drawn = read_json(made.folder / "figures/ranking.json")
    assert drawn
    assert all({key: row[key] for key in row if key != "title"} in ranking for row in drawn)
    pulls = read_json(made.folder / "figures/pulls.json")
    by_parameter = {row.parameter: row.pull for row in record.rows}
    assert {name: (p["pull"], p["uncertainty"]) for name, p in pulls.items()} == {
        name: by_parameter[name] for name in pulls
    }


def test_partial_banner(made: Page) -> None:
    assert "PARTIAL RESULT" in made.read.text
    assert "1 of 2" in made.read.text


def test_figures(made: Page) -> None:
    names = {path.stem for path in (made.folder / "figures").iterdir()}
    expected = {
        f"{region}_{what}"
        for region in ("4j1b", "4j2b")
        for what in ("prefit", "postfit", "propagated", "systematics", "published", "templates")
    }
    expected |= {"pulls", "correlations", "overview", "ranking", "scan", "toys", "gradients"}
    expected |= {"cutflow", "timeline", "stages"}
    expected |= {f"training_{what}" for what in ("fractions", "scores", "curves", "importance")}
    optimised = ("searches", "edges", "templates", "gradients")
    expected |= {f"optimisation_{what}" for what in optimised}
    assert names == expected
    files = {path.name for path in (made.folder / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in names for kind in ("pdf", "svg", "json")}
    images = [attrs for tag, attrs in made.read.tags if tag == "img"]
    assert len(images) == len(expected)
    assert all(attrs["alt"] for attrs in images)


def test_making_is_told(made: Page) -> None:
    text = made.read.text
    assert "2 min 03 s" in text
    assert "cabinetry\u00a00.6" in text
    assert made.fit["workspace_digest"][:16] in text
    assert "correlation_min: 0.4" in text
    assert "agrees by construction" in text


def test_log_is_short(made: Page) -> None:
    assert len(made.log.splitlines()) == 1


def test_fit_of_another_workspace_is_refused(made: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    record = made.fit | {"workspace_digest": "0" * 64}
    other = made.folder / "other.json"
    write_json(other, record)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "report",
            f"--settings={settings_file(made.folder, stage_settings(configuration()))}",
            f"--histograms={made.folder / 'histograms.root'}",
            f"--closure={made.folder / 'closure.json'}",
            f"--workspace={made.folder / 'workspace.json'}",
            f"--fit={other}",
            f"--validation={made.folder / 'validation.json'}",
            *(f"--{name}={made.folder / name}.json" for name in BESIDE),
            f"--output={made.folder / 'none.html'}",
            f"--figures={made.folder / 'none'}",
            f"--tables={made.folder / 'none'}",
            f"--missing={made.folder / 'none.json'}",
            f"--summary={made.folder / 'none.json'}",
        ],
    )
    with pytest.raises(SystemExit, match="belongs to the workspace 000000000000"):
        report.main()
    assert not (made.folder / "none.html").exists()


def test_training_is_shown(made: Page) -> None:
    part = made.html[made.html.index('<h2 id="training">') :]
    rows = re.findall(r'<tr><th scope="row">([^<]*jets|all)</th>(.*)</tr>', part)
    assert [name for name, _ in rows] == ["all", "4 jets", "6 or more jets"]
    cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td.*?</td>", rows[0][1])]
    assert cells == [
        *("1\u2009500", "70.0 \u00b1 1.2", "80.0 \u00b1 1.2", "50.0 \u00b1 1.2"),
        *("30.0 \u00b1 1.2", "21.2"),
    ]
    assert "xgboost-cpu" in made.html
    for name in ("fractions", "scores", "curves", "importance"):
        numbers = json.loads((made.folder / "figures" / f"training_{name}.json").read_text())
        assert numbers
    importance = json.loads((made.folder / "figures" / "training_importance.json").read_text())
    assert importance["even"] == {"mass_w1w2": 0.75, "pt_w1": 0.25}


def test_an_optimisation_and_its_promise_are_shown(made: Page) -> None:
    part = made.html[made.html.index('<h2 id="optimisation">') : made.html.index('<h2 id="model">')]
    assert ">promise kept<" in part
    assert "the promised uncertainty is obtained" in made.read.text

    def columns(name: str, *keys: str) -> list[tuple[float, ...]]:
        with (made.folder / f"tables/optimisation_{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))[:2]
        return [tuple(float(row[key]) for key in keys) for row in rows]

    record = read_json(made.folder / "sensitivity.json")
    expected = record["values"]["uncertainty"], record["spending"]["templates"]
    assert columns("promise", "Promised", "Obtained") == [(size, size) for size in expected]
    # The bias of sigmoids and the change by rounding, bin by bin.
    changes = columns("yields_gradient", "Bias in %", "Change in %")
    assert changes == [pytest.approx((10, -2)), pytest.approx((-10, 2))]
    assert columns("thresholds", "Run", "gradient") == [(30, 30)]


def test_parts_that_a_run_lacks_have_no_section(made: Page) -> None:
    output = made.folder / "plain.html"
    records: dict[str, Any] = {
        name: made.folder / f"{name}.json" for name in ("workspace", "fit", *BESIDE)
    }
    absent: dict[str, Any] = dict.fromkeys(("validation", "histograms", "training", "cost"))
    settings = stage_settings(configuration())
    settings["report"]["texts"] = {"data": "A sentence of the analysis."}
    report.run(
        ReportStage.model_validate(settings),
        report.ReportOptions(
            closure=made.folder / "closure.json",
            output=output,
            missing=made.folder / "missing.json",
            summary=made.folder / "plain.json",
            figures=made.folder / "plain",
            tables=made.folder / "plain_tables",
            **records,
            **absent,
        ),
    )
    html = output.read_text()
    assert 'id="events"' in html
    assert "A sentence of the analysis." in html
    assert "not a measurement" in made.read.text
    for part in ("validation", "training", "optimisation", "learned", "performance"):
        assert part in ("learned", "performance") or f'id="{part}"' in made.html
        assert f'"#{part}"' not in html
        assert f'id="{part}"' not in html
    assert "not a measurement" not in html


def test_page_in_a_browser(made: Page, tmp_path: Path) -> None:
    with browser.chromium() as program:
        for name in ("report.html", "validation.html"):
            browser.check_page(program, made.folder / name, tmp_path)


def test_values_at_the_pointer_and_charts_drawn_anew(made: Page) -> None:
    """What the script adds, and that nothing of the page needs it."""
    numbers = read_json(made.folder / "figures/4j1b_postfit.json")
    place = 3
    with browser.chromium() as program:
        with browser.opened(program, made.folder / "report.html") as page:
            figure = page.locator("figure", has=page.locator('a[href="figures/4j1b_postfit.svg"]'))
            figure.locator(".spots rect").nth(place).hover()
            lines = page.locator(".tip").inner_text().splitlines()
            low, high = numbers["edges"][place : place + 2]
            assert lines[0] == f"{low:g} to {high:g} GeV"
            told = dict(line.split(": ") for line in lines[1:])
            plain = {name: text.replace("\u2009", "").split(" ")[0] for name, text in told.items()}
            for name, values in numbers["samples"].items():
                assert float(plain[name]) == pytest.approx(values[place], rel=5e-3)
            assert float(plain["Pseudodata"]) == pytest.approx(numbers["data"][place], rel=1e-5)
            assert float(plain["expected"]) == pytest.approx(numbers["expected"][place], rel=5e-3)

            figure.get_by_role("button", name="Choose processes and scale").click()
            chart = figure.locator("div.chart")
            stacked = chart.locator("polygon:not(.band)")
            assert stacked.count() == len(numbers["samples"])
            assert chart.locator("polygon.band").count() == 1
            before = stacked.last.get_attribute("points")
            chart.get_by_label("logarithmic scale").check()
            assert stacked.last.get_attribute("points") != before
            chart.get_by_label("W+jets").uncheck()
            assert stacked.count() == len(numbers["samples"]) - 1
            # The uncertainty is that of the sum of all.
            assert chart.locator("polygon.band").count() == 0
            chart.locator(".spot").nth(place).hover()
            assert "W+jets" not in page.locator(".tip").inner_text()
            assert browser.violations(page) == []

            current = page.locator("nav a[aria-current]")
            for target in ("yields", "validation", "next"):
                page.locator(f'nav a[href="#{target}"]').click()
                page.wait_for_function(
                    "(target) => document.querySelector('nav a[aria-current]').hash === target",
                    arg=f"#{target}",
                )
                assert current.count() == 1
                assert page.locator("nav ol").bounding_box()["y"] == 0
        with browser.opened(
            program, made.folder / "report.html", java_script_enabled=False
        ) as page:
            assert page.locator("figure img").count() == made.html.count("<img ")
            assert page.locator(".spots title").count() > 100
            assert page.locator(".explore, .tip, .chart svg").count() == 0


def test_a_single_figure_is_as_wide_as_one_of_several(made: Page) -> None:
    name = "4j1b_propagated"
    with (
        browser.chromium() as program,
        browser.opened(program, made.folder / "report.html") as page,
    ):
        figure = page.locator("figure", has=page.locator(f'a[href="figures/{name}.svg"]'))
        several = figure.bounding_box()
        assert figure.locator("xpath=following-sibling::figure").count() > 0
        # As in the report of an analysis with a single region.
        figure.evaluate("(one) => one.parentElement.replaceChildren(one)")
        assert figure.bounding_box() == several


def test_nothing_foreign_runs_even_if_it_is_not_escaped(made: Page, tmp_path: Path) -> None:
    foreign = (
        "<script>document.title = 'foreign'</script>"
        "<img src='data:,' onerror=\"document.title = 'foreign'\">"
        "<img src='image.png' alt=''><iframe src='image.png'></iframe>"
    )
    (tmp_path / "image.png").write_bytes(b"")
    path = tmp_path / "page.html"
    path.write_text(made.html.replace("</h1>", f"</h1>{foreign}"))
    with browser.chromium() as program:
        context = program.new_context()
        page = context.new_page()
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.goto(path.as_uri())
        page.locator(".tip").wait_for(state="attached")
        assert page.title() == read_config()["report"]["title"]
        refused = [text for text in messages if "Content Security Policy" in text]
        assert len(refused) >= 4, messages
        context.close()


def test_printed_page(made: Page, tmp_path: Path) -> None:
    with (
        browser.chromium() as program,
        browser.opened(program, made.folder / "report.html", width=720) as page,
    ):
        page.emulate_media(media="print", color_scheme="dark")
        page.screenshot(path=tmp_path / "print.png", full_page=True)
        paper = "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        assert page.evaluate("getComputedStyle(document.querySelector('img')).filter") == "none"
        for hidden in ("nav", ".explore", ".files", ".skip"):
            assert not page.locator(hidden).first.is_visible()
        # Paper cannot be scrolled: everything is within its width.
        assert page.evaluate("document.documentElement.scrollWidth") == 720
        pdf = page.pdf(format="A4")
        assert pdf.startswith(b"%PDF")
