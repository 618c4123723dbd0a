"""How files are read."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from agc_pipeline.settings import Settings

Format = Literal["ttree", "rntuple", "parquet"]


class NetworkSettings(Settings):
    """How patient reading from servers is; none of these changes what is delivered.

    Attributes:
        attempts: rounds over the mirrors of a file.
        backoff: seconds before the second round; doubled before each further one, with jitter.
        backoff_max: the most seconds between two rounds.
        request_timeout: seconds that a connection or one request may take.
        file_timeout: seconds that one file from one mirror may take.
    """

    attempts: PositiveInt
    backoff: PositiveFloat
    backoff_max: PositiveFloat
    request_timeout: PositiveFloat
    file_timeout: PositiveFloat


class ReadingSettings(Settings):
    """How input files are read; none of this changes what is delivered.

    Attributes:
        chunk_size: events that are read at a time.
        network: for files on servers.
    """

    chunk_size: PositiveInt
    network: NetworkSettings
