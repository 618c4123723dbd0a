"""A workspace as HS3 JSON, which ROOT's RooJSONFactoryWSTool and pyhs3 read.

Source: ROOT 6.40, ``roofit/hs3`` (JSONFactories_HistFactory, RooJSONFactoryWSTool).
"""

from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline.exchange import hs3
from agc_pipeline.files import read_json, write_json
from agc_pipeline.preservation import exchanged
from agc_pipeline.preservation.root_names import Names, names

Workspace = dict[str, Any]

DOCUMENT = "model.json"
VERSION = "0.2"
_VALUES = "default_values"
_DOMAIN = "default_domain"
_PDF, _DATA, _CATEGORY = "simPdf", "obsData", "channelCat"
# ROOT finds the data of a likelihood by its name.
_LIKELIHOOD = f"{_PDF}_{_DATA}"


def write(workspace: Workspace, path: Path) -> tuple[Names, list[str]]:
    """Write the model.

    Args:
        workspace: with one measurement, that can be read in one way only.
        path: of the JSON file.

    Returns:
        The names in the file, and what it does not hold, from reading it.
    """
    translation = names(workspace)
    write_json(path, _document(workspace, translation))
    model = hs3.read(read_json(path), place=str(path))
    lost = exchanged.differences(workspace, translation, model.workspace, model.variables)
    return translation, lost


def _document(workspace: Workspace, translation: Names) -> dict[str, Any]:
    (measurement,) = workspace["measurements"]
    observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
    parameters, auxiliary = exchanged.parameters(workspace)
    distributions, data = [], []
    # pyhf and ROOT sort channels by name, and pyhf has one order of statistical factors.
    channels = sorted(workspace["channels"], key=lambda channel: channel["name"])
    offsets: dict[str, int] = {}
    for channel in channels:
        title = translation.channels[channel["name"]]
        n = len(observed[channel["name"]])
        axes = [{"name": f"obs_x_{title}", "min": 0.0, "max": float(n), "nbins": n}]
        samples = [_sample(sample, translation, offsets, n) for sample in channel["samples"]]
        for name in _staterrors(channel):
            offsets[name] = offsets.get(name, 0) + n
        entry: dict[str, Any] = {
            "name": f"model_{title}",
            "type": "histfactory_dist",
            "axes": axes,
            "samples": samples,
        }
        if _staterrors(channel):
            # Else ROOT takes Poisson terms, and pyhs3 a factor for each sample.
            entry["staterror"] = {"constraint_type": "Gauss", "relThreshold": 0.0}
            entry["barlow_beeston_method"] = "lite"
        distributions.append(entry)
        data.append(
            {
                "name": f"{_DATA}_{title}",
                "type": "binned",
                "axes": axes,
                "contents": _floats(observed[channel["name"]]),
            }
        )
    values = [
        {"name": translation.parameters[name], "value": setting.start}
        | ({"const": True} if setting.fixed else {})
        for name, setting in parameters.items()
    ]
    constraints = []
    for name, term in auxiliary.items():
        variable = translation.parameters[name]
        if variable == "Lumi":
            constraints.append(_gaussian("lumiConstraint", "Lumi", "nominalLumi", term.width))
            values.append({"name": "nominalLumi", "value": term.value, "const": True})
        elif variable.startswith("alpha_") and term.value != 0:
            constraints.append(
                _gaussian(f"{variable}Constraint", variable, f"nom_{variable}", term.width)
            )
            values.append({"name": f"nom_{variable}", "value": term.value, "const": True})
    interest = translation.parameters.get(measurement["config"]["poi"])
    titles = [translation.channels[channel["name"]] for channel in channels]
    models = [f"model_{title}" for title in titles]
    return {
        "metadata": {"hs3_version": VERSION},
        "distributions": [*distributions, *constraints],
        "data": data,
        "likelihoods": [
            {
                "name": _LIKELIHOOD,
                "distributions": models,
                "data": [f"{_DATA}_{title}" for title in titles],
            }
        ],
        "domains": [
            {
                "name": _DOMAIN,
                "type": "product_domain",
                "axes": [
                    {
                        "name": translation.parameters[name],
                        "min": setting.bounds[0],
                        "max": setting.bounds[1],
                    }
                    for name, setting in parameters.items()
                ],
            }
        ],
        "parameter_points": [{"name": _VALUES, "parameters": values}],
        "misc": {"ROOT_internal": _combined(titles)},
        "analyses": [
            {
                "name": translation.measurement,
                "likelihood": _LIKELIHOOD,
                "domains": [_DOMAIN],
                "init": _VALUES,
                "parameters_of_interest": [] if interest is None else [interest],
            }
        ],
    }


