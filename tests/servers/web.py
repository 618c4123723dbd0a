"""A web server with byte ranges, and folders in which it does what servers out there do.

Run as a program, it serves the folder ``argv[1]`` on port ``argv[2]``; ``WebThread`` does so in
this process. ``/NAME`` is a file;

    /busy-N/NAME          answers 503 to the first N requests
    /later-N-WHEN/NAME    answers 429 to the first N requests, to come again in WHEN seconds; with
                          WHEN "date", at a date a second ahead
    /often-N-WHEN/NAME    the same, for one request of each N
    /ready-N/NAME         holds its second answer back until there have been N connections
    /closing/NAME         closes the connection behind each answer
    /halves/NAME          closes the connection in the middle of every answer
    /short/NAME           sends a byte less than it is asked for, but of the beginning
    /shifted-N-A-B/NAME   sends what lies N bytes behind the ranges that begin at bytes from A to B
    /skewed-N/NAME        the same of all ranges, and says so
    /boasting/NAME        sends a byte less than it says, but of the beginning
    /replaced-N/NAME      has another file of the same size behind N requests
    /whole/NAME           sends the whole file, whatever range is asked for
    /zipped/NAME          sends ranges of the compressed file
    /star/NAME            tells the size only in the answer to HEAD
    /sizeless/NAME        tells the size nowhere
    /secret/NAME          is forbidden
    /empty/NAME           has no bytes
    /members/NAME         is for those with the token TOKEN; others are told so
    /login/NAME           redirects others to a page where they may log in
    /circle/NAME          redirects in a circle
    /ticket/NAME          redirects to an address that is good for three requests, as dCache does
    /to/NAME?to=URL       redirects to URL
"""

import asyncio
import gzip
import selectors
import ssl
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Self

from aiohttp import web

from servers.process import ServerProcess

TOKEN = "members-only-5b0c7d"  # noqa: S105 - of this server
PAGE = "<!DOCTYPE html>\n<html><body>Please sign in</body></html>\n" * 50
_TICKET = 3
# Seconds until connections that nobody ends are left as they are.
_LONGEST_WAIT = 5.0


class WebServer(ServerProcess):
    scheme = "http"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "servers.web", str(self.files), str(self.port)]

    def url(self, name: str, *, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}/{name}"


