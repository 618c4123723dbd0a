"""The ``validation:`` part of the configuration."""

from agc_pipeline.settings import Settings


class ValidationSettings(Settings):
    """How histograms are compared with the published ones."""
