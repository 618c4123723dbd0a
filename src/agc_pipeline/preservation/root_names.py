"""Names that ROOT takes: letters, digits and underscores, and no two variables with one name.

ROOT makes the names of its variables of those of channels, samples and modifiers, refuses channels
that begin with a digit, and separates names by spaces.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from agc_pipeline.preservation.luminosity import Scale

Workspace = dict[str, Any]

# Variables that every model of ROOT has.
_RESERVED = frozenset(
    {"Lumi", "lumi", "lumiConstraint", "nominalLumi", "one", "weightVar", "channelCat"}
    | {"ModelConfig", "simPdf", "obsData", "asimovData", "globalObservables"}
)
# Names of channels are parts of names of files, which have 255 characters at most.
_LONGEST = 100
# Prefixes of variables that ROOT makes of other names.
_PREFIXES = ("alpha_", "gamma_", "beta_", "nom_", "obs_", "mc_stat_")


class Names(NamedTuple):
    """ROOT's names by those of a workspace.

    Attributes:
        measurement: its own.
        channels: of channels.
        samples: of samples.
        modifiers: of modifiers, apart from staterrors, which have none, and lumi.
        parameters: of the parameters of the model; those of modifiers with several have their
            number in brackets in the workspace.
        scales: nominal value and uncertainty of parameters that are variables in these units.
    """

    measurement: str
    channels: dict[str, str]
    samples: dict[str, str]
    modifiers: dict[str, str]
    parameters: dict[str, str]
    scales: dict[str, tuple[float, float]]

    def with_luminosity(self, scale: Scale) -> "Names":
        """The same for a workspace of which templates were made of the luminosity."""
        own = {"lumi" if name == scale.modifier else name: v for name, v in self.parameters.items()}
        return self._replace(parameters=own, scales={"lumi": (scale.centre, scale.width)})


def names(workspace: Workspace, avoided: Collection[str] = ()) -> Names:
    """Names for a workspace that can be read in one way only, with one measurement.

    Args:
        workspace: to be named.
        avoided: words that mean something else in the file.
    """
    taken: set[str] = set(_RESERVED)
    channels: dict[str, str] = {}
    for name in [channel["name"] for channel in workspace["channels"]]:
        channels[name] = _unused(name, avoided, taken, lambda safe: [safe])
    # In the folder of a channel, its data have this name.
    products = {"data"}
    samples: dict[str, str] = {}
    for name in _sample_names(workspace):
        samples[name] = _unused(
            name,
            avoided,
            products,
            lambda safe: [safe, *(f"{safe}_{title}" for title in channels.values())],
        )
    sizes = _sizes(workspace)
    taken |= set(_staterrors(workspace, channels).values())
    modifiers: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for name, (kind, n_bins) in sizes.items():
        if kind == "lumi":
            parameters[name] = "Lumi"
        else:
            modifiers[name] = _unused(
                name,
                avoided,
                taken,
                lambda safe, kind=kind, n=n_bins: list(_variables(safe, kind, n)),
            )
            variables = _variables(modifiers[name], kind, n_bins)
            several = kind in ("shapesys", "shapefactor")
            for number, variable in enumerate(variables):
                parameters[f"{name}[{number}]" if several else name] = variable
    parameters |= _staterrors(workspace, channels)
    (measurement,) = workspace["measurements"]
    return Names(_safe(measurement["name"], avoided), channels, samples, modifiers, parameters, {})


def _safe(name: str, avoided: Collection[str]) -> str:
    safe = re.sub(r"[^A-Za-z0-9_]+", "_", name)[:_LONGEST] or "unnamed"
    other = not safe[0].isalpha() or safe.startswith(_PREFIXES) or safe in avoided
    return f"x_{safe}" if other else safe


def _unused(name: str, avoided: Collection[str], taken: set[str], variables: Any) -> str:
    """A name of which no variable is taken; takes them."""
    number, safe = 1, _safe(name, avoided)
    while taken.intersection(variables(safe)):
        number += 1
        safe = f"{_safe(name, avoided)}_{number}"
    taken.update(variables(safe))
    return safe


def _variables(name: str, kind: str, n_bins: int) -> Iterator[str]:
    """Names of ROOT's variables of a modifier."""
    match kind:
        case "normsys" | "histosys":
            yield f"alpha_{name}"
        case "shapesys" | "shapefactor":
            yield from (f"gamma_{name}_bin_{number}" for number in range(n_bins))
        case _:
            yield name


def _sample_names(workspace: Workspace) -> Iterable[str]:
    return dict.fromkeys(
        sample["name"] for channel in workspace["channels"] for sample in channel["samples"]
    )


def _sizes(workspace: Workspace) -> dict[str, tuple[str, int]]:
    """Kind and bins of the modifiers, apart from staterrors."""
    return {
        modifier["name"]: (modifier["type"], len(sample["data"]))
        for channel in workspace["channels"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
        if modifier["type"] != "staterror"
    }


def _staterrors(workspace: Workspace, channels: dict[str, str]) -> dict[str, str]:
    """ROOT's variables of statistical uncertainties, one for each bin of a channel."""
    labels: dict[str, list[str]] = defaultdict(list)
    for channel in sorted(workspace["channels"], key=lambda channel: channel["name"]):
        variables = [
            f"gamma_stat_{channels[channel['name']]}_bin_{number}"
            for number in range(len(channel["samples"][0]["data"]))
        ]
        for name in dict.fromkeys(
            modifier["name"]
            for sample in channel["samples"]
            for modifier in sample["modifiers"]
            if modifier["type"] == "staterror"
        ):
            labels[name] += variables
    return {
        f"{name}[{number}]": variable
        for name, variables in labels.items()
        for number, variable in enumerate(variables)
    }
