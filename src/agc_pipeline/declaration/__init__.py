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
    Physics,
    Process,
    Region,
    Systematic,
    Template,
    Variation,
)
from agc_pipeline.declaration.layout import NANOAOD, Flat, Layout, NanoAOD
from agc_pipeline.declaration.selection import Count, Cut, EventCut, Objects

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
    "Fill",
    "Flat",
    "Free",
    "Layout",
    "Learned",
    "NanoAOD",
    "Objects",
    "Physics",
    "Process",
    "Region",
    "Systematic",
    "Template",
    "Variation",
]
