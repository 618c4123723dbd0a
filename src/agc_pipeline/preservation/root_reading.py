"""HistFactory XML as ROOT understands it, without ROOT.

Whatever a file does not say has ROOT's default here, which is not pyhf's: statistical uncertainties
below 5 % are left out and have Poisson terms, those of a ShapeSys are Gaussian, and every sample is
multiplied by the luminosity, whatever its NormalizeByTheory says.

Source: ROOT 6.40, ``roofit/histfactory`` (ConfigParser, HistoToWorkspaceFactoryFast,
HistFactoryImpl).
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uproot

from agc_pipeline.inference.interpolation import Array

Workspace = dict[str, Any]

TOP = "model.xml"

_THRESHOLD = 0.05
_ALPHA = (-5.0, 5.0)
_SHAPEFACTOR = (0.0, 1000.0)
_FACTOR = (0.0, 10.0)
# Highest value of statistical factors, in units of their width above one.
_REACH = 5.0


class Variable(NamedTuple):
    """A parameter of ROOT's model.

    Attributes:
        start: where its fit starts, and the value if it is fixed.
        bounds: lowest and highest value.
        fixed: whether it is constant.
    """

    start: float
    bounds: tuple[float, float]
    fixed: bool = False


class Reading(NamedTuple):
    """A model as ROOT reads it.

    Attributes:
        workspace: in pyhf's form; staterrors are named ``staterror_CHANNEL``.
        variables: ROOT's parameters by name.
        poi: the parameter of interest; None without one.
        luminosity: nominal value and width.
        poisson: channels with Poisson terms for statistical uncertainties.
        gaussian: names of ShapeSys with Gaussian terms.
        dropped: parameters of statistical uncertainties that are below the threshold.
    """

    workspace: Workspace
    variables: dict[str, Variable]
    poi: str | None
    luminosity: tuple[float, float]
    poisson: tuple[str, ...]
    gaussian: tuple[str, ...]
    dropped: tuple[str, ...]


def read(folder: Path) -> Reading:
    """What ROOT makes of ``model.xml`` in a folder, with histograms at paths relative to it."""
    top = ET.parse(folder / TOP).getroot()  # noqa: S314 - our own files
    (measurement,) = top.findall("Measurement")
    lumi = float(measurement.attrib["Lumi"])
    width = lumi * float(measurement.attrib["LumiRelErr"])
    with _Histograms(folder) as histograms:
        channels = [
            _Channel(
                ET.parse(folder / str(entry.text).strip()).getroot(),  # noqa: S314
                histograms,
                scaled=(lumi, width) != (1.0, 0.0),
            )
            for entry in top.findall("Input")
        ]
    variables = {"Lumi": Variable(lumi, (0.0, 10 * lumi), fixed=width == 0)}
    for channel in channels:
        for name, variable in channel.variables():
            variables.setdefault(name, variable)
    for setting in measurement.findall("ParamSetting"):
        for name in (setting.text or "").split():
            if name in variables:
                before = variables[name]
                variables[name] = before._replace(
                    start=float(setting.get("Val", before.start)),
                    fixed=before.fixed or setting.get("Const") == "True",
                )
    poi = (measurement.findtext("POI") or "").split()
    return Reading(
        workspace={
            "version": "1.0.0",
            "channels": [{"name": c.name, "samples": c.samples} for c in channels],
            "observations": [{"name": c.name, "data": c.observed} for c in channels],
            "measurements": [_measurement(measurement.attrib["Name"], poi, variables, lumi, width)],
        },
        variables=variables,
        poi=poi[0] if poi else None,
        luminosity=(lumi, width),
        poisson=tuple(c.name for c in channels if c.poisson),
        gaussian=tuple(name for c in channels for name in c.gaussian),
        dropped=tuple(name for c in channels for name in c.dropped),
    )


def _measurement(
    name: str, poi: list[str], variables: dict[str, Variable], lumi: float, width: float
) -> Any:
    """The measurement in pyhf's form, with the settings of parameters that have one value."""
    parameters = []
    for title, variable in variables.items():
        if title.startswith("gamma_"):
            continue
        entry: dict[str, Any] = {
            "name": "lumi" if title == "Lumi" else title.removeprefix("alpha_"),
            "inits": [variable.start],
            "bounds": [list(variable.bounds)],
            "fixed": variable.fixed,
        }
        if title == "Lumi":
            entry |= {"auxdata": [lumi], "sigmas": [width]}
        parameters.append(entry)
    title = poi[0].removeprefix("alpha_") if poi else ""
    return {"name": name, "config": {"poi": title, "parameters": parameters}}


