"""What tells an input file from another that has its name."""

from pydantic import NonNegativeInt

from agc_pipeline.settings import Settings


class Identity(Settings):
    """What was found of an input file when it was read.

    Attributes:
        size: in bytes.
        uuid: that ROOT gave it when it was written.
        checksum: "algorithm:value" of an XRootD server, or the ETag of an HTTP server; None where
            there is none at hand.
    """

    size: NonNegativeInt
    uuid: str
    checksum: str | None
