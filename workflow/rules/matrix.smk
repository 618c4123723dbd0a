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


wildcard_constraints:
    environment="[A-Za-z0-9_.-]+",
    cell="[A-Za-z0-9_.+-]+",


rule matrix_simulate:
    """Events of a dataset for the matrix."""
    input:
        code=code("simulate", *SIMULATION, physics=False),
    output:
        root=f"{MATRIX.folder}/simulated/{{dataset}}.root",
        record=f"{MATRIX.folder}/simulated/{{dataset}}.json",
    log:
        f"{MATRIX.folder}/logs/simulate/{{dataset}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.simulate(wildcards.dataset),
    shell:
        "python -m agc_pipeline.stages.simulate --settings {params.settings:q}"
        " --output {output.root} --record {output.record} 2>&1 | tee {log}"


rule matrix_inputs:
    """The events in every form, with filesets."""
    input:
        simulated=[
            f"{MATRIX.folder}/simulated/{dataset}.root"
            for dataset in MATRIX.settings.inputs.datasets
        ],
        code=code("matrix_inputs"),
    output:
        folder=directory(f"{MATRIX.folder}/inputs"),
        record=f"{MATRIX.folder}/inputs.json",
    log:
        f"{MATRIX.folder}/logs/inputs.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.inputs(),
    shell:
        "python -m agc_pipeline.stages.matrix_inputs --settings {params.settings:q}"
        " --simulated {input.simulated} --folder {output.folder} --output {output.record}"
        " 2>&1 | tee {log}"


rule matrix_package:
    """This package, as all environments get it."""
    input:
        package=data("**/*.py", "**/*.json", "**/*.j2", "**/*.css"),
        project=PROJECT / "pyproject.toml",
    output:
        f"{MATRIX.folder}/package.json",
    log:
        f"{MATRIX.folder}/logs/package.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.package(),
    shell:
        "python -m agc_pipeline.stages.matrix_package --settings {params.settings:q}"
        " --output {output} 2>&1 | tee {log}"


rule matrix_environment:
    """An environment, resolved near the lock file and built unless it exists."""
    input:
        lock=PROJECT / "requirements" / "lock.txt",
        code=code("matrix_environment"),
    output:
        f"{MATRIX.folder}/environments/{{environment}}.json",
    log:
        f"{MATRIX.folder}/logs/environment/{{environment}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.environment(wildcards.environment),
    shell:
        "python -m agc_pipeline.stages.matrix_environment --settings {params.settings:q}"
        " --output {output} 2>&1 | tee {log}"


rule matrix_cell:
    """One cell: the small pipeline in an environment, compared with the baseline."""
    input:
        unpack(lambda wildcards: MATRIX.needs(wildcards.cell)),
        package=rules.matrix_package.output,
        code=code("matrix_cell"),
    output:
        f"{MATRIX.folder}/cells/{{cell}}.json",
    log:
        f"{MATRIX.folder}/logs/cell/{{cell}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.cell(wildcards.cell),
        folder=f"{MATRIX.folder}/runs/{{cell}}",
        reference=lambda wildcards, input: (
            f"--reference {input.reference}" if "reference" in input.keys() else ""
        ),
    shell:
        "python -m agc_pipeline.stages.matrix_cell --settings {params.settings:q}"
        " --environment {input.environment} --package {input.package} {params.reference}"
        " --folder {params.folder} --output {output} 2>&1 | tee {log}"


rule matrix_page:
    """The matrix at a glance, for people and machines, and the history."""
    input:
        cells=[f"{MATRIX.folder}/cells/{cell}.json" for cell in MATRIX.cells],
        templates=PAGE_TEMPLATES,
        code=code("matrix_page"),
    output:
        page=f"{MATRIX.folder}/index.html",
        record=f"{MATRIX.folder}/matrix.json",
        junit=f"{MATRIX.folder}/junit.xml",
    log:
        f"{MATRIX.folder}/logs/page.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.page(),
    shell:
        "python -m agc_pipeline.stages.matrix_page --settings {params.settings:q}"
        " --cells {input.cells} --page {output.page} --record {output.record}"
        " --junit {output.junit} 2>&1 | tee {log}"


rule matrix:
    """The verdicts on all cells; an error if one of them is a bad surprise."""
    input:
        record=rules.matrix_page.output.record,
    log:
        f"{MATRIX.folder}/logs/matrix.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: MATRIX.page(),
    shell:
        "python -m agc_pipeline.stages.matrix_verdict --settings {params.settings:q}"
        " --record {input.record} 2>&1 | tee {log}"
