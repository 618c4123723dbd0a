"""Figures of cutflow, single templates, jobs and stages; labels, legends and ranges of all."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from agc_pipeline import analyses
from agc_pipeline.columnar.closure import DatasetAccount
from agc_pipeline.inference.yields import Yields
from agc_pipeline.report import figures, runtimes, spots, style
from agc_pipeline.report.figures import panels, shifts, workflow
from agc_pipeline.report.figures.cutflow import fractions
from agc_pipeline.report.figures.sensitivity import GradientRow
from agc_pipeline.report.runtimes import Runtime
from agc_pipeline.report.settings import LabelSettings
from agc_pipeline.report.style import Gallery, Label
from records import channel_yields, fit

ANALYSIS = analyses.load("cms_ttbar")
EDGES = (("simulate", "fileset"), ("simulate", "fill"), ("fileset", "merge"), ("fill", "sum"))
EDGES = (*EDGES, ("sum", "merge"), ("merge", "fit"), ("fit", "scan"), ("fit", "report"))
EDGES = (*EDGES, ("scan", "report"))


def texts(figure: Any) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


def account(variation: str = "nominal", **cuts: int) -> DatasetAccount:
    return DatasetAccount(
        processes=("ttbar",),
        variation=variation,
        xsec_pb=1.0,
        weight=1.0,
        n_generated=100,
        events_expected=100,
        events_processed=100,
        cutflow=cuts,
        files=(),
        left_out=(),
    )


def test_cutflow() -> None:
    datasets = {
        "ttbar__nominal": account(all=200, lepton=100, **{"4j1b": 0, "4j2b": 50}),
        "ttbar__ME_var": account("ME_var", all=200),
        "empty": account(all=0),
    }
    cuts = ["all", "lepton", "4j1b", "4j2b"]
    left = fractions(datasets, cuts)
    assert {name: values.tolist() for name, values in left.items()} == {
        "ttbar__nominal": [1.0, 0.5, 0.0, 0.25]
    }
    figure = figures.cutflow(ANALYSIS, datasets, cuts)
    line, points = figure.axes[0].get_lines()[:2]
    # Regions have no line to them, and nothing that is left has no place on a logarithmic axis.
    assert np.array(line.get_ydata()).tolist() == [1.0, 0.5]
    assert np.array(points.get_ydata()).tolist() == [1.0, 0.5, 0.25]
    assert "ttbar" in texts(figure)
    pointed = [spot.text for spot in spots.of(figure)]
    assert pointed[2:] == ["4j1b\nttbar: 0 (0 events)", "4j2b\nttbar: 0.250 (50 events)"]
    # Two datasets of a process are told apart.
    both = figures.cutflow(ANALYSIS, datasets | {"more": datasets["ttbar__nominal"]}, cuts)
    assert {"ttbar__nominal", "more"} <= texts(both)


def contents(kind: str, smoothing: str = "none") -> list[dict[str, Any]]:
    def template(values: list[float], weight: float) -> dict[str, Any]:
        return {"values": values, "variances": [weight * value for value in values]}

    shift = {
        "parameter": "Shift",
        "kind": kind,
        "up": template([110, 240, 90, 0], 2),
        "down": None,
        "treatment": {"smoothing": smoothing},
    }
    nominal = template([100, 200, 100, 0], 1)
    return [{"channel": "4j2b SR", "sample": "ttbar", "nominal": nominal, "shifts": [shift]}]


def test_single_templates(tmp_path: Path) -> None:
    (alone,) = shifts.shifts(fit(contents=contents("sample")), "4j2b SR")
    np.testing.assert_allclose(alone.up.change, [0.1, 0.2, -0.1, np.nan])
    np.testing.assert_array_equal(alone.up.model, alone.up.change)
    # Both fluctuate: sqrt(220 + 1.1^2 100) / 100, and so on.
    np.testing.assert_allclose(
        alone.up.error, [*(np.sqrt([341, 768, 261]) / [100, 200, 100]), np.nan], rtol=1e-12
    )
    assert (alone.down, alone.size) == (None, pytest.approx(0.2))
    # Weights of the nominal events: a ratio is known as well as they are.
    weighted = contents("weight")
    weighted[0]["shifts"][0]["up"]["variances"] = [1.1**2 * 100, 1.2**2 * 200, 0.9**2 * 100, 0]
    (same,) = shifts.shifts(fit(contents=weighted), "4j2b SR")
    np.testing.assert_allclose(same.up.error[:3], 0, atol=1e-9)
    (smooth,) = shifts.shifts(fit(contents=contents("sample", "linear")), "4j2b SR")
    np.testing.assert_array_equal(smooth.up.change, alone.up.change)
    assert not np.allclose(smooth.up.model[:3], alone.up.model[:3])
    figure = figures.single_templates([smooth, alone], (0, 1, 2, 3, 4), "m [GeV]")
    assert {"Shift, ttbar", "linear", "up, model", "up, filled"} <= texts(figure)
    figure.savefig(tmp_path / "templates.png")
    pointed = [spot.text for spot in spots.of(figure)]
    assert len(pointed) == 8
    told = "Shift, ttbar, 0 to 1\nup: +10.00 \u00b1 18.47 % filled, +10.00 % in the model"
    assert pointed[4] == f"{told}\ndown: mirrored"
    assert "no events in the nominal template" in pointed[7]
    assert shifts.shifts(fit(), "4j2b SR") == []


def benchmark(folder: Path, name: str, seconds: float, end: float) -> None:
    path = folder / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t1\t1\n")
    os.utime(path, (end, end))


def test_jobs_in_time(tmp_path: Path) -> None:
    for number, end in ((0, 1010.0), (1, 1012.0), (2, 1019.0)):
        benchmark(tmp_path, f"fill/a/{number}", 8.0, end)
    benchmark(tmp_path, "fit", 5.0, 5000.0)
    benchmark(tmp_path, "other", 5.0, 6000.0)
    jobs = runtimes.timeline([tmp_path], {"fill", "fit"})
    assert [(job.rule, job.start, job.end) for job in jobs] == [
        ("fill", 1002.0, 1010.0),
        ("fill", 1004.0, 1012.0),
        ("fill", 1011.0, 1019.0),
        ("fit", 4995.0, 5000.0),
    ]
    # The run was continued an hour later: the pause is cut.
    assert workflow.pauses(jobs) == [(1019.0, 4995.0)]
    figure = figures.timeline(jobs)
    (axes,) = figure.axes
    pointed = {spot.text: spot for spot in spots.of(figure)}
    assert list(pointed) == [
        "fill: 8.0 s, from 0 s on",
        "fill: 8.0 s, from 9 s on",
        "fill: 8.0 s, from 2 s on",
        "fit: 5.0 s, from 1 h 06 min on",
    ]
    assert (
        pointed["fit: 5.0 s, from 1 h 06 min on"].width < pointed["fill: 8.0 s, from 2 s on"].width
    )
    assert axes.get_xlim()[1] < 40
    assert "1 h 06 min" in texts(axes)
    bars = [bar.get_extents() for group in axes.collections for bar in group.get_paths()]
    # Two jobs at the same time stand below each other, the third one beside the first.
    heights = [round(bar.y0, 6) for bar in bars[:3]]
    assert len(set(heights)) == 2
    assert runtimes.timeline([tmp_path / "none"]) == []
    # A copy without times knows nothing.
    for path in tmp_path.rglob("*.tsv"):
        os.utime(path, (7000.0, 7000.0))
    assert runtimes.timeline([tmp_path]) == []


def test_stages_stand_behind_what_they_read() -> None:
    columns = workflow.columns(EDGES)
    place = {name: number for number, column in enumerate(columns) for name in column}
    assert all(place[writer] < place[reader] for writer, reader in EDGES)
    assert place["simulate"] == 0
    runtime = Runtime(rule="fit", jobs=1, wall=75.0, longest=75.0, cpu=None, memory=None)
    figure = figures.stage_graph(EDGES, {"fit": workflow.runtime_text(runtime)})
    assert {"simulate", "merge", "1 job, 1 min 15 s"} <= texts(figure)
    places = [
        (text.get_position()[0], text.get_position()[1])
        for text in figure.axes[0].texts
        if text.get_text() in place
    ]
    assert len(set(places)) == len(place)


def test_labels() -> None:
    settings = LabelSettings(experiment="CMS", collisions="Open Data", simulation="Simulation")
    assert settings.of("observed", generated=False) == ("CMS", "Open Data")
    assert settings.of("pseudodata", generated=False) == ("CMS", "Simulation")
    # Events of the pipeline are not those of the experiment.
    assert settings.of("pseudodata", generated=True) == ("", "Simulation")
    assert settings.of("observed", generated=True) == ("CMS", "Open Data")
    for label, expected in (
        (Label("CMS", "Open Data", "13 TeV"), {"CMS", "Open Data", "13 TeV"}),
        (Label("", "Simulation", "13 TeV"), {"Simulation", "13 TeV"}),
        (Label(beam="13 TeV"), {"13 TeV"}),
    ):
        with style.canvas(4, 3) as figure:
            axes = figure.subplots()
            style.stamp(axes, label)
        assert expected <= texts(figure)
    assert Label("CMS", "Open Data", "13 TeV").text == "CMS Open Data, 13 TeV"


def test_gallery_writes_its_label(tmp_path: Path) -> None:
    made = []

    def draw() -> Any:
        with style.canvas(4, 3) as figure:
            figure.subplots().set(ylabel="events", ylim=(0, 1.23456e5))
        made.append(figure)
        return figure

    # Of a wide axis of numbers, so that the layout moves the axes.
    gallery = Gallery(tmp_path, False, Label("CMS", "Open Data", "13 TeV"))
    words = {"caption": "c", "alternative": "a", "numbers": [1]}
    gallery.picture("with", draw, labelled=True, **words)
    gallery.picture("without", draw, **words)
    assert [("CMS" in texts(figure)) for figure in made] == [True, False]
    renderer = FigureCanvasAgg(made[0]).get_renderer()  # type: ignore[no-untyped-call]
    made[0].draw(renderer)
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in made[0].findobj(Text)}
    distance = boxes["Open Data"].x0 - boxes["CMS"].x1
    assert 0 < distance < boxes["Open Data"].width / 4
    assert boxes["13 TeV"].x0 > boxes["Open Data"].x1
    assert gallery.missing == []


@pytest.mark.parametrize("samples", [2, 9])
def test_legends_lie_on_nothing(samples: int) -> None:
    channel = channel_yields(1.0)["4j2b SR"]
    names = [process.title for process in ANALYSIS.processes]
    more = {f"process {number}": channel.samples["W+jets"] for number in range(samples - 2)}
    yields = channel.model_copy(update={"samples": channel.samples | more})
    both = {"4j2b SR": yields}
    processes = (*ANALYSIS.processes, *(type(ANALYSIS.processes[0])(n, n) for n in more))
    analysis = type(ANALYSIS)(**{**vars(ANALYSIS), "processes": processes})
    figure = figures.stack(
        analysis, fit(yields=Yields(prefit=both, postfit=both)), "4j2b SR", label=Label("CMS")
    )
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert legend is not None
    lowest = axes.transData.inverted().transform(legend.get_window_extent(renderer))[0, 1]
    # With its error of some sqrt(44).
    highest = 44 + 6.6
    assert lowest > highest
    assert set(names) & texts(figure)
    # Nor do the words beside it.
    words = [text for text in axes.texts if text.get_text() in ("4j2b SR", "post-fit")]
    boxes = [text.get_window_extent(renderer) for text in words]
    assert not any(box.overlaps(legend.get_window_extent(renderer)) for box in boxes)


def test_no_single_bin_stretches_a_ratio() -> None:
    sizes = np.array([0.02, 0.03, 0.02, np.nan, 0.01, 0.9])
    assert panels.reach(sizes, smallest=0.01, largest=1.0) == pytest.approx(1.15 * 0.03)
    assert panels.reach(sizes[:2], smallest=0.1, largest=1.0) == 0.1
    assert panels.reach(np.full(5, np.nan), smallest=0.1, largest=1.0) == 0.1
    with style.canvas(4, 3) as figure:
        axes = figure.subplots()
        values = np.array([1.5, 1.0, 0.2, np.nan])
        panels.mark_outside(axes, np.arange(4.0), values, (0.9, 1.1))
    up, down = axes.get_lines()
    assert (up.get_marker(), np.array(up.get_xdata()).tolist()) == ("^", [0.0])
    assert (down.get_marker(), np.array(down.get_xdata()).tolist()) == ("v", [2.0])
    assert all(0.9 < float(np.array(line.get_ydata())[0]) < 1.1 for line in (up, down))


def test_labels_of_axes_are_beside_their_ticks(tmp_path: Path) -> None:
    """The places that the layout fixes are those for the final ticks, also of a colour bar."""
    kept = []
    # Seven points high: the shapes that are drawn are a few per cent wider than whole pixels.
    longest = "Background Z, ttbar, Scalefactor_variation down"

    def draw() -> Any:
        with style.canvas(5, 3) as figure:
            for axes, top in zip(figure.subplots(1, 2), (1.0, 123456.0), strict=True):
                axes.set_ylim(0, top)
                axes.set_ylabel("events")
        kept.append(figure)
        return figure

    def draw_map() -> Any:
        effects = {"SR": np.array([1e-3, -2e-3])}
        rows = [GradientRow(title, effects) for title in (longest, "ZZ", "Signal", "W")]
        kept.append(figures.gradients(rows, {"SR": 2}))
        return kept[-1]

    words = {"caption": "c", "alternative": "a", "numbers": [1]}
    gallery = Gallery(tmp_path, False)
    gallery.picture("labels", draw, **words)
    gallery.picture("map", draw_map, **words)
    for figure in kept:
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        figure.draw(renderer)
        for axes in figure.axes:
            label = axes.yaxis.label.get_window_extent(renderer)
            ticks = [text.get_window_extent(renderer) for text in axes.get_yticklabels()]
            assert not any(label.overlaps(tick) for tick in ticks if tick.width > 0)
    font = kept[1].axes[0].get_yticklabels()[0].get_fontproperties()
    with style.canvas(1, 1):
        width = TextPath((0, 0), longest, prop=font).get_extents().width
    left = 72 * kept[1].get_size_inches()[0] * kept[1].axes[0].get_position().x0
    assert width < left
