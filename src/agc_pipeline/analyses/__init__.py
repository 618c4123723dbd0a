"""Analyses: the physics, one package each."""

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from agc_pipeline.analyses.base import (
    Analysis,
    Assigning,
    Compiled,
    Histogramming,
    Preselection,
    Querying,
    Training,
)


def load(name: str, *parts: str) -> Analysis:
    """The declaration of the analysis in ``agc_pipeline.analyses.NAME``.

    Args:
        name: of the analysis.
        parts: those of its optional regions that the run has.
    """
    analysis: Analysis = import_module(f"agc_pipeline.analyses.{name}").ANALYSIS
    return analysis.extended(parts)


def load_preselection(name: str) -> Preselection:
    """The module ``agc_pipeline.analyses.NAME.preselection``."""
    return cast(Preselection, import_module(f"agc_pipeline.analyses.{name}.preselection"))


def load_query(name: str) -> Querying:
    """The module ``agc_pipeline.analyses.NAME.query``."""
    return cast(Querying, import_module(f"agc_pipeline.analyses.{name}.query"))


def load_processor(name: str) -> Histogramming:
    """The module ``agc_pipeline.analyses.NAME.processor``."""
    return cast(Histogramming, import_module(f"agc_pipeline.analyses.{name}.processor"))


def load_assignment(name: str) -> Assigning:
    """The module ``agc_pipeline.analyses.NAME.jet_assignment.assign``."""
    return cast(Assigning, import_module(f"agc_pipeline.analyses.{name}.jet_assignment.assign"))


def has_compiled(name: str) -> bool:
    """Whether the analysis has a compiled processor."""
    return find_spec(f"agc_pipeline.analyses.{name}.compiled") is not None


def load_compiled(name: str) -> Compiled | None:
    """The module ``agc_pipeline.analyses.NAME.compiled``; None if the analysis has none."""
    if not has_compiled(name):
        return None
    return cast(Compiled, import_module(f"agc_pipeline.analyses.{name}.compiled"))


def load_training(name: str) -> Training:
    """The module ``agc_pipeline.analyses.NAME.jet_assignment.training``."""
    module = f"agc_pipeline.analyses.{name}.jet_assignment.training"
    return cast(Training, import_module(module))
