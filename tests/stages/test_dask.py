"""Histograms with Dask clusters that run, grow, break down or are not there."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from distributed import Client, LocalCluster, Security, get_worker
from pydantic import TypeAdapter
from test_deliver_histogram_merge import EXECUTION, Chain, content, write_files

from agc_pipeline import analyses, new
from agc_pipeline.columnar import dask_clusters, runner
from agc_pipeline.columnar.executors import executor
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.columnar.settings import BatchDask, DaskSettings, HistogramSettings, SchedulerDask
from agc_pipeline.errors import ServiceError
from agc_pipeline.files import read_json
from conftest import read_config
from processed import EXECUTOR, delivered
from servers.gateway import PROGRAM, Gateway

# A worker that is killed when it starts its third chunk.
KILLED_WORKER = """
import os, signal
from distributed import WorkerPlugin

class Killer(WorkerPlugin):
    started = 0

    def transition(self, key, start, finish, **kwargs):
        self.started += finish == "executing"
        if self.started == 3:
            os.kill(os.getpid(), signal.SIGKILL)

async def dask_setup(worker):
    await worker.plugin_add(Killer())
"""
# A scheduler that is killed when three chunks are done.
KILLED_SCHEDULER = """
import os, signal
from distributed.diagnostics.plugin import SchedulerPlugin

class Killer(SchedulerPlugin):
    done = 0

    def transition(self, key, start, finish, *args, **kwargs):
        self.done += finish == "memory"
        if self.done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

def dask_setup(scheduler):
    scheduler.add_plugin(Killer())
