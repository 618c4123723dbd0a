import sys
from pathlib import Path

from agc_pipeline.matrix import settings as matrix_settings
from agc_pipeline.matrix.plan import MatrixPlan

PROJECT = Path(workflow.basedir)
try:
    MATRIX = MatrixPlan(
        matrix_settings.read(PROJECT / CONFIG.matrix), CONFIG, PROJECT, sys.executable
    )
except PipelineError as error:
    raise WorkflowError(str(error)) from None


def cell_settings(wildcards):
    """What a cell is told; its configuration is checked before the first job."""
    try:
        return MATRIX.cell(wildcards.cell)
    except PipelineError as error:
        raise WorkflowError(str(error)) from None


def cell_inputs(wildcards):
    """Records that a cell needs: its environment, the cell to compare with, the events."""
    found = {
        "environment": f"{MATRIX.folder}/environments/"
        f"{MATRIX.cells[wildcards.cell].environment}.json"
    }
    reference = MATRIX.reference(wildcards.cell)
    if reference is not None:
        found["reference"] = f"{MATRIX.folder}/cells/{reference.name}.json"
    if MATRIX.uses_inputs(wildcards.cell):
        found["events"] = f"{MATRIX.folder}/inputs.json"
    return found


wildcard_constraints:
    environment="[A-Za-z0-9_.-]+",
    cell="[A-Za-z0-9_.+-]+",
