"""The cells of a matrix: combinations of an environment and values of the axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from agc_pipeline.declaration import Analysis
from agc_pipeline.layers import Key, filled, merged
from agc_pipeline.matrix.settings import ENVIRONMENT, MatrixSettings

# Key of the configuration that an axis may set.
ANALYSIS = "analysis"
_FORMATS = ("ttree", "rntuple", "skim")


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes:
        name: of its files; the environment and what else differs from the baseline.
        environment: name of the environment.
        axes: the other axes to the names of their values.
    """

    name: str
    environment: str
    axes: dict[str, str]


def formats(analysis: Analysis) -> tuple[str, ...]:
    """The formats that events can be in.

    Files of an analysis whose normalisation they state stay as they were simulated: what states it
    is no column of the events.
    """
    return _FORMATS if analysis.generated is None else _FORMATS[:1]


def expand(settings: MatrixSettings) -> dict[str, Cell]:
    """All cells by name; the baseline is the first, whether it is configured or not."""
    selected = {ENVIRONMENT: tuple(settings.environments)} | settings.cells.matrix
    axes = [axis for axis in settings.values_of if axis in selected]
    combinations = [
        settings.baseline | dict(zip(axes, names, strict=True))
        for names in product(*(selected[axis] for axis in axes))
    ]
    remaining = [
        values
        for values in combinations
        if not any(entry.items() <= values.items() for entry in settings.cells.exclude)
    ]
    included = [settings.baseline | entry for entry in settings.cells.include]
    cells = [_cell(settings, values) for values in (settings.baseline, *remaining, *included)]
    return {cell.name: cell for cell in cells}


def reference(settings: MatrixSettings, cells: Mapping[str, Cell], cell: Cell) -> Cell | None:
    """The cell that another one is compared with.

    It is the cell that differs only in the environment, if the matrix has it, or else the
    baseline of the same analysis; this itself has none.
    """
    same_axes = _cell(settings, {ENVIRONMENT: settings.baseline[ENVIRONMENT], **cell.axes})
    same_analysis = {
        axis: name
        for axis, name in cell.axes.items()
        if any(ANALYSIS in values for values in settings.axes[axis].values())
    }
    baseline = _cell(settings, settings.baseline | same_analysis)
    for candidate in (same_axes, baseline):
        if candidate.name in cells and candidate.name != cell.name:
            return candidate
    return None


def analysis(settings: MatrixSettings, cell: Cell, whole: str) -> str:
    """Name of the analysis of a cell; ``whole`` is that of the workflow."""
    return str(configuration(settings, cell, {ANALYSIS: whole}, "")[ANALYSIS])


def configuration(
    settings: MatrixSettings, cell: Cell, whole: Mapping[str, Any], inputs: str
) -> dict[str, Any]:
    """The configuration of a cell.

    Args:
        settings: the matrix.
        cell: one of its cells.
        whole: configuration of the workflow.
        inputs: absolute path of the folder of the events, for ``{inputs}``.
    """
    return merged(whole, *(values for _, values in parts(settings, cell, inputs)))


def parts(settings: MatrixSettings, cell: Cell, inputs: str) -> list[tuple[Key, dict[str, Any]]]:
    """What a cell changes in the configuration, with the key that it stands below in the matrix.

    Args:
        settings: the matrix.
        cell: one of its cells.
        inputs: absolute path of the folder of the events, for ``{inputs}``.
    """
    keys: list[Key] = [("run",), *(("axes", *place) for place in cell.axes.items())]
    values = [settings.run, *(settings.axes[axis][name] for axis, name in cell.axes.items())]
    return [(key, filled(part, inputs=inputs)) for key, part in zip(keys, values, strict=True)]


def _cell(settings: MatrixSettings, values: Mapping[str, str]) -> Cell:
    axes = {axis: values[axis] for axis in settings.axes}
    others = [f"{axis}-{name}" for axis, name in axes.items() if name != settings.baseline[axis]]
    environment = values[ENVIRONMENT]
    return Cell("+".join([environment, *others]), environment, axes)
