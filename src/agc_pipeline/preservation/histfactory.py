"""A workspace as XML and ROOT histograms, which means in ROOT's HistFactory what it means in pyhf.

pyhf writes such files as well, but without what ROOT needs to fit the same model: the constraint
terms of statistical uncertainties, values of fixed parameters, and names that it takes.

Source: ROOT 6.40, ``roofit/histfactory`` (ConfigParser, HistoToWorkspaceFactoryFast).
"""

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyhf.schema
import uproot

from agc_pipeline.preservation.exchanged import Setting, parameters
from agc_pipeline.preservation.luminosity import by_templates
from agc_pipeline.preservation.root_names import Names, names
from agc_pipeline.preservation.root_reading import TOP, Reading, read

Workspace = dict[str, Any]

_HISTOGRAMS = "data/data.root"
_DEFINITION = "HistFactorySchema.dtd"
_TOLERANCE = 1e-9
_WRITTEN = {
    "histosys": "HistoSys",
    "normfactor": "NormFactor",
    "normsys": "OverallSys",
    "shapefactor": "ShapeFactor",
    "shapesys": "ShapeSys",
    "staterror": "StatError",
}


def write(workspace: Workspace, folder: Path) -> tuple[Names, list[str]]:
    """Write ``model.xml``, ``config/`` and ``data/data.root``, with paths relative to the folder.

    Args:
        workspace: with one measurement, that can be read in one way only.
        folder: an empty one, for all files.

    Returns:
        The names in the files, and what the files do not hold, from reading them as ROOT does.
    """
    workspace, luminosity = by_templates(workspace)
    translation = names(workspace)
    settings = parameters(workspace).settings
    for name in ("config", "data"):
        (folder / name).mkdir()
    shutil.copyfile(pyhf.schema.path / _DEFINITION, folder / _DEFINITION)
    with uproot.recreate(folder / _HISTOGRAMS) as histograms:
        writer = _Writer(workspace, translation, settings, histograms)
        top = ET.Element("Combination", OutputFilePrefix="config/model")
        for channel in workspace["channels"]:
            path = f"config/model_{translation.channels[channel['name']]}.xml"
            _save(writer.channel(channel), folder / path, "../")
            ET.SubElement(top, "Input").text = path
    top.append(writer.measurement())
    _save(top, folder / TOP, "")
    lost = differences(workspace, read(folder), translation)
    if luminosity is None:
        return translation, lost
    own = f"bounds of {luminosity.modifier}"
    return (
        translation.with_luminosity(luminosity),
        ["bounds of lumi" if entry == own else entry for entry in lost],
    )


def _ordered(setting: Setting) -> Setting:
    """The same with a start between different bounds, without which ROOT refuses it."""
    low, high = setting.bounds
    if low == high:
        return Setting(low, (low, low + 1), fixed=True)
    if setting.fixed:
        return setting._replace(bounds=(min(low, setting.start), max(high, setting.start)))
    return setting._replace(start=min(max(setting.start, low), high))


