"""The statistical model as a pyhf workspace, built by cabinetry.

cabinetry reads templates from a folder; what it makes of them is what the field expects:
systematics of shape and normalisation become a normsys and a histosys with one parameter,
one-sided ones are mirrored after their normalisation has been split off, and every bin gets a
statistical factor.
"""

import logging
import tempfile
from pathlib import Path
from typing import Any

import cabinetry
import numpy as np
import pyhf
from cabinetry.histo import Histogram

from agc_pipeline.declaration import Analysis, Region, Systematic
from agc_pipeline.errors import ModelError
from agc_pipeline.inference.settings import ParameterOfInterest
from agc_pipeline.inference.templates import Templates

Workspace = dict[str, Any]

_DATA = "Data"


def build(analysis: Analysis, templates: Templates, poi: ParameterOfInterest) -> Workspace:
    """The workspace of the model that the analysis declares, with the templates of a run.

    Channels and samples have the titles, and systematics the names, of the declaration.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = _configuration(analysis, templates, poi, folder)
        cabinetry.configuration.validate(config)
        _save(analysis, templates, Path(folder))
        workspace: Workspace = cabinetry.workspace.build(config)
    return workspace


def quieten() -> None:
    """Keep cabinetry and pyhf from logging every template and parameter."""
    for name in ("cabinetry", "pyhf"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Of a fit that fails it prints the whole state of the minimiser; the error says what matters.
    logging.getLogger("pyhf.optimize").setLevel(logging.CRITICAL)


def load(workspace: Workspace, *, place: str) -> tuple[pyhf.Model, list[float]]:
    """The model of a workspace, and its data with the auxiliary ones, in pyhf's order.

    Args:
        workspace: what ``build`` made, or another with a single measurement.
        place: where it comes from, for errors.

    Raises:
        ModelError: if it is not a valid workspace.
    """
    try:
        # pyhf takes the logarithm of normalisations; that of a negative one is refused later.
        with np.errstate(invalid="ignore", divide="ignore"):
            model, data = cabinetry.model_utils.model_and_data(workspace)
    except (
        pyhf.exceptions.InvalidSpecification,
        pyhf.exceptions.InvalidModel,
        pyhf.exceptions.InvalidModifier,
        pyhf.exceptions.InvalidMeasurement,
        pyhf.exceptions.InvalidNameReuse,
    ) as error:
        raise ModelError(
            f"not a valid workspace: {error}", place=place, remedy="make it again"
        ) from error
    return model, data


def _configuration(
    analysis: Analysis, templates: Templates, poi: ParameterOfInterest, folder: str
) -> dict[str, Any]:
    """The model in the words of cabinetry's configuration."""
    regions = [region for region in analysis.regions if region.name in templates.data]
    samples = []
    for process in analysis.processes:
        titles = [r.title for r in regions if (r.name, process.name) in templates.nominal]
        if titles:
            samples.append({"Name": process.title, "Regions": titles})
    systematics = [
        entry
        for systematic in analysis.systematics
        for region in regions
        if (entry := _systematic(analysis, templates, systematic, region))["Samples"]
    ]
    (measured,) = [process.title for process in analysis.processes if process.name == poi.process]
    return {
        "General": {
            "Measurement": analysis.name,
            "POI": poi.name,
            "InputPath": "",
            "HistogramFolder": folder,
        },
        "Regions": [{"Name": region.title} for region in regions],
        "Samples": [{"Name": _DATA, "Data": True}, *samples],
        "NormFactors": [
            {
                "Name": poi.name,
                "Samples": measured,
                "Nominal": poi.nominal,
                "Bounds": list(poi.bounds),
            }
        ],
        "Systematics": systematics,
    }


def _systematic(
    analysis: Analysis, templates: Templates, systematic: Systematic, region: Region
) -> dict[str, Any]:
    """One systematic in one region: the samples that it acts on may differ between regions."""
    entry: dict[str, Any] = {
        "Name": _in_region(systematic.name, region),
        "ModifierName": systematic.name,
        "Regions": region.title,
    }
    if systematic.relative is not None:
        acts_on = [
            process.title
            for process in analysis.processes
            if process.name in systematic.processes
            and (region.name, process.name) in templates.nominal
        ]
        return entry | {
            "Type": "Normalization",
            "Samples": acts_on,
            "Up": {"Normalization": systematic.relative},
            "Down": {"Normalization": -systematic.relative},
        }
    return entry | {
        "Type": "NormPlusShape",
        "Samples": [
            process.title
            for process in analysis.processes
            if (region.name, process.name, systematic.name) in templates.varied
        ],
        "Up": {},
        "Down": {"Symmetrize": True} if systematic.down is None else {},
    }


def _save(analysis: Analysis, templates: Templates, folder: Path) -> None:
    """Write the templates where cabinetry looks for them."""
    regions = {region.name: region for region in analysis.regions}
    titles = {process.name: process.title for process in analysis.processes}

    def save(histogram: Histogram, region: str, sample: str, *shift: str) -> None:
        systematic = {"Name": _in_region(shift[0], regions[region])} if shift else {}
        name = cabinetry.histo.name(
            {"Name": regions[region].title},
            {"Name": sample},
            systematic,
            template=shift[1] if shift else None,
        )
        histogram.save(folder / name)

    for region, data in templates.data.items():
        save(data, region, _DATA)
    for (region, process), nominal in templates.nominal.items():
        save(nominal, region, titles[process])
    for (region, process, systematic), (up, down) in templates.varied.items():
        save(up, region, titles[process], systematic, "Up")
        if down is not None:
            save(down, region, titles[process], systematic, "Down")


def _in_region(systematic: str, region: Region) -> str:
    return f"{systematic} in {region.title}"
