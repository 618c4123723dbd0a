"""External workspaces: of somebody else, or from a published likelihood.

What such a workspace tells of itself is brought into the form of an analysis, so that everything
that draws and tabulates an analysis works for it as well.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline import archives
from agc_pipeline.declaration import Analysis, Physics, Process, Region, Systematic
from agc_pipeline.errors import ConfigurationError, InputError, ModelError
from agc_pipeline.exchange import Model, card_text, datacard, hs3
from agc_pipeline.files import parse_json
from agc_pipeline.formatting import quoted, shortened
from agc_pipeline.inference import consistency, patches
from agc_pipeline.inference.checks import Finding
from agc_pipeline.inference.fit_records import Channel, FitRecord, ModelDescription
from agc_pipeline.inference.impacts import OTHER, matching_groups
from agc_pipeline.inference.workspace import validate_schema
from agc_pipeline.inputs import ParameterSettings, WorkspaceInput
from agc_pipeline.settings import unknown

Workspace = dict[str, Any]

# Beginnings of files of other programs, with what makes a workspace of them.
_OTHERS = {
    b"<": ("XML", "convert it with `pyhf xml2json`, if it is of HistFactory"),
    b"root": ("a ROOT file", "write its RooWorkspace as HS3 JSON, with RooJSONFactoryWSTool"),
}
# Characters of a channel's name in those of files.
_LONGEST = 100


def read(source: WorkspaceInput) -> tuple[Workspace, tuple[Finding, ...]]:
    """The workspace, with the signal patched in, and only one measurement.

    Returns:
        It, and what had to be changed in it.

    Raises:
        InputError: if a file is missing or damaged, or a patch does not fit.
        ConfigurationError: if settings are for parameters that it does not have.
        ModelError: if it has no such measurement.
    """
    content, notes = _model(source)
    validate_schema(content, place=source.path)
    measurement = _measurement(content, source)
    poi = _interest(content, measurement["config"]["poi"], source)
    parameters = _parameters(content, measurement["config"]["parameters"], source.parameters)
    config = measurement["config"] | {"poi": poi, "parameters": parameters}
    workspace: Workspace = content | {"measurements": [measurement | {"config": config}]}
    own = measurement["config"]["poi"]
    if poi or not own or source.poi is not None:
        return workspace, notes
    sizes = consistency.parameter_sizes(content)
    reason = (
        f"the measurement names {quoted(own)}, which has {sizes[own]} values"
        if own in sizes
        else f"the measurement names an {shortened(str(unknown('parameter', [own], sizes)))}"
    )
    finding = Finding(
        severity="warning",
        where="parameter of interest",
        message=f"the fit has none: {reason}",
        remedy="name one with `input.poi`, or patch the signal in with `input.patch`",
    )
    return workspace, (*notes, finding)


def _model(source: WorkspaceInput) -> tuple[Workspace, tuple[Finding, ...]]:
    """The workspace of a file of any format, and what it has otherwise."""
    path = Path(source.path)
    text = archives.read(path, source.member)
    if card_text.is_card(text.decode("utf-8-sig", errors="replace")):
        model = _card(source, text)
    else:
        for beginning, (kind, remedy) in _OTHERS.items():
            if text.lstrip().startswith(beginning):
                raise InputError(
                    f"this is {kind}, and no workspace of pyhf, HS3 JSON or datacard",
                    place=_place(path, source.member),
                    remedy=remedy,
                )
        content = parse_json(text, place=_place(path, source.member))
        if source.patch is not None:
            content = _patched(content, source, source.patch)
        if not hs3.is_document(content):
            return content, ()
        model = hs3.read(content, place=source.path, analysis=source.measurement)
    notes = (
        Finding(severity="warning", where=source.path, message=note, remedy="see the file")
        for note in model.notes
    )
    return model.workspace, tuple(notes)


def _card(source: WorkspaceInput, text: bytes) -> Model:
    """The model of a datacard.

    Raises:
        InputError: if it is in an archive, or no text.
        ConfigurationError: if a patch is to be applied to it.
    """
    if source.patch is not None:
        raise ConfigurationError(
            "patches are for JSON, and this is a datacard",
            place="input.patch",
            remedy="remove it, and write the signal into the card",
        )
    if source.member is not None:
        raise InputError(
            "a datacard in an archive",
            place=source.path,
            remedy="unpack it, with the histograms that it refers to, and name the card",
        )
    try:
        card = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"not a text in UTF-8: {error}", place=source.path, remedy="repair the file"
        ) from error
    histograms = datacard.histograms_of(Path(source.path).parent)
    return datacard.read(card, histograms, place=source.path)


def _interest(content: Workspace, own: str, source: WorkspaceInput) -> str:
    """Name of the parameter of interest, any of the model; empty without one.

    The measurement of a background-only likelihood may name that of a signal to be patched in.

    Raises:
        ConfigurationError: if the configuration names what is no parameter.
    """
    sizes = consistency.parameter_sizes(content)
    if not source.poi:
        # It is one number, and pyhf knows no names for those of single bins.
        return own if source.poi is None and sizes.get(own) == 1 else ""
    if problem := unknown("parameter", [source.poi], sizes):
        raise ConfigurationError(
            problem, place="input.poi", remedy="correct the name, or give an empty one for none"
        )
    if sizes[source.poi] > 1:
        raise ConfigurationError(
            f"{source.poi!r} has {sizes[source.poi]} values, one for each bin",
            place="input.poi",
            remedy="choose a parameter that is one number",
        )
    return source.poi


def _parameters(
    content: Workspace, entries: list[Any], settings: Mapping[str, ParameterSettings]
) -> list[Any]:
    """The settings of the measurement with those of the configuration in their place."""
    sizes = consistency.parameter_sizes(content)
    if problem := unknown("parameter", settings, sizes):
        raise ConfigurationError(
            problem, place="input.parameters", remedy="correct or remove the name"
        )
    own = {entry["name"]: entry for entry in entries}
    changed = {
        name: own.get(name, {"name": name}) | _entry(name, wanted, sizes[name])
        for name, wanted in settings.items()
    }
    # pyhf frees a parameter that it is told to free, with or without an uncertainty.
    for name, wanted in settings.items():
        if wanted.fixed is False:
            changed[name].pop("fixed", None)
    others = [name for name in changed if name not in own]
    return [
        *(changed.get(entry["name"], entry) for entry in entries),
        *(changed[name] for name in others),
    ]


def _entry(name: str, wanted: ParameterSettings, size: int) -> dict[str, Any]:
    """Settings of a parameter with so many values, in pyhf's words."""
    entry: dict[str, Any] = {}
    if wanted.start is not None:
        starts = wanted.start if isinstance(wanted.start, tuple) else (wanted.start,)
        entry["inits"] = _for_each(starts, size, f"input.parameters.{name}.start")
    if wanted.all_bounds:
        bounds = [list(pair) for pair in wanted.all_bounds]
        entry["bounds"] = _for_each(bounds, size, f"input.parameters.{name}.bounds")
    if wanted.fixed:
        entry["fixed"] = True
    return entry