"""


@pytest.fixture
def chain(command: Callable[..., str | None], tmp_path: Path) -> Chain:
    made = Chain(command, tmp_path)
    assert made.deliver(write_files(tmp_path), backend="none") is None
    return made


@pytest.fixture
def reference(chain: Chain) -> dict[str, Any]:
    assert chain.histogram(chunk_size=3) is None
    return content(chain.result())


@contextmanager
def program(kind: str, folder: Path, *options: str, preload: str | None = None) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if preload is not None:
        script = folder / f"killed_{kind}.py"
        script.write_text(preload)
        options = (*options, "--preload", str(script))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(kind), *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def scheduler(folder: Path, preload: str | None = None, *options: str) -> Iterator[str]:
    """A scheduler on the loopback interface; gives its address."""
    found = folder / "scheduler.json"
    place = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(found))
    with program("scheduler", folder, *place, *options, preload=preload):
        deadline = time.monotonic() + 60
        while not (found.exists() and found.read_text().endswith("}")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield read_json(found)["address"]


@contextmanager
def worker(folder: Path, address: str, preload: str | None = None, *options: str) -> Iterator[None]:
    place = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    with program("worker", folder, address, *place, *options, preload=preload):
        yield


def running(address: str, **changes: Any) -> dict[str, Any]:
    return {"executor": "dask", "chunk_size": 3} | {
        "dask": {"cluster": "scheduler", "address": address} | changes
    }


def test_a_cluster_without_our_package(
    chain: Chain, reference: dict[str, Any], tmp_path: Path
) -> None:
    with scheduler(tmp_path) as address, worker(tmp_path, address):
        assert chain.histogram(**running(address)) is None
    assert content(chain.result()) == reference
    assert "bokeh" in (tmp_path / "0.html").read_text()


@pytest.mark.parametrize("importable", [False, True], ids=["folder", "module"])
def test_an_analysis_that_the_workers_do_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importable: bool
) -> None:
    package = tmp_path / "elsewhere" / f"mylab_{importable}"
    package.mkdir(parents=True)
    folder = new.write(f"zpeak_{importable}", package)
    events = (folder / "input").rename(tmp_path / "events") / "zmumu.root"
    # It needs a data file, and, if it is a module, another one of its package.
    (folder / "bounds.json").write_text("[70, 110]")
    declaration = folder / "__init__.py"
    text = declaration.read_text().replace("range(60, 121, 5)", "range(*BOUNDS, 5)")
    text = "from .bounds import BOUNDS\n" + text
    own = "import json\nfrom pathlib import Path\n"
    own += "BOUNDS = json.loads((Path(__file__).parent / 'bounds.json').read_text())\n"
    (folder / "bounds.py").write_text(own)
    if importable:
        (package / "__init__.py").touch()
        (package / "common.py").write_text("FIELDS = ('pt', 'eta', 'phi', 'mass', 'charge')\n")
        text = text.replace('("pt", "eta", "phi", "mass", "charge")', "FIELDS")
        text = f"from {package.name}.common import FIELDS\n" + text
    # And one that lies in the working folder.
    working = tmp_path / "working"
    working.mkdir()
    (working / f"beside_{importable}.py").write_text("GROUP = 'muons'\n")
    text = f"from beside_{importable} import GROUP\n" + text
    declaration.write_text(text)
    monkeypatch.chdir(working)
    monkeypatch.syspath_prepend(working)
    monkeypatch.syspath_prepend(package.parent)
    reference = f"{package.name}.{folder.name}" if importable else str(folder)
    analysis = analyses.load(reference)
    cuts = {"pt_min": 20, "abs_eta_max": 2.4, "muon_scale": 0.005}
    work = runner.Specification(
        Processing(analysis, analysis.selection(cuts), analysis.dataset("zmumu")),
        reader="auto",
        chunk_size=7000,
        chunk_bytes=10**9,
        cache=None,
    )
    files = [delivered(events, 20_000, 20_000)]
    expected = runner.run(files, work, EXECUTOR, allow_partial=False)
    sums = expected.output["histograms"]["zmumu"]["2mu"]
    histogram = sums.histogram()
    assert histogram.axes["observable"].size == 7
    assert histogram.sum().value > 10_000

    with scheduler(tmp_path) as address, worker(tmp_path, address):
        remote = SchedulerDask(cluster="scheduler", address=address, performance_report=False)
        settings = HistogramSettings.model_validate(
            EXECUTION | {"executor": "dask", "dask": remote.model_dump()}
        )
        with executor(settings, tmp_path / "unused", analyses.archive(reference)) as pool:
            package.parent.rename(tmp_path / "hidden")
            working.rename(tmp_path / "hidden" / "working")
            result = runner.run(files, work, pool, allow_partial=False)
    assert result.output["histograms"]["zmumu"]["2mu"] == sums
    assert result.output["selected"] == expected.output["selected"]


def test_as_many_workers_of_a_scheduler_as_wanted() -> None:
    def where(_: int) -> str:
        return str(get_worker().address)

    with (
        LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as connected,
    ):
        dask_clusters.use_only(connected, 2)
        places = connected.gather(connected.map(where, range(30)))
        places.append(connected.submit(where, -1).result())
    assert len(set(places)) == 2


def test_a_worker_is_killed_in_the_middle(
    chain: Chain, reference: dict[str, Any], tmp_path: Path
) -> None:
    with (
        scheduler(tmp_path) as address,
        worker(tmp_path, address, KILLED_WORKER),
        worker(tmp_path, address),
    ):
        assert chain.histogram(**running(address, performance_report=False)) is None
    assert content(chain.result()) == reference
    assert not (tmp_path / "0.html").exists()


def test_the_scheduler_is_lost(chain: Chain, tmp_path: Path) -> None:
    with scheduler(tmp_path, KILLED_SCHEDULER) as address, worker(tmp_path, address):
        message = chain.histogram(**running(address))
    assert message is not None
    assert "the Dask scheduler was lost" in message
    assert not list(tmp_path.glob("0.histograms*"))
    assert not list(tmp_path.glob("*.html"))


def test_workers_over_their_memory(chain: Chain, tmp_path: Path) -> None:
    local = {"cluster": "local", "memory_limit": "200 MB"}
    message = chain.histogram(executor="dask", dask=local)
    assert message is not None
    assert "Dask worker" in message
    assert "memory" in message
    assert not list(tmp_path.glob("0.histograms*"))


def test_as_many_workers_as_there_is_work_for(chain: Chain, reference: dict[str, Any]) -> None:
    local = {"cluster": "local", "adaptive": True, "performance_report": False}
    assert chain.histogram(executor="dask", workers=2, chunk_size=3, dask=local) is None
    assert content(chain.result()) == reference


def test_a_scheduler_that_does_not_answer(chain: Chain) -> None:
    message = chain.histogram(**running("tcp://127.0.0.1:1", timeout=0.5))
    assert message is not None
    assert "the Dask scheduler 'tcp://127.0.0.1:1' does not answer" in message
    assert "histograms.dask.address" in message


def test_a_scheduler_without_workers(chain: Chain, tmp_path: Path) -> None:
    with scheduler(tmp_path) as address:
        message = chain.histogram(**running(address, timeout=2))
    assert message is not None
    assert "no Dask worker within 2 s" in message


def test_fewer_workers_than_wanted(chain: Chain, tmp_path: Path) -> None:
    with scheduler(tmp_path) as address, worker(tmp_path, address):
        message = chain.histogram(**running(address, limit=2, timeout=5))
    assert message is not None
    assert "1 of 2 Dask workers within 5 s" in message


def test_workers_of_several_threads_are_refused() -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as connected,
        pytest.raises(ServiceError, match="runs 2 tasks at a time, not one") as error,
    ):
        dask_clusters.use_only(connected, 1)
    assert "--nthreads 1" in str(error.value)


def test_encrypted_as_on_a_facility(
    chain: Chain, reference: dict[str, Any], tmp_path: Path
) -> None:
    made = Security.temporary()
    tls = {"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    tls = {name: str(tmp_path / file) for name, file in tls.items()}
    Path(tls["ca_file"]).write_text(made.tls_ca_file)
    Path(tls["cert"]).write_text(made.tls_client_cert)
    Path(tls["key"]).write_text(made.tls_client_key)
    options = [f"--tls-{name.replace('_', '-')}={path}" for name, path in tls.items()]
    with (
        scheduler(tmp_path, None, "--protocol", "tls", *options) as address,
        worker(tmp_path, address, None, *options),
    ):
        assert address.startswith("tls://")
        assert chain.histogram(**running(address, tls=tls)) is None
        Path(tls["key"]).unlink()
        message = chain.histogram(**running(address, tls=tls))
    assert content(chain.result()) == reference
    assert message is not None
    assert "No such file" in message
    assert "the files for TLS" in message


# What another user of the machine can do: connect with no certificate, or with one of their own.
# An environment that only its owner can read is loaded before the rights are dropped, all of it by
# the first attempts.
INTRUDER = """
import asyncio, os, sys
from distributed import Client, LocalCluster, Security, get_worker
from distributed.comm import connect

