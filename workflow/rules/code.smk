rule code:
    """Digest of the source files of a stage: jobs run again when one of them changes.

    Not of their paths: a project or an environment that moved is the same code.
    """
    input:
        lambda wildcards: SOURCES[wildcards.stage],
    output:
        f"{RESULTS}/code/{{stage}}.sha256",
    log:
        f"{RESULTS}/logs/code/{{stage}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cat {input} 2> {log} | sha256sum > {output}"