def _for_each(values: Sequence[Any], size: int, key: str) -> list[Any]:
    """One value for each, of one for all or as many."""
    if len(values) not in (1, size):
        raise ConfigurationError(
            f"{len(values)} values for a modifier with {size} bins",
            place=key,
            remedy="give one for all bins, or one for each",
        )
    return list(values) if len(values) == size else list(values) * size


def _measurement(content: Workspace, source: WorkspaceInput) -> Any:
    """The measurement that is asked for, or the first one."""
    measurements = content["measurements"]
    name = measurements[0]["name"] if source.measurement is None else source.measurement
    matching = [entry for entry in measurements if entry["name"] == name]
    if not matching:
        names = [entry["name"] for entry in measurements]
        raise ModelError(
            f"no measurement {name!r}: {unknown('measurement', [name], names)}",
            place=source.path,
            remedy="correct `input.measurement`",
        )
    if len(matching) > 1:
        raise ModelError(
            f"measurement {quoted(name)} is defined twice",
            place=source.path,
            remedy="remove or rename one of them",
        )
    return matching[0]


def describe(
    workspace: Workspace, groups: Mapping[str, tuple[str, ...]] | None = None
) -> ModelDescription:
    """The model of a workspace.

    Args:
        workspace: with one measurement.
        groups: of systematics, to patterns of their names.
    """
    names = systematics(workspace)
    matching = matching_groups(names, groups or {})
    return ModelDescription(
        analysis=workspace["measurements"][0]["name"],
        data="observed",
        partial=False,
        left_out=(),
        channels=_channels(workspace),
        groups={name: matching.get(name, OTHER) for name in names},
    )


