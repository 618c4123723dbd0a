"""How files are read."""

import re
from typing import Annotated, Literal

from pydantic import PositiveInt, field_validator

from agc_pipeline.settings import AtMost, Attempts, ChunkSize, Seconds, Settings

Format = Literal["ttree", "rntuple", "parquet"]

_Parallel = Annotated[PositiveInt, AtMost(1000, "servers take more for an attack")]

_HOST = re.compile(r"(?:[a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


class NetworkSettings(Settings):
    """How patient reading from servers is; none of these changes what is delivered.

    Attributes:
        attempts: rounds over the mirrors of a file.
        backoff: seconds before the second round; doubled before each further one, with jitter.
        backoff_max: the most seconds between two rounds.
        request_timeout: seconds that a connection or one request may take.
        file_timeout: seconds that one file from one mirror may take.
        parallel: requests for parts of a file that a server gets at a time.
        patience: seconds in total that a server may ask to wait for a file (``Retry-After``).
        token_hosts: ``HOST`` or ``HOST:PORT`` of the servers that get the user's bearer token.
    """

    attempts: Attempts
    backoff: Seconds
    backoff_max: Seconds
    request_timeout: Seconds
    file_timeout: Seconds
    parallel: _Parallel = 128
    patience: Seconds = 300
    token_hosts: tuple[str, ...] = ()

    @field_validator("token_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host: write HOST or HOST:PORT in small letters")
        return hosts


# Where nothing else is configured.
NETWORK = NetworkSettings(
    attempts=3, backoff=2, backoff_max=60, request_timeout=60, file_timeout=3600
)


class ReadingSettings(Settings):
    """How input files are read; none of this changes what is delivered.

    Attributes:
        chunk_size: events that are read at a time.
        network: for files on servers.
    """

    chunk_size: ChunkSize
    network: NetworkSettings
