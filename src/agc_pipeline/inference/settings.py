"""The ``fit:`` part of the configuration."""

from agc_pipeline.settings import Settings


class FitSettings(Settings):
    """The statistical model."""
