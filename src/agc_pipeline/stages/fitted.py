"""What the stages behind the fit share: their options, and the fit with its minimum."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pyhf

from agc_pipeline.files import read_json
from agc_pipeline.inference import fit_records, workspace
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.impacts import parameter_groups
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem, problem
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
        return parameter_groups(self.model, self.record.groups)


def options(description: str | None) -> argparse.ArgumentParser:
    """Options of a stage that reads a workspace and its fit, and writes a record."""
    parser = command.parser(description)
    parser.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    parser.add_argument("--fit", type=Path, required=True, help="record of the fit")
    parser.add_argument("--output", type=Path, required=True, help="JSON record to write")
    return parser


def load(arguments: argparse.Namespace, settings: MinimiserSettings) -> Fitted:
    """Read workspace and fit, and go back to the minimum.

    Raises:
        PipelineError: if a file is missing, damaged or about another workspace.
    """
    workspace.quieten()
    content = read_json(arguments.workspace)
    record = fit_records.read(FitRecord, arguments.fit, content)
    model, data = workspace.load(content, place=str(arguments.workspace))
    task = problem(model, data, settings)
    best = task.lowest([record.results().bestfit]).minimum
    return Fitted(model, record, task, best)


def provenance_of(
    stage: str, arguments: argparse.Namespace, settings: Settings, *packages: str
) -> Provenance:
    """Provenance of a record from a workspace and its fit."""
    return provenance(
        stage,
        packages=("numpy", "pyhf", "scipy", *packages),
        settings=settings.model_dump(),
        inputs=(arguments.workspace, arguments.fit),
    )
