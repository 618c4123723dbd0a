from agc_pipeline.datasets import state

DELIVER = directives("deliver")
DELIVERY_PLAN = directives("delivery_plan")

if workflow.is_main_process:
    for line in PLAN.automatic_backends():
        logger.info(line)


rule deliver:
    """Skims of a batch of files of a dataset, with their manifest."""
    input:
        **inputs(DELIVER) | {"files": if_none_is_missing(DELIVER.input["files"])},
    output:
        **outputs(DELIVER),
    log:
        **DELIVER.log,
    benchmark:
        DELIVER.benchmark
    localrule: DELIVER.local
    conda:
        "../../environment.yml"
    threads: DELIVER.threads
    resources:
        **DELIVER.resources,
    params:
        **DELIVER.params,
        inputs=lambda wildcards: state(PLAN.batches(wildcards.dataset)[wildcards.batch]),
    shell:
        DELIVER.shell


rule delivery_plan:
    """What would be delivered, from where, and how many bytes: told, not done."""
    input:
        **inputs(DELIVERY_PLAN),
    log:
        **DELIVERY_PLAN.log,
    localrule: DELIVERY_PLAN.local
    conda:
        "../../environment.yml"
    threads: DELIVERY_PLAN.threads
    resources:
        **DELIVERY_PLAN.resources,
    params:
        **DELIVERY_PLAN.params,
    shell:
        DELIVERY_PLAN.shell
