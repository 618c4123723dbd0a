"""Servers: health and version of ServiceX, Dask, XRootD, HTTP and Triton."""

import asyncio
import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import urllib3

from agc_pipeline import extras
from agc_pipeline.doctor.findings import Finding, plain_address
from agc_pipeline.errors import PipelineError
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.readers.xrootd import bound_xrootd

_OK, _BAD_REQUEST = 200, 400
_XROOTD_PORT = 1094
_WEB_PORTS = {"http": 80, "https": 443}


def servicex(name: str, url: str, *, timeout: float) -> Finding:
    """A ServiceX endpoint: its version and code generators."""
    title = f"ServiceX {name}"
    remedy = "check that the server is running, or correct `endpoint` in servicex.yaml"
    try:
        response = _request("GET", f"{plain_address(url).rstrip('/')}/servicex", timeout=timeout)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        return _unreachable(title, url, error, remedy)
    information = _json_object(response.data)
    if response.status != _OK or "app-version" not in information:
        detail = f"{plain_address(url)} answers with status {response.status} and is no ServiceX"
        return Finding(title, "failed", detail, remedy)
    generators = ", ".join(sorted(information.get("code-gen-image", {}))) or "none"
    return Finding(
        title,
        "ok",
        f"version {information['app-version']} at {plain_address(url)}; generators: {generators}",
    )


def triton(settings: TritonSettings, *, timeout: float, models: bool = True) -> Finding:
    """An inference server, contacted as in a run: its version, and whether it has the models.

    Args:
        settings: of the server.
        timeout: seconds for all requests together.
        models: also check the models.
    """
    if not extras.installed("learning"):
        detail = "the client of Triton is not installed"
        return Finding("Triton", "missing", detail, extras.remedy("learning"))
    # It takes long to import, and is an optional dependency.
    from agc_pipeline.learning.kserve import Server  # noqa: PLC0415

    versions = (settings.versions.even, settings.versions.odd) if models else ()
    # Three requests about the server, one for each model, and one more if a model is missing.
    share = timeout / (len(versions) + 4)
    single_attempt = settings.model_copy(update={"attempts": 1, "timeout": share})
    try:
        with closing(Server(single_attempt)) as server:
            description = server.describe()
            for version in versions:
                server.require(version)
    except PipelineError as error:
        return Finding("Triton", "failed", f"{error.place}: {error.problem}", error.remedy)
    ready = f"; {settings.model} {' and '.join(versions)} are ready" if models else ""
    return Finding("Triton", "ok", f"{description} at {settings.url}{ready}")


def web(url: str, *, timeout: float) -> Finding:
    """A file on a web server: whether it is available."""
    title = f"mirror {urlsplit(url).hostname}"
    remedy = "try another mirror first (`input.mirror_order`)"
    try:
        response = _request("HEAD", plain_address(url), timeout=timeout)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        return _unreachable(title, url, error, remedy)
    available = response.status < _BAD_REQUEST
    detail = f"status {response.status} for {plain_address(url)}"
    return Finding(title, "ok" if available else "failed", detail, "" if available else remedy)


