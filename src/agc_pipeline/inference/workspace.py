"""The statistical model as a pyhf workspace, built by cabinetry.

cabinetry reads templates from a folder, and does with them what the field expects: systematics of
shape and normalisation become a normsys and a histosys with one parameter, one-sided ones are
mirrored after their normalisation has been split off, and every bin gets a statistical factor.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np

from agc_pipeline.declaration import Analysis, Process, Region, Systematic
from agc_pipeline.declaration.analysis import statistical_factor
from agc_pipeline.errors import ModelError
from agc_pipeline.formatting import shortened
from agc_pipeline.inference import checks, consistency
from agc_pipeline.inference.modifiers import SMOOTH
from agc_pipeline.inference.templates import Templates

if TYPE_CHECKING:
    import pyhf
    from cabinetry.histo import Histogram

Workspace = dict[str, Any]
# By region, process and systematic, the names in cabinetry's configuration, where every entry has
# one of its own.
Labels = Mapping[tuple[str, str, str], str]

_DATA = "Data"


def build(analysis: Analysis, templates: Templates) -> Workspace:
    """The workspace of the model that the analysis declares, with the templates of a run.

    Channels and samples have the titles, and systematics the names, of the declaration.
    """
    import cabinetry

    # cabinetry names files after regions, samples and systematics: a title may be no name of a
    # file, or that of another one.
    titles = {f"region{n}": region.title for n, region in enumerate(analysis.regions)}
    titles |= {f"sample{n}": process.title for n, process in enumerate(analysis.processes)}
    coded = replace(
        analysis,
        regions=tuple(
            replace(region, title=f"region{n}") for n, region in enumerate(analysis.regions)
        ),
        processes=tuple(
            replace(process, title=f"sample{n}") for n, process in enumerate(analysis.processes)
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        labels = _labels(coded)
        config = _configuration(coded, templates, labels, folder)
        cabinetry.configuration.validate(config)
        _save(coded, templates, labels, Path(folder))
        workspace: Workspace = cabinetry.workspace.build(config)
    _entitle(workspace, titles)
    return workspace


def _entitle(workspace: Workspace, titles: Mapping[str, str]) -> None:
    """Give channels and samples their titles, and statistical factors that of their channel."""
    for channel in workspace["channels"]:
        channel["name"] = titles[channel["name"]]
        for sample in channel["samples"]:
            sample["name"] = titles[sample["name"]]
            for modifier in sample["modifiers"]:
                if modifier["type"] == "staterror":
                    modifier["name"] = statistical_factor(channel["name"])
    for observation in workspace["observations"]:
        observation["name"] = titles[observation["name"]]


def quieten() -> None:
    """Keep cabinetry and pyhf from logging every template and parameter."""
    for name in ("cabinetry", "pyhf"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Of a fit that fails it prints the whole state of the minimiser; the error says what matters.
    logging.getLogger("pyhf.optimize").setLevel(logging.CRITICAL)


def validate(workspace: Workspace, *, place: str) -> None:
    """Refuse what is not a workspace, or more than one, without making a model of it.

    Raises:
        ModelError: if it does not follow pyhf's schema, or can be read in two ways.
    """
    validate_schema(workspace, place=place)
    checks.refuse(consistency.check(workspace), place=place)


def validate_schema(workspace: Workspace, *, place: str) -> None:
    """Refuse what is not a workspace, whatever it means.

    Raises:
        ModelError: if it does not follow pyhf's schema.
    """
    import pyhf

    try:
        pyhf.schema.validate(workspace, "workspace.json")
    except pyhf.exceptions.InvalidSpecification as error:
        where = f"`{error.path}`" if error.path else "the content"
        problem = f"{where}: {shortened(error.parent.message)}"
    except RecursionError:
        problem = "it is nested too deeply"
    else:
        return
    raise ModelError(
        f"not a valid workspace: {problem}",
        place=place,
        remedy="give a JSON file of pyhf with channels, observations and measurements",
    )


def load(workspace: Workspace, *, place: str) -> tuple["pyhf.Model", list[float]]:
    """The model of a workspace, and its data with the auxiliary ones, in pyhf's order.

    Args:
        workspace: from ``build``, or another with a single measurement.
        place: where it comes from, for errors.

    Raises:
        ModelError: if it is not a valid workspace, or can be read in two ways.
    """
    import pyhf

    validate(workspace, place=place)
    try:
        content = pyhf.Workspace(workspace, validate=False)
        # pyhf takes the logarithm of normalisations; that of a negative one is refused later.
        with np.errstate(invalid="ignore", divide="ignore"):
            model = content.model(
                validate=False,
                modifier_set=_modifier_set(),
                modifier_settings={kind: {"interpcode": code} for kind, code in SMOOTH.items()},
            )
    except (
        pyhf.exceptions.InvalidModel,
        pyhf.exceptions.InvalidModifier,
        pyhf.exceptions.InvalidMeasurement,
        pyhf.exceptions.InvalidNameReuse,
    ) as error:
        raise ModelError(
            f"not a valid workspace: {error}", place=place, remedy="make it again"
        ) from error
    data: list[float] = content.data(model)
    return model, data


class _Key(str):
    """Type and name of a modifier, as "type/name"; names may have slashes, too."""

    __slots__ = ()

    def split(self, separator: str | None = None, _: SupportsIndex = -1) -> list[str]:
        """The type and the whole name."""
        return super().split(separator, 1)


def _modifier_set() -> dict[str, tuple[Any, Any]]:
    """Those of pyhf, whose own staterror takes the name of its parameter to end at a slash."""
    from pyhf.modifiers import histfactory_set

    build, apply = histfactory_set["staterror"]

    def builder(config: Any) -> Any:
        own = build(config)
        append = own.append
        own.append = lambda key, *arguments: append(_Key(key), *arguments)
        return own

    return {**histfactory_set, "staterror": (builder, apply)}


class Nuisance(NamedTuple):
    """A parameter that a systematic has in some samples of the model.

    Attributes:
        name: of the parameter.
        systematic: that it belongs to.
        region: name of a region in which it acts.
        process: name of a process on which it acts there.
    """

    name: str
    systematic: Systematic
    region: Region
    process: Process


def nuisances(analysis: Analysis) -> Iterator[Nuisance]:
    """The parameter of each systematic, region and process, in the order of the declaration."""
    for systematic in analysis.systematics:
        for region in analysis.regions:
            for process in analysis.processes:
                if process.name in systematic.acts_on and systematic.in_region(region.name):
                    name = systematic.parameter(region.name, process.name)
                    yield Nuisance(name, systematic, region, process)


def _labels(analysis: Analysis) -> Labels:
    return {
        (nuisance.region.name, nuisance.process.name, nuisance.systematic.name): f"systematic{n}"
        for n, nuisance in enumerate(nuisances(analysis))
    }


def _configuration(
    analysis: Analysis, templates: Templates, labels: Labels, folder: str
) -> dict[str, Any]:
    """The model in the words of cabinetry's configuration."""
    regions = [region for region in analysis.regions if region.name in templates.data]
    samples: dict[str, dict[str, Any]] = {}
    for process in analysis.processes:
        titles = [r.title for r in regions if (r.name, process.name) in templates.nominal]
        if titles:
            samples[process.name] = {"Name": process.title, "Regions": titles}
    factors = []
    for free in analysis.free:
        titles = [samples[name]["Name"] for name in free.processes if name in samples]
        if titles:
            factors.append(
                {
                    "Name": free.name,
                    "Samples": titles,
                    "Nominal": free.nominal,
                    "Bounds": list(free.bounds),
                }
            )
    return {
        "General": {
            "Measurement": analysis.name,
            "POI": analysis.free[0].name,
            "InputPath": "",
            "HistogramFolder": folder,
        },
        "Regions": [{"Name": region.title} for region in regions],
        "Samples": [{"Name": _DATA, "Data": True}, *samples.values()],
        "NormFactors": factors,
        "Systematics": [
            entry
            for nuisance in nuisances(analysis)
            if (entry := _systematic(templates, labels, nuisance)) is not None
        ],
    }


