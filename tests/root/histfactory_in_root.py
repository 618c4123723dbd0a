"""Reads HistFactory XML as ROOT does, and fits it with RooFit: a program for ROOT's interpreter.

The wheel of ROOT has HistFactory, but not the XML parser that hist2workspace needs. Every attribute
goes where ROOT's ConfigParser puts it, with its defaults, and unknown ones are errors as there.

    python histfactory_in_root.py < REQUEST > ANSWER

The request has folders, each with points: values of some parameters by ROOT's names. The answer has
for each folder the negative logarithm of the likelihood at the points, the parameters as ROOT made
them, and the fit; or an error.
"""

import json
import os
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

warnings.filterwarnings("ignore")

import ROOT  # noqa: E402

FACTORY = ROOT.RooStats.HistFactory
CONSTRAINTS = {
    "Gaussian": FACTORY.Constraint.Gaussian,
    "Gauss": FACTORY.Constraint.Gaussian,
    "Poisson": FACTORY.Constraint.Poisson,
    "Pois": FACTORY.Constraint.Poisson,
}
TRUTH = {"True": True, "true": True, "False": False, "false": False}


class Attributes:
    """The attributes of an element, of which each must be asked for."""

    def __init__(self, node):
        self._node = node
        self._left = set(node.attrib)

    def __call__(self, name, default=None):
        self._left.discard(name)
        return self._node.attrib[name] if default is None else self._node.get(name, default)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self._left:
            raise ValueError(f"{self._node.tag}: unknown attributes {self._left}")


def channel(path):
    node = ET.parse(path).getroot()  # noqa: S314 - our own files
    with Attributes(node) as get:
        result = FACTORY.Channel(get("Name"))
        file, folder = get("InputFile", ""), get("HistoPath", "")
    result.SetStatErrorConfig(0.05, FACTORY.Constraint.Poisson)
    for child in node:
        with Attributes(child) as get:
            if child.tag == "Data":
                name = get("HistoName")
                result.SetData(name, get("InputFile", file), get("HistoPath", folder))
            elif child.tag == "StatErrorConfig":
                threshold = float(get("RelErrorThreshold", "0.05"))
                result.SetStatErrorConfig(threshold, CONSTRAINTS[get("ConstraintType", "Poisson")])
            else:
                result.AddSample(sample(child, get, file, folder))
    return result


def sample(node, get, file, folder):
    file, folder = get("InputFile", file), get("HistoPath", folder)
    result = FACTORY.Sample(get("Name"), get("HistoName"), file, folder)
    result.SetNormalizeByTheory(TRUTH[get("NormalizeByTheory", "True")])
    for child in node:
        with Attributes(child) as of:
            modifier(result, child.tag, of, file, folder)
    return result


def modifier(result, tag, get, file, folder):
    if tag == "StatError":
        if TRUTH[get("Activate")]:
            name = get("HistoName")
            result.ActivateStatError(name, get("InputFile", file), get("HistoPath", folder))
        return
    name = get("Name")
    if tag == "NormFactor":
        result.AddNormFactor(name, *(float(get(key)) for key in ("Val", "Low", "High")))
    elif tag == "OverallSys":
        result.AddOverallSys(name, float(get("Low")), float(get("High")))
    elif tag == "HistoSys":
        shapes = [
            (
                get(f"HistoName{side}"),
                get(f"HistoFile{side}", file),
                get(f"HistoPath{side}", folder),
            )
            for side in ("Low", "High")
        ]
        result.AddHistoSys(name, *shapes[0], *shapes[1])
    elif tag == "ShapeSys":
        constraint = CONSTRAINTS[get("ConstraintType", "Gaussian")]
        place = get("InputFile", file), get("HistoPath", folder)
        result.AddShapeSys(name, constraint, get("HistoName"), *place)
    elif tag == "ShapeFactor":
        result.AddShapeFactor(name)
    else:
        raise ValueError(tag)


def measurement():
    top = ET.parse("model.xml").getroot()  # noqa: S314
    node = top.find("Measurement")
    with Attributes(node) as get:
        name = get("Name")
        get("ExportOnly", "False")
        result = FACTORY.Measurement(name, name)
        result.SetLumi(float(get("Lumi")))
        result.SetLumiRelErr(float(get("LumiRelErr")))
    result.SetOutputFilePrefix(top.get("OutputFilePrefix"))
    for child in node:
        # Names in a list are separated by spaces.
        for parameter in (child.text or "").split():
            if child.tag == "POI":
                result.AddPOI(parameter)
            elif child.tag == "ParamSetting":
                if child.get("Const") == "True":
                    result.AddConstantParam(parameter)
                if "Val" in child.attrib:
                    result.SetParamValue(parameter, float(child.get("Val")))
            else:
                raise ValueError(child.tag)
    for child in top.findall("Input"):
        result.AddChannel(channel(child.text.strip()))
    result.CollectHistograms()
    return result


def answer(points):
    """About the model in this folder."""
    workspace = FACTORY.MakeModelAndMeasurementFast(measurement())
    config = workspace.obj("ModelConfig")
    data = workspace.data("obsData")
    observables = ROOT.RooFit.GlobalObservables(config.GetGlobalObservables())
    likelihood = config.GetPdf().createNLL(data, observables)
    variables = {variable.GetName(): variable for variable in likelihood.getParameters(data)}
    start = {
        name: [v.getVal(), v.getMin(), v.getMax(), bool(v.isConstant())]
        for name, v in variables.items()
    }
    values = []
    for point in points:
        for name, (value, *_) in start.items():
            variables[name].setVal(point.get(name, value))
        values.append(likelihood.getVal())
    for name, (value, *_) in start.items():
        variables[name].setVal(value)
    minimiser = ROOT.RooMinimizer(likelihood)
    minimiser.setPrintLevel(-1)
    minimiser.setStrategy(2)
    minimiser.setEps(0.01)
    minimiser.minimize("Minuit2", "Migrad")
    minimiser.hesse()
    fit = {n: [v.getVal(), v.getError()] for n, v in variables.items() if not v.isConstant()}
    return {"values": values, "variables": start, "fit": fit}


def main():
    # C++ prints to the same place; the answer is the last line.
    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    answers = {}
    for folder, points in json.load(sys.stdin).items():
        before = Path.cwd()
        os.chdir(folder)
        try:
            answers[folder] = answer(points)
        except Exception as error:
            answers[folder] = {"error": str(error)}
        os.chdir(before)
    print(json.dumps(answers))


main()
