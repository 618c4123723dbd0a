"""Particle physics analyses as pipelines, from events to a fit and its report."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agc_pipeline.config import Configuration

__version__ = version("agc-pipeline")


def load_config(
    paths: Iterable[Path | str] = (),
    overrides: Mapping[str, Any] | None = None,
    root: Path | str | None = None,
) -> "Configuration":
    """The configuration as Snakemake reads it.

    Args:
        paths: configuration files that override the defaults, as given with ``--configfile``.
        overrides: values on top, as given with ``--config``.
        root: folder of the Snakefile; None looks for it from the working folder upwards, then where
            this package lies.

    Raises:
        ConfigurationError: if a file cannot be read, or one error that names every unknown key and
            wrong value.
        AnalysisError: if the analysis is wrong.
    """
    # Importing the package stays quick.
    from agc_pipeline import config  # noqa: PLC0415

    return config.load_config(paths, overrides, root)
