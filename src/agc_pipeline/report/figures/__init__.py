"""Figures of the report, as functions from records to matplotlib figures.

None of them uses pyplot: the figures can be changed, saved, and shown in notebooks as they are.
"""

from agc_pipeline.report.figures.distributions import ratios, stack
from agc_pipeline.report.figures.inference import limit, ranking, scan, toys
from agc_pipeline.report.figures.learned import observables, rivals
from agc_pipeline.report.figures.parameters import correlation, pulls
from agc_pipeline.report.figures.published import Acceptance, acceptance
from agc_pipeline.report.figures.training import fractions, importance, learning_curves, scores
from agc_pipeline.report.figures.variations import templates

__all__ = [
    "Acceptance",
    "acceptance",
    "correlation",
    "fractions",
    "importance",
    "learning_curves",
    "limit",
    "observables",
    "pulls",
    "ranking",
    "ratios",
    "rivals",
    "scan",
    "scores",
    "stack",
    "templates",
    "toys",
]
