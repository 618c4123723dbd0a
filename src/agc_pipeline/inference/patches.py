"""Signals that are patched into the workspace of a background."""

import copy
from typing import Any

import jsonpatch

from agc_pipeline.errors import InputError
from agc_pipeline.formatting import quoted, shortened
from agc_pipeline.settings import unknown

Workspace = dict[str, Any]


def signal(content: Any, patches: Any, name: str, *, place: str) -> list[Any]:
    """The operations of one signal of a patchset.

    Args:
        content: the workspace that the patchset belongs to.
        patches: the patchset.
        name: of the signal.
        place: of the patchset, for errors.

    Raises:
        InputError: if it is not a patchset, has no such signal, or is that of another workspace.
    """
    import pyhf

    if isinstance(patches, list):
        raise InputError(
            "this is a single patch, not a patchset",
            place=place,
            remedy="name this file with `input.patch`, and no `input.patchset`",
        )
    try:
        pyhf.schema.validate(patches, "patchset.json")
        patchset = pyhf.PatchSet(patches)
    except pyhf.exceptions.InvalidSpecification as error:
        raise _invalid(error, "patchset", place) from error
    except pyhf.exceptions.InvalidPatchSet as error:
        raise InputError(
            f"not a valid patchset: {shortened(str(error))}",
            place=place,
            remedy="write the patch that is meant into a file of its own, and name it with "
            "`input.patch`",
        ) from error
    names = [patch.name for patch in patchset]
    if name not in names:
        raise InputError(
            shortened(str(unknown("patch", [name], names))),
            place=place,
            remedy="correct `input.patch`",
        )
    try:
        patchset.verify(content)
    except pyhf.exceptions.PatchSetVerificationError as error:
        raise InputError(
            f"the patchset is for another workspace: {error}",
            place=place,
            remedy="give the background-only workspace that was published with it, unchanged",
        ) from error
    operations: list[Any] = patchset[name].patch
    return operations


def require_single(patch: Any, *, place: str) -> list[Any]:
    """The operations of a file that is one patch.

    Raises:
        InputError: if it is something else.
    """
    import pyhf

    if isinstance(patch, dict) and "patches" in patch:
        raise InputError(
            "this is a patchset, not a single patch",
            place=place,
            remedy="name this file with `input.patchset`, and the signal with `input.patch`",
        )
    try:
        pyhf.schema.validate(patch, "jsonpatch.json")
    except pyhf.exceptions.InvalidSpecification as error:
        raise _invalid(error, "JSON patch", place) from error
    operations: list[Any] = patch
    return operations


def apply(content: Any, operations: list[Any], *, place: str) -> Any:
    """The workspace with a signal.

    Raises:
        InputError: if an operation cannot be applied to it, with its number, from 0.
    """
    # Operations change what others have put in.
    content, operations = copy.deepcopy((content, operations))
    for number, operation in enumerate(operations):
        try:
            content = jsonpatch.JsonPatch([operation]).apply(content, in_place=True)
        except (
            jsonpatch.JsonPatchException,
            jsonpatch.JsonPointerException,
            # Operations on what is neither an object nor a list.
            AttributeError,
            KeyError,
            IndexError,
            TypeError,
            ValueError,
        ) as error:
            target = quoted(str(operation.get("path")))
            raise InputError(
                f"operation {number} of the patch, {operation.get('op')} {target}, does not apply: "
                f"{shortened(str(error))}",
                place=place,
                remedy="give the workspace that the patch was made for",
            ) from error
    return content


def _invalid(error: Any, kind: str, place: str) -> InputError:
    where = f"`{error.path}`" if error.path else "the content"
    return InputError(
        f"not a valid {kind}: {where}: {shortened(error.parent.message)}",
        place=place,
        remedy=f"give a {kind}, as pyhf describes it",
    )
