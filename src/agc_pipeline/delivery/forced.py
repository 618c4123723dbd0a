"""Deliveries that are forced: skims of before are not taken, whatever they were made of.

Jobs do not know why they run. Before the first one, the run leaves a mark in the folders of the
datasets whose deliveries are forced. It is part of the key of each skim there, so that a run that
was interrupted goes on with the skims that it has delivered.
"""

import secrets
from pathlib import Path
from typing import Any

_PREFIX = ".forced-"


def datasets(dag: Any) -> set[str]:
    """Names of the datasets whose deliveries were asked for by ``--forcerun`` and its like.

    Args:
        dag: Snakemake's, of the run.
    """
    jobs = list(dag.needrun_jobs())
    forced = [job for job in jobs if dag.reason(job).forced]
    # Who forces the code means all that is made with it.
    if any(job.rule.name == "code" and job.wildcards.stage == "deliver" for job in forced):
        forced = jobs
    return {str(job.wildcards.dataset) for job in forced if job.rule.name == "deliver"}


def force(folder: Path) -> None:
    """Let none of the skims in the folder of a dataset be taken from now on."""
    if not folder.is_dir():
        return
    older = marks(folder)
    (folder / f"{_PREFIX}{secrets.token_hex(8)}").touch()
    for name in older:
        (folder / name).unlink(missing_ok=True)


def marks(folder: Path) -> list[str]:
    """Names of the marks in the folder of a dataset, sorted.

    The folder is listed: on file systems of clusters, other nodes see a new file sooner so.
    """
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(_PREFIX))
