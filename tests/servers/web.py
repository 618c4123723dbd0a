"""A web server with byte ranges, and folders that misbehave.

Run as a program, it serves the folder ``argv[1]`` on port ``argv[2]``. ``/NAME`` is a file;

    /busy-N/NAME    answers 503 to the first N requests
    /halves/NAME    closes the connection in the middle of every answer
    /whole/NAME     sends the whole file, whatever range is asked for
    /secret/NAME    is forbidden
"""

import sys
from collections import Counter
from pathlib import Path

from aiohttp import web

from servers.process import ServerProcess


class WebServer(ServerProcess):
    scheme = "http"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "servers.web", str(self.files), str(self.port)]

    def url(self, name: str, *, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}/{name}"


def application(files: Path) -> web.Application:
    refused: Counter[str] = Counter()

    async def serve(request: web.Request) -> web.StreamResponse:
        folder, _, name = request.match_info["path"].rpartition("/")
        path = files / name
        if not path.is_file():
            raise web.HTTPNotFound
        if folder == "secret":
            raise web.HTTPForbidden
        if folder.startswith("busy-") and refused[folder] < int(folder.removeprefix("busy-")):
            refused[folder] += 1
            raise web.HTTPServiceUnavailable
        if folder == "whole" and request.method == "GET":
            return web.Response(body=path.read_bytes())
        if folder == "halves" and request.method == "GET":
            return await cut_off(request, path)
        return web.FileResponse(path)

    made = web.Application()
    made.router.add_get("/{path:.+}", serve)
    return made


async def cut_off(request: web.Request, path: Path) -> web.StreamResponse:
    content = path.read_bytes()[request.http_range]
    response = web.StreamResponse(status=206, headers={"Content-Length": str(len(content))})
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


if __name__ == "__main__":
    web.run_app(application(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), print=None)
