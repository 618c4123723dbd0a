"""The ``simulation:`` part of the configuration."""

from pydantic import Field, PositiveFloat

from agc_pipeline.settings import Settings


class SimulationSettings(Settings):
    """Size and seed of the simulated input.

    Attributes:
        scale: amount of events relative to the default.
        seed: master seed; every event follows from it, the dataset and its number.
    """

    scale: PositiveFloat
    seed: int = Field(ge=0, lt=2**31)
