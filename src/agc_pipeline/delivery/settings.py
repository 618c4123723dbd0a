"""The ``delivery:`` part of the configuration."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from agc_pipeline.settings import Settings


class ServiceXSettings(Settings):
    """How ServiceX is asked.

    Attributes:
        endpoint: name in the client's configuration file; None is its default.
        codegen: name of the code generator that understands the query.
        transport: "LocalCache" downloads the files, "URLs" leaves them in the object store.
        timeout: seconds for one request, from submission to the last file.
        attempts: requests for the files that are missing, the first one included.
    """

    endpoint: str | None
    codegen: str
    transport: Literal["LocalCache", "URLs"]
    timeout: PositiveFloat
    attempts: PositiveInt


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
