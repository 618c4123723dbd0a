"""Figures of the report, as functions from records to matplotlib figures.

None of them uses pyplot: the figures can be changed, saved, and shown in notebooks as they are.
"""

from agc_pipeline.report.figures.cutflow import cutflow
from agc_pipeline.report.figures.distributions import ratios, stack
from agc_pipeline.report.figures.inference import limit, plane, ranking, scan, toys
from agc_pipeline.report.figures.learned import observables, rivals
from agc_pipeline.report.figures.parameters import correlation, pulls
from agc_pipeline.report.figures.published import Acceptance, acceptance
from agc_pipeline.report.figures.sensitivity import gradients
from agc_pipeline.report.figures.shifts import single_templates
from agc_pipeline.report.figures.training import fractions, importance, learning_curves, scores
from agc_pipeline.report.figures.variations import templates
from agc_pipeline.report.figures.workflow import stage_graph, timeline

__all__ = [
    "Acceptance",
    "acceptance",
    "correlation",
    "cutflow",
    "fractions",
    "gradients",
    "importance",
    "learning_curves",
    "limit",
    "observables",
    "plane",
    "pulls",
    "ranking",
    "ratios",
    "rivals",
    "scan",
    "scores",
    "single_templates",
    "stack",
    "stage_graph",
    "templates",
    "timeline",
    "toys",
]
