from os import PathLike
from pathlib import Path

from snakemake.io import IOFile
from snakemake.settings.enums import RerunTrigger
from snakemake.settings.types import DeploymentMethod

from agc_pipeline import config as configuration, layers, stages
from agc_pipeline.code import near
from agc_pipeline.delivery import forced
from agc_pipeline.errors import ConfigurationError, PipelineError
from agc_pipeline.places import (
    check_image,
    check_outputs,
    check_times,
    check_working_folder,
    root_folder,
    use_own_modules,
    use_own_python,
)
from agc_pipeline.plan import planned
from agc_pipeline.provenance import contents, upgraded
from agc_pipeline.stages.directives import Directives
from agc_pipeline.stages.settings_files import SettingsFiles
from agc_pipeline.terminal import command_line, handler


def refuse(error):
    """End the run with the message of an error; where in the rules it was raised helps nobody."""
    logger.error(f"error: {error}")
    raise SystemExit(1)


# The defaults are beside this folder, or where the workflow was deployed from its repository.
HERE = workflow.current_basedir
ROOT = Path(HERE).parents[1] if isinstance(HERE, str | PathLike) else root_folder()
# Of a workflow that has this one as a module, the folder may be another.
MAIN = Path(workflow.main_snakefile).parent
PROJECTS = [ROOT, MAIN.parent if MAIN.name == "workflow" else MAIN]

# Everything that can be wrong with configuration and file lists is said before the first job.
# Files are read here again, since Snakemake's `config` does not know which of them set a value.
FILES = [Path(path) for path in workflow.overwrite_configfiles]
OWN = [path.parent for path in FILES]
GIVEN = layers.of_command_line(workflow.config_settings.config)
if workflow.modifier is not workflow.modifier_stack[0]:
    # As part of another workflow, it has the values that this one gives it.
    FILES, GIVEN = [], config
try:
    if workflow.is_main_process:
        command_line.check()
        use_own_python()
        use_own_modules()
        check_working_folder(Path.cwd(), Path(workflow.main_snakefile))
    VALUES = configuration.read(FILES, GIVEN, root=ROOT)
    PLAN = planned(
        VALUES, folders=OWN, projects=PROJECTS, starts=workflow.is_main_process
    )
    if workflow.is_main_process:
        check_times(Path(PLAN.folder))
        if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
            check_image(PLAN.config.container)
except PipelineError as error:
    refuse(error)

CONFIG = PLAN.config
RESULTS = PLAN.folder
if workflow.is_main_process:
    # The end of a run tells what is in there.
    logger.info(f"Results: {RESULTS}", extra={handler.RESULTS: RESULTS})
    # Jobs in an image or an environment of their own have its packages.
    if not workflow.deployment_settings.deployment_method:
        if told := upgraded(Path(RESULTS)):
            logger.info(told)


# Of no effect without `--software-deployment-method apptainer`.
container: CONFIG.container


# The process that starts the jobs writes their settings, and a dry run writes nothing.
SETTINGS = SettingsFiles(
    Path(RESULTS),
    lambda: workflow.is_main_process
    and workflow.executor_plugin
    and not workflow.dryrun,
)
# The directives of each stage, filled by `directives`.
STAGES = {}


onstart:
    try:
        SETTINGS.start()
        for dataset in forced.datasets(workflow.dag):
            forced.force(Path(RESULTS, "skims", dataset))
    except PipelineError as error:
        refuse(error)


def refusing(function):
    """The same function of wildcards; its errors end the run."""

    def of(wildcards):
        try:
            return function(wildcards)
        except ConfigurationError as error:
            refuse(VALUES.located(error))
        except PipelineError as error:
            refuse(error)

    return of


def if_none_is_missing(function):
    """The same function of wildcards; missing input files of any job end the run.

    The jobs would tell it later, each of its own. Other machines may have files that this one has not.
    """

    def of(wildcards):
        looked_at = RerunTrigger.INPUT in workflow.rerun_triggers
        if workflow.is_main_process and workflow.local_exec and looked_at:
            PLAN.check_files()
        return function(wildcards)

    return refusing(of)


