rule code:
    """Digests of the source files of a stage: jobs run again when one of them changes."""
    input:
        sources,
    output:
        f"{RESULTS}/code/{{stage}}.sha256",
    log:
        f"{RESULTS}/logs/code/{{stage}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    # The files of the workflow need not be seen from inside an image.
    container:
        None
    params:
        # Whatever the dates of the files are. Parameters that follow from `input` are not compared.
        contents=lambda wildcards: contents(sources(wildcards)),
    shell:
        "sha256sum {input:q} > {output:q} 2> {log:q}"