class WebThread:
    """The server in a thread of this process.

    Attributes:
        seen: what was asked: method, path with query, and headers.
        sent: bytes of whole files that went out.
        behaviour: what it does, and the number of connections so far.
    """

    def __init__(self, files: Path, tls: ssl.SSLContext | None = None) -> None:
        self.behaviour = Behaviour(files)
        self.seen = self.behaviour.seen
        self._tls = tls
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._listening.close()
        await self._runner.cleanup()
        # Connections that are closing, or whose client has left a handshake, let go of their
        # sockets in later turns of the loop; what wakes up the loop stays.
        end = time.monotonic() + _LONGEST_WAIT
        while len(self._selector.get_map()) > 1 and time.monotonic() < end:
            await asyncio.sleep(0.01)

    async def _start(self) -> None:
        self._runner = web.AppRunner(self.behaviour.application(), shutdown_timeout=0.1)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None

        def connect() -> asyncio.Protocol:
            self.behaviour.n_connections += 1
            return server()

        self._listening = await self._loop.create_server(connect, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._listening.sockets[0].getsockname()[1]

    def url(self, name: str, *, scheme: str | None = None, host: str = "127.0.0.1") -> str:
        return f"{scheme or ('https' if self._tls else 'http')}://{host}:{self.port}/{name}"

    def tokens(self) -> list[str | None]:
        """The header that gives access, of each request."""
        return [headers.get("Authorization") for _, headers in self.seen]


class Behaviour:
    """What the server does, by folder."""

    def __init__(self, files: Path) -> None:
        self.files = files
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.n_connections = 0
        self._asked: Counter[str] = Counter()

    def application(self) -> web.Application:
        made = web.Application()
        made.router.add_get("/{path:.*}", self.serve)
        return made

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((f"{request.method} {request.path_qs}", dict(request.headers)))
        folder, _, name = request.match_info["path"].rpartition("/")
        kind, *words = folder.split("-")
        self._asked[request.path] += 1
        path = self.files / name
        if kind == "to":
            raise web.HTTPFound(request.query["to"])
        if name == "sign-in":
            return web.Response(text=PAGE, content_type="text/html")
        if not path.is_file():
            raise web.HTTPNotFound
        answer = getattr(self, f"_{kind}", None)
        return await answer(request, path, *words) if answer else web.FileResponse(path)

    async def _busy(self, request: web.Request, path: Path, times: str) -> web.StreamResponse:
        if self._asked[request.path] <= int(times):
            raise web.HTTPServiceUnavailable
        return web.FileResponse(path)

    async def _later(self, request: web.Request, path: Path, n: str, when: str) -> web.FileResponse:
        if self._asked[request.path] <= int(n):
            raise web.HTTPTooManyRequests(headers={"Retry-After": _when(when)})
        return web.FileResponse(path)

    async def _often(self, request: web.Request, path: Path, n: str, when: str) -> web.FileResponse:
        if self._asked[request.path] % int(n) == 0:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": _when(when)})
        return web.FileResponse(path)

    async def _ready(self, request: web.Request, path: Path, n: str) -> web.FileResponse:
        while self._asked[request.path] == 2 and self.n_connections < int(n):
            await asyncio.sleep(0.01)
        return web.FileResponse(path)

    async def _closing(self, _request: web.Request, path: Path) -> web.FileResponse:
        response = web.FileResponse(path)
        response.force_close()
        return response

    async def _halves(self, request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        wanted = content[request.http_range]
        response = web.StreamResponse(
            status=206,
            headers={
                "Content-Length": str(len(wanted)),
                "Content-Range": _content_range(request, len(wanted), len(content)),
            },
        )
        await response.prepare(request)
        await response.write(wanted[: len(wanted) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    async def _whole(self, request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        for start in range(0, len(content) if request.method == "GET" else 0, 1 << 16):
            await response.write(content[start : start + (1 << 16)])
            self.sent += 1 << 16
        return response

    async def _zipped(self, request: web.Request, path: Path) -> web.StreamResponse:
        content = gzip.compress(path.read_bytes())
        wanted = content[request.http_range]
        return web.Response(
            status=206,
            body=wanted,
            headers={
                "Content-Encoding": "gzip",
                "Content-Range": _content_range(request, len(wanted), len(content)),
            },
        )

    async def _star(self, request: web.Request, path: Path) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.FileResponse(path)
        wanted = path.read_bytes()[request.http_range]
        headers = {"Content-Range": _content_range(request, len(wanted), "*")}
        return web.Response(status=206, body=wanted, headers=headers)

    async def _short(self, request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        wanted = content[request.http_range]
        if request.http_range.start:
            wanted = wanted[:-1]
        headers = {"Content-Range": _content_range(request, len(wanted), len(content))}
        return web.Response(status=206, body=wanted, headers=headers)

    async def _shifted(
        self, request: web.Request, path: Path, by: str, first: str, behind: str
    ) -> web.StreamResponse:
        content = path.read_bytes()
        start, stop = request.http_range.start, min(request.http_range.stop, len(content))
        at = start
        if int(first) <= start < int(behind):
            # No more than the file has: of the end, something comes twice.
            at = min(start + int(by), len(content) - stop + start)
        headers = {"Content-Range": _content_range(request, stop - start, len(content))}
        return web.Response(status=206, body=content[at : at + stop - start], headers=headers)

    async def _skewed(self, request: web.Request, path: Path, by: str) -> web.StreamResponse:
        content = path.read_bytes()
        start, stop = (at + int(by) for at in (request.http_range.start, request.http_range.stop))
        wanted = content[start:stop]
        told = f"bytes {start}-{start + len(wanted) - 1}/{len(content)}"
        return web.Response(status=206, body=wanted, headers={"Content-Range": told})

    async def _boasting(self, request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        wanted = content[request.http_range]
        headers = {"Content-Range": _content_range(request, len(wanted), len(content))}
        body = wanted[:-1] if request.http_range.start else wanted
        return web.Response(status=206, body=body, headers=headers)

    async def _replaced(self, request: web.Request, path: Path, after: str) -> web.StreamResponse:
        content = path.read_bytes()
        wanted = content[request.http_range]
        age = int(self._asked[request.path] > int(after))
        headers = {
            "Content-Range": _content_range(request, len(wanted), len(content)),
            "ETag": f'"{age}"',
            "Last-Modified": format_datetime(datetime(2026, 1, 1 + age, tzinfo=UTC), usegmt=True),
        }
        return web.Response(status=206, body=wanted, headers=headers)

    async def _sizeless(self, request: web.Request, path: Path) -> web.StreamResponse:
        if request.method == "HEAD":
            raise web.HTTPMethodNotAllowed("HEAD", ["GET"])
        return await self._star(request, path)

    async def _secret(self, _request: web.Request, _path: Path) -> web.StreamResponse:
        raise web.HTTPForbidden

    async def _empty(self, _request: web.Request, _path: Path) -> web.StreamResponse:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": "bytes */0"})

    async def _members(self, request: web.Request, path: Path) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        return web.FileResponse(path)

    async def _login(self, request: web.Request, path: Path) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPFound("/sign-in?state=0123456789abcdef0123")
        return web.FileResponse(path)

    async def _circle(self, request: web.Request, _path: Path) -> web.StreamResponse:
        raise web.HTTPFound(f"{request.path}?token=around-and-around")

    async def _ticket(self, request: web.Request, path: Path) -> web.StreamResponse:
        number = request.query.get("ticket")
        if number is None:
            raise web.HTTPTemporaryRedirect(f"{request.path}?ticket={len(self.seen)}")
        self._asked[number] += 1
        if self._asked[number] > _TICKET:
            raise web.HTTPForbidden
        return web.FileResponse(path)


def _when(text: str) -> str:
    if text != "date":
        return text
    return format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)


def _content_range(request: web.Request, length: int, size: int | str) -> str:
    start = request.http_range.start or 0
    return f"bytes {start}-{start + length - 1}/{size}"


if __name__ == "__main__":
    web.run_app(
        Behaviour(Path(sys.argv[1])).application(),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        print=None,
    )
