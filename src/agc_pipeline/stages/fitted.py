"""What all stages share that work on a fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import read_json
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.provenance import Provenance, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, reads

if TYPE_CHECKING:
    import pyhf

    from agc_pipeline.inference.fit_records import FitRecord
    from agc_pipeline.inference.minimum import Minimum
    from agc_pipeline.inference.problem import Problem


class FittedOptions(Options):
    """What they are told beside their settings."""

    workspace: Path = reads("workspace.json", "pyhf workspace")
    fit: Path = reads("fit.json", "record of the fit")


@dataclass(frozen=True)
class Fitted:
    """A model, and its minimum.

    Attributes:
        model: of the workspace.
        record: of the fit.
        problem: the fit, to be repeated.
        best: its minimum.
        groups: group of each constrained parameter.
    """

    model: "pyhf.Model"
    record: "FitRecord"
    problem: "Problem"
    best: "Minimum"
    groups: dict[str, str]


def load(options: FittedOptions, settings: MinimiserSettings) -> Fitted:
    """Read workspace and fit, and go back to the minimum.

    Raises:
        PipelineError: if a file is missing, damaged or about another workspace.
    """
    import numpy as np

    # Models are made with it: loaded with the stage, not while it is measured.
    import pyhf  # noqa: F401

    from agc_pipeline.inference import fit_records, workspace
    from agc_pipeline.inference.fit_records import FitRecord
    from agc_pipeline.inference.impacts import parameter_groups
    from agc_pipeline.inference.problem import problem

    workspace.quieten()
    content = read_json(options.workspace)
    record = fit_records.read(FitRecord, options.fit, content)
    model, data = workspace.load(content, place=str(options.workspace))
    repeated = problem(model, data, settings)
    best = repeated.lowest([np.array(record.bestfit)]).minimum
    return Fitted(model, record, repeated, best, parameter_groups(model, record.groups))


def provenance_of(
    stage: str, options: FittedOptions, settings: Settings, *packages: str
) -> Provenance:
    """Provenance of a record from a workspace and its fit."""
    return provenance(
        stage,
        packages=("numpy", "pyhf", "scipy", *packages),
        settings=settings.model_dump(),
        inputs=(options.workspace, options.fit),
    )
