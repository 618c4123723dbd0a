"""The words in which an analysis is declared."""

from agc_pipeline.declaration.analysis import (
    ALL_EVENTS,
    NOMINAL,
    Analysis,
    Change,
    Columns,
    Dataset,
    Effect,
    Fill,
    Free,
    Learned,
    Momentum,
    Physics,
    Process,
    Pseudorapidity,
    Region,
    Systematic,
    Template,
    Variation,
)
from agc_pipeline.declaration.features import Feature
from agc_pipeline.declaration.layout import NANOAOD, Flat, Layout, NanoAOD
from agc_pipeline.declaration.selection import Count, Cut, EventCut, Objects
from agc_pipeline.declaration.thresholds import Threshold

__all__ = [
    "ALL_EVENTS",
    "NANOAOD",
    "NOMINAL",
    "Analysis",
    "Change",
    "Columns",
    "Count",
    "Cut",
    "Dataset",
    "Effect",
    "EventCut",
    "Feature",
    "Fill",
    "Flat",
    "Free",
    "Layout",
    "Learned",
    "Momentum",
    "NanoAOD",
    "Objects",
    "Physics",
    "Process",
    "Pseudorapidity",
    "Region",
    "Systematic",
    "Template",
    "Threshold",
    "Variation",
]
