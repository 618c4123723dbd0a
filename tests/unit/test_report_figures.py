"""Figures of the report, and what of a fit and a closure record ends up in it."""

import base64
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from cabinetry.fit import FitResults

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.inference.fit_records import Channel, FitRecord, Parameter
from agc_pipeline.inference.yields import ChannelYields, Yield, Yields
from agc_pipeline.report import (
    assigned,
    comparison,
    content,
    distributions,
    parameters,
    prediction,
    style,
    systematics,
    tables,
)
from agc_pipeline.stages.published import PublishedSettings, closure
from agc_pipeline.validation import published

ANALYSIS = analyses.load("cms_ttbar")
REGION = ANALYSIS.regions[1]
LABELS = ("Jet energy scale", "Luminosity", "ttbar_norm", "staterror[0]", "staterror[1]")


def results() -> FitResults:
    correlation = np.eye(5)
    correlation[0, 3] = correlation[3, 0] = 0.5
    correlation[0, 4] = correlation[4, 0] = -0.3
    return FitResults(
        bestfit=np.array([0.3, -0.1, 0.95, 1.01, 0.99]),
        uncertainty=np.array([0.2, 0.98, 0.09, 0.02, 0.0]),
        labels=list(LABELS),
        corr_mat=correlation,
        best_twice_nll=10.0,
        goodness_of_fit=0.5,
    )


def yields(scale: float) -> dict[str, ChannelYields]:
    def row(*events: float) -> Yield:
        total = scale * sum(events)
        return Yield(
            bins=tuple(scale * value for value in events),
            uncertainty=tuple(0.1 * scale * value for value in events),
            total=total,
            total_uncertainty=0.1 * total,
        )

    samples = {"ttbar": row(30, 20), "W+jets": row(10, 0)}
    return {"4j2b SR": ChannelYields(samples=samples, all=row(40, 20))}


def fit(**changes: Any) -> FitRecord:
    fitted = results()
    given: dict[str, Any] = {
        "workspace_digest": "0" * 64,
        "analysis": "cms_ttbar",
        "data": "pseudodata",
        "partial": False,
        "left_out": (),
        "groups": {},
        "channels": {
            "4j2b SR": Channel(
                region="4j2b", label="$m$ [GeV]", edges=(110, 150, 190), observed=(44, 18)
            )
        },
        "provenance": {},
        "labels": LABELS,
        "bestfit": fitted.bestfit.tolist(),
        "uncertainty": fitted.uncertainty.tolist(),
        "correlation": fitted.corr_mat.tolist(),
        "best_twice_nll": 10.0,
        "goodness_of_fit": 0.5,
        "poi": Parameter(name="ttbar_norm", bestfit=0.95, uncertainty=0.09),
        "diagnostics": {
            "gradient_norm": 0.0,
            "distance": 0.0,
            "smallest_eigenvalue": 1.0,
            "condition_number": 1.0,
            "iterations": 3,
            "starts": 1,
            "minima": 1,
            "at_bounds": [],
        },
        "method": "exact",
        "breakdown": None,
        "comparison": None,
        "yields": Yields(prefit=yields(1.0), postfit=yields(1.05)),
    }
    return FitRecord.model_validate(given | changes)


def check(picture: style.Picture | None, folder: Path) -> str:
    """Check the files of a picture, and give its SVG."""
    assert picture is not None
    assert (folder / f"{picture.name}.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / f"{picture.name}.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / f"{picture.name}.json").read_text())
    header, _, encoded = picture.source.partition(",")
    assert header == "data:image/svg+xml;base64"
    text = base64.b64decode(encoded).decode()
    assert ElementTree.fromstring(text).tag.endswith("svg")  # noqa: S314 our own
    assert picture.alternative
    assert picture.caption
    return text


def expectations() -> list[prediction.Expectation]:
    made = fit()
    return prediction.expectations(ANALYSIS, made.channels, made.yields)


def draw(folder: Path, moment: int, **options: Any) -> style.Picture:
    return distributions.draw(
        expectations()[moment],
        ANALYSIS,
        folder,
        **{"label": "13 TeV", "data_label": "Pseudodata", "highest": 50.0, "partial": False}
        | options,
    )


def test_expectations_follow_the_record() -> None:
    before, after = expectations()
    assert (before.moment, after.moment) == ("pre-fit", "post-fit")
    # From the bottom of the stack, as the analysis declares it; samples without events are absent.
    assert list(before.samples) == ["W+jets", "ttbar"]
    np.testing.assert_array_equal(before.total, [40, 20])
    np.testing.assert_allclose(after.uncertainty, [4.2, 2.1])
    np.testing.assert_array_equal(after.data, [44, 18])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[style.Picture, Path]:
    folder = tmp_path_factory.mktemp("figures")
    return draw(folder, 0), folder


def test_distribution(drawn: tuple[style.Picture, Path]) -> None:
    picture, folder = drawn
    text = check(picture, folder)
    assert picture.name == "4j2b_prefit"
    assert "62 events of Pseudodata, 60 expected" in picture.alternative
    assert "<!-- PARTIAL -->" not in text


