"""External workspaces: of somebody else, or from a published likelihood.

What such a workspace tells of itself is brought into the form of an analysis, so that everything
that draws and tabulates an analysis works for it as well.
"""

import json
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyhf

from agc_pipeline.declaration import Analysis, Physics, Process, Region, Systematic
from agc_pipeline.errors import InputError, ModelError
from agc_pipeline.files import read_json
from agc_pipeline.formatting import quoted
from agc_pipeline.inference.fit_records import Channel, FitRecord, ModelDescription
from agc_pipeline.inference.impacts import OTHER, matching_groups
from agc_pipeline.inference.workspace import validate_schema
from agc_pipeline.inputs import WorkspaceInput
from agc_pipeline.settings import unknown

Workspace = dict[str, Any]


def read(source: WorkspaceInput) -> Workspace:
    """The workspace, with the signal patched in, and only one measurement.

    Raises:
        InputError: if a file is missing or damaged, or has no such patch.
        ModelError: if it has no such measurement, or no parameter of interest.
    """
    path = Path(source.path)
    content = _content(path, source.member)
    if source.patchset is not None:
        content = _patched(content, source)
    validate_schema(content, place=source.path)
    measurement = _measurement(content, source)
    poi = source.poi or measurement["config"]["poi"]
    free = _names(content, "normfactor")
    if poi not in free:
        raise ModelError(
            f"no free normalisation {poi!r}" if poi else "the measurement defines no POI",
            place=source.path,
            remedy=f"choose among {', '.join(free)} with `input.poi`",
        )
    config = measurement["config"] | {"poi": poi}
    workspace: Workspace = content | {"measurements": [measurement | {"config": config}]}
    return workspace


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
    return f"{number:02d}_{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_')}"


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


def _patched(content: Workspace, source: WorkspaceInput) -> Workspace:
    archive = source.member is not None
    patches = _content(
        Path(source.path if archive else str(source.patchset)), source.patchset if archive else None
    )
    try:
        patched: Workspace = pyhf.PatchSet(patches).apply(content, source.patch)
    except (
        pyhf.exceptions.InvalidPatchSet,
        pyhf.exceptions.InvalidPatchLookup,
        pyhf.exceptions.PatchSetVerificationError,
        pyhf.exceptions.InvalidSpecification,
    ) as error:
        entries = patches.get("patches", []) if isinstance(patches, dict) else []
        names = [patch["metadata"]["name"] for patch in entries]
        raise InputError(
            f"cannot apply patch {source.patch!r}: {error}",
            place=str(source.patchset),
            remedy=f"choose among {', '.join(names[:20]) or 'other files'}",
        ) from error
    return patched


def _content(path: Path, member: str | None) -> Any:
    """A JSON file, or one of an archive."""
    if member is None:
        return read_json(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read(member))
        with tarfile.open(path) as tar:
            file = tar.extractfile(member)
            if file is None:
                raise KeyError(member)
            return json.load(file)
    except KeyError:
        raise InputError(
            f"no file {member!r} in the archive",
            place=str(path),
            remedy="look at its list of files",
        ) from None
    except (OSError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(
            f"cannot read {member!r}: {error}",
            place=str(path),
            remedy="give a JSON file, or a .zip or .tar.gz with one",
        ) from error
