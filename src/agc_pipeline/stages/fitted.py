"""What the command lines of all stages share that work on a fit."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pyhf

from agc_pipeline.files import read_json
from agc_pipeline.inference import groups, results, workspace
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.records import FitRecord
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.provenance import Provenance, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


@dataclass(frozen=True)
class Fitted:
    """A model, and its minimum.

    Attributes:
        model: of the workspace.
        record: of the fit.
        problem: the fit, to be repeated.
        best: its minimum.
    """

    model: pyhf.Model
    record: FitRecord
    problem: Problem
    best: Minimum

    @property
    def groups(self) -> dict[str, str]:
        """Group of each constrained parameter."""
        return groups.of_parameters(self.model, self.record.groups)


def options(description: str | None) -> argparse.ArgumentParser:
    """Options of a stage that reads a workspace and its fit, and writes a record."""
    made = command.parser(description)
    made.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    made.add_argument("--fit", type=Path, required=True, help="record of the fit")
    made.add_argument("--output", type=Path, required=True, help="JSON record to write")
    return made


def load(arguments: argparse.Namespace, settings: MinimiserSettings) -> Fitted:
    """Read workspace and fit, and go back to the minimum.

    Raises:
        PipelineError: if a file is missing, damaged or about another workspace.
    """
    workspace.quieten()
    content = read_json(arguments.workspace)
    record = results.read(FitRecord, arguments.fit, content)
    model, data = workspace.load(content, place=str(arguments.workspace))
    made = problem(model, data, settings)
    best = made.lowest([record.results().bestfit]).minimum
    return Fitted(model, record, made, best)


def made_by(
    stage: str, arguments: argparse.Namespace, settings: Settings, *packages: str
) -> Provenance:
    """Provenance of a record made of a workspace and its fit."""
    return provenance(
        stage,
        packages=("numpy", "pyhf", "scipy", *packages),
        settings=settings.model_dump(),
        inputs=(arguments.workspace, arguments.fit),
    )
