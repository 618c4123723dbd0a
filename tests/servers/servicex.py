"""A ServiceX server for tests: its web interface over HTTP, with an object store beside it.

It speaks what ServiceX's own server application speaks, and selects events with code of its own,
so that a comparison with the other ways of delivery means something.
"""

import base64
import json
import os
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import awkward as ak
import boto3
import pyarrow.parquet as pq
import uproot
from flask import Flask, Response, jsonify, request
from moto.server import ThreadedMotoServer
from uproot.language.python import PythonLanguage
from werkzeug.serving import make_server

ACCESS_KEY = "minio-access-7f3a9c52"
SECRET_KEY = "minio-secret-51d0be88"  # noqa: S105 - of the object store of these tests
REFRESH_TOKEN = "refresh-token-9b1c44e07a"  # noqa: S105 - of the server of these tests
CAPABILITIES = ("poll_local_transformation_results", "long_sample_titles_10240")
VERSION = "1.9.0"

_EXTENSIONS = {"parquet": ".parquet"}


def _reducer(reduce: Any) -> Any:
    """Without a default axis: servers of different years have different ones."""

    def explicit(array: Any, *, axis: int) -> Any:
        return reduce(array, axis=axis)

    return explicit


LANGUAGE = PythonLanguage(
    PythonLanguage.default_functions
    | {name: _reducer(getattr(ak, name)) for name in ("any", "all", "sum", "count_nonzero", "num")}
)


def select(source: Path, selection: str, output: Path, result_format: str) -> int:
    """Run an uproot-raw selection on one file, as the service's own science script does.

    Gives the number of events written. Steps are written one by one; a table of Parquet gets the
    column ``treename``, and cannot take a second tree with other columns.
    """
    tables = [table for query in json.loads(selection) for table in _tables(source, query)]
    if result_format == "parquet":
        return _write_parquet(tables, output)
    with uproot.recreate(output) as file:
        for name, steps in tables:
            types = ak.zip({field: steps[0][field] for field in steps[0].fields}, depth_limit=1)[:0]
            if result_format == "root-rntuple":
                written = file.mkrntuple(name, types)
            else:
                written = file.mktree(
                    name, {field: types[field].type.content for field in types.fields}
                )
            for step in filter(len, steps):
                columns = {field: step[field] for field in step.fields}
                ntuple = result_format == "root-rntuple"
                written.extend(ak.zip(columns, depth_limit=1) if ntuple else columns)
    return sum(len(step) for _, steps in tables for step in steps)


def _tables(source: Path, query: dict[str, Any]) -> Iterator[tuple[str, list[ak.Array]]]:
    """Names of the output's trees, and their events in steps, of which there is at least one."""
    names = query["treename"]
    if isinstance(names, str):
        names = {names: names}
    with uproot.open(source) as file:
        for name, output in names.items():
            tree = file[name]
            what = {
                "expressions": query["expressions"],
                "filter_name": query["filter_name"],
                "aliases": query["aliases"],
                "language": LANGUAGE,
            }
            # More than one step, so that steps are joined.
            step = max(1, tree.num_entries // 2)
            steps = list(tree.iterate(cut=query["cut"], step_size=step, **what))
            yield output, steps or [tree.arrays(entry_stop=0, **what)]


def _write_parquet(tables: list[tuple[str, list[ak.Array]]], output: Path) -> int:
    if len(tables) > 1:
        raise RuntimeError("probably different queries give different branches?")
    ((name, steps),) = tables
    for step in steps:
        step["treename"] = name
    written = [ak.to_arrow_table(step) for step in steps]
    with pq.ParquetWriter(output, written[0].schema) as writer:
        for table in written:
            writer.write_table(table)
    return sum(map(len, steps))


@dataclass
class Request:
    """A request and how far it is."""

    body: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Running"
    completed: int = 0
    failed: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)
    submitted: datetime = field(default_factory=lambda: datetime.now(UTC))


