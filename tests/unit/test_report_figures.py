"""Figures of the report, and what of a fit and a closure record ends up in it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import Dataset, Fill, Free
from agc_pipeline.errors import InputError
from agc_pipeline.inference.derived_records import PropagationRecord
from agc_pipeline.inference.yields import Yields
from agc_pipeline.report import content, figures, style, yields
from agc_pipeline.report.figures import parameters
from agc_pipeline.report.sections import distributions, inputs, learned, statistics, validation
from agc_pipeline.report.settings import Texts
from agc_pipeline.report.style import NO_LABEL, Gallery, Label
from agc_pipeline.report.texts import data_text
from agc_pipeline.stages.published import closure
from agc_pipeline.validation import published
from records import LABELS, fit, ranking

ANALYSIS = analyses.load("cms_ttbar")
REGION = ANALYSIS.regions[1]


def check(picture: style.Picture | None, folder: Path) -> str:
    """Check the files of a picture, and give its SVG."""
    assert picture is not None
    assert (folder / f"{picture.name}.pdf").read_bytes().startswith(b"%PDF")
    assert json.loads((folder / f"{picture.name}.json").read_text())
    header, _, encoded = picture.source.partition(",")
    assert header == "data:image/svg+xml"
    assert not set(encoded) & set('"<>#&')
    text = unquote(encoded)
    assert (folder / f"{picture.name}.svg").read_text() == text
    assert ElementTree.fromstring(text).tag.endswith("svg")  # noqa: S314 our own
    names = re.findall(' id="([^"]*)"', text)
    assert len(set(names)) == len(names)
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', text)) <= set(names)
    assert picture.alternative
    assert picture.caption
    return text


def expectations() -> list[yields.Expectation]:
    return yields.expectations(ANALYSIS, fit())


def draw(folder: Path, moment: int, *, partial: bool = False) -> style.Picture:
    return distributions.distribution(
        Gallery(folder, partial),
        ANALYSIS,
        fit(),
        "4j2b SR",
        expectations()[moment].moment,
        label=Label(beam="13 TeV"),
        data_label="Pseudodata",
        highest=50.0,
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
    for name in ("4j2b_prefit.pdf", "4j2b_prefit.svg"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_partial_figures_say_so(tmp_path: Path) -> None:
    # matplotlib writes the text of each label as a comment.
    assert "<!-- PARTIAL -->" in check(draw(tmp_path, 1, partial=True), tmp_path)


def propagated(*, rival: bool = True) -> PropagationRecord:
    """Events of the signal region, again for each learned observable."""
    record = fit()
    (channel,) = record.channels.values()
    regions = [r for r in ANALYSIS.with_learned().regions[1:] if rival or r.name != "4j2b"]
    channels = {
        region.title: channel.model_copy(update={"region": region.name, "label": region.label})
        for region in regions
    }
    (before,), (after,) = record.yields.prefit.values(), record.yields.postfit.values()
    return PropagationRecord(
        workspace_digest="0" * 64,
        provenance={},
        channels=channels,
        yields=Yields(
            prefit=dict.fromkeys(channels, before), postfit=dict.fromkeys(channels, after)
        ),
    )


def test_learned_observables(tmp_path: Path) -> None:
    assert ANALYSIS.learned is not None
    picture = learned.observables(
        Gallery(tmp_path, partial=False),
        ANALYSIS.with_learned(),
        propagated(),
        label=Label(beam="13 TeV"),
        data_label="Pseudodata",
    )
    check(picture, tmp_path)
    assert picture is not None
    assert "deltar_w1w2" in picture.alternative
    numbers = json.loads((tmp_path / "learned.json").read_text())
    assert list(numbers) == [region.name for region in ANALYSIS.learned.regions]
    assert numbers["pt_w1"]["pre-fit"]["expected"] == [40, 20]
    assert numbers["pt_w1"]["post-fit"]["expected"] == pytest.approx([42, 21])


def test_two_reconstructions_of_the_same_quantity(tmp_path: Path) -> None:
    assert ANALYSIS.learned is not None
    extended = ANALYSIS.with_learned()
    (region,) = (r for r in ANALYSIS.learned.regions if r.rival is not None)
    assert (region.name, region.rival) == ("mass_w1w2btophad", "4j2b")
    gallery, texts = Gallery(tmp_path, partial=False), Texts(reconstructions={"4j2b": "trijet"})
    picture = learned.rivals(
        gallery, extended, propagated(), region, texts, label=Label(beam="13 TeV")
    )
    check(picture, tmp_path)
    assert picture is not None
    assert "trijet and " in picture.caption
    numbers = json.loads((tmp_path / "mass_w1w2btophad_reconstructions.json").read_text())
    assert list(numbers) == ["4j2b", "mass_w1w2btophad"]
    assert numbers["4j2b"]["ttbar"] == pytest.approx([31.5, 21])
    alone = propagated(rival=False)
    assert learned.rivals(gallery, extended, alone, region, texts, label=NO_LABEL) is None


def test_pulls(tmp_path: Path) -> None:
    picture = statistics.pulls(Gallery(tmp_path, partial=False), fit(), ranking())
    check(picture, tmp_path)
    assert picture is not None
    assert "Jet energy scale +0.30 \u00b1 0.20" in picture.alternative


def test_names_with_macros_that_matplotlib_does_not_know(tmp_path: Path) -> None:
    """They are drawn as they stand, wherever they are; other mathematics stays mathematics."""
    strange, plain = "$\\PQt\\PAQt$ {x} 50 %", "$t\\bar{t}$"
    with style.canvas(4, 3) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label=strange)
        axes.set_xticks([0, 1], [strange, plain])
        axes.set_title(strange)
        axes.set_xlabel(plain)
        axes.annotate(strange, (0.5, 0.5))
        figure.legend()
    picture = Gallery(tmp_path, partial=False).picture(
        "names", lambda: figure, caption="c", alternative="a", numbers={"n": 1}
    )
    assert check(picture, tmp_path)
    texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert {text.get_text() for text in texts} == {strange, plain}
    assert len(texts) >= 6
    assert all(text.get_parse_math() == (text.get_text() == plain) for text in texts)
    with style.canvas(4, 3) as other:
        other.subplots().set_xticks([0, 1], [strange, plain])
    other.savefig(tmp_path / "other.png")


def test_figures_need_no_pyplot() -> None:
    for figure in (
        figures.stack(ANALYSIS, fit(), "4j2b SR"),
        figures.ratios(ANALYSIS, fit()),
        figures.pulls(fit(), ranking()),
        figures.correlation(fit()),
        figures.ranking(ranking()),
        figures.templates(ANALYSIS, REGION, published.load(ANALYSIS, 5)),
    ):
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert plt.get_fignums() == []


def test_free_normalisations() -> None:
    second = Free("Luminosity", ("wjets", "single_top_tW"))
    analysis = replace(ANALYSIS, free=(*ANALYSIS.free, second, Free("absent", ("wjets",))))
    (first, other) = statistics.free_normalisations(analysis, fit())
    assert (first.parameter.bestfit, first.processes) == (0.95, ("ttbar",))
    assert other.processes == ("W+jets", "single top tW")


def test_cross_section_only_of_one_process_with_one_cross_section() -> None:
    provenance: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    record = closure(ANALYSIS, 1, provenance)
    assert inputs.reference_cross_section(ANALYSIS, record) == 729.84
    several = replace(ANALYSIS, free=(Free("mu", ("ttbar", "wjets")),))
    assert inputs.reference_cross_section(several, record) is None
    assert inputs.reference_cross_section(replace(ANALYSIS, free=()), record) is None
    sliced = replace(
        ANALYSIS, datasets=(*ANALYSIS.datasets, Dataset("more", ("ttbar",), cross_section="more"))
    )
    assert inputs.reference_cross_section(sliced, record) is None
    twice = replace(ANALYSIS, free=(*ANALYSIS.free, Free("k", ("wjets", "ttbar"))))
    assert inputs.reference_cross_section(twice, record) is None
    elsewhere = replace(ANALYSIS, free=(*ANALYSIS.free, Free("k", ("wjets",))))
    assert inputs.reference_cross_section(elsewhere, record) == 729.84
    without = record.model_copy(update={"datasets": {}})
    with pytest.raises(InputError, match="no dataset of ttbar"):
        inputs.reference_cross_section(ANALYSIS, without)


@pytest.mark.parametrize("part", ["mask", "weight"])
def test_part_of_the_events_has_no_cross_section(part: str) -> None:
    provenance: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    record = closure(ANALYSIS, 1, provenance)
    fill = Fill("ttbar", **{part: lambda events: events.count("Jet") > 6})
    datasets = tuple(
        replace(dataset, fills=(fill,)) if dataset.processes == ("ttbar",) else dataset
        for dataset in ANALYSIS.datasets
    )
    analysis = replace(ANALYSIS, datasets=datasets)
    assert inputs.reference_cross_section(analysis, record) is None


def test_texts_by_kind_of_data() -> None:
    general = Texts()
    assert "not a measurement" in data_text("pseudodata", general, external=False).sentences
    assert "collision data" in data_text("observed", general, external=False).sentences
    assert data_text("observed", general, external=True).sentences == ""
    simulated = data_text("simulated", general, external=False)
    assert simulated.label == "Pseudodata"
    assert "not a measurement" in simulated.sentences
    own = data_text("asimov", Texts(data="Our sentence.", data_label="Toy"), external=False)
    assert (own.sentences, own.label) == ("Our sentence.", "Toy")


def test_only_correlated_statistical_factors_are_shown() -> None:
    names = [LABELS[2], *LABELS[:2]]
    assert parameters.correlated(fit(), 0.4) == [*names, "staterror[0]"]
    assert parameters.correlated(fit(), 0.2) == [*names, *LABELS[3:]]
    assert parameters.correlated(fit(), 0.9) == names


def test_correlations(tmp_path: Path) -> None:
    picture = statistics.correlations(
        Gallery(tmp_path, partial=False), fit(), 0.2, {LABELS[3]: "A bin"}
    )
    check(picture, tmp_path)
    assert "largest is 0.50 between Jet energy scale and A bin" in picture.alternative


def test_systematics(tmp_path: Path) -> None:
    histograms = published.load(ANALYSIS, 5)
    picture = distributions.systematics(
        Gallery(tmp_path, partial=False), ANALYSIS, REGION, histograms
    )
    check(picture, tmp_path)
    assert picture is not None
    assert "Luminosity" not in picture.alternative


def test_systematics_without_their_histograms(tmp_path: Path) -> None:
    histograms = published.load(ANALYSIS, 5)
    only = {name: histograms[name] for name in ("4j2b_ttbar", "4j2b_wjets")}
    gallery = Gallery(tmp_path, partial=False)
    assert distributions.systematics(gallery, ANALYSIS, REGION, only) is None


def test_comparison_with_published(tmp_path: Path) -> None:
    histograms = published.load(ANALYSIS, 1)
    provenance: Any = {"stage": "test", "software": {}, "settings": "", "inputs": {}}
    record = closure(ANALYSIS, 1, provenance)
    datasets = {name: a for name, a in record.datasets.items() if name != "wjets__nominal"}
    accounts = record.model_copy(update={"datasets": datasets})
    picture = validation.comparison(
        Gallery(tmp_path, partial=False), ANALYSIS, REGION, histograms, accounts, n_files=-1
    )
    check(picture, tmp_path)
    assert picture is not None
    assert "ttbar, single top t-channel" in picture.alternative
    assert "W+jets" not in picture.alternative


def test_nothing_to_compare(tmp_path: Path) -> None:
    empty = Closure(partial=False, datasets={}, provenance={})
    gallery = Gallery(tmp_path, partial=False)
    assert validation.comparison(gallery, ANALYSIS, REGION, {}, empty, n_files=-1) is None


def test_yields_come_from_the_record() -> None:
    (rows,) = yields.yield_rows(ANALYSIS, fit()).values()
    assert [row.title for row in rows] == ["ttbar", "W+jets", "all processes", "observed"]
    assert rows[0].prefit == (50, 5)
    assert rows[2].postfit == pytest.approx((63, 6.3))
    assert rows[3].observed == 62


def test_configuration_is_shown_whole() -> None:
    configuration = {"b": {"a": [1, 2]}, "a": "x: #y"}
    assert yaml.safe_load(content.text(configuration)) == configuration
