"""Parts of figures that tell their values."""

from agc_pipeline.report import spots
from agc_pipeline.report.style import canvas


def test_spots_lie_on_what_they_tell_of() -> None:
    with canvas(5, 4) as figure:
        axes = figure.add_axes((0.2, 0.25, 0.6, 0.5))
        axes.set_xlim(0, 10)
        axes.set_ylim(4, 0)
        spots.columns(axes, [-5, 0, 2.5, 20, 30], ["outside", "first", "cut", "beyond"])
        spots.rows(axes, [1.0], ["row"])
        spots.cells(axes, [["cell"]])
    shown = {spot.text: spot for spot in spots.of(figure)}
    # Axes of 288 times 192 pixels, whose top left corner is at (96, 96).
    assert shown == {
        "first": spots.Spot(96, 96, 72, 192, "first"),
        "cut": spots.Spot(168, 96, 216, 192, "cut"),
        "row": spots.Spot(96, 120, 288, 48, "row"),
        "cell": spots.Spot(96, 96, 14.4, 24, "cell"),
    }
