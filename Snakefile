# What `snakemake` reads in this folder; the workflow is where its catalogue and other workflows look.
include: "workflow/Snakefile"


# The default target of a file that is included does not count.
workflow.default_target = "all"
