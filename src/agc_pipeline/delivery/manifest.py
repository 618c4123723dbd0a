"""The manifest of a delivery: what was asked for, what is there, and what made it."""

from pathlib import Path
from typing import Any

from pydantic import Field, FiniteFloat, NonNegativeInt

from agc_pipeline.delivery.settings import Backend
from agc_pipeline.files import read_record, write_json
from agc_pipeline.provenance import Provenance
from agc_pipeline.readers.failures import Failure
from agc_pipeline.readers.file_header import Identity
from agc_pipeline.readers.settings import Format
from agc_pipeline.settings import Settings


class Transformer(Settings):
    """The service that made a skim.

    Attributes:
        endpoint: name of the service in its client's configuration.
        url: of the service, without credentials.
        request_id: of the request there.
        app_version: of the service, when it took the request.
        codegen_image: container that turned the query into code; None if the service names none.
        image: container that read the events.
        client_version: of its client.
    """

    endpoint: str
    url: str
    request_id: str
    app_version: str
    codegen_image: str | None
    image: str
    client_version: str

    @property
    def versions(self) -> tuple[str | None, ...]:
        """What decides what it makes."""
        return (self.url, self.app_version, self.codegen_image, self.image, self.client_version)


class Delivered(Settings):
    """One input file and what was delivered of it.

    Attributes:
        source: address that stands for the file in configuration and errors.
        path: what the histogram stage reads; None if the file failed.
        size: of ``path`` in bytes, where it is known.
        digest: of the bytes of ``path``, if that is a skim on this machine.
        url: the mirror that gave the file.
        mirrors: where the file can be had if ``path`` is an address that fails.
        identity: of the input file; None where a service read it.
        transformer: None where no service was asked.
        bytes_read: of the input file; None where a service read it.
        expected: events that the configuration promises; None if it says nothing.
        before: events found in the input file.
        counted: whether somebody looked; else ``before`` is what the configuration promises.
        after: events in ``path``.
        generated: events that the file stands for in the normalisation.
        sum_of_weights: of the generated events, where these have weights; None where they count.
        weighing: digest of the code that read this sum; None where no file was asked for it.
        cutflow: events behind each cut of the preselection, as far as they were counted.
        failures: attempts that failed, also before one that did not.
        error: why the file failed; None if it did not.
    """

    source: str
    path: str | None
    size: NonNegativeInt | None
    digest: str | None = None
    url: str | None = None
    mirrors: tuple[str, ...] = ()
    identity: Identity | None = None
    transformer: Transformer | None = None
    bytes_read: NonNegativeInt | None = None
    expected: NonNegativeInt | None
    before: NonNegativeInt
    counted: bool = True
    after: NonNegativeInt
    generated: NonNegativeInt
    sum_of_weights: FiniteFloat | None = None
    weighing: str | None = None
    cutflow: dict[str, NonNegativeInt]
    failures: tuple[Failure, ...] = ()
    error: str | None = None


class Manifest(Settings):
    """One delivery of a batch of files of one dataset.

    Attributes:
        format: of the skims; None without skims.
        selection: digest of the selection that the skims are made for; None without skims.
        settings: of the job, with which skims that are lost are delivered again.
    """

    dataset: str
    backend: Backend
    format: Format | None
    selection: str | None
    files: tuple[Delivered, ...]
    settings: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance


def write(path: Path, manifest: Manifest) -> None:
    """Write a manifest as JSON, atomically."""
    write_json(path, manifest.model_dump())


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        InputError: if the file is missing or is not a manifest.
    """
    return read_record(Manifest, path, "a manifest")
