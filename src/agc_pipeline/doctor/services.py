"""Servers: ServiceX, Dask, XRootD, HTTP and Triton, asked for their health and version."""

import http.client
import json
import socket
import struct
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from agc_pipeline.doctor.findings import Finding, plain_address
from agc_pipeline.errors import PipelineError
from agc_pipeline.learning.settings import TritonSettings

_SERVICEX_FILES = (".servicex", "servicex.yaml", "servicex.yml")
# XRootD: five 32-bit numbers open a connection, the answer has a header and two numbers.
_XROOTD_HELLO = struct.pack(">5i", 0, 0, 0, 4, 2012)
_XROOTD_PORT = 1094


def servicex_file(start: Path) -> Path | None:
    """ServiceX's configuration: from a folder upwards, then in the home folder."""
    folders = (start.absolute(), *start.absolute().parents, Path.home())
    paths = (folder / name for folder in folders for name in _SERVICEX_FILES)
    return next((path for path in paths if path.is_file()), None)


def servicex_endpoints(path: Path) -> dict[str, str]:
    """Addresses by name from ServiceX's configuration; nothing else of it is kept.

    Raises:
        ValueError: if the file is something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = content["api_endpoints"]
        return {str(entry.get("name", entry["endpoint"])): entry["endpoint"] for entry in entries}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        # The text of the error may show a line with a token.
        raise ValueError(f"no list `api_endpoints` ({type(error).__name__})") from None


def servicex(name: str, url: str, *, timeout: float) -> Finding:
    """A ServiceX endpoint: its version and code generators."""
    title = f"ServiceX {name}" if name != url else "ServiceX"
    remedy = "see that the server runs, or correct `endpoint` in servicex.yaml"
    try:
        status, text = _get(url, "/servicex", timeout=timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _unreachable(title, url, error, remedy)
    content = _json(text)
    if status != http.client.OK or "app-version" not in content:
        detail = f"{plain_address(url)} answers with status {status}, which is no ServiceX"
        return Finding(title, "failed", detail, remedy)
    generators = ", ".join(sorted(content.get("code-gen-image", {}))) or "none"
    return Finding(
        title,
        "ok",
        f"version {content['app-version']} at {plain_address(url)}; generators: {generators}",
    )


def triton(settings: TritonSettings, *, timeout: float, models: bool = True) -> Finding:
    """An inference server, asked as a run asks it: its version, and whether it has the models.

    Args:
        settings: of the server.
        timeout: seconds for all questions together.
        models: also ask for the models.
    """
    if find_spec("tritonclient") is None:
        detail = "the client of Triton is not installed"
        return Finding("Triton", "missing", detail, "install the extra `jet-assignment`")
    # It takes long to import, and may not be there.
    from agc_pipeline.learning.kserve import Server  # noqa: PLC0415

    versions = (settings.versions.even, settings.versions.odd) if models else ()
    # As many questions, and one more if a model is not there.
    share = timeout / (len(versions) + 4)
    once = settings.model_copy(update={"attempts": 1, "timeout": share})
    try:
        with closing(Server(once)) as server:
            what = server.describe()
            for version in versions:
                server.require(version)
    except PipelineError as error:
        return Finding("Triton", "failed", f"{error.place}: {error.problem}", error.remedy)
    has = f"; {settings.model} {' and '.join(versions)} are ready" if models else ""
    return Finding("Triton", "ok", f"{what} at {settings.url}{has}")


def web(url: str, *, timeout: float) -> Finding:
    """A file on a web server: whether it can be had."""
    title = f"mirror {urlsplit(url).hostname}"
    remedy = "try another mirror first (`input.mirror_order`)"
    try:
        status, _ = _get(url, "", timeout=timeout, method="HEAD")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _unreachable(title, url, error, remedy)
    good = status < http.client.BAD_REQUEST
    detail = f"status {status} for {plain_address(url)}"
    return Finding(title, "ok" if good else "failed", detail, "" if good else remedy)


def xrootd(url: str, *, timeout: float) -> Finding:
    """An XRootD door: whether it answers, and whether the client is installed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _XROOTD_PORT
    title = f"mirror {host}"
    if any(find_spec(module) is None for module in ("XRootD", "fsspec_xrootd")):
        return Finding(
            title, "missing", "the XRootD client is not installed", "install the extra `xrootd`"
        )
    remedy = "see whether port and network are open, or try another mirror (`input.mirror_order`)"
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(_XROOTD_HELLO)
            answer = _receive(connection, 16)
    except OSError as error:
        return _unreachable(title, url, error, remedy)
    if len(answer) < 16:
        return Finding(title, "failed", f"{host}:{port} does not speak XRootD", remedy)
    version, kind = struct.unpack(">2i", answer[8:])
    what = "data server" if kind == 1 else "redirector"
    return Finding(title, "ok", f"{what} at {host}:{port}, protocol {version:x}")


def dask(address: str, *, timeout: float) -> Finding:
    """A Dask scheduler: whether something that speaks its protocol answers."""
    parts = urlsplit(address)
    remedy = "start the scheduler, or correct `histograms.dask.address`"
    if parts.scheme != "tcp" or parts.port is None:
        return Finding(
            "Dask", "unused", f"{plain_address(address)} is not probed, only tcp://host:port is"
        )
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
            # It speaks first, and tells what it can do.
            greeting = connection.recv(4096)
    except OSError as error:
        return _unreachable("Dask", address, error, remedy)
    if b"pickle-protocol" not in greeting:
        return Finding("Dask", "failed", f"{address} is no Dask scheduler", remedy)
    return Finding("Dask", "ok", f"scheduler at {address}")


def _receive(connection: socket.socket, n: int) -> bytes:
    """Up to ``n`` bytes; fewer if the other side closes."""
    found = b""
    while len(found) < n and (part := connection.recv(n - len(found))):
        found += part
    return found


def _get(url: str, path: str, *, timeout: float, method: str = "GET") -> tuple[int, str]:
    """Status and content of an address; redirections are not followed.

    Raises:
        ValueError: for an address that is not http or https.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an address at http:// or https://")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(method, f"{parts.path.rstrip('/')}{path}" or "/")
        answer = connection.getresponse()
        return answer.status, answer.read(100_000).decode("utf-8", "replace")
    finally:
        connection.close()


def _json(text: str) -> dict[str, Any]:
    """The object in a text; empty if there is none."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _unreachable(title: str, url: str, error: Exception, remedy: str) -> Finding:
    # Only the system's words: the error's own text may hold the whole address.
    words = (
        error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    )
    return Finding(title, "failed", f"{plain_address(url)} does not answer: {words}", remedy)