def if_pool_is_there(function):
    """The same function of a batch; a batch system that is missing for its Dask workers ends the run."""

    def of(wildcards):
        (path,) = PLAN.histogram_files(wildcards.dataset, [wildcards.batch])
        if workflow.is_main_process and not Path(path).exists():
            PLAN.check_pool()
        return function(wildcards)

    return refusing(of)


def directives(name, plan=PLAN):
    """The directives of the rule of a stage, from the description in the module of that name.

    A job has one file of digests of all its code as input: with all source files as inputs of all
    jobs, large runs take minutes to plan.
    """
    STAGES[name] = Directives(stages.describe(name), plan, SETTINGS, refusing)
    return STAGES[name]


# Results of which Snakemake has no record; one is enough to say so.
UNRECORDED = []


def tell_if_unrecorded(path):
    """Say that changes go unnoticed if Snakemake does not know what a result was made of."""
    if not workflow.is_main_process or UNRECORDED or not Path(path).exists():
        return
    if workflow.persistence.metadata(IOFile(path)) is None:
        UNRECORDED.append(path)
        logger.warning(
            f"Snakemake has no records of how results in {RESULTS} were made: they were made in another "
            "working folder, or its `.snakemake` was deleted. Changes of the configuration and files with "
            "an older date go unnoticed; `--forcerun code` makes everything anew."
        )


def sources(wildcards):
    """Source files behind a stage, looked for only if the run has jobs of it."""
    tell_if_unrecorded(f"{RESULTS}/code/{wildcards.stage}.sha256")
    try:
        return [near(Path(path)) for path in STAGES[wildcards.stage].sources]
    except (OSError, ImportError) as error:
        # Snakemake would take digests that are there for a file that no rule writes.
        refuse(error)


def inputs(stage):
    """Input files of a rule by name, and the digests of its code."""
    return stage.input | {"code": f"{RESULTS}/code/{stage.name}.sha256"}


# Caption and category in Snakemake's own report (`snakemake --report`), by stage and output.
REPORTED = {
    ("report", "output"): ("page", "Report"),
    ("report", "figures"): ("figure", "Figures"),
    ("fit", "output"): ("fit", "Fit"),
    ("ranking", "output"): ("inference", "Fit"),
    ("scan", "output"): ("inference", "Fit"),
    ("toys", "output"): ("inference", "Fit"),
    ("limit", "output"): ("inference", "Fit"),
    ("limit", "sensitivity"): ("sensitivity", "Fit"),
    ("propagate", "output"): ("inference", "Fit"),
    ("optimise", "table"): ("optimise", "Fit"),
    ("workspace", "output"): ("model", "Model"),
    ("workspace", "checks"): ("checks", "Model"),
    ("reproduce", "output"): ("model", "Model"),
    ("reproduce", "checks"): ("checks", "Model"),
    ("preserve", "output"): ("preservation", "Model"),
    ("preserve", "hepdata"): ("hepdata", "Model"),
    ("report", "tables"): ("table", "Tables"),
    ("train", "record"): ("training", "Training"),
    ("matrix_page", "page"): ("matrix", "Matrix"),
    ("facility_page", "page"): ("facility", "Facility"),
    ("merge", "closure"): ("closure", "Events"),
    ("published", "closure"): ("closure", "Events"),
    ("validate", "page"): ("validation", "Validation"),
}


# Of folders, what is in the report.
REPORTED_OF_FOLDERS = {"figures": ["{figure}.svg"], "tables": ["{table}.csv"]}


def outputs(stage):
    """Output files and folders of a rule by name, with what Snakemake's report says of them."""
    folders = {name: directory(path) for name, path in stage.folders.items()}
    found = stage.output | folders
    for name, path in found.items():
        if (stage.name, name) in REPORTED:
            caption, category = REPORTED[stage.name, name]
            found[name] = report(
                path,
                caption=f"../report/{caption}.rst",
                category=category,
                patterns=REPORTED_OF_FOLDERS[name] if name in folders else [],
            )
    return found


# Without constraints Snakemake tries every way to split a path, which takes minutes.
wildcard_constraints:
    dataset="[A-Za-z0-9_]+",
    batch="[0-9]+",
    part="[0-9]+",
    level="[0-9]+",
    number="[0-9]+",
    stage="[a-z_]+",
