"""The luminosity of some samples, as ROOT can have it.

ROOT multiplies every sample by its luminosity, whatever NormalizeByTheory says. Where a model
scales only some of them, a HistoSys does the same to these: its interpolation is linear if both
templates are as far from the nominal one.
"""

from typing import Any, NamedTuple

Workspace = dict[str, Any]

_NAME = "luminosity"


class Scale(NamedTuple):
    """A parameter in units of its uncertainty: ``centre + width * variable``."""

    modifier: str
    centre: float
    width: float


def by_templates(workspace: Workspace) -> tuple[Workspace, Scale | None]:
    """The same model with templates in place of a luminosity that only some samples have.

    Args:
        workspace: with one measurement, that can be read in one way only.

    Returns:
        The model, unchanged where it needs no templates, or they could not do the same: beside
        other templates, which they would not multiply, and for negative content. The new modifier
        with nominal value and uncertainty of the luminosity; None if it is unchanged.
    """
    samples = [sample for channel in workspace["channels"] for sample in channel["samples"]]
    scaled = [sample for sample in samples if "lumi" in _kinds(sample)]
    if not scaled or len(scaled) == len(samples):
        return workspace, None
    (measurement,) = workspace["measurements"]
    settings = {entry["name"]: entry for entry in measurement["config"]["parameters"]}
    (centre,), (width,) = settings["lumi"]["auxdata"], settings["lumi"]["sigmas"]
    possible = 0 < width < centre and not any(
        "histosys" in _kinds(sample) or min(sample["data"]) < 0 for sample in scaled
    )
    if not possible or measurement["config"]["poi"] == "lumi":
        return workspace, None
    used = {modifier["name"] for sample in samples for modifier in sample["modifiers"]}
    name = _NAME
    while name in used:
        name += "_"
    channels = [
        channel
        | {
            "samples": [
                _with_templates(sample, name, centre, width) if "lumi" in _kinds(sample) else sample
                for sample in channel["samples"]
            ]
        }
        for channel in workspace["channels"]
    ]
    own = {
        "name": name,
        "inits": [(settings["lumi"]["inits"][0] - centre) / width],
        "fixed": settings["lumi"].get("fixed", False),
        "bounds": [[(bound - centre) / width for bound in settings["lumi"]["bounds"][0]]],
    }
    parameters = [
        own if entry["name"] == "lumi" else entry for entry in measurement["config"]["parameters"]
    ]
    config = measurement["config"] | {"parameters": parameters}
    other = workspace | {
        "channels": channels,
        "measurements": [measurement | {"config": config}],
    }
    return other, Scale(name, centre, width)


def _kinds(sample: Any) -> set[str]:
    return {modifier["type"] for modifier in sample["modifiers"]}


def _with_templates(sample: Any, name: str, centre: float, width: float) -> Any:
    """A sample at the nominal luminosity, which templates vary."""

    def times(values: list[float], factor: float) -> list[float]:
        return [value * factor for value in values]

    contents = times(sample["data"], centre)
    modifiers = []
    for modifier in sample["modifiers"]:
        match modifier["type"]:
            case "lumi":
                both = {
                    "hi_data": times(contents, 1 + width / centre),
                    "lo_data": times(contents, 1 - width / centre),
                }
                modifiers.append({"name": name, "type": "histosys", "data": both})
            case "staterror" | "shapesys":
                # They are relative to the content.
                modifiers.append(modifier | {"data": times(modifier["data"], centre)})
            case _:
                modifiers.append(modifier)
    return sample | {"data": contents, "modifiers": modifiers}
