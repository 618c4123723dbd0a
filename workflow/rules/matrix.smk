import sys
from pathlib import Path

from agc_pipeline.matrix import plan as matrix_plan

PROJECT = ROOT
try:
    MATRIX = matrix_plan.MatrixPlan(
        *matrix_plan.read(PROJECT / CONFIG.matrix), CONFIG, PROJECT, sys.executable
    )
    if workflow.is_main_process:
        check_outputs(
            Path(MATRIX.settings.folder),
            place=f"`folder` in {CONFIG.matrix}",
            projects=PROJECTS,
        )
except PipelineError as error:
    refuse(error)


wildcard_constraints:
    analysis="[A-Za-z0-9_.-]+",
    environment="[A-Za-z0-9_.-]+",
    cell="[A-Za-z0-9_.+-]+",


MATRIX_SIMULATE = directives("matrix_simulate", MATRIX)
MATRIX_INPUTS = directives("matrix_inputs", MATRIX)
MATRIX_PACKAGE = directives("matrix_package", MATRIX)
MATRIX_ENVIRONMENT = directives("matrix_environment", MATRIX)
MATRIX_CELL = directives("matrix_cell", MATRIX)
MATRIX_PAGE = directives("matrix_page", MATRIX)
MATRIX_VERDICT = directives("matrix_verdict", MATRIX)


rule matrix_simulate:
    """Events of a dataset for the matrix."""
    input:
        **inputs(MATRIX_SIMULATE),
    output:
        **outputs(MATRIX_SIMULATE),
    log:
        **MATRIX_SIMULATE.log,
    benchmark:
        MATRIX_SIMULATE.benchmark
    conda:
        "../../environment.yml"
    params:
        **MATRIX_SIMULATE.params,
    shell:
        MATRIX_SIMULATE.shell


rule matrix_inputs:
    """The events in every form, with filesets."""
    input:
        **inputs(MATRIX_INPUTS),
    output:
        **outputs(MATRIX_INPUTS),
    log:
        **MATRIX_INPUTS.log,
    benchmark:
        MATRIX_INPUTS.benchmark
    conda:
        "../../environment.yml"
    params:
        **MATRIX_INPUTS.params,
    shell:
        MATRIX_INPUTS.shell


rule matrix_package:
    """This package, as all environments get it."""
    input:
        **inputs(MATRIX_PACKAGE),
    output:
        **outputs(MATRIX_PACKAGE),
    log:
        **MATRIX_PACKAGE.log,
    conda:
        "../../environment.yml"
    params:
        **MATRIX_PACKAGE.params,
    shell:
        MATRIX_PACKAGE.shell


rule matrix_environment:
    """An environment, resolved near the lock file and built unless it exists."""
    input:
        **inputs(MATRIX_ENVIRONMENT),
    output:
        **outputs(MATRIX_ENVIRONMENT),
    log:
        **MATRIX_ENVIRONMENT.log,
    benchmark:
        MATRIX_ENVIRONMENT.benchmark
    conda:
        "../../environment.yml"
    params:
        **MATRIX_ENVIRONMENT.params,
    shell:
        MATRIX_ENVIRONMENT.shell


rule matrix_cell:
    """One cell: the small pipeline in an environment, compared with the baseline."""
    input:
        **inputs(MATRIX_CELL),
    output:
        **outputs(MATRIX_CELL),
    log:
        **MATRIX_CELL.log,
    benchmark:
        MATRIX_CELL.benchmark
    conda:
        "../../environment.yml"
    params:
        **MATRIX_CELL.params,
    shell:
        MATRIX_CELL.shell


rule matrix_page:
    """The matrix at a glance, for people and machines, and the history."""
    input:
        **inputs(MATRIX_PAGE),
    output:
        **outputs(MATRIX_PAGE),
    log:
        **MATRIX_PAGE.log,
    benchmark:
        MATRIX_PAGE.benchmark
    conda:
        "../../environment.yml"
    params:
        **MATRIX_PAGE.params,
    shell:
        MATRIX_PAGE.shell


rule matrix:
    """The verdicts on all cells; an error if one of them is a bad surprise."""
    input:
        **inputs(MATRIX_VERDICT),
    log:
        **MATRIX_VERDICT.log,
    conda:
        "../../environment.yml"
    params:
        **MATRIX_VERDICT.params,
    shell:
        MATRIX_VERDICT.shell
