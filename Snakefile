from snakemake.utils import min_version

min_version("9.27")

for name in (
    "default",
    "resources",
    "cms_ttbar/physics",
    "cms_ttbar/learning",
    "cms_ttbar/fit",
    "cms_ttbar/validation",
    "cms_ttbar/report",
):

    configfile: f"{workflow.basedir}/config/{name}.yaml"


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
        # Where models assign jets, their repository, and where their training is kept.
        rules.export_models.output if EXPORT_MODELS.wanted else [],
        rules.track.output if TRACK.wanted else [],
