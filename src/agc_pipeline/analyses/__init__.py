"""Analyses: the physics, one folder each."""

from importlib import import_module

from agc_pipeline.declaration import Analysis
from agc_pipeline.declaration.checks import check


def load(name: str) -> Analysis:
    """The declaration of the analysis in ``agc_pipeline.analyses.NAME``."""
    analysis: Analysis = import_module(f"agc_pipeline.analyses.{name}").ANALYSIS
    return check(analysis)
