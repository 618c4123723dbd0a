"""A real Triton server with the exported models: the choices of this process, or a clear error."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_deliver_histogram_merge import Chain

import boosters
import toy
from agc_pipeline.doctor import services
from agc_pipeline.errors import PipelineError, ServiceError
from agc_pipeline.files import read_json
from agc_pipeline.learning import kserve, repository
from agc_pipeline.learning.models import Models
from agc_pipeline.learning.scoring import ForestScorer
from agc_pipeline.learning.triton import TritonScorer
from conftest import read_config, run_command
from oracle.strategies import write_nanoaod
from scoring import FEATURES, events, settings
from servers import certificates
from servers.triton import TritonServer, UnavailableError, environment

pytestmark = pytest.mark.serving

GIVEN = events(200)


@dataclass(frozen=True)
class Serving:
    """A server with the models as `jet_assignment`, and with others as `others`."""

    server: TritonServer
    models: Models
    others: Models

    def settings(self, **changes: Any) -> Any:
        return settings(self.server.url(), **changes)

    def scorer(self, **changes: Any) -> TritonScorer:
        return TritonScorer(self.models, ForestScorer(self.models), self.settings(**changes))

    @property
    def expected(self) -> list[int]:
        """What the models in this process choose."""
        return ForestScorer(self.models).best(*GIVEN.arguments).tolist()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    work = tmp_path_factory.mktemp("triton")
    try:
        interpreter = environment(work / "logs")
    except UnavailableError as reason:
        pytest.skip(f"no environment for Triton: {reason}")
    models = boosters.pair(work / "models", FEATURES)
    others = boosters.pair(work / "others", FEATURES, seed=1)
    served = settings("127.0.0.1:1")
    repository.write(models, work / "served", served)
    repository.write(others, work / "served", served.model_copy(update={"model": "others"}))
    server = TritonServer(work / "served", interpreter, work).start()
    try:
        yield Serving(server, models, others)
    finally:
        server.kill()


def test_it_loads_the_repository_and_gives_the_same_choices(serving: Serving) -> None:
    with contextlib.closing(serving.scorer()) as scorer:
        assert scorer.best(*GIVEN.arguments).tolist() == serving.expected


def test_what_it_says_about_itself(serving: Serving) -> None:
    with contextlib.closing(kserve.Server(serving.settings())) as server:
        assert server.describe().startswith("triton 2.")
        signature = server.signature("1", len(FEATURES))
    assert signature.rows_max == serving.settings().batch_size
    assert signature.parameters[repository.DIGEST] == serving.models.digest
    found = services.triton(serving.settings(), timeout=20)
    assert found.state == "ok"
    assert found.detail.endswith("jet_assignment 1 and 2 are ready")


def test_a_version_that_it_does_not_have(serving: Serving) -> None:
    missing = serving.scorer(versions={"even": "1", "odd": "7"})
    message = "it has jet_assignment 1 READY, jet_assignment 2 READY, others 1 READY"
    with pytest.raises(ServiceError, match=message) as caught:
        missing.check()
    assert "version 7" in caught.value.place


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "others"}, "another model: .* exported with models"),
        ({"versions": {"even": "2", "odd": "1"}}, "it is the model of the other parity"),
    ],
)
def test_other_models(serving: Serving, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        serving.scorer(**changes).check()


def test_it_is_slow(serving: Serving) -> None:
    with contextlib.closing(serving.scorer(timeout=0.3, attempts=2)) as scorer:
        scorer.check()
        message = r"no answer within 0\.3 s in 2 attempts"
        with serving.server.frozen(), pytest.raises(ServiceError, match=message):
            scorer.best(*GIVEN.arguments)
    with contextlib.closing(serving.scorer()) as scorer:
        assert scorer.best(*GIVEN.arguments).tolist() == serving.expected


def test_it_is_killed_in_the_middle(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    score = kserve.Server.score

    def counted(*arguments: Any) -> Any:
        if asked.is_set():
            return score(*arguments)
        asked.set()
        answer = score(*arguments)
        serving.server.kill()
        return answer

    impatient, patient = (
        serving.scorer(batch_size=500, attempts=2),
        serving.scorer(batch_size=500, attempts=100, backoff=0.1),
    )
    impatient.check()
    patient.check()
    monkeypatch.setattr(kserve.Server, "score", counted)
    with pytest.raises(ServiceError, match=r"request failed in 2 attempts: .* refused"):
        impatient.best(*GIVEN.arguments)
    # A run that is patient goes on once the server is there again.
    starting = threading.Thread(target=serving.server.start)
    starting.start()
    found = patient.best(*GIVEN.arguments)
    starting.join()
    assert found.tolist() == serving.expected
    # And so does one that was not, in its next run.
    with contextlib.closing(serving.scorer()) as scorer:
        assert scorer.best(*GIVEN.arguments).tolist() == serving.expected


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is read where it is, many of whose events have jets to assign."""
    folder = tmp_path_factory.mktemp("delivered")
    arrays = toy.events(90, seed=5)
    arrays["Jet_btagCSVV2"] = arrays["Jet_btagCSVV2"] + 0.4
    write_nanoaod(folder / "a.root", arrays, events_per_piece=20)
    assert Chain(run_command, folder).deliver([folder / "a.root"], backend="none") is None
    return folder / "0.manifest.json"