class ServiceX:
    """The server. What it does wrong is switched on by its attributes.

    Attributes:
        files: address of an input, as the client gives it, to the file that it stands for.
        fail: address to how often the service still fails on it.
        truncate: address to how often its output is still cut off on upload.
        end: status that a request ends in.
        hold: while set, no request gets on.
        stuck: addresses at which the transformer dies for good.
        errors: part of the path of a call to how often it is still answered with ``error_status``.
        error_status: HTTP status of these answers.
        unauthorized: answer 401 from then on to calls whose path has this in it.
        token_seconds: how long an access token is valid.
        listed_size: the real server tells the size before the upload; False tells none at all.
        prefix: address of a cache, which the service puts in front of those of the inputs.
        calls: method and path of what was asked.
    """

    def __init__(self, store: "ObjectStore", capabilities: tuple[str, ...] = CAPABILITIES) -> None:
        self.store = store
        self.capabilities = capabilities
        self.files: dict[str, Path] = {}
        self.fail: Counter[str] = Counter()
        self.truncate: Counter[str] = Counter()
        self.end = "Complete"
        self.hold = threading.Event()
        self.stuck: set[str] = set()
        self.errors: Counter[str] = Counter()
        self.error_status = 500
        self.unauthorized: str | None = None
        self.token_seconds = 3600.0
        self.prefix = ""
        self.calls: list[str] = []
        self.requests: dict[str, Request] = {}
        self.bodies: list[dict[str, Any]] = []
        self._server = make_server("127.0.0.1", 0, self._application(), threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self.hold.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def submissions(self) -> list[list[str]]:
        """The lists of files that were requested, in order."""
        return [body["file-list"] for body in self.bodies]

    def _application(self) -> Flask:
        app = Flask("servicex")

        @app.before_request
        def check() -> tuple[Response, int] | None:
            self.calls.append(f"{request.method} {request.path}")
            for part, count in self.errors.items():
                if part in self.calls[-1] and count > 0:
                    self.errors[part] -= 1
                    return jsonify(message="out of order"), self.error_status
            refused = self.unauthorized is not None and self.unauthorized in self.calls[-1]
            if refused or not self._authorized(request.headers.get("Authorization", "")):
                return jsonify(message="Not Authorized"), 401
            return None

        @app.post("/token/refresh")
        def refresh() -> Response:
            return jsonify(access_token=_jwt(time.time() + self.token_seconds))

        @app.get("/servicex")
        def info() -> Response:
            return jsonify(
                {
                    "app-version": VERSION,
                    "code-gen-image": {"uproot-raw": "codegen:1", "python": "codegen:2"},
                    "capabilities": list(self.capabilities),
                }
            )

        @app.post("/servicex/transformation")
        def submit() -> tuple[Response, int] | Response:
            body = request.get_json()
            if body["result-format"] not in ("root-file", "root-rntuple", "parquet"):
                return jsonify(message=f"no format {body['result-format']}"), 400
            made = Request(body)
            self.bodies.append(body)
            self.requests[made.id] = made
            self.store.client.create_bucket(Bucket=made.id)
            threading.Thread(target=self._work, args=(made,), daemon=True).start()
            return jsonify(request_id=made.id)

        @app.get("/servicex/transformation/<request_id>")
        def status(request_id: str) -> tuple[Response, int] | Response:
            if request_id not in self.requests:
                return jsonify(message="Transformation request not found"), 404
            return jsonify(self._status(self.requests[request_id]))

        @app.get("/servicex/transformation/<request_id>/results")
        def results(request_id: str) -> Response:
            later = datetime.fromisoformat(
                request.args.get("later_than", "0001-01-01T00:00:00")
            ).replace(tzinfo=UTC)
            listed = [
                result
                for result in self.requests[request_id].results
                if datetime.fromisoformat(result["created_at"]).replace(tzinfo=UTC) > later
            ]
            return jsonify(results=listed)

        @app.route("/servicex/transformation/<request_id>/cancel", methods=["GET", "POST"])
        def cancel(request_id: str) -> tuple[Response, int] | Response:
            expected = "POST" if "post_cancel_transform" in self.capabilities else "GET"
            if request.method != expected:
                return jsonify(message="The method is not allowed for the requested URL."), 405
            if request_id not in self.requests:
                return jsonify(message=f"Transformation request not found: {request_id}"), 404
            made = self.requests[request_id]
            if made.status not in ("Running", "Submitted"):
                return jsonify(message=f"Transform request {request_id} is not in progress."), 400
            made.status = "Canceled"
            return jsonify(message=f"Canceled transformation request {request_id}")

        @app.get("/servicex/datasets/<int:dataset>")
        def dataset(dataset: int) -> tuple[Response, int]:
            return jsonify(message=f"no dataset {dataset}"), 500

        return app

    def _authorized(self, header: str) -> bool:
        token = header.removeprefix("Bearer ")
        if request.path == "/token/refresh":
            return token == REFRESH_TOKEN
        return token.count(".") == 2 and _expiry(token) > time.time()

    def _status(self, made: Request) -> dict[str, Any]:
        files = len(made.body["file-list"])
        ended = made.status not in ("Running", "Submitted")
        return {
            "request_id": made.id,
            "title": made.body["title"],
            "did": "File List Provided in Request",
            "did_id": 1,
            "selection": made.body["selection"],
            "tree-name": None,
            "image": "transformer:3",
            "result-destination": made.body["result-destination"],
            "result-format": made.body["result-format"],
            "generated-code-cm": f"{made.id}-code",
            "status": made.status,
            "app-version": VERSION,
            "files": files,
            "files-completed": made.completed,
            "files-failed": made.failed,
            "files-remaining": files - made.completed - made.failed,
            "submit-time": made.submitted.isoformat(),
            "finish-time": datetime.now(UTC).isoformat() if ended else "None",
            "log-url": f"{self.url}/logs",
            "minio-endpoint": self.store.address,
            "minio-secured": False,
            "minio-access-key": ACCESS_KEY,
            "minio-secret-key": SECRET_KEY,
        }

    def _work(self, made: Request) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # The last first: the order of completion is not that of the list.
            for source in reversed(made.body["file-list"]):
                self._wait()
                if source in self.stuck or made.status == "Canceled":
                    # The request stays as it is.
                    return
                if self.end == "Complete":
                    self._transform(made, source, Path(folder) / "output")
            self._wait()
            if made.status != "Canceled":
                made.status = self.end

    def _wait(self) -> None:
        while self.hold.is_set():
            time.sleep(0.02)

    def _transform(self, made: Request, source: str, output: Path) -> None:
        result_format = made.body["result-format"]
        address = f"{self.prefix}{source}"
        name = address.replace("/", ":") + _EXTENSIONS.get(result_format, "")
        events = size = 0
        succeeded = self.fail[source] <= 0
        if succeeded:
            events = select(self.files[source], made.body["selection"], output, result_format)
            size = output.stat().st_size
            if self.truncate[source] > 0:
                os.truncate(output, size // 2)
            self.store.client.upload_file(str(output), made.id, name)
        self.fail[source] -= 1
        self.truncate[source] -= 1
        made.results.append(
            {
                "file-path": address,
                "s3-object-name": name if succeeded else "none",
                "transform_status": "success" if succeeded else "failure",
                "total-events": events,
                "total-bytes": size,
                "created_at": datetime.now(UTC).replace(tzinfo=None).isoformat(),
            }
        )
        if succeeded:
            made.completed += 1
        else:
            made.failed += 1


class ObjectStore:
    """An S3 server."""

    def __init__(self) -> None:
        self._moto = ThreadedMotoServer("127.0.0.1", port=0)
        self._moto.start()
        _, port = self._moto.get_host_and_port()
        self.address = f"127.0.0.1:{port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://{self.address}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )

    def stop(self) -> None:
        self._moto.stop()


@contextmanager
def running(store: ObjectStore, files: Mapping[str, Path]) -> Iterator[ServiceX]:
    """A server with its files, stopped at the end."""
    server = ServiceX(store)
    server.files.update(files)
    try:
        yield server
    finally:
        server.stop()


def _encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


# What every access token starts with.
JWT = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}."


def _jwt(expiry: float) -> str:
    return f"{JWT}{_encoded({'exp': expiry, 'sub': 'somebody'})}.{_encoded('unsigned')}"


def _expiry(token: str) -> float:
    payload = token.split(".")[1]
    expiry: float = json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"]
    return expiry
