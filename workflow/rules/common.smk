from pathlib import Path

import agc_pipeline
from snakemake.exceptions import WorkflowError

from agc_pipeline import analyses, config as configuration
from agc_pipeline.code import of_stage
from agc_pipeline.errors import PipelineError
from agc_pipeline.files import check_folder
from agc_pipeline.plan import Plan

# Everything that can be wrong with configuration and file lists is said before the first job.
try:
    CONFIG = configuration.load(config, folders=CONFIG_FOLDERS)
    check_folder(Path(CONFIG.results), key="results")
    PLAN = Plan(CONFIG)
    DATASETS = list(PLAN.datasets)
    PLAN.check_models()
except PipelineError as error:
    raise WorkflowError(str(error)) from None

RESULTS = CONFIG.results.rstrip("/")


def near(path):
    """A path as it is seen from the working folder, if it is in there.

    Snakemake compares the names of inputs: a project that moved must not run again.
    """
    folder = Path.cwd()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


# Source files behind each stage, filled by `code`.
SOURCES = {}


def code(stage, *modules, physics=None):
    """File that changes with the files that a stage depends on, those of the analysis included.

    One file for each stage: with all source files as inputs of all jobs, large runs take minutes
    to plan.
    """
    paths = of_stage(
        f"agc_pipeline.stages.{stage}", PLAN.analysis, *modules, physics=physics
    )
    SOURCES[stage] = [near(Path(path)) for path in paths]
    return f"{RESULTS}/code/{stage}.sha256"


def data(*patterns):
    """Files of the package that are not code."""
    package = Path(agc_pipeline.__file__).parent
    return sorted(near(path) for pattern in patterns for path in package.glob(pattern))


def needs(rule, files=1):
    """Resources of a rule's jobs, each larger at every retry.

    The numbers stand in `config/resources.yaml`.
    """

    need = CONFIG.resources.of(rule)

    def at(name):
        return lambda wildcards, attempt: need.at(attempt, files=files)[name]

    return {name: at(name) for name in need.at(1)}


# Modules of the analysis that are loaded by name.
LEARNED = [PLAN.analysis.learned.training] if "learning" in CONFIG.parts else []
SIMULATION = (
    [analyses.part_name(PLAN.analysis, "simulation")]
    if "simulation" in CONFIG.parts
    else []
)
PUBLISHED = sorted(near(path) for path in PLAN.analysis.folder.glob("published/*.json"))
VALIDATED = "validation" in CONFIG.parts and not PLAN.given
# Published histograms are not filled here, and a given workspace has none.
FILLED = CONFIG.input.kind not in ("published", "workspace")
PERFORMANCE = [f"{RESULTS}/performance.json"] if FILLED else []
TRAINING = [f"{RESULTS}/training.json"] if PLAN.trains else []
TRACKED = [f"{RESULTS}/tracked.json"] if PLAN.tracks else []
PAGE_TEMPLATES = data("report/templates/*")


# Without constraints Snakemake tries every way to split a path, which takes minutes.
wildcard_constraints:
    dataset="[A-Za-z0-9_]+",
    batch="[0-9]+",
    part="[0-9]+",
    level="[0-9]+",
    number="[0-9]+",
    stage="[a-z_]+",
