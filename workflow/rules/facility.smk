from agc_pipeline.facility import plan as facility_plan

try:
    FACILITY = facility_plan.FacilityPlan(
        *facility_plan.read(PROJECT / CONFIG.facility), CONFIG, PROJECT
    )
    if workflow.is_main_process:
        check_outputs(
            Path(FACILITY.settings.folder),
            place=f"`folder` in {CONFIG.facility}",
            projects=PROJECTS,
        )
except PipelineError as error:
    refuse(error)


wildcard_constraints:
    source="[A-Za-z0-9_.-]+",
    point="[A-Za-z0-9_.+-]+",


FACILITY_SAMPLE = directives("facility_sample", FACILITY)
FACILITY_INPUT = directives("facility_input", FACILITY)
FACILITY_POINT = directives("facility_point", FACILITY)
FACILITY_PAGE = directives("facility_page", FACILITY)
FACILITY_VERDICT = directives("facility_verdict", FACILITY)


rule facility_sample:
    """A file for the points to read, if they read none of the site."""
    input:
        **inputs(FACILITY_SAMPLE),
    output:
        **outputs(FACILITY_SAMPLE),
    log:
        **FACILITY_SAMPLE.log,
    benchmark:
        FACILITY_SAMPLE.benchmark
    conda:
        "../../environment.yml"
    params:
        **FACILITY_SAMPLE.params,
    shell:
        FACILITY_SAMPLE.shell


rule facility_input:
    """An input, delivered for all points."""
    input:
        **inputs(FACILITY_INPUT),
    output:
        **outputs(FACILITY_INPUT),
    log:
        **FACILITY_INPUT.log,
    benchmark:
        FACILITY_INPUT.benchmark
    localrule: True
    conda:
        "../../environment.yml"
    threads: FACILITY_INPUT.threads
    params:
        **FACILITY_INPUT.params,
    shell:
        FACILITY_INPUT.shell


# One at a time, in their order: what runs beside a point would be measured with it.
rule facility_point:
    """The histogram stage with so many workers, with the record of each task."""
    input:
        **inputs(FACILITY_POINT),
    output:
        **outputs(FACILITY_POINT),
    log:
        **FACILITY_POINT.log,
    priority: lambda wildcards: FACILITY.priority(wildcards.point)
    localrule: True
    conda:
        "../../environment.yml"
    threads: FACILITY_POINT.threads
    params:
        **FACILITY_POINT.params,
    shell:
        FACILITY_POINT.shell


rule facility_page:
    """What the points say: record, page, history."""
    input:
        **inputs(FACILITY_PAGE),
    output:
        **outputs(FACILITY_PAGE),
    log:
        **FACILITY_PAGE.log,
    benchmark:
        FACILITY_PAGE.benchmark
    localrule: True
    conda:
        "../../environment.yml"
    params:
        **FACILITY_PAGE.params,
    shell:
        FACILITY_PAGE.shell


rule facility:
    """What limits this place."""
    input:
        **inputs(FACILITY_VERDICT),
    log:
        **FACILITY_VERDICT.log,
    localrule: True
    conda:
        "../../environment.yml"
    params:
        **FACILITY_VERDICT.params,
    shell:
        FACILITY_VERDICT.shell