OWN = Security.temporary().get_connection_args("client")

async def connected(address, arguments):
    try:
        comm = await connect(address, timeout=2, **arguments)
    except (OSError, ValueError, TypeError, RuntimeError):
        return False
    await comm.close()
    return True

async def attempts():
    hosts = [address.partition("://")[2] for address in sys.argv[1:]]
    ways = [(f"tcp://{host}", {}) for host in hosts]
    ways += [(f"tls://{host}", OWN) for host in hosts]
    return await asyncio.gather(*(connected(*way) for way in ways))

asyncio.run(attempts())
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(*asyncio.run(attempts()))
"""


def intrusions(*addresses: str) -> list[str]:
    """For each address without TLS, then for each with it: whether another user is connected."""
    intruder = subprocess.run(
        [sys.executable, "-c", INTRUDER, *addresses], check=False, capture_output=True, text=True
    )
    assert intruder.returncode == 0, intruder.stderr
    return intruder.stdout.split()


def test_another_user_of_the_machine_is_refused(tmp_path: Path) -> None:
    with scheduler(tmp_path) as unprotected:
        assert intrusions(unprotected) == ["True", "False"]
    values = read_config()["histograms"] | {"executor": "dask", "workers": 1}
    settings = HistogramSettings.model_validate(values)
    with dask_clusters.client(settings, None, None, shared=tmp_path) as client:
        workers = client.scheduler_info()["workers"]
        addresses = [client.scheduler.address, *workers]
        assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
        assert intrusions(*addresses) == ["False"] * 4
        # Nor does a page tell what is done.
        pages = [
            client.cluster.scheduler.http_server.port,
            *(worker["services"]["dashboard"] for worker in workers.values()),
        ]
        for port in pages:
            for path in ("", "info/main/workers.html", "json/counts.json", "status", "health"):
                with pytest.raises(HTTPError, match="404"):
                    urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10)
        # Those who have the certificate are served.
        assert client.submit(sum, (1, 2)).result() == 3


def test_jobs_get_the_certificate_by_files_of_their_user(tmp_path: Path) -> None:
    dask_settings = {"cluster": "slurm", "interface": "lo", "prologue": ["export A=1"]}
    settings = TypeAdapter(DaskSettings).validate_python(dask_settings)
    assert isinstance(settings, BatchDask)
    with dask_clusters.batch_cluster(settings, str(tmp_path)) as cluster:
        script = cluster.job_script()
        address = cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    files = re.findall(rf"--tls-\S+ ({tmp_path}\S+)", script)
    assert len(files) == 3
    assert "--no-dashboard --dashboard-address 127.0.0.1:0" in script
    assert "export DASK_DISTRIBUTED__WORKER__HTTP__ROUTES='[]'" in script
    assert "export A=1" in script


def test_a_cluster_of_a_gateway(chain: Chain, reference: dict[str, Any], tmp_path: Path) -> None:
    gateway = Gateway(tmp_path).start()
    asked = {"cluster": "gateway", "address": gateway.url(), "timeout": 120}
    try:
        assert chain.histogram(executor="dask", chunk_size=3, dask=asked) is None
        again = chain.histogram(executor="dask", dask=asked | {"options": {"cores": 1}})
    finally:
        gateway.kill()
    assert content(chain.result()) == reference
    assert "bokeh" in (tmp_path / "0.html").read_text()
    # This one leaves no choice.
    assert again is not None
    assert "no cluster from the Dask Gateway" in again
    assert "cores" in again
    gone = chain.histogram(executor="dask", dask=asked)
    assert gone is not None
    assert "no cluster from the Dask Gateway" in gone
    assert "histograms.dask.address" in gone
