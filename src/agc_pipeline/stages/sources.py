"""Which files a stage depends on, so that Snakemake runs it again when one of them changes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.code import module_path, sources
from agc_pipeline.declaration import Analysis

# Folders of an analysis that count in another way: values of the configuration are passed on as
# settings, published histograms and input files are inputs of the rules that read them, tests are
# no part of a run.
_APART = ("config", "input", "published", "tests", "__pycache__")
# Nor are these: a configuration for --configfile, and what people read.
_FILES_APART = ("run.yaml", "README.md")


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
    files = map(str, _data(location.folder))
    return sorted({*sources(stage, location.module, *modules), *files})


def _data(folder: Path) -> Iterator[Path]:
    """Files of an analysis that are not code."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.suffix != ".py" and path.is_file() and not hidden and not _apart(parts):
            yield path


def _apart(parts: Sequence[str]) -> bool:
    return any(part in _APART for part in parts) or (len(parts) == 1 and parts[0] in _FILES_APART)
