"""Which files a stage depends on, so that Snakemake runs it again when one of them changes."""

from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.code import module_path, sources
from agc_pipeline.declaration import Analysis
from agc_pipeline.declaration.folder import data_files


def of_stage(
    stage: str, analysis: Analysis, *modules: str, physics: bool | None = None
) -> list[str]:
    """Paths of the files that a stage depends on, sorted.

    A stage that loads analyses depends on all that the declaration imports, and on the data files
    in the folder of the analysis, such as corrections.

    Args:
        stage: full name of its module.
        analysis: of the run.
        modules: full names of modules of the analysis that are loaded by name.
        physics: whether the stage depends on the declaration; None finds out.
    """
    if physics is None:
        physics = module_path(analyses.__name__) in map(Path, sources(stage))
    if not physics:
        return sources(stage, *modules)
    if analysis.reference is None:
        raise TypeError(f"the analysis {analysis.name} was not loaded from a folder")
    location = analyses.locate(analysis.reference)
    files = map(str, data_files(location.folder))
    return sorted({*sources(stage, location.module, *modules), *files})