def histograms(serving: Serving, manifest: Path, scorer: str, **changes: Any) -> Any:
    """Histograms of a job; its error if there is one."""
    values = read_config()
    execution = {name: changes.pop(name) for name in ("executor", "workers") if name in changes}
    output = manifest.with_name(f"{scorer}.json")
    output.unlink(missing_ok=True)
    physics = values["physics"]
    message = run_command(
        "histogram",
        {
            "analysis": "cms_ttbar",
            "selection": physics["selection"],
            "learned": physics["jet_assignment"],
            "allow_partial": False,
        },
        execution=values["histograms"] | execution,
        models=serving.models.folder,
        scoring={"scorer": scorer, "triton": serving.settings(**changes).model_dump()},
        performance=manifest.with_name("dask.html"),
        manifest=manifest,
        output=output,
    )
    assert output.exists() == (message is None)
    return message or read_json(output)["histograms"]


def test_histograms_are_the_same_to_the_bit(serving: Serving, manifest: Path) -> None:
    expected = histograms(serving, manifest, "xgboost")
    # The scorer is sent to other processes.
    assert histograms(serving, manifest, "triton", executor="futures", workers=2) == expected


def test_a_job_whose_server_is_killed_is_done_again(
    serving: Serving, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = histograms(serving, manifest, "xgboost")
    calls = []
    score = kserve.Server.score

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        # Two are the check before any event.
        if len(calls) == 3:
            serving.server.kill()
        return score(*arguments)

    monkeypatch.setattr(kserve.Server, "score", counted)
    message = histograms(serving, manifest, "triton")
    assert "request failed in 3 attempts" in message
    assert f"Triton server {serving.server.url()}, model jet_assignment, version" in message
    monkeypatch.undo()
    # Nor is it begun without a server.
    assert "Connection refused" in histograms(serving, manifest, "triton")
    serving.server.start()
    assert histograms(serving, manifest, "triton") == expected


def test_encrypted_connections(serving: Serving, tmp_path: Path) -> None:
    authority, of_server, of_client = certificates.make(tmp_path, "server", "client")
    serving.server.kill()
    serving.server.options = [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={of_server.cert}",
        f"--grpc-server-key={of_server.key}",
        f"--grpc-root-cert={authority.cert}",
    ]
    serving.server.start()
    tls = {"ca_file": str(authority.cert)}
    pair = {"cert": str(of_client.cert), "key": str(of_client.key)}
    with contextlib.closing(serving.scorer(tls=tls | pair)) as scorer:
        assert scorer.best(*GIVEN.arguments).tolist() == serving.expected
    for lacking in (None, {}, tls):
        with pytest.raises(ServiceError, match="request failed"):
            serving.scorer(tls=lacking, attempts=1).check()
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ServiceError, match="cannot read a file for TLS") as caught:
        serving.scorer(tls={"ca_file": missing}).check()
    assert caught.value.place == "learning.triton.tls"
