"""The ``delivery:`` part of the configuration."""

from typing import Literal

from pydantic import PositiveInt

from agc_pipeline.settings import Settings


class DeliverySettings(Settings):
    """How events get from the input files to the histogram stage.

    Attributes:
        backend: "local" writes skims with uproot, "none" reads the input files directly.
        format: what the skims are written as.
        chunk_size: events that are read at a time.
    """

    backend: Literal["local", "none"]
    format: Literal["ttree", "rntuple"]
    chunk_size: PositiveInt