def xrootd(url: str, *, timeout: float) -> Finding:
    """An XRootD door: whether it accepts a login and answers, and whether the client is there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _XROOTD_PORT
    title = f"mirror {host}"
    if not extras.installed("xrootd"):
        detail = "the XRootD client is not installed"
        return Finding(title, "missing", detail, extras.remedy("xrootd"))
    remedy = "check that port and network are open, or try another mirror (`input.mirror_order`)"
    try:
        _connect(host, port, timeout)
    except OSError as error:
        return _unreachable(title, url, error, remedy)
    from XRootD.client import FileSystem  # noqa: PLC0415 - an optional dependency

    bound_xrootd(timeout)
    status, _ = FileSystem(f"{parts.scheme}://{host}:{port}").ping(timeout=math.ceil(timeout))
    if not status.ok:
        reason = " ".join(status.message.split())
        detail = f"{host}:{port} does not answer as an XRootD server: {reason}"
        return Finding(title, "failed", detail, remedy)
    return Finding(title, "ok", f"XRootD server at {host}:{port}")


def dask(address: str, *, timeout: float) -> Finding:
    """A Dask scheduler: whether it answers; a Dask Gateway: whether it takes connections."""
    parts = urlsplit(address)
    if parts.scheme in _WEB_PORTS:
        return _gateway(address, timeout=timeout)
    remedy = "start the scheduler, or correct `histograms.dask.address`"
    if parts.scheme not in ("tcp", "tls") or parts.port is None:
        detail = f"{plain_address(address)} is not probed, only tcp:// and tls://host:port are"
        return Finding("Dask", "unused", detail)
    try:
        _connect(parts.hostname or "", parts.port, timeout)
        if parts.scheme == "tls":
            # It tells only those who have its certificate.
            return Finding("Dask", "ok", f"{address} takes connections")
        # Snakemake plans in an event loop of its own, in which no other one may run.
        with ThreadPoolExecutor(1) as thread:
            identity = thread.submit(asyncio.run, _identity(address, timeout)).result()
    except OSError as error:
        return _unreachable("Dask", address, error, remedy)
    # distributed takes the first bytes of any other server for the length of a message.
    except (MemoryError, ValueError):
        identity = {}
    if identity.get("type") != "Scheduler":
        return Finding("Dask", "failed", f"{address} is no Dask scheduler", remedy)
    return Finding("Dask", "ok", f"scheduler at {address}")


def _gateway(address: str, *, timeout: float) -> Finding:
    parts = urlsplit(address)
    if not parts.hostname or parts.scheme in getproxies():
        # Only the proxy knows.
        return Finding("Dask Gateway", "unused", f"{plain_address(address)} is not probed")
    remedy = "start the gateway, or correct `histograms.dask.address`"
    try:
        _connect(parts.hostname, parts.port or _WEB_PORTS[parts.scheme], timeout)
    except ValueError as error:
        return Finding("Dask Gateway", "failed", f"{plain_address(address)}: {error}", remedy)
    except OSError as error:
        return _unreachable("Dask Gateway", address, error, remedy)
    return Finding("Dask Gateway", "ok", f"{plain_address(address)} takes connections")


async def _identity(address: str, timeout: float) -> dict[str, Any]:
    # It takes long to import.
    from distributed.core import rpc  # noqa: PLC0415

    async with asyncio.timeout(timeout), rpc(address, timeout=timeout) as server:
        identity: dict[str, Any] = await server.identity()
        return identity


def _connect(host: str, port: int, timeout: float) -> None:
    """Open and close a connection: clients of XRootD and Dask retry one that is refused.

    Raises:
        OSError: if the host is unknown or unreachable, or refuses.
    """
    socket.create_connection((host, port), timeout=timeout).close()


def _request(method: str, url: str, *, timeout: float) -> urllib3.BaseHTTPResponse:
    """The response to a request; redirections are not followed.

    Raises:
        ValueError: for an address that is not http or https.
        urllib3.exceptions.HTTPError: if there is no response.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an address at http:// or https://")
    return urllib3.request(method, url, timeout=urllib3.Timeout(total=timeout), retries=False)


def _json_object(content: bytes) -> dict[str, Any]:
    """The JSON object in a response; empty if there is none."""
    try:
        information = json.loads(content)
    except ValueError:
        return {}
    return information if isinstance(information, dict) else {}


def _unreachable(title: str, url: str, error: Exception, remedy: str) -> Finding:
    # Only the system's own message: that of a library may hold the whole address.
    cause = error if isinstance(error, OSError) else error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else None
    return Finding(
        title,
        "failed",
        f"{plain_address(url)} does not answer: {reason or type(error).__name__}",
        remedy,
    )
