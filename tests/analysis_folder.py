"""A small analysis in a folder outside the package: data of two eras, two processes, no parts."""

from itertools import count
from pathlib import Path
from typing import Any

import yaml

from agc_pipeline.layers import merged
from conftest import ROOT

# Configuration that is none of the analysis' business here.
_SHARED = ("report", "fit")

_DECLARATION = '''
"""Dimuon events."""

from agc_pipeline.declaration import Analysis, Dataset, Free, Process
from agc_pipeline.declaration import Systematic

from {name}.regions import REGIONS
from .settings import DimuonPhysics

ANALYSIS = Analysis(
    name="{name}",
    settings=DimuonPhysics,
    regions=REGIONS,
    processes=(Process("signal", "Z"), Process("other", "other")),
    datasets=(
        Dataset("Z_low", ("signal",), cross_section="Zlow"),
        Dataset("Z_high", ("signal",), cross_section="Zhigh", era="2016"),
        Dataset("other_all", ("other",)),
        Dataset("mu_2016", kind="data", era="2016"),
        Dataset("mu_2017", kind="data", era="2017"),
    ),
    systematics=(Systematic("Luminosity", effects={"signal": 0.02}),),
    free=(Free("mu", ("signal",)),),
)
'''
_REGIONS = '''
"""Regions."""

from agc_pipeline.declaration import Region


def two_muons(events, selection):
    return events


REGIONS = (
    Region("mumu", "dimuon", "mass", "mass / GeV", (60.0, 90.0, 120.0), two_muons, two_muons),
)
'''
_SETTINGS = '''
"""Settings."""

from agc_pipeline.declaration import Physics
from agc_pipeline.settings import Settings


class Selection(Settings):
    pt_min: float


class DimuonPhysics(Physics):
    selection: Selection
'''
PHYSICS = {
    "luminosity_per_pb": {"2016": 100.0, "2017": 50.0},
    "cross_sections_pb": {"Zlow": 3.0, "Zhigh": 2.0, "other": 1.0},
    "selection": {"pt_min": 20.0},
}
FILES = {
    "kind": "files",
    "mirrors": {"disk": "data"},
    "mirror_order": ["disk"],
    "datasets": {
        "Z_low": {"files": {"low.root": 10, "more.root": 10}},
        "Z_high": {"files": {"high.root": 10}},
        "mu_2016": {"files": {"a.root": 7, "b.root": 8}},
    },
}


_numbers = count()


def write(parent: Path, **changes: Any) -> Path:
    """Write the analysis into a new folder, whose name no other has, and give the folder.

    Args:
        parent: where to make it.
        changes: on top of its configuration.
    """
    folder = parent / f"dimuon_{next(_numbers)}"
    folder.mkdir(parents=True)
    for name, text in (("__init__", _DECLARATION), ("regions", _REGIONS), ("settings", _SETTINGS)):
        (folder / f"{name}.py").write_text(text.replace("{name}", folder.name))
    (folder / "config").mkdir()
    values = [yaml.safe_load((ROOT / f"config/cms_ttbar/{n}.yaml").read_text()) for n in _SHARED]
    own = {"physics": PHYSICS, "input": FILES}
    (folder / "config" / "all.yaml").write_text(yaml.safe_dump(merged(*values, own, changes)))
    return folder
