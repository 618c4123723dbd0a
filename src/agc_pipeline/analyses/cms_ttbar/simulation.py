"""Simulated events in place of those of CMS: leading-order Pythia and a parametrised detector."""

from agc_pipeline.simulation.settings import SimulationSettings

SETTINGS = SimulationSettings
