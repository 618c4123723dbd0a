"""The ``delivery:`` part of the configuration."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from agc_pipeline.settings import Settings


class NetworkSettings(Settings):
    """How long to wait for servers, and how often to try again.

    Attributes:
        attempts: rounds over the mirrors of a file.
        backoff: seconds before the second round, with jitter; doubled before each further one.
        backoff_max: most seconds between two rounds.
        request_timeout: seconds that one request or connection may hang.
        file_timeout: seconds for one file from one mirror.
    """

    attempts: PositiveInt
    backoff: PositiveFloat
    backoff_max: PositiveFloat
    request_timeout: PositiveFloat
    file_timeout: PositiveFloat


class DeliverySettings(Settings):
    """How events get from the input files to the histogram stage.

    Attributes:
        backend: "local" writes skims with uproot, "none" reads the input files directly.
        format: what the skims are written as.
        chunk_size: events that are read at a time.
        network: time-outs and retries for remote files.
    """

    backend: Literal["local", "none"]
    format: Literal["ttree", "rntuple"]
    chunk_size: PositiveInt
    network: NetworkSettings