def test_figures_are_the_same_every_time(drawn: tuple[style.Picture, Path], tmp_path: Path) -> None:
    picture, folder = drawn
    assert draw(tmp_path, 0) == picture
    for name in ("4j2b_prefit.pdf", "4j2b_prefit.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_partial_figures_say_so(tmp_path: Path) -> None:
    # matplotlib writes the text of each label as a comment.
    assert "<!-- PARTIAL -->" in check(draw(tmp_path, 1, partial=True), tmp_path)


def assigned_expectations() -> list[prediction.Expectation]:
    """Those of the signal region, again for each observable of assigned jets."""
    extended = ANALYSIS.extended(["jet_assignment"])
    given = fit()
    (channel,) = given.channels.values()
    channels = {
        region.title: channel.model_copy(update={"region": region.name, "label": region.label})
        for region in extended.regions[1:]
    }
    (before,), (after,) = given.yields.prefit.values(), given.yields.postfit.values()
    all_yields = Yields(
        prefit=dict.fromkeys(channels, before), postfit=dict.fromkeys(channels, after)
    )
    return prediction.expectations(extended, channels, all_yields)


def test_assigned_jets_at_a_glance(tmp_path: Path) -> None:
    shown = [entry for entry in assigned_expectations() if entry.region != "4j2b"]
    picture = assigned.draw_grid(
        shown, ANALYSIS, tmp_path, label="13 TeV", data_label="Pseudodata", partial=False
    )
    check(picture, tmp_path)
    assert "deltar_w1w2" in picture.alternative
    numbers = json.loads((tmp_path / "assigned.json").read_text())
    assert list(numbers) == [region.name for region in ANALYSIS.optional["jet_assignment"]]
    assert numbers["pt_w1"]["pre-fit"]["expected"] == [40, 20]
    assert numbers["pt_w1"]["post-fit"]["expected"] == pytest.approx([42, 21])


def test_two_ways_to_the_same_quantity(tmp_path: Path) -> None:
    (region,) = (r for r in ANALYSIS.optional["jet_assignment"] if r.rival is not None)
    assert (region.name, region.rival) == ("mass_w1w2btophad", "4j2b")
    found = assigned_expectations()
    options: dict[str, Any] = {"label": "13 TeV", "partial": False}
    picture = assigned.draw_rivals(region, found, "ttbar", tmp_path, **options)
    check(picture, tmp_path)
    numbers = json.loads((tmp_path / "mass_w1w2btophad_ways.json").read_text())
    assert list(numbers) == ["4j2b", "mass_w1w2btophad"]
    assert numbers["4j2b"]["ttbar"] == pytest.approx([31.5, 21])
    alone = [entry for entry in found if entry.region != "4j2b"]
    assert assigned.draw_rivals(region, alone, "ttbar", tmp_path, **options) is None


def test_pulls(tmp_path: Path) -> None:
    pulls = {"Jet energy scale": (0.3, 0.2), "Luminosity": (-0.1, 0.98)}
    picture = parameters.draw_pulls(pulls, tmp_path, partial=False)
    check(picture, tmp_path)
    assert "Jet energy scale +0.30 \u00b1 0.20" in picture.alternative


def test_only_correlated_statistical_factors_are_shown() -> None:
    names = [LABELS[2], *LABELS[:2]]
    assert parameters.correlated(results(), names, 0.4) == [*names, "staterror[0]"]
    assert parameters.correlated(results(), names, 0.2) == [*names, *LABELS[3:]]
    assert parameters.correlated(results(), names, 0.9) == names


def test_correlations(tmp_path: Path) -> None:
    picture = parameters.draw_correlations(results(), LABELS, tmp_path, partial=False)
    check(picture, tmp_path)
    assert "largest is 0.50 between Jet energy scale and staterror[0]" in picture.alternative


def test_systematics(tmp_path: Path) -> None:
    histograms = published.load("cms_ttbar", 5)
    picture = systematics.draw(REGION, ANALYSIS, histograms, tmp_path, partial=False)
    check(picture, tmp_path)
    assert picture is not None
    assert "Luminosity" not in picture.alternative


def test_systematics_without_their_histograms(tmp_path: Path) -> None:
    histograms = published.load("cms_ttbar", 5)
    only = {name: histograms[name] for name in ("4j2b_ttbar", "4j2b_wjets")}
    assert systematics.draw(REGION, ANALYSIS, only, tmp_path, partial=False) is None


def test_comparison_with_published(tmp_path: Path) -> None:
    histograms = published.load("cms_ttbar", 1)
    made_by: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    record = closure(PublishedSettings(analysis="cms_ttbar", n_files=1), made_by)
    datasets = {name: a for name, a in record.datasets.items() if name != "wjets__nominal"}
    accounts = record.model_copy(update={"datasets": datasets})
    picture = comparison.draw(
        REGION, ANALYSIS, histograms, accounts, tmp_path, n_files=-1, partial=False
    )
    check(picture, tmp_path)
    assert picture is not None
    assert "ttbar, single top t-channel" in picture.alternative
    assert "W+jets" not in picture.alternative


def test_nothing_to_compare(tmp_path: Path) -> None:
    empty = Closure(partial=False, datasets={}, provenance={})
    assert comparison.draw(REGION, ANALYSIS, {}, empty, tmp_path, n_files=-1, partial=False) is None


def test_yields_come_from_the_record() -> None:
    (rows,) = tables.yield_rows(ANALYSIS, fit()).values()
    assert [row.title for row in rows] == ["ttbar", "W+jets", "all processes", "observed"]
    assert rows[0].prefit == (50, 5)
    assert rows[2].postfit == pytest.approx((63, 6.3))
    assert rows[3].observed == 62


def test_configuration_is_shown_whole() -> None:
    configuration = {"b": {"a": [1, 2]}, "a": "x: #y"}
    assert yaml.safe_load(content.text(configuration)) == configuration
