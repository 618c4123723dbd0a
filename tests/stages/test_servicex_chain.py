"""The whole chain with ServiceX, through the command lines: the same bins, and nothing is lost."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_flat_ntuples as flat
from test_deliver_histogram_merge import Chain, content
from test_servicex import (
    N_EVENTS,
    SECRETS,
    URLS,
    configure,
    fast,
    inputs,
    late,
    server,
    settings,
    store,
)

import toy
import toy_mini
import weighted_analysis
from agc_pipeline import config, histograms
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.servicex.configuration import required
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import read_json
from agc_pipeline.layers import merged
from agc_pipeline.plan import Plan
from agc_pipeline.stages import deliver
from conftest import ROOT, run_command
from oracle.strategies import write_nanoaod
from servers import servicex as service
from servers.web import WebThread

__all__ = ["fast", "inputs", "late", "server", "store"]

Command = Callable[..., str | None]
FILES = [{"urls": [url], "n_events": n} for url, n in zip(URLS, N_EVENTS, strict=True)]
# What a service does not count.
UNKNOWN = {"one lepton", "four jets"}


@pytest.fixture
def chain(command: Command, tmp_path: Path) -> Chain:
    return Chain(command, tmp_path / "chain")


def ask(chain: Chain, files: list[Any], number: int = 0, **changes: Any) -> str | None:
    """Deliver with the service of the configuration here, as the plan of a run asks for it."""
    kind = changes.pop("format", "ttree")
    endpoint = required(None)
    job = settings(**{"endpoint": endpoint.name} | changes).model_dump() | {"url": endpoint.url}
    return chain.deliver(files, number, backend="servicex", format=kind, servicex=job)


def bins(chain: Chain, number: int = 0) -> dict[str, Any]:
    assert chain.histogram(number) is None
    return content(chain.result())


def local(command: Command, folder: Path, paths: list[Path], backend: str) -> dict[str, Any]:
    chain = Chain(command, folder)
    assert chain.deliver(paths, backend=backend) is None
    return bins(chain)


def check_equal(made: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made["histograms"] == expected["histograms"]
    known = {cut: n for cut, n in expected["cutflow"].items() if cut not in UNKNOWN}
    assert made["cutflow"] == known


@pytest.fixture
def expected(command: Command, tmp_path: Path, inputs: dict[str, Path]) -> dict[str, Any]:
    return local(command, tmp_path / "expected", list(inputs.values()), "none")


@pytest.mark.parametrize(
    ("kind", "transport"),
    [
        ("ttree", "LocalCache"),
        ("rntuple", "LocalCache"),
        ("parquet", "LocalCache"),
        ("ttree", "URLs"),
        ("parquet", "URLs"),
    ],
)
def test_bins_are_those_of_the_inputs(
    server: service.ServiceX, chain: Chain, expected: dict[str, Any], kind: str, transport: str
) -> None:
    assert ask(chain, FILES, format=kind, transport=transport) is None
    check_equal(bins(chain), expected)
    made = manifest.read(chain.folder / "0.manifest.json")
    assert (made.backend, made.format) == ("servicex", kind)
    for entry, n_events in zip(made.files, N_EVENTS, strict=True):
        assert (entry.before, entry.expected, entry.generated) == (n_events,) * 3
        assert 0 < entry.after <= n_events
        assert entry.transformer is not None
        assert entry.transformer.url == server.url
        assert entry.path is not None
        assert entry.path.startswith("servicex://") == (transport == "URLs")


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_a_wrong_number_of_events_is_an_error(
    server: service.ServiceX, chain: Chain, inputs: dict[str, Path], kind: str
) -> None:
    files = [dict(file) for file in FILES]
    files[1]["n_events"] = 5000
    message = ask(chain, files, format=kind)
    assert message is not None
    assert f"the file has {N_EVENTS[1]} events, the configuration says 5000" in message
    assert URLS[1] in message
    # Another attempt would give the same; the other files are there.
    assert len(server.submissions()) == 1
    # A number need not be promised, and a mirror may have the right file.
    mirror = "root://mirror.example//store/part1.root"
    server.files[mirror] = inputs[URLS[0]]
    files[1] = {"urls": [URLS[1], mirror], "n_events": N_EVENTS[0]}
    files[0] = {"urls": [URLS[0]]}
    assert ask(chain, files, format=kind) is None
    made = manifest.read(chain.folder / "0.manifest.json").files
    assert [(entry.before, entry.generated, entry.counted) for entry in made] == [
        (n, n, True) for n in (N_EVENTS[0], N_EVENTS[0], N_EVENTS[2])
    ]
    assert made[1].url == mirror


@pytest.mark.parametrize(
    ("transport", "how"), [("LocalCache", "GET"), ("URLs", "POST"), ("URLs", "not at all")]
)
def test_a_request_that_is_late_for_good_loses_nothing(
    server: service.ServiceX,
    chain: Chain,
    late: Callable[..., None],
    expected: dict[str, Any],
    transport: str,
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if how == "POST":
        server.capabilities = (*server.capabilities, "post_cancel_transform")
    server.stuck.add(URLS[0])
    late(2, downloads=2 if transport == "LocalCache" else 0)
    for _ in range(2):
        message = ask(chain, FILES, transport=transport, late_runs=2)
        assert message is not None
        assert URLS[0] in message
        assert "2 of 3 files" in message
        assert "keep waiting for the same request" in message
        assert len(list((chain.folder / "skims").glob("part*.json"))) == 2
    # It was one request all the time; the next run makes another, for what is missing.
    assert server.submissions() == [list(URLS)]
    (given_up,) = server.requests.values()
    assert given_up.status == "Running"
    server.stuck.clear()
    if how == "not at all":
        server.errors["/cancel"] = 1
    late(9)
    assert ask(chain, FILES, transport=transport, late_runs=2) is None
    assert server.submissions() == [list(URLS), [URLS[0]]]
    # The service does not go on with what nobody waits for, if it can be told so.
    if how == "not at all":
        assert f"request {given_up.id} cannot be cancelled" in caplog.text
    else:
        assert server.calls.count(f"{how} /servicex/transformation/{given_up.id}/cancel") == 1
        assert given_up.status == "Canceled"
    check_equal(bins(chain), expected)
    assert not list((chain.folder / "skims").glob(".servicex/*/late.json"))


def test_a_late_request_that_has_ended_meanwhile_is_not_given_up(
    server: service.ServiceX, chain: Chain, late: Callable[..., None], expected: dict[str, Any]
) -> None:
    server.hold.set()
    late(0)
    assert ask(chain, FILES, late_runs=1) is not None
    # Nothing is given up as long as the service cannot be told.
    late(9)
    server.unauthorized = "/servicex/transformation"
    message = ask(chain, FILES, late_runs=1)
    assert message is not None
    assert "refuses the credentials" in message
    server.unauthorized = None
    server.hold.clear()
    (made,) = server.requests.values()
    while made.status == "Running":
        time.sleep(0.02)
    assert ask(chain, FILES, late_runs=1) is None
    assert server.submissions() == [list(URLS)]
    check_equal(bins(chain), expected)


def test_what_nobody_counted_is_told(
    server: service.ServiceX, chain: Chain, inputs: dict[str, Path], tmp_path: Path
) -> None:
    with WebThread(next(iter(inputs.values())).parent) as web:
        reachable = web.url("1.root")
        server.files[reachable] = inputs[URLS[1]]
        wrong = {"urls": [reachable], "n_events": 5000}
        message = ask(chain, [wrong], format="parquet")
        assert message is not None
        assert f"the file has {N_EVENTS[1]} events, the configuration says 5000" in message
        files = [FILES[0], wrong | {"n_events": N_EVENTS[1]}]
        assert ask(chain, files, format="parquet") is None
    assert chain.histogram() is None
    assert [file.counted for file in chain.result().files] == [False, True]
    assert chain.merge(2) is None
    closure = read_json(chain.folder / "closure.json")
    assert closure["datasets"]["ttbar__nominal"]["not_checked"] == [URLS[0]]


def test_files_without_events(
    server: service.ServiceX, chain: Chain, expected: dict[str, Any], tmp_path: Path
) -> None:
    address = "root://cms.example//store/empty.root"
    server.files[address] = tmp_path / "empty.root"
    write_nanoaod(tmp_path / "empty.root", toy.events(0))
    for kind in ("ttree", "rntuple", "parquet"):
        file = {"urls": [address], "n_events": 0}
        assert ask(chain, [file, *FILES], format=kind) is None
        made = bins(chain)
        assert made["histograms"] == expected["histograms"]


def test_real_events(
    command: Command,
    server: service.ServiceX,
    chain: Chain,
    tmp_path: Path,
    sample: Callable[[str], Path],
) -> None:
    path = sample("ttbar2017_NanoAODv5_1000ev.root")
    server.files["root://cms.example//real.root"] = path
    file = {"urls": ["root://cms.example//real.root"], "n_events": 1000}
    assert ask(chain, [file]) is None
    made = bins(chain)
    for backend in ("none", "local"):
        check_equal(made, local(command, tmp_path / backend, [path], backend))


def test_simulated_events(
    command: Command, server: service.ServiceX, chain: Chain, tmp_path: Path
) -> None:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    made = tmp_path / "simulated.root"
    job = {
        "dataset": "ttbar__nominal",
        "seed": 20150613,
        "muon_identification": False,
        "first_chunk": 0,
        "n_chunks": 1,
        "showers": 60,
    }
    simulated = {"analysis": "cms_ttbar", "job": job}
    assert command("simulate", simulated, output=made, record=tmp_path / "record.json") is None
    server.files["root://cms.example//simulated.root"] = made
    n_events = read_json(tmp_path / "record.json")["n_events"]
    file = {"urls": ["root://cms.example//simulated.root"], "n_events": n_events}
    assert ask(chain, [file]) is None
    found = bins(chain)
    assert found["cutflow"]["4j2b"] > 5
    for backend in ("none", "local"):
        check_equal(found, local(command, tmp_path / backend, [made], backend))


def test_a_second_run_asks_nobody(
    server: service.ServiceX, chain: Chain, expected: dict[str, Any]
) -> None:
    assert ask(chain, FILES) is None
    before = list(server.calls)
    (chain.folder / "0.manifest.json").unlink()
    assert ask(chain, FILES) is None
    assert server.calls == before
    check_equal(bins(chain), expected)


def test_another_endpoint_makes_a_new_delivery(
    server: service.ServiceX, store: service.ObjectStore, chain: Chain, inputs: dict[str, Path]
) -> None:
    assert ask(chain, FILES) is None
    with service.running(store, inputs) as other:
        configure(other)
        assert ask(chain, FILES) is None
        assert other.submissions() == [list(URLS)]
    made = manifest.read(chain.folder / "0.manifest.json")
    assert {entry.transformer and entry.transformer.url for entry in made.files} == {other.url}


def test_a_service_that_changed_makes_all_files_anew(
    server: service.ServiceX, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(chain, FILES[:2]) is None
    monkeypatch.setattr(service, "VERSION", "2.0.0")
    assert ask(chain, FILES) is None
    made = manifest.read(chain.folder / "0.manifest.json")
    assert [entry.transformer and entry.transformer.app_version for entry in made.files] == [
        "2.0.0"
    ] * 3
    assert [len(files) for files in server.submissions()] == [2, 1, 2]


def test_a_file_that_fails_is_named_and_alone_asked_for_again(
    server: service.ServiceX, chain: Chain, expected: dict[str, Any]
) -> None:
    server.fail[URLS[1]] = 2
    message = ask(chain, FILES)
    assert message is not None
    assert URLS[1] in message
    assert URLS[0] not in message
    assert not (chain.folder / "0.manifest.json").exists()
    (failed,) = read_json(chain.folder / "0.failures.json")["files"]
    assert failed["source"] == URLS[1]
    assert failed["failures"][0]["attempts"] == 2
    assert ask(chain, FILES) is None
    assert server.submissions() == [list(URLS), [URLS[1]], [URLS[1]]]
    check_equal(bins(chain), expected)


def test_attempts_that_failed_stand_in_manifest_and_ledger(
    server: service.ServiceX, chain: Chain
) -> None:
    server.fail[URLS[1]] = 1
    assert ask(chain, FILES) is None
    entry = manifest.read(chain.folder / "0.manifest.json").files[1]
    (failure,) = entry.failures
    assert "failed at the service" in failure.error
    (failed,) = read_json(chain.folder / "0.failures.json")["files"]
    assert (failed["source"], failed["delivered"]) == (URLS[1], True)
    assert failed["failures"] == [failure.model_dump(mode="json")]


def test_a_file_that_fails_at_one_mirror_is_taken_from_the_next(
    server: service.ServiceX, chain: Chain, expected: dict[str, Any]
) -> None:
    mirror = "root://mirror.example//store/part1.root"
    server.files[mirror] = server.files[URLS[1]]
    server.fail[URLS[1]] = 9
    files = [dict(file) for file in FILES]
    files[1]["urls"] = [URLS[1], mirror]
    assert ask(chain, files) is None
    entry = manifest.read(chain.folder / "0.manifest.json").files[1]
    assert (entry.source, entry.url) == (URLS[1], mirror)
    assert [failure.url for failure in entry.failures] == [URLS[1]]
    check_equal(bins(chain), expected)


def test_objects_that_the_service_forgot_are_an_error(
    server: service.ServiceX, chain: Chain
) -> None:
    assert ask(chain, FILES, transport="URLs") is None
    server.requests.clear()
    message = chain.histogram()
    assert message is not None
    assert "no longer has request" in message
    assert "run again" in message


def test_a_service_that_is_away_is_one_error_that_loses_nothing(
    server: service.ServiceX, chain: Chain
) -> None:
    assert ask(chain, FILES[:1]) is None
    server.stop()
    message = ask(chain, FILES)
    assert message is not None
    assert server.url in message
    assert ask(chain, FILES[:1]) is None


@pytest.mark.parametrize("transport", ["LocalCache", "URLs"])
def test_no_secret_is_told(
    server: service.ServiceX, chain: Chain, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    server.fail[URLS[0]] = 1
    with caplog.at_level(logging.DEBUG, logger="agc_pipeline"):
        messages = [ask(chain, FILES, transport=transport), chain.histogram()]
        server.unauthorized = "/servicex"
        other = {"urls": ["root://cms.example//other.root"], "n_events": 9}
        messages.append(ask(chain, [other], 1, transport=transport, attempts=1))
        # The skims of the first time are there: only what is left at the service is asked for.
        messages.append(chain.histogram())
    # The servers of the tests log, too.
    told = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]
    texts = [*told, *map(str, messages)]
    texts += [
        path.read_bytes().decode(errors="replace")
        for path in chain.folder.rglob("*")
        if path.is_file()
    ]
    assert len(told) > 3
    assert messages[0] is None
    assert messages[2] is not None
    for secret in SECRETS:
        assert not [text for text in texts if secret in text], secret


def test_what_is_normalised_to_sums_of_weights_is_read_from_the_files(
    server: service.ServiceX, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weighted_analysis.write(tmp_path)
    folder = (tmp_path / weighted_analysis.NAME).rename(tmp_path / "weighted_by_service")
    monkeypatch.chdir(tmp_path)
    configure(server)
    remote = {
        "kind": "files",
        "mirrors": {"far": "https://far.example.org"},
        "mirror_order": ["far"],
        "datasets": {name: {"files": {f"{name}.root": 5}} for name in ("wjets", "data_a")},
    }

    def deliveries(backend: str, **datasets: Any) -> dict[str, str]:
        delivery = {"backend": backend, "datasets": datasets}
        values = {"analysis": str(folder), "input": remote, "delivery": delivery}
        plan = Plan(config.load_config(overrides=values, root=ROOT))
        return {name: job.backend for name, (job, _) in plan.deliveries.items()}

    assert deliveries("auto") == {"wjets": "local", "data_a": "servicex"}
    assert deliveries("servicex", wjets={"backend": "none"})["wjets"] == "none"
    with pytest.raises(ConfigurationError, match="not the sum of the generator weights") as info:
        deliveries("servicex")
    assert info.value.place == "delivery of wjets"
    sums = {"physics": {"sums_of_weights": {"wjets": 5.0}}}
    values = {"analysis": str(folder), "input": remote, "delivery": {"backend": "servicex"}} | sums
    plan = Plan(config.load_config(overrides=values, root=ROOT))
    assert {job.backend for job, _ in plan.deliveries.values()} == {"servicex"}
    assert not plan.states_sum("wjets")


def test_flat_ntuples_with_a_known_sum_of_weights(
    store: service.ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query on the tree `mini`: the same bits as from the file, whose sum the service omits."""
    toy_mini.write(tmp_path / "llll.root", "llll", 60, seed=3)
    stated = float(np.float32(1000.0 * toy_mini.WEIGHTS["llll"]))
    flat.deliver(tmp_path, "llll")
    flat.fill(tmp_path, "llll", tmp_path / "local.json")
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)
    far = "https://far.example.org"
    changes = {
        "input": {"mirrors": {"cern": far}},
        "delivery": {"backend": "servicex"},
        "physics": {"sums_of_weights": {"llll": stated}},
    }
    address = f"{far}/MC/mc_363490.llll.4lep.root"
    with service.running(store, {address: tmp_path / "llll.root"}) as made:
        configure(made)
        plan = Plan(config.load(merged(flat.VALUES, changes)))
        (number,) = plan.batches("llll")
        error = run_command(
            "deliver",
            deliver.configure(plan, "llll", number).model_dump(),
            reading={name: flat.VALUES["delivery"][name] for name in ("chunk_size", "network")},
            manifest=work / "llll.manifest.json",
            failures=work / "failures.json",
            skims=work / "skims",
        )
    assert error is None
    flat.fill(work, "llll", work / "service.json")
    contents = []
    for path, states_sum in ((tmp_path / "local.json", True), (work / "service.json", False)):
        of_merge = {
            "xsec_pb": flat.XSEC,
            "luminosity_per_pb": flat.LUMINOSITY,
            "n_files": 1,
            "sum_of_weights": stated,
            "states_sum": states_sum,
        }
        output = path.with_suffix(".root")
        error = run_command(
            "merge",
            {"analysis": "atlas_hzz", "datasets": {"llll": of_merge}, "allow_partial": False},
            datasets=[path],
            histograms=output,
            closure=path.with_suffix(".closure"),
        )
        assert error is None
        named = histograms.read_root(output)
        contents.append({name: made.view(flow=True).tolist() for name, made in named.items()})
        (account,) = read_json(path.with_suffix(".closure"))["datasets"].values()
        assert account["sum_of_weights"] == stated
    assert contents[0] == contents[1]
    assert sum(value for value, _ in contents[0]["Signal_region_ZZ"]) != 0
