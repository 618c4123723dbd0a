"""The Analysis Grand Challenge ttbar cross section as a pipeline."""

from importlib.metadata import version

__version__ = version("agc-pipeline")