def _save(root: ET.Element, path: Path, above: str) -> None:
    ET.indent(root)
    head = f"<!DOCTYPE {root.tag} SYSTEM '{above}{_DEFINITION}'>\n\n"
    path.write_text(head + ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


class _Writer:
    """Makes the elements of the files.

    Args:
        workspace: to be written.
        translation: of its names.
        parameters: of its model.
        histograms: the file for all of them.
    """

    def __init__(
        self,
        workspace: Workspace,
        translation: Names,
        parameters: dict[str, Setting],
        histograms: Any,
    ) -> None:
        self._observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
        (self._measurement,) = workspace["measurements"]
        self._names = translation
        self._parameters = parameters
        self._histograms = histograms
        entries = self._measurement["config"]["parameters"]
        self._settings = {entry["name"]: entry for entry in entries}

    def channel(self, channel: Any) -> ET.Element:
        """The root of a channel's file."""
        title = self._names.channels[channel["name"]]
        element = ET.Element("Channel", Name=title, InputFile=_HISTOGRAMS)
        self._histogram(element, self._observed[channel["name"]], title, "data", tag="Data")
        # Without it, ROOT takes Poisson terms, and leaves out what is below 5 %.
        ET.SubElement(element, "StatErrorConfig", RelErrorThreshold="0", ConstraintType="Gaussian")
        for sample in channel["samples"]:
            element.append(self._sample(sample, title))
        return element

    def _sample(self, sample: Any, channel: str) -> ET.Element:
        title = self._names.samples[sample["name"]]
        folder = f"{channel}/{title}"
        element = ET.Element("Sample", Name=title)
        self._histogram(element, sample["data"], folder, "nominal")
        kinds = [modifier["type"] for modifier in sample["modifiers"]]
        element.set("NormalizeByTheory", str("lumi" in kinds))
        for modifier in sample["modifiers"]:
            if modifier["type"] != "lumi":
                element.append(self._modifier(modifier, sample["data"], folder))
        return element

    def _modifier(self, modifier: Any, contents: list[float], folder: str) -> ET.Element:
        kind, data = modifier["type"], modifier["data"]
        element = ET.Element(_WRITTEN[kind])
        name = self._names.modifiers.get(modifier["name"], "")
        if kind != "staterror":
            element.set("Name", name)
        match kind:
            case "normsys":
                element.set("High", repr(float(data["hi"])))
                element.set("Low", repr(float(data["lo"])))
            case "normfactor":
                start, (low, high), _ = _ordered(self._parameters[modifier["name"]])
                element.set("Val", repr(start))
                element.set("Low", repr(low))
                element.set("High", repr(high))
            case "histosys":
                for suffix, key in (("Low", "lo_data"), ("High", "hi_data")):
                    self._histogram(element, data[key], folder, f"{name}_{suffix}", suffix=suffix)
            case "staterror":
                element.set("Activate", "True")
                # A modifier may have this name, but for its suffix.
                self._histogram(element, _relative(data, contents), folder, "statistical")
            case "shapesys":
                element.set("ConstraintType", "Poisson")
                self._histogram(element, _relative(data, contents), folder, f"{name}_Error")
        return element

    def _histogram(
        self,
        element: ET.Element,
        contents: Any,
        folder: str,
        name: str,
        *,
        tag: str | None = None,
        suffix: str = "",
    ) -> None:
        """Write a histogram, and name it in an element, or in a new one below it."""
        values = np.asarray(contents, dtype=np.float64)
        self._histograms[f"{folder}/{name}"] = (values, np.arange(len(values) + 1.0))
        target = element if tag is None else ET.SubElement(element, tag)
        target.set(f"HistoName{suffix}", name)
        target.set(f"HistoPath{suffix}", folder)

    def measurement(self) -> ET.Element:
        """The measurement, with the luminosity and settings of parameters."""
        # A systematic may have this name as well.
        is_luminosity = self._names.parameters.get("lumi") == "Lumi"
        luminosity = self._settings["lumi"] if is_luminosity else {}
        (central,), (width,) = luminosity.get("auxdata", [1.0]), luminosity.get("sigmas", [0.0])
        element = ET.Element(
            "Measurement",
            Name=self._names.measurement,
            Lumi=repr(float(central)),
            LumiRelErr=repr(float(width / central) if central else 0.0),
            ExportOnly="True",
        )
        poi = self._names.parameters.get(self._measurement["config"]["poi"])
        if poi is not None:
            ET.SubElement(element, "POI").text = poi
        for name, variable in self._names.parameters.items():
            parameter = _ordered(self._parameters[name])
            # Without an uncertainty, ROOT holds it as well.
            held = parameter.fixed and bool(
                {"fixed", "bounds"} & self._settings.get(_modifier(name), {}).keys()
            )
            moved = not _several(name) and parameter.start != _start(variable, central)
            if held or (moved and variable.startswith(("alpha_", "Lumi"))):
                setting = ET.SubElement(element, "ParamSetting")
                if held:
                    setting.set("Const", "True")
                setting.set("Val", repr(parameter.start))
                setting.text = variable
        return element


def _several(name: str) -> bool:
    """Whether a parameter is one of the bins of a modifier."""
    return name.endswith("]")


def _modifier(name: str) -> str:
    """Name of the modifier of a parameter."""
    return name.rpartition("[")[0] if _several(name) else name


def _start(variable: str, luminosity: float) -> float:
    """Where ROOT starts."""
    return luminosity if variable == "Lumi" else 0.0 if variable.startswith("alpha_") else 1.0


def _relative(errors: list[float], contents: list[float]) -> Any:
    """Errors by the content, zero where there is none."""
    errors_array, content = np.array(errors, dtype=np.float64), np.array(contents, dtype=np.float64)
    return np.divide(errors_array, content, out=np.zeros_like(content), where=content != 0)


def differences(ours: Workspace, theirs: Reading, translation: Names) -> list[str]:
    """What ROOT's reading of the files does not have of a workspace, apart from rounding.

    Args:
        ours: the workspace.
        theirs: from its files.
        translation: the names in the files.
    """
    constraints = [
        f"Poisson terms of {name}"
        for name, title in translation.modifiers.items()
        if title in theirs.gaussian
    ]
    return [
        *_contents(ours, theirs, translation),
        *constraints,
        *_settings(ours, theirs, translation),
    ]


def _contents(ours: Workspace, theirs: Reading, translation: Names) -> Iterator[str]:
    observed = {entry["name"]: entry["data"] for entry in theirs.workspace["observations"]}
    for entry in ours["observations"]:
        if entry["name"] in translation.channels and not _same(
            entry["data"], observed.get(translation.channels[entry["name"]])
        ):
            yield f"data of {entry['name']}"
    other = {channel["name"]: channel for channel in theirs.workspace["channels"]}
    for channel in ours["channels"]:
        title = translation.channels[channel["name"]]
        if title not in other:
            yield f"channel {channel['name']}"
            continue
        samples = {sample["name"]: sample for sample in other[title]["samples"]}
        for sample in channel["samples"]:
            twin = samples.get(translation.samples[sample["name"]])
            where = f"{channel['name']}, {sample['name']}"
            if twin is None or not _same(sample["data"], twin["data"]):
                yield where
                continue
            yield from _modifiers(sample, twin, where, translation)
        yield from _statistical(channel, theirs, title)


def _modifiers(sample: Any, twin: Any, where: str, translation: Names) -> Iterator[str]:
    theirs = {(m["type"], m["name"]): m["data"] for m in twin["modifiers"]}
    statistical = [data for (kind, _), data in theirs.items() if kind == "staterror"]
    for modifier in sample["modifiers"]:
        kind, name, data = modifier["type"], modifier["name"], modifier["data"]
        label = f"{where}, {kind} {name}"
        if kind == "lumi":
            continue
        if kind == "staterror":
            if not any(_same(data, other) for other in statistical):
                yield label
            continue
        identity = kind, translation.modifiers[name]
        if identity not in theirs or not _same(data, theirs[identity]):
            yield label
        elif kind == "histosys" and min(*sample["data"], *data["hi_data"], *data["lo_data"]) < 0:
            yield f"{label}: negative content, for which ROOT takes zero"
    ours = {modifier["type"] for modifier in sample["modifiers"]}
    if ("lumi", "lumi") in theirs and "lumi" not in ours:
        yield f"{where}: ROOT scales it with the luminosity as well"


def _statistical(channel: Any, theirs: Reading, title: str) -> Iterator[str]:
    """Statistical uncertainties, of which ROOT has one factor in each bin of a channel."""
    named = dict.fromkeys(
        modifier["name"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
        if modifier["type"] == "staterror"
    )
    if len(named) > 1:
        yield f"{channel['name']}: separate staterrors {', '.join(named)}"
    if title in theirs.poisson:
        yield f"{channel['name']}: Gaussian terms of statistical uncertainties"
    dropped = [name for name in theirs.dropped if name.startswith(f"gamma_stat_{title}_bin_")]
    if dropped:
        yield f"{channel['name']}: statistical uncertainties of {len(dropped)} bins"


def _settings(ours: Workspace, theirs: Reading, translation: Names) -> Iterator[str]:
    """Settings of parameters: of what pyhf's model has, and of what a measurement gives."""
    (measurement,) = ours["measurements"]
    config = measurement["config"]
    if translation.parameters.get(config["poi"]) != theirs.poi:
        yield f"parameter of interest {config['poi']}"
    entries = {entry["name"]: entry for entry in config["parameters"]}
    found: dict[str, None] = {}
    for name, setting in parameters(ours).settings.items():
        parameter = _ordered(setting)
        variable = theirs.variables[translation.parameters[name]]
        entry = entries.get(_modifier(name), {})
        if parameter.fixed != variable.fixed:
            found[f"fixed value of {_modifier(name)}"] = None
        elif parameter.start != variable.start:
            what = "fixed value" if parameter.fixed else "start"
            found[f"{what} of {_modifier(name)}"] = None
        if "bounds" in entry and not parameter.fixed and parameter.bounds != variable.bounds:
            found[f"bounds of {_modifier(name)}"] = None
    kinds = {
        modifier["name"]: modifier["type"]
        for channel in ours["channels"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
    }
    for name, entry in entries.items():
        for key in ("auxdata", "sigmas", "factors"):
            if key in entry and name in kinds and kinds[name] != "lumi":
                found[f"{key} of {name}"] = None
    if "lumi" in kinds.values():
        (central,), (width,) = entries["lumi"]["auxdata"], entries["lumi"]["sigmas"]
        if not _same([central, width], list(theirs.luminosity)):
            found["luminosity"] = None
    yield from found


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(_same(ours[k], theirs.get(k)) for k in ours)
    if ours is None or theirs is None:
        return ours is theirs
    first, second = np.atleast_1d(ours), np.atleast_1d(theirs)
    scale = np.max(np.abs(first), initial=0) * _TOLERANCE
    return first.shape == second.shape and bool(np.all(np.abs(first - second) <= scale))
