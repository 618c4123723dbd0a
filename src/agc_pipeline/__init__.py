"""Particle physics analyses as pipelines, from events to a fit and its report.

For notebooks and other tools: ``load_config`` reads a configuration, ``open_results`` the results
of a run; ``build_workspace`` and ``fit`` make a model of histograms and fit it; ``figures`` has the
figures of the report. ``Processor`` is an analysis as coffea runs it.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agc_pipeline.columnar.processor import Processor
    from agc_pipeline.config import load_config
    from agc_pipeline.fits import build_workspace, fit
    from agc_pipeline.report import figures
    from agc_pipeline.results import open_results

__all__ = ["Processor", "build_workspace", "figures", "fit", "load_config", "open_results"]

__version__ = version("agc-pipeline")

# Importing the package stays quick: what it offers is imported when it is used.
_ORIGINS = {
    "Processor": "agc_pipeline.columnar.processor",
    "build_workspace": "agc_pipeline.fits",
    "figures": "agc_pipeline.report",
    "fit": "agc_pipeline.fits",
    "load_config": "agc_pipeline.config",
    "open_results": "agc_pipeline.results",
}

# Type checkers would take every name for one of the package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _ORIGINS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "figures":
            return import_module(f"{_ORIGINS[name]}.{name}")
        return getattr(import_module(_ORIGINS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
