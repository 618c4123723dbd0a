from snakemake.utils import min_version

min_version("9.27")


# The configuration is read in there: defaults, files of the analysis, and what the command line says.
include: "workflow/rules/common.smk"
include: "workflow/rules/code.smk"
include: "workflow/rules/input.smk"
include: "workflow/rules/delivery.smk"
include: "workflow/rules/learning.smk"
include: "workflow/rules/histograms.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/matrix.smk"


rule all:
    """The report, and with it everything else; results in formats for others."""
    default_target: True
    input:
        f"{RESULTS}/report.html",
        f"{RESULTS}/preservation.json",
        # Where there are learned observables, the repository of their models, and where their training
        # is kept.
        rules.export_models.output if EXPORT_MODELS.wanted else [],
        rules.track.output if TRACK.wanted else [],