def _combined(titles: list[str]) -> dict[str, Any]:
    """What ROOT needs to make one data set and one function of several channels."""
    indices = {"index_cat": _CATEGORY, "indices": list(range(len(titles))), "labels": titles}
    models = [f"model_{title}" for title in titles]
    return {
        "combined_datasets": {_DATA: indices},
        "combined_distributions": {_PDF: indices | {"distributions": models}},
    }


def _gaussian(name: str, x: str, mean: str, sigma: float) -> dict[str, Any]:
    return {"name": name, "type": "gaussian_dist", "x": x, "mean": mean, "sigma": sigma}


def _staterrors(channel: Any) -> list[str]:
    return list(
        dict.fromkeys(
            modifier["name"]
            for sample in channel["samples"]
            for modifier in sample["modifiers"]
            if modifier["type"] == "staterror"
        )
    )


def _sample(
    sample: Any, translation: Names, offsets: dict[str, int], n_bins: int
) -> dict[str, Any]:
    contents: dict[str, Any] = {"contents": _floats(sample["data"])}
    modifiers = []
    for modifier in sample["modifiers"]:
        if modifier["type"] == "staterror":
            contents["errors"] = _floats(modifier["data"])
        modifiers.append(_modifier(modifier, sample["data"], translation, offsets, n_bins))
    return {
        "name": translation.samples[sample["name"]],
        "data": contents,
        "modifiers": modifiers,
    }


def _modifier(
    modifier: Any,
    contents: list[float],
    translation: Names,
    offsets: dict[str, int],
    n_bins: int,
) -> dict[str, Any]:
    kind, name, data = modifier["type"], modifier["name"], modifier["data"]
    first = offsets.get(name, 0) if kind == "staterror" else 0
    several = [
        translation.parameters.get(f"{name}[{number}]", "")
        for number in range(first, first + n_bins)
    ]
    title = translation.modifiers.get(name, kind)
    match kind:
        case "lumi":
            return {
                "name": "Lumi",
                "type": "normfactor",
                "parameter": translation.parameters[name],
                "constraint_name": "lumiConstraint",
            }
        case "normfactor":
            return {"name": title, "type": kind, "parameter": translation.parameters[name]}
        case "normsys":
            own: dict[str, Any] = {"hi": float(data["hi"]), "lo": float(data["lo"])}
        case "histosys":
            own = {key: {"contents": _floats(data[f"{key}_data"])} for key in ("hi", "lo")}
        case "shapefactor":
            return {"name": title, "type": kind, "parameters": several}
        case "shapesys":
            return {
                "name": title,
                "type": kind,
                "parameters": several,
                "constraint_type": "Poisson",
                "data": {"vals": _relative(data, contents)},
            }
        case _:
            return {
                "name": "staterror",
                "type": kind,
                "parameters": several,
                "constraint_type": "Gauss",
            }
    return {
        "name": title,
        "type": kind,
        "parameter": translation.parameters[name],
        "constraint_type": "Gauss",
        "data": own,
    }


def _relative(errors: list[float], contents: list[float]) -> list[float]:
    """Errors by the content, zero where there is none."""
    widths, content = np.array(errors, dtype=np.float64), np.array(contents, dtype=np.float64)
    relative = np.divide(widths, content, out=np.zeros_like(content), where=content > 0)
    return _floats(relative)


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]
