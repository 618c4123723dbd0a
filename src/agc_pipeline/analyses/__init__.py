"""Analyses: the physics, one package each."""

from importlib import import_module
from typing import cast

from agc_pipeline.analyses.base import Analysis, Histogramming, Preselection, Querying


def load(name: str) -> Analysis:
    """The declaration of the analysis in ``agc_pipeline.analyses.NAME``."""
    analysis: Analysis = import_module(f"agc_pipeline.analyses.{name}").ANALYSIS
    return analysis


def load_preselection(name: str) -> Preselection:
    """The module ``agc_pipeline.analyses.NAME.preselection``."""
    return cast(Preselection, import_module(f"agc_pipeline.analyses.{name}.preselection"))


def load_query(name: str) -> Querying:
    """The module ``agc_pipeline.analyses.NAME.query``."""
    return cast(Querying, import_module(f"agc_pipeline.analyses.{name}.query"))


def load_processor(name: str) -> Histogramming:
    """The module ``agc_pipeline.analyses.NAME.processor``."""
    return cast(Histogramming, import_module(f"agc_pipeline.analyses.{name}.processor"))