def systematics(workspace: Workspace) -> list[str]:
    """Names of the modifiers that are no statistical factors and not free."""
    return _names(workspace, "normsys", "histosys", "lumi")


def free_normalisations(workspace: Workspace) -> list[str]:
    """Names of the normalisations without a constraint, that of interest first."""
    interest = workspace["measurements"][0]["config"]["poi"]
    return sorted(_names(workspace, "normfactor"), key=lambda name: name != interest)


def analysis(fit: FitRecord) -> Analysis:
    """The regions, samples and systematics of a fit.

    Samples are ordered by their yield, so that the largest is on top of a stack.
    """
    sizes: dict[str, float] = {}
    for channel in fit.yields.prefit.values():
        for name, events in channel.samples.items():
            sizes[name] = sizes.get(name, 0.0) + events.total
    processes = tuple(
        Process(_identifier(name, number), name)
        for number, name in enumerate(sorted(sizes, key=lambda name: sizes[name]))
    )
    return Analysis(
        name=fit.analysis,
        settings=Physics,
        regions=tuple(
            Region(channel.region, title, "the bins", channel.label, channel.edges)
            for title, channel in fit.channels.items()
        ),
        processes=processes,
        datasets=(),
        systematics=tuple(
            Systematic(name, effects={p.name: 0.0 for p in processes}, group=group)
            for name, group in fit.groups.items()
        ),
    )


def _channels(workspace: Workspace) -> dict[str, Channel]:
    """The channels, by name. Without axes in a workspace, bins are numbered."""
    observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
    return {
        channel["name"]: Channel(
            region=_identifier(channel["name"], number),
            label="bin",
            edges=tuple(np.arange(len(observed[channel["name"]]) + 1) + 0.5),
            observed=observed[channel["name"]],
        )
        for number, channel in enumerate(workspace["channels"])
    }


def _identifier(name: str, number: int) -> str:
    """A name that may be part of a file name, and is that of nothing else."""
    safe = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    return f"{number:02d}_{safe[:_LONGEST]}"


def _names(workspace: Workspace, *kinds: str) -> list[str]:
    return list(
        dict.fromkeys(
            modifier["name"]
            for channel in workspace["channels"]
            for sample in channel["samples"]
            for modifier in sample["modifiers"]
            if modifier["type"] in kinds
        )
    )


def _patched(content: Workspace, source: WorkspaceInput, patch: str) -> Workspace:
    """The workspace with the signal that is asked for."""
    name = patch if source.patchset is None else source.patchset
    path, member = (Path(name), None) if source.member is None else (Path(source.path), name)
    document = _content(path, member)
    place = name if member is None else f"{name} in {source.path}"
    if source.patchset is None:
        operations = patches.require_single(document, place=place)
    else:
        operations = patches.signal(content, document, patch, place=place)
    patched: Workspace = patches.apply(content, operations, place=place)
    return patched


def _content(path: Path, member: str | None) -> Any:
    """A JSON file, or one of an archive."""
    return parse_json(archives.read(path, member), place=_place(path, member))


def _place(path: Path, member: str | None) -> str:
    return str(path) if member is None else f"{member} in {path}"
