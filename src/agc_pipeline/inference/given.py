"""A workspace, or a published likelihood, that somebody else made."""

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyhf

from agc_pipeline.errors import InputError, ModelError
from agc_pipeline.files import read_json
from agc_pipeline.inputs import WorkspaceInput

Workspace = dict[str, Any]


def read(source: WorkspaceInput) -> Workspace:
    """The workspace, with the signal patched in, and only the measurement that is wanted.

    Raises:
        InputError: if a file is missing or damaged, or has no such patch.
        ModelError: if it has no such measurement, or no parameter of interest.
    """
    path = Path(source.path)
    content = _content(path, source.member)
    if source.patchset is not None:
        content = _patched(content, source)
    try:
        pyhf.schema.validate(content, "workspace.json")
    except (pyhf.exceptions.InvalidSpecification, pyhf.exceptions.SchemaNotFound) as error:
        raise ModelError(
            f"not a valid workspace: {error}",
            place=source.path,
            remedy="give a JSON file of pyhf with channels, observations and measurements",
        ) from error
    measurements = {entry["name"]: entry for entry in content["measurements"]}
    name = source.measurement or next(iter(measurements))
    if name not in measurements:
        raise ModelError(
            f"no measurement {name!r}",
            place=source.path,
            remedy=f"choose among {', '.join(measurements)} with `input.measurement`",
        )
    chosen = measurements[name]
    poi = source.poi or chosen["config"]["poi"]
    free = _free(content)
    if poi not in free:
        raise ModelError(
            f"no free normalisation {poi!r}" if poi else "the measurement has nothing of interest",
            place=source.path,
            remedy=f"choose among {', '.join(free)} with `input.poi`",
        )
    config = chosen["config"] | {"poi": poi}
    found: Workspace = content | {"measurements": [chosen | {"config": config}]}
    return found


def systematics(workspace: Workspace) -> list[str]:
    """Names of the modifiers that are no statistical factors and not free."""
    return _names(workspace, "normsys", "histosys", "lumi")


def _free(workspace: Workspace) -> list[str]:
    return _names(workspace, "normfactor")


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
        known = patches.get("patches", []) if isinstance(patches, dict) else []
        names = [patch["metadata"]["name"] for patch in known]
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
