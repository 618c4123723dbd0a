"""The doctor against servers of its own on this machine, and against none."""

import asyncio
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from agc_pipeline import cli, extras
from agc_pipeline.doctor import examine as examination
from agc_pipeline.doctor import machine, services, tools
from agc_pipeline.doctor.findings import Finding, Probe, plain_address, run_probes
from conftest import ROOT, read_config
from servers.kserve import Behaviour, serving

# A secret of nothing.
SECRET = "ey-not-to-be-seen"  # noqa: S105
TIMEOUT = 10.0
DEFAULT = {
    "results": "results",
    "input": {"kind": "simulated"},
    "delivery": {"backend": "local"},
    "histograms": {"executor": "iterative", "dask": {"cluster": "local"}},
}


@contextmanager
def web_server(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.get(self.path, (404, {}))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def tcp_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answers connections one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while not stopped.is_set():
                connection, _ = server.accept()
                with connection:
                    answer(connection)

        stopped = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        yield port
        stopped.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("DASK_SCHEDULER_ADDRESS", "TRITON_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def examine(configuration: dict[str, Any], *, include_unused: bool) -> list[Finding]:
    return examination.examine(
        configuration, learned="jet_assignment", include_unused=include_unused, timeout=TIMEOUT
    )


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_servicex_is_found_with_its_version_and_without_its_token(home: Path) -> None:
    info = {"app-version": "1.8.1", "code-gen-image": {"uproot": "x", "python": "y"}}
    with web_server({"/servicex": (200, info)}) as url:
        (home / "servicex.yaml").write_text(
            f"api_endpoints:\n- {{name: mine, endpoint: '{url}', token: {SECRET}}}\n"
        )
        used = DEFAULT | {"delivery": {"backend": "servicex"}}
        found = examine(used, include_unused=False)
    mine = named(found)["ServiceX mine"]
    assert mine.state == "ok"
    assert mine.detail == f"version 1.8.1 at {url}; generators: python, uproot"
    assert SECRET not in str(found)


def test_servicex_that_is_missing_or_something_else(home: Path, closed_port: int) -> None:
    used = DEFAULT | {"delivery": {"backend": "servicex"}}
    needed = named(examine(used, include_unused=False))["ServiceX"]
    assert needed.state == "failed"
    assert "servicex.yaml" in needed.remedy
    one = DEFAULT | {"delivery": {"datasets": {"ttbar__nominal": {"backend": "servicex"}}}}
    assert named(examine(one, include_unused=False))["ServiceX"].state == "failed"
    unused = named(examine(DEFAULT, include_unused=True))["ServiceX"]
    assert unused.state == "missing"
    url = f"http://user:{SECRET}@127.0.0.1:{closed_port}/"
    refused = services.servicex("x", url, timeout=TIMEOUT)
    assert refused.state == "failed"
    assert "refused" in refused.detail
    assert SECRET not in str(refused)
    with web_server({"/servicex": (200, {"hello": "world"})}) as other:
        assert "no ServiceX" in services.servicex("x", other, timeout=TIMEOUT).detail
    assert services.servicex("x", "ftp://127.0.0.1", timeout=TIMEOUT).state == "failed"


@pytest.mark.parametrize(
    "content", [f"token: {SECRET}", f"- {SECRET}", f"{SECRET}: [", f"api_endpoints: {SECRET}"]
)
def test_a_bad_servicex_file_shows_no_token(home: Path, content: str) -> None:
    (home / "servicex.yaml").write_text(content)
    found = examine(DEFAULT | {"delivery": {"backend": "servicex"}}, include_unused=False)
    assert named(found)["ServiceX"].state == "failed"
    assert SECRET not in str(found)


def triton(url: str, **changes: Any) -> dict[str, Any]:
    """A configuration that scores there."""
    values = read_config()["learning"]["triton"] | {"url": url} | changes
    return DEFAULT | {"jet_assignment": "triton", "learning": {"triton": values}}


def found_triton(values: dict[str, Any], *, include_unused: bool = False) -> Finding | None:
    return named(examine(values, include_unused=include_unused)).get("Triton")


def test_triton_is_asked_for_the_models_of_the_run(home: Path, closed_port: int) -> None:
    scores = {version: lambda rows: rows[:, 0] for version in ("1", "2")}
    with serving(Behaviour(scores)) as url:
        detail = f"pretended 1.2 at {url}; jet_assignment 1 and 2 are ready"
        assert found_triton(triton(url)) == Finding("Triton", "ok", detail)
        missing = found_triton(triton(url, versions={"even": "1", "odd": "3"}))
        assert missing is not None
        assert missing.state == "failed"
        assert "it has jet_assignment 1 READY" in missing.detail
        assert missing.detail.startswith(f"Triton server {url}, model jet_assignment, version 3")
        assert "learning.triton.model" in missing.remedy
    with serving(Behaviour(scores, ready=False)) as url:
        loading = found_triton(triton(url))
        assert loading is not None
        assert (loading.state, "is not ready" in loading.detail) == ("failed", True)
    silent = found_triton(triton(f"127.0.0.1:{closed_port}"))
    assert silent is not None
    assert (silent.state, "refused" in silent.detail) == ("failed", True)
    assert "start the server" in silent.remedy
    bad = found_triton(triton("http://localhost"))
    assert bad is not None
    assert (bad.state, "url" in bad.remedy) == ("failed", True)


def test_triton_that_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unused = triton("127.0.0.1:1") | {"jet_assignment": False}
    assert found_triton(unused) is None
    found = found_triton(unused, include_unused=True)
    assert found is not None
    assert found.state == "unused"
    with serving(Behaviour({})) as url:
        monkeypatch.setenv("TRITON_URL", url)
        expected = Finding("Triton", "ok", f"pretended 1.2 at {url}")
        assert found_triton(unused, include_unused=True) == expected


def test_triton_without_its_client(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    found = found_triton(triton("127.0.0.1:1"))
    assert found is not None
    assert found.state == "missing"
    assert "agc-pipeline[learning]" in found.remedy


def test_dask(closed_port: int) -> None:
    with LocalCluster(
        n_workers=0, protocol="tcp://", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = cluster.scheduler_address
        dask = {"cluster": "scheduler", "address": address}
        values = {"histograms": {"executor": "dask", "dask": dask}}
        found = named(examine(values, include_unused=False))["Dask"]

        async def in_the_loop_of_snakemake() -> Finding:
            return services.dask(address, timeout=TIMEOUT)

        assert asyncio.run(in_the_loop_of_snakemake()) == found
    assert found == Finding("Dask", "ok", f"scheduler at {address}")
    refused = services.dask(f"tcp://127.0.0.1:{closed_port}", timeout=TIMEOUT)
    assert (refused.state, "refused" in refused.detail) == ("failed", True)
    with tcp_server(lambda connection: connection.sendall(b"220 mail")) as port:
        found = services.dask(f"tcp://127.0.0.1:{port}", timeout=TIMEOUT)
    assert found.detail.endswith("is no Dask scheduler")
    assert services.dask("inproc://x", timeout=TIMEOUT).state == "unused"


def test_gateway(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    found = services.dask(f"http://127.0.0.1:{closed_port}/services", timeout=TIMEOUT)
    assert (found.state, "refused" in found.detail) == ("failed", True)
    with tcp_server(lambda _: None) as port:
        assert services.dask(f"http://127.0.0.1:{port}", timeout=TIMEOUT).state == "ok"
    assert services.dask("http:///no-host", timeout=TIMEOUT).state == "unused"
    wrong = services.dask("http://gateway:port", timeout=TIMEOUT)
    assert (wrong.state, "Port could not be cast" in wrong.detail) == ("failed", True)


def test_xrootd(closed_port: int) -> None:
    # Handshake, protocol, login and ping: XRootD's protocol specification.
    hello = struct.pack(">2BHiii", 0, 0, 0, 8, 0x520, 1)
    answers = {3006: struct.pack(">2i", 0x520, 1), 3007: bytes(16), 3011: b""}
    requests = []

    def door(connection: socket.socket) -> None:
        if connection.recv(20, socket.MSG_WAITALL)[-4:] != struct.pack(">i", 2012):
            return
        connection.sendall(hello)
        while 3011 not in requests and (request := connection.recv(24, socket.MSG_WAITALL)):
            stream, kind, size = struct.unpack(">2sH16xi", request)
            connection.recv(size, socket.MSG_WAITALL)
            requests.append(kind)
            answer = answers[kind]
            connection.sendall(stream + struct.pack(">Hi", 0, len(answer)) + answer)

    with tcp_server(door) as port:
        found = services.xrootd(f"root://127.0.0.1:{port}//store", timeout=TIMEOUT)
    assert found == Finding("mirror 127.0.0.1", "ok", f"XRootD server at 127.0.0.1:{port}")
    assert requests == [3006, 3007, 3011]
    with tcp_server(lambda connection: connection.sendall(b"no")) as port:
        found = services.xrootd(f"root://127.0.0.1:{port}//store", timeout=1)
    assert found.state == "failed"
    refused = services.xrootd(f"root://127.0.0.1:{closed_port}//x", timeout=TIMEOUT)
    assert (refused.state, "refused" in refused.detail) == ("failed", True)


def test_mirrors_of_the_configuration(closed_port: int) -> None:
    with web_server({"/data/set/a_0003.root": (200, {})}) as url:
        source = {
            "kind": "files",
            "mirrors": {"web": f"{url}/data", "other": f"{url}/no", "disk": "/data", "off": "x"},
            "mirror_order": ["web", "other", "disk"],
            "xcache": None,
            "datasets": {
                "ttbar__nominal": {
                    "folder": "set",
                    "blocks": [{"stem": "a", "first": 3, "n_events": [5]}],
                }
            },
        }
        found = examine({"input": source}, include_unused=False)
        mirrors = [finding for finding in found if finding.name.startswith("mirror")]
    assert [finding.state for finding in mirrors] == ["ok", "failed"]
    assert mirrors[1].detail == f"status 404 for {url}/no/set/a_0003.root"


def test_the_default_run_needs_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    found = named(examine(DEFAULT, include_unused=False))
    assert found.keys() == {"cores", "memory", "disk", "packages"}
    assert all(finding.state != "unused" for finding in found.values())


def test_what_hangs_has_failed_and_keeps_nobody() -> None:
    free = threading.Event()

    def hang() -> Finding:
        free.wait()
        return Finding("slow", "ok", "")

    started = time.monotonic()
    good = Probe("fast", lambda: Finding("fast", "ok", "there"), "")
    found = run_probes([Probe("slow", hang, "look"), good], timeout=1)
    free.set()
    assert found[0] == Finding("slow", "failed", "no answer within 1 s", "look")
    assert found[1].state == "ok"
    assert time.monotonic() - started < TIMEOUT


def test_packages_against_a_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_project", lambda: tmp_path)
    assert machine.packages().state == "unused"
    (tmp_path / "requirements").mkdir()
    run, development = (
        tmp_path / "requirements" / f"{name}.txt" for name in ("run", "development")
    )
    run.write_text("no-such-package==1 \\\n    --hash=sha256:0a\n")
    development.write_text(
        "no-such-package==1 \\\n    --hash=sha256:0a\nno-such-tool==2\n"
        "uproot==0.1 \\\n    --hash=sha256:0b \\\n    --hash=sha256:0c\n"
        "other==1 ; sys_platform == 'win32'\n"
    )
    found = machine.packages()
    assert found.state == "failed"
    assert "missing: no-such-package;" in found.detail
    assert "instead of 0.1" in found.detail
    assert "other" not in found.detail.replace("other versions", "")
    run.write_text("")
    development.write_text("no-such-tool==2\nother==1 ; sys_platform == 'win32'\n")
    assert machine.packages().state == "ok"


def test_batch_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    names = ("Slurm", "sinfo", "no_such_plugin")
    assert tools.batch(*names, timeout=TIMEOUT).state == "missing"
    program = tmp_path / "sinfo"
    program.write_text("#!/bin/sh\necho slurm 26.05\n")
    program.chmod(0o755)
    found = tools.batch(*names, timeout=TIMEOUT)
    assert found.detail == "slurm 26.05; no plugin"
    assert found.remedy == "pip install no-such-plugin"
    assert tools.batch("Slurm", "sinfo", "json", timeout=TIMEOUT) == Finding(
        "Slurm", "ok", "slurm 26.05"
    )
    program.write_text("#!/bin/sh\necho a >&2\necho sinfo: no source >&2\nexit 1\n")
    failed = tools.batch(*names, timeout=TIMEOUT)
    assert (failed.state, failed.detail) == ("missing", f"{program}: sinfo: no source")
    program.write_text("#!/bin/sh\nexit 1\n")
    assert tools.batch(*names, timeout=TIMEOUT).detail == f"{program}: status 1"
    program.write_text("#!/bin/sh\nexec /bin/sleep 9\n")
    assert "no answer within" in tools.batch(*names, timeout=0.05).detail


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://user:{SECRET}@host:8443/a?token={SECRET}#{SECRET}", "https://host:8443/a"),
        ("root://host//store", "root://host//store"),
    ],
)
def test_addresses_lose_their_secrets(url: str, shown: str) -> None:
    assert plain_address(url) == shown


def test_command(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setattr(machine, "_project", lambda: home)
    cli.main(["doctor"])
    lines = capsys.readouterr().out
    assert "no servicex.yaml" in lines
    assert "HTCondor" in lines
    assert "-> log in to a submit node" in lines
    wrong = home / "wrong.yaml"
    for text, problem in (
        ("delivery: {backend: locl}", f"`delivery.backend` cannot be 'locl': .*{wrong}, line 1"),
        ("input: {kind: fileset, path: none.json}", r"file not found \(none.json\)"),
    ):
        wrong.write_text(text)
        monkeypatch.chdir(ROOT)
        with pytest.raises(SystemExit, match="1"):
            cli.main(["doctor", "--timeout", "0.1", "--configfile", str(wrong)])
        told = capsys.readouterr().out.partition("\n")[0]
        assert re.match(f"configuration +failed +{problem}", told), told
    with pytest.raises(SystemExit, match=r"error: cannot read .*\n.*no\.yaml"):
        cli.main(["doctor", "--configfile", "no.yaml"])
