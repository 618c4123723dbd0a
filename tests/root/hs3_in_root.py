"""Evaluate models in HS3 JSON: a program for ROOT's interpreter.

    python hs3_in_root.py < REQUEST > ANSWER

The request has paths of files, each with points: values of some parameters. The answer has for each
file the negative logarithm of the likelihood at the points, and the parameters as ROOT made them;
or an error.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import ROOT  # noqa: E402


def answer(path, points):
    """About the model in a file."""
    workspace = ROOT.RooWorkspace("workspace")
    tool = ROOT.RooJSONFactoryWSTool(workspace)
    if not tool.importJSON(path):
        raise ValueError("not imported")
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        name = json.load(file)["analyses"][0]["name"]
    config = workspace.obj(name)
    pdf = config.GetPdf()
    data = workspace.data("obsData") or next(iter(workspace.allData()))
    # The nominal values of auxiliary measurements are constant.
    likelihood = pdf.createNLL(data)
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
    return {"values": values, "variables": start}


def main():
    # C++ prints to the same place; the answer is the last line.
    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    answers = {}
    for path, points in json.load(sys.stdin).items():
        try:
            answers[path] = answer(path, points)
        except Exception as error:
            answers[path] = {"error": str(error)}
    print(json.dumps(answers))


main()
