from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from agc_pipeline.config import analysis_files, generic_files
from agc_pipeline.errors import PipelineError

min_version("9.27")

ROOT = Path(workflow.basedir)
# Of the files given with --configfile, beside which the folder of the analysis may be.
CONFIG_FOLDERS = [Path(path).parent for path in workflow.overwrite_configfiles]

for path in generic_files(ROOT):

    configfile: str(path)


try:
    OF_ANALYSIS = analysis_files(config["analysis"], ROOT, CONFIG_FOLDERS)
except PipelineError as error:
    raise WorkflowError(str(error)) from None

for path in OF_ANALYSIS:

    configfile: str(path)


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
        TRACKED,
        PLAN.exported,