def _systematic(templates: Templates, labels: Labels, nuisance: Nuisance) -> dict[str, Any] | None:
    """One systematic in one sample of one region; None if the model does not have it there."""
    systematic, region, process = nuisance.systematic, nuisance.region, nuisance.process
    key = region.name, process.name, systematic.name
    entry: dict[str, Any] = {
        "Name": labels[key],
        "ModifierName": nuisance.name,
        "Regions": region.title,
        "Samples": process.title,
    }
    if systematic.up is None:
        if (region.name, process.name) not in templates.nominal:
            return None
        down, up = systematic.effect(process.name)
        return entry | {
            "Type": "Normalization",
            "Up": {"Normalization": up},
            "Down": {"Normalization": down},
        }
    if key not in templates.varied:
        return None
    return entry | {
        "Type": "NormPlusShape",
        "Up": {},
        "Down": {"Symmetrize": True} if systematic.down is None else {},
    }


def _save(analysis: Analysis, templates: Templates, labels: Labels, folder: Path) -> None:
    """Write the templates where cabinetry looks for them."""
    from cabinetry.histo import name as file_name

    regions = {region.name: region for region in analysis.regions}
    processes = {process.name: process for process in analysis.processes}

    def save(histogram: "Histogram", region: str, sample: str, shift: dict[str, str]) -> None:
        name = file_name(
            {"Name": regions[region].title},
            {"Name": sample},
            {key: value for key, value in shift.items() if key == "Name"},
            template=shift.get("Template"),
        )
        histogram.save(folder / name)

    for region, data in templates.data.items():
        save(data, region, _DATA, {})
    for (region, process), nominal in templates.nominal.items():
        save(nominal, region, processes[process].title, {})
    for key, shifts in templates.varied.items():
        region, process, _ = key
        for direction, shift in zip(("Up", "Down"), shifts, strict=True):
            if shift is not None:
                entry = {"Name": labels[key], "Template": direction}
                save(shift, region, processes[process].title, entry)
