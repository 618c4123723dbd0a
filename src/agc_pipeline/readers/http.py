"""Byte ranges of files on web servers and WebDAV storage, whatever these answer.

Only ranges are read: a server that sends whole files is told so before their content comes.
Redirects are followed here, and not by the library, since what is sent to one host is not for
another.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any

import aiohttp
import yarl

from agc_pipeline.readers import tokens
from agc_pipeline.readers.addresses import HTTP
from agc_pipeline.readers.failures import OTHER_MIRROR, HttpError, ShortAnswer, Unanswered, one_line
from agc_pipeline.readers.settings import NetworkSettings

Range = tuple[int, int]

# uproot begins with the header of a file and its folder, which may lie there.
_BEGINNING = 4096
# One connection is made ready for so many bytes of a file that is read next.
_CONNECTION_BYTES = 2**20
# What arrives before it is taken; each time takes as long, however much it is.
_BUFFER = 2**20
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_GONE = {404, 410}
# Answers to an address that was given for one request, or for a short time.
_EXPIRED = {400, 401, 403, 404, 410}
# Time-out, too early, too many requests; and all that are the server's fault.
_AGAIN = {408, 425, 429}
_SERVER_ERROR = 500
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


class HttpFile:
    """A file on a web server. Its coroutines run on one event loop.

    Args:
        url: http, https, dav or davs.
        network: time-outs, and the hosts that get a token.
        many: whether many ranges are read behind the first ones. Connections for them are made
            while those come: that takes as long as an answer, with TLS as several.

    Attributes:
        size: in bytes, once it is open.
        etag: that the server gave it, if any.
        modified: when it was, as the server says.
        beginning: its first bytes.
    """

    def __init__(self, url: str, network: NetworkSettings, *, many: bool = False) -> None:
        self.size = 0
        self.etag: str | None = None
        self.modified: str | None = None
        self.beginning = b""
        scheme, _, rest = url.partition("://")
        self._origin = yarl.URL(f"{HTTP[scheme]}://{rest}")
        # Where the last request was redirected to.
        self._target: yarl.URL | None = None
        self._network = network
        self._token = tokens.discover() if network.token_hosts else None
        self._session: aiohttp.ClientSession | None = None
        self._free = asyncio.Semaphore(network.parallel)
        self._arrived: dict[Range, bytes] = {}
        # Whether connections stay open behind an answer.
        self._lasting = False
        self._many = many
        self._connecting: asyncio.Future[list[BaseException | None]] | None = None

    async def open(self) -> None:
        """Find out its size.

        Raises:
            HttpError: if it cannot be had from this server.
            OSError: if the server does not answer.
        """
        timeout = aiohttp.ClientTimeout(total=self._network.request_timeout)
        trusted = _trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            read_bufsize=_BUFFER,
            connector=aiohttp.TCPConnector(ssl=trusted, limit=self._network.parallel),
        )
        self.beginning = await self._read(0, _BEGINNING)
        if _HTML.match(self.beginning):
            raise self._web_page(self._target or self._origin)

    async def _connect(self) -> None:
        """Make a connection, and leave it to the requests that follow.

        Where it cannot be made, a request tries again, and tells why.
        """
        connector, loop = self._web().connector, asyncio.get_running_loop()
        if connector is not None:
            request = aiohttp.ClientRequest("GET", self._target or self._origin, loop=loop)
            timeout = aiohttp.ClientTimeout(connect=self._network.request_timeout)
            connection = await connector.connect(request, [], timeout)
            connection.release()

    async def ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The content of ranges, in order; shorter than asked for where the server sent less.

        Asked again after an error, it asks the server for what is missing only.
        """
        missing = [wanted for wanted in ranges if wanted not in self._arrived]
        reading = [self._limited(start, stop) for start, stop in missing]
        answers = asyncio.gather(*reading, return_exceptions=True)
        if self._many and self._lasting and self._connecting is None:
            # Not before the requests have taken the connections that are there.
            n_more = min(self._network.parallel, self.size // _CONNECTION_BYTES) - len(reading)
            making = [self._connect() for _ in range(n_more)]
            self._connecting = asyncio.gather(*making, return_exceptions=True)
        for wanted, answer in zip(missing, await answers, strict=True):
            if isinstance(answer, bytes):
                self._arrived[wanted] = answer
        for answer in answers.result():
            if isinstance(answer, BaseException):
                raise answer
        return [self._arrived.pop(wanted) for wanted in ranges]

    async def checksum(self) -> str | None:
        """ETag, which came with the size."""
        return self.etag

    async def close(self) -> None:
        """Give up the connections."""
        if self._session is not None:
            await self._session.close()

    def _web(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the file is not open")
        return self._session

    async def _limited(self, start: int, stop: int) -> bytes:
        async with self._free:
            return await self._read(start, stop)

    async def _read(self, start: int, stop: int) -> bytes:
        target = self._target
        try:
            if target is not None:
                try:
                    return await self._from(target, start, stop)
                except HttpError as error:
                    if error.status not in _EXPIRED:
                        raise
                    self._target = None
            return await self._from(self._origin, start, stop)
        except aiohttp.InvalidURL as error:
            raise HttpError(
                f"not an address: {one_line(error)}",
                remedy=f"check the address; or {OTHER_MIRROR}",
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise ShortAnswer(one_line(error)) from error
        except aiohttp.ClientError as error:
            raise Unanswered(one_line(error)) from error

    async def _from(self, url: yarl.URL, start: int, stop: int) -> bytes:
        first = url
        for _ in range(_MOST_REDIRECTS + 1):
            headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
            if self._token is not None and tokens.is_for(url, self._network.token_hosts):
                headers["Authorization"] = f"Bearer {self._token.value}"
            try:
                async with self._web().get(url, headers=headers, allow_redirects=False) as response:
                    if response.status in _REDIRECTS and "Location" in response.headers:
                        url = _next(url, response.headers["Location"])
                        continue
                    data = await self._content(response, url, start, stop)
                    self._lasting = _lasting(response)
            except aiohttp.ClientSSLError as error:
                raise _tls_error(error, url) from error
            if url != self._origin:
                self._target = url
            return data
        raise HttpError(
            f"redirected more than {_MOST_REDIRECTS} times, from {_place(first)} to {_place(url)}",
            remedy=f"look at the address in a browser: a login may be needed; or {OTHER_MIRROR}",
        )

    async def _content(
        self, response: aiohttp.ClientResponse, url: yarl.URL, start: int, stop: int
    ) -> bytes:
        """The range that an answer holds.

        Raises:
            HttpError: if the answer is something else.
        """
        status, headers = response.status, response.headers
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            total = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
            if start == 0 and total and int(total[1]) == 0:
                raise HttpError(
                    "the file is empty, it has no bytes",
                    remedy="get an intact copy of the file, or take it out of the list",
                )
        if status == HTTPStatus.OK:
            return await self._whole(response, url, start, stop)
        if status != HTTPStatus.PARTIAL_CONTENT:
            raise self._refusal(response, url)
        # Some servers leave it out, and do as they are told.
        told = headers.get("Content-Range", f"bytes {start}-{stop - 1}/*")
        sent = _CONTENT_RANGE.fullmatch(told)
        if sent is None or _encoded(headers):
            raise _no_ranges()
        first, last = int(sent[1]), int(sent[2])
        if first != start or last >= stop:
            raise _other_bytes(start, stop, f"sends those from {first} to {last + 1}")
        if sent[3] != "*":
            self._note(int(sent[3]), headers)
        elif not self.size:
            self._note(await self._size(url), headers)
        data = await _at_most(response, stop - start)
        if data is None:
            raise _no_ranges()
        if "Content-Range" in headers and len(data) != last + 1 - first:
            said = f"says to send those to {last + 1}, and sends {len(data)} bytes"
            raise _other_bytes(start, stop, said)
        return data

    async def _whole(
        self, response: aiohttp.ClientResponse, url: yarl.URL, start: int, stop: int
    ) -> bytes:
        """The content of a small file, which may come as a whole."""
        length = response.headers.get("Content-Length", "")
        if start == 0 and length.isdecimal() and int(length) <= stop:
            data = await _at_most(response, stop)
            if data is not None and not _encoded(response.headers):
                self._note(len(data), response.headers)
                return data
        beginning = await response.content.read(_BEGINNING)
        # Nothing more of it is taken.
        response.close()
        raise self._web_page(url) if _HTML.match(beginning) else _no_ranges()

    async def _size(self, url: yarl.URL) -> int:
        """Size of a file whose ranges come without it."""
        async with self._web().head(
            url, headers={"Accept-Encoding": "identity"}, allow_redirects=False
        ) as response:
            size = response.headers.get("Content-Length", "")
            if response.status == HTTPStatus.OK and size.isdecimal():
                return int(size)
        raise HttpError(
            "the server does not tell the size of the file",
            remedy=f"{OTHER_MIRROR}, or copy the file and list the copy",
        )

    def _note(self, size: int, headers: Any) -> None:
        etag, modified = headers.get("ETag"), headers.get("Last-Modified")
        change = None
        if self.size and size != self.size:
            change = f"{size} bytes instead of {self.size}"
        # Servers that share a name may have ETags of their own for copies of the same time.
        elif None not in (etag, self.etag) and etag != self.etag and modified != self.modified:
            change = f"the ETag {etag} instead of {self.etag}"
        if change is not None:
            raise HttpError(
                f"the file changed while it was read: {change}",
                remedy=f"run again once the file is complete, or {OTHER_MIRROR}",
                again=True,
            )
        self.size = size
        self.etag, self.modified = self.etag or etag, self.modified or modified

    def _refusal(self, response: aiohttp.ClientResponse, url: yarl.URL) -> HttpError:
        """The error for a status that is no success."""
        status = response.status
        problem = f"status {status} {response.reason or ''}".strip()
        if url != self._origin:
            problem += f" from {_place(url)}, where it was redirected to"
        wait = None
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            wait = _retry_after(response.headers)
        remedy = "check the address and the permission to read it"
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            remedy = self._about_token(url)
        elif status in _GONE:
            remedy = _about_name(self._origin)
        return HttpError(
            problem,
            remedy=remedy,
            status=status,
            again=status >= _SERVER_ERROR or status in _AGAIN,
            wait=wait,
        )

    def _web_page(self, url: yarl.URL) -> HttpError:
        came = "" if url == self._origin else f", redirected to {_place(url)}"
        return HttpError(
            f"a web page (HTML), not a ROOT file{came}: the server may want a login",
            remedy=f"{self._about_token(self._origin)}; or check the address in a browser",
        )

    def _about_token(self, url: yarl.URL) -> str:
        """Which token the server was sent, or why none, as a remedy."""
        place = f"{url.host}:{url.port}"
        if url.scheme != "https":
            return "use an https address if the server wants a token: plain http gets none"
        if not tokens.is_for(url, self._network.token_hosts):
            return (
                f"no token is sent to {place}: if it may have yours, add it to "
                "`delivery.network.token_hosts`"
            )
        if self._token is None:
            return "put a token into BEARER_TOKEN, or its file into BEARER_TOKEN_FILE"
        return f"renew the token of {self._token.origin}, or ask for the right to read the file"


@cache
def _trusted(file: str | None, folder: str | None) -> ssl.SSLContext:  # noqa: ARG001 - read by ssl
    """What certificates are checked with: made once, it takes a tenth of a second."""
    return ssl.create_default_context()


def _next(url: yarl.URL, location: str) -> yarl.URL:
    """Where a redirect leads.

    Raises:
        HttpError: if that is no web address.
    """
    try:
        # What is signed must stay as it is.
        plain = location.isascii() and " " not in location
        target = url.join(yarl.URL(location, encoded=plain))
    except ValueError:
        target = yarl.URL()
    if target.scheme not in HTTP or target.host is None:
        raise HttpError(
            f"{_place(url)} redirects to what is no web address"
            + (f" ({target.scheme}:)" if target.scheme else ""),
            remedy=OTHER_MIRROR,
        )
    # Neither what a server puts in front of the host nor what is behind # is for the next one.
    return target.with_scheme(HTTP[target.scheme]).with_user(None).with_fragment(None)


def _place(url: yarl.URL) -> str:
    """Scheme and host of an address: what follows may give access."""
    return f"{url.scheme}://{url.host}:{url.port}"


def _lasting(response: aiohttp.ClientResponse) -> bool:
    """Whether a connection stays open behind an answer."""
    closes = response.headers.get("Connection", "").lower() == "close"
    return response.version is not None and response.version >= aiohttp.HttpVersion11 and not closes


def _encoded(headers: Any) -> bool:
    return headers.get("Content-Encoding", "identity").lower() not in ("identity", "")


async def _at_most(response: aiohttp.ClientResponse, size: int) -> bytes | None:
    """The body of an answer; None if it is longer."""
    pieces = []
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size -= len(piece)
        if size < 0:
            response.close()
            return None
    return b"".join(pieces)


def _no_ranges() -> HttpError:
    return HttpError(
        "the server does not serve ranges of bytes, and whole files are not read over the network",
        remedy=f"{OTHER_MIRROR}, or copy the file and list the copy",
    )


def _other_bytes(start: int, stop: int, answer: str) -> HttpError:
    return HttpError(
        f"the server sends other bytes than it was asked for: asked for those from {start} to "
        f"{stop}, it {answer}",
        remedy=OTHER_MIRROR,
    )


def _tls_error(error: aiohttp.ClientSSLError, url: yarl.URL) -> HttpError:
    place = f"{url.host}:{url.port}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        named = os.environ.get("SSL_CERT_FILE")
        return HttpError(
            f"the certificate of {place} is not accepted: {reason}",
            remedy="if you trust the server, set SSL_CERT_FILE to a file (or SSL_CERT_DIR to a "
            "folder, such as /etc/grid-security/certificates) with the certificate of its authority"
            + (f"; it is {named} now" if named else ""),
        )
    reason = " ".join(str(error.os_error).split())
    return HttpError(
        f"no TLS connection to {place}: {reason}",
        remedy="check scheme and port of the address",
        again="EOF" in reason,
    )


def _retry_after(headers: Any) -> float | None:
    """Seconds until the server wants to be asked again (RFC 9110, section 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    until, now = _date(value), _date(headers.get("Date", "")) or datetime.now(UTC)
    return None if until is None else max((until - now).total_seconds(), 0.0)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _about_name(url: yarl.URL) -> str:
    if url.query_string:
        return (
            "check the path or the mirror: what follows `?` is no part of the file's name; if it "
            "is, write `%3F`"
        )
    return "check the path or the mirror"