class _Histograms:
    """The files of histograms below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}

    def __enter__(self) -> "_Histograms":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def contents(
        self, element: ET.Element, file: str, folder: str, suffix: str = ""
    ) -> list[float]:
        """Contents of the histogram that an element names.

        Args:
            element: in the file of a channel.
            file: that it is in, if the element names none.
            folder: in the file, likewise.
            suffix: of the attributes: Low or High for a HistoSys.
        """
        attribute = f"HistoFile{suffix}" if suffix else "InputFile"
        name = element.attrib[f"HistoName{suffix}"]
        path = element.get(f"HistoPath{suffix}", folder).strip("/")
        histogram = self._open(element.get(attribute, file))[f"{path}/{name}" if path else name]
        values: list[float] = histogram.values().tolist()
        return values

    def _open(self, file: str) -> Any:
        if file not in self._files:
            self._files[file] = uproot.open(self._folder / file)
        return self._files[file]


class _Channel:
    """A channel's file.

    Args:
        root: of the file.
        histograms: that it refers to.
        scaled: whether the luminosity changes anything.

    Attributes:
        name: of the channel.
        observed: its data.
        samples: in pyhf's form.
        poisson: whether statistical uncertainties have Poisson terms.
        gaussian: names of ShapeSys with Gaussian terms.
        dropped: parameters of statistical uncertainties that are below the threshold.
    """

    def __init__(self, root: ET.Element, histograms: _Histograms, *, scaled: bool) -> None:
        self.name = root.attrib["Name"]
        self._scaled = scaled
        self._histograms = histograms
        self._file, self._folder = root.get("InputFile", ""), root.get("HistoPath", "")
        self.gaussian: list[str] = []
        data = root.findall("Data")[0]
        self.observed = histograms.contents(data, self._file, self._folder)
        self._norms: dict[str, Variable] = {}
        self.samples = [self._sample(node) for node in root.findall("Sample")]
        # Of several, the last one counts.
        config = [ET.Element("StatErrorConfig"), *root.findall("StatErrorConfig")][-1]
        threshold = float(config.get("RelErrorThreshold", _THRESHOLD))
        relative = self._relative_errors()
        poisson = config.get("ConstraintType", "Poisson") in ("Poisson", "Pois")
        self.poisson = poisson and relative is not None
        self._relative = {} if relative is None else dict(enumerate(relative.tolist()))
        self.dropped = [
            self._factor(number)
            for number, width in self._relative.items()
            if 0 < width < threshold
        ]

    def _factor(self, number: int) -> str:
        return f"gamma_stat_{self.name}_bin_{number}"

    def _relative_errors(self) -> Array | None:
        """Statistical uncertainty of all samples that have one, by their content, (b)."""
        content, squares = np.zeros(len(self.observed)), np.zeros(len(self.observed))
        some = False
        for sample in self.samples:
            for modifier in sample["modifiers"]:
                if modifier["type"] == "staterror":
                    some = True
                    content += sample["data"]
                    squares += np.square(modifier["data"])
        relative: Array = np.divide(
            np.sqrt(squares), content, out=np.zeros_like(content), where=content > 0
        )
        return relative if some else None

    def _sample(self, node: ET.Element) -> Any:
        file, folder = node.get("InputFile", self._file), node.get("HistoPath", self._folder)
        contents = self._histograms.contents(node, file, folder)
        modifiers = [self._modifier(child, contents, file, folder) for child in node]
        if self._scaled:
            modifiers.insert(0, {"name": "lumi", "type": "lumi", "data": None})
        return {"name": node.attrib["Name"], "data": contents, "modifiers": modifiers}

    def _modifier(self, node: ET.Element, contents: list[float], file: str, folder: str) -> Any:
        name = node.get("Name", "")
        kind = node.tag
        data: Any = None
        match node.tag:
            case "NormFactor":
                bounds = (float(node.get("Low", 1)), float(node.get("High", 1)))
                self._norms.setdefault(name, Variable(float(node.get("Val", 1)), bounds))
                kind = "normfactor"
            case "OverallSys":
                kind = "normsys"
                data = {"hi": float(node.attrib["High"]), "lo": float(node.attrib["Low"])}
            case "HistoSys":
                kind = "histosys"
                data = {
                    f"{key}_data": self._histograms.contents(node, file, folder, suffix)
                    for key, suffix in (("hi", "High"), ("lo", "Low"))
                }
            case "ShapeFactor":
                kind = "shapefactor"
            case "ShapeSys":
                kind = "shapesys"
                if node.get("ConstraintType", "Gaussian") in ("Gaussian", "Gauss"):
                    self.gaussian.append(name)
            case "StatError":
                kind, name = "staterror", f"staterror_{self.name}"
        if kind in ("shapesys", "staterror"):
            relative = self._histograms.contents(node, file, folder)
            data = np.multiply(relative, contents).tolist()
        return {"name": name, "type": kind, "data": data}

    def variables(self) -> Iterator[tuple[str, Variable]]:
        """ROOT's parameters of the channel, apart from the luminosity."""
        for sample in self.samples:
            for modifier in sample["modifiers"]:
                name = modifier["name"]
                match modifier["type"]:
                    case "normfactor":
                        yield name, self._norms[name]
                    case "normsys" | "histosys":
                        yield f"alpha_{name}", Variable(0.0, _ALPHA)
                    case "shapefactor":
                        for number in range(len(self.observed)):
                            yield f"gamma_{name}_bin_{number}", Variable(1.0, _SHAPEFACTOR)
                    case "shapesys":
                        pairs = zip(modifier["data"], sample["data"], strict=True)
                        for number, (error, events) in enumerate(pairs):
                            width = error / events if events > 0 else 0.0
                            yield f"gamma_{name}_bin_{number}", _constrained(width)
        for number, width in self._relative.items():
            yield self._factor(number), _constrained(width, self._factor(number) in self.dropped)


def _constrained(width: float, dropped: bool = False) -> Variable:
    """A factor with an uncertainty; ROOT fixes it without one."""
    if width <= 0:
        return Variable(1.0, _FACTOR, fixed=True)
    return Variable(1.0, (0.0, 1 + _REACH * width), fixed=dropped)
