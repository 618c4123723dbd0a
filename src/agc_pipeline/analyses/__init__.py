"""Analyses: the physics, one package each."""

from importlib import import_module
from typing import cast

from agc_pipeline.analyses.base import Analysis, EventModel


def load(name: str) -> Analysis:
    """The declaration of the analysis in ``agc_pipeline.analyses.NAME``."""
    analysis: Analysis = import_module(f"agc_pipeline.analyses.{name}").ANALYSIS
    return analysis


def load_events(name: str) -> EventModel:
    """The event model in ``agc_pipeline.analyses.NAME.events``."""
    return cast(EventModel, import_module(f"agc_pipeline.analyses.{name}.events"))
