"""Models in the formats of other programs, read as workspaces of pyhf.

What a format can say and a workspace cannot, or what two programs read in two ways, is an error.
"""

from typing import Any, NamedTuple

Workspace = dict[str, Any]


class Model(NamedTuple):
    """A model of another format.

    Attributes:
        workspace: with one measurement.
        variables: the file's names of the parameters, by pyhf's; those of modifiers with several
            have their number in brackets.
        notes: what the workspace has in another form than the file.
    """

    workspace: Workspace
    variables: dict[str, str]
    notes: tuple[str, ...] = ()
