"""What a model lost on its way through the format of another program.

Two workspaces are compared part by part, with the names of the format for channels, samples and
parameters: what has none in common is not the same.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from agc_pipeline.inference.workspace import load
from agc_pipeline.preservation.root_names import Names

Workspace = dict[str, Any]

_TOLERANCE = 1e-9


class Setting(NamedTuple):
    """How pyhf's model treats a parameter."""

    start: float
    bounds: tuple[float, float]
    fixed: bool


class Auxiliary(NamedTuple):
    """The measurement that constrains a parameter: its value, and its width or scale."""

    value: float
    width: float


class Parameters(NamedTuple):
    """The parameters of pyhf's model, by its names of them.

    Attributes:
        settings: how the model treats each.
        auxiliary: the measurements that constrain some of them.
    """

    settings: dict[str, Setting]
    auxiliary: dict[str, Auxiliary]


def parameters(workspace: Workspace) -> Parameters:
    """The parameters of the model of a workspace."""
    config = load(workspace, place="workspace")[0].config
    return Parameters(_settings(config), _auxiliary(config))


def _settings(config: Any) -> dict[str, Setting]:
    values = zip(
        config.par_names,
        config.suggested_init(),
        config.suggested_bounds(),
        config.suggested_fixed(),
        strict=True,
    )
    return {
        name: Setting(float(start), (float(low), float(high)), bool(fixed))
        for name, start, (low, high), fixed in values
    }


def _auxiliary(config: Any) -> dict[str, Auxiliary]:
    found: dict[str, Auxiliary] = {}
    for name in config.auxdata_order:
        parameter = config.param_set(name)
        n = parameter.n_parameters
        widths = {
            "normal": getattr(parameter, "sigmas", [1.0] * n),
            "poisson": getattr(parameter, "factors", [1.0] * n),
        }[parameter.pdf_type]
        several = not parameter.is_scalar
        for number, (value, width) in enumerate(zip(parameter.auxdata, widths, strict=True)):
            found[f"{name}[{number}]" if several else name] = Auxiliary(float(value), float(width))
    return found


def differences(
    ours: Workspace, translation: Names, theirs: Workspace, variables: Mapping[str, str]
) -> list[str]:
    """What is not in a second workspace, apart from rounding.

    Args:
        ours: the first one.
        translation: of its names into those of the format.
        theirs: the second one, with channels and samples of the format.
        variables: names of its parameters in the format, by pyhf's.
    """
    terms = dict(_terms(ours, translation, theirs, variables))
    missing = {name for name in terms.values() if name is not None}
    return [
        *_contents(ours, translation, theirs),
        *terms,
        *_parameters(ours, translation, theirs, variables, missing),
    ]


def _contents(ours: Workspace, translation: Names, theirs: Workspace) -> Iterator[str]:
    observed = {entry["name"]: entry["data"] for entry in theirs["observations"]}
    for entry in ours["observations"]:
        title = translation.channels.get(entry["name"])
        if title is not None and not _same(entry["data"], observed.get(title)):
            yield f"data of {entry['name']}"
    contents = {
        (channel["name"], sample["name"]): sample["data"]
        for channel in theirs["channels"]
        for sample in channel["samples"]
    }
    for channel in ours["channels"]:
        for sample in channel["samples"]:
            key = translation.channels[channel["name"]], translation.samples[sample["name"]]
            if not _same(sample["data"], contents.get(key)):
                yield f"{channel['name']}, {sample['name']}"


def _terms(
    ours: Workspace, translation: Names, theirs: Workspace, variables: Mapping[str, str]
) -> Iterator[tuple[str, str | None]]:
    """Modifiers that the second workspace has not, by name, or has with other data, by None."""
    other = {key: data for key, _, data in _modifiers(theirs, variables)}
    for (channel, sample, kind, own), label, data in _modifiers(ours, translation.parameters):
        key = translation.channels[channel], translation.samples[sample], kind, own
        if key not in other:
            yield label, label.rpartition(f", {kind} ")[2]
        elif not _same(data, other[key]):
            yield label, None


def _modifiers(
    workspace: Workspace, variables: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str, str, str], str, Any]]:
    """Channel, sample, kind and first variable of each modifier; a label; its numbers."""
    first: dict[tuple[str, str], int] = {}
    offsets: dict[str, int] = {}
    for channel in sorted(workspace["channels"], key=lambda channel: channel["name"]):
        for name in dict.fromkeys(
            modifier["name"]
            for sample in channel["samples"]
            for modifier in sample["modifiers"]
            if modifier["type"] == "staterror"
        ):
            first[channel["name"], name] = offsets.get(name, 0)
            offsets[name] = first[channel["name"], name] + len(channel["samples"][0]["data"])
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                name, kind, data = modifier["name"], modifier["type"], modifier["data"]
                several = kind in ("staterror", "shapesys", "shapefactor")
                number = first.get((channel["name"], name), 0) if kind == "staterror" else 0
                own = variables[f"{name}[{number}]" if several else name]
                if isinstance(data, dict):
                    data = np.concatenate([np.atleast_1d(data[key]) for key in sorted(data)])
                label = f"{channel['name']}, {sample['name']}, {kind} {name}"
                yield (channel["name"], sample["name"], kind, own), label, data


def _parameters(
    ours: Workspace,
    translation: Names,
    theirs: Workspace,
    variables: Mapping[str, str],
    missing: Collection[str],
) -> Iterator[str]:
    (measurement,), (twin,) = ours["measurements"], theirs["measurements"]
    interest = measurement["config"]["poi"]
    if translation.parameters.get(interest) != variables.get(twin["config"]["poi"]):
        yield f"parameter of interest {interest}"
    own_parameters, their_parameters = parameters(ours), parameters(theirs)
    other = {variables[name]: setting for name, setting in their_parameters.settings.items()}
    terms = {variables[name]: term for name, term in their_parameters.auxiliary.items()}
    found: dict[str, None] = {}
    for name, own in own_parameters.settings.items():
        twin_setting = other.get(translation.parameters[name])
        modifier = name.rpartition("[")[0] if name.endswith("]") else name
        if twin_setting is None or modifier in missing:
            continue
        if own.fixed != twin_setting.fixed:
            found[f"fixed value of {modifier}"] = None
        elif own.start != twin_setting.start:
            found[f"{'fixed value' if own.fixed else 'start'} of {modifier}"] = None
        if not own.fixed and own.bounds != twin_setting.bounds:
            found[f"bounds of {modifier}"] = None
    for name, term in own_parameters.auxiliary.items():
        modifier = name.rpartition("[")[0] if name.endswith("]") else name
        if own_parameters.settings[name].fixed or modifier in missing:
            continue
        if not _same(term, terms.get(translation.parameters[name])):
            found[f"auxiliary measurement of {modifier}"] = None
    yield from found


def _same(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    first, second = (np.asarray(values, dtype=np.float64) for values in (ours, theirs))
    return first.shape == second.shape and np.allclose(first, second, rtol=_TOLERANCE, atol=0)
