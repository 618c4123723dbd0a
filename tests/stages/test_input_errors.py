"""Bad input: one clear error that names value, place and remedy, and nothing half-done."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uproot
from test_deliver_histogram_merge import Chain, content

import toy
from agc_pipeline.files import read_json
from agc_pipeline.readers import metadata
from oracle.strategies import write_nanoaod

Command = Callable[..., str | None]


@pytest.fixture
def chain(command: Command, tmp_path: Path) -> Chain:
    return Chain(command, tmp_path)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.root"
    write_nanoaod(path, toy.events(50))
    return path


def truncated(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])


def cut_header(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes()[:30])


def not_root(path: Path, good: Path) -> None:
    path.write_text("not a ROOT file\n" * 100)


def nothing(path: Path, good: Path) -> None:
    path.touch()


def absent(path: Path, good: Path) -> None:
    assert not path.exists()


def no_tree(path: Path, good: Path) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Runs", {"run": "uint32"})


def missing_branch(path: Path, good: Path) -> None:
    arrays = toy.events(5)
    del arrays["Jet_btagCSVV2"], arrays["Jet_qgl"]
    write_nanoaod(path, arrays)


BROKEN = [
    (truncated, "the file is cut off"),
    (cut_header, "the file is empty or cut off"),
    (not_root, "not a ROOT file"),
    (nothing, "the file is empty or cut off"),
    (absent, "file not found"),
    (no_tree, "no tree `Events` in the file, only Runs"),
    (missing_branch, "branches missing: Jet_btagCSVV2, Jet_qgl"),
]


@pytest.mark.parametrize("backend", ["local", "none"])
@pytest.mark.parametrize(("breaking", "problem"), BROKEN)
def test_broken_files(
    chain: Chain,
    good: Path,
    tmp_path: Path,
    breaking: Callable[[Path, Path], None],
    problem: str,
    backend: str,
) -> None:
    path = tmp_path / "bad.root"
    breaking(path, good)
    message = chain.deliver([good, path], backend=backend)
    assert message is not None
    assert problem in message
    assert f"where: {path}" in message
    assert "remedy: " in message
    assert "good.root" not in message
    assert not (tmp_path / "0.manifest.json").exists()


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
@pytest.mark.parametrize(
    ("backend", "skims", "reader"),
    [
        ("none", "ttree", "auto"),
        ("none", "ttree", "coffea"),
        ("local", "ttree", "auto"),
        ("local", "rntuple", "coffea"),
        ("local", "parquet", "auto"),
    ],
)
def test_a_file_without_events_closes_as_zero(
    chain: Chain, good: Path, tmp_path: Path, kind: Any, backend: str, skims: str, reader: str
) -> None:
    empty = tmp_path / "empty.root"
    write_nanoaod(empty, toy.events(0), kind=kind)
    delivery = {"backend": backend, "format": None if backend == "none" else skims}
    assert chain.deliver([good], **delivery) is None
    assert chain.histogram(reader=reader) is None
    expected = chain.result()
    # Whether it is promised or found out.
    for n_events in (None, 0):
        described = {"urls": [str(empty)], "n_events": n_events}
        assert chain.deliver([described, good], **delivery) is None
        assert chain.histogram(reader=reader) is None
        made = chain.result()
        account, _ = made.files
        assert account.closed
        assert (account.before, account.after, account.processed, account.generated) == (0,) * 4
        assert made.histograms == expected.histograms
    message = chain.deliver([{"urls": [str(empty)], "n_events": 5}, good], **delivery)
    assert message is not None
    assert "the file has 0 events, the configuration says 5" in message
    # Alone, it has nothing to be normalised to.
    assert chain.deliver([empty], **delivery) is None
    assert chain.histogram(reader=reader) is None
    chain.result()
    assert "the files stand for 0 generated events" in str(chain.merge(1))


def test_real_sample_without_the_branches(chain: Chain, sample: Callable[[str], Path]) -> None:
    path = sample("nano_tt_v12_200ev.root")
    message = chain.deliver([path])
    assert message is not None
    assert "branches missing: Jet_btagCSVV2, Jet_qgl" in message
    assert str(path) in message


@pytest.mark.parametrize("backend", ["local", "none"])
def test_damage_in_the_middle_of_the_file(
    chain: Chain, good: Path, tmp_path: Path, backend: str
) -> None:
    write_nanoaod(good, toy.events(5000), events_per_piece=500, compression=uproot.ZLIB(1))
    with uproot.open({good: "Events"}) as tree:
        middle = tree["Jet_pt"].basket_key(5).data_cursor.index
    damaged = bytearray(good.read_bytes())
    damaged[middle + 60 : middle + 200] = bytes(140)
    good.write_bytes(damaged)
    message = chain.deliver([good], backend=backend)
    if backend == "none":
        assert message is None
        message = chain.histogram(chunk_size=700)
    assert message is not None
    assert "the file is damaged: a basket of the branch Jet_pt, bytes " in message
    assert str(good) in message
    assert not (tmp_path / "0.histograms.json").exists()
    # No skim that looks finished stays behind.
    assert not [path for path in tmp_path.rglob("*.root") if path != good]


def test_another_number_of_events_than_configured(chain: Chain, good: Path) -> None:
    message = chain.deliver([{"urls": [str(good)], "n_events": 51}])
    assert message is not None
    assert "the file has 50 events, the configuration says 51" in message
    assert str(good) in message


def test_a_server_that_does_not_answer(chain: Chain) -> None:
    # Nothing listens on the discard port of this machine.
    url = "http://127.0.0.1:9/a.root"
    message = chain.deliver([url])
    assert message is not None
    assert "the server does not answer" in message
    assert f"where: {url}" in message
    assert "input.mirror_order" in message


def test_the_next_mirror_is_tried_and_all_failures_are_told(
    chain: Chain, good: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.root"
    not_root(broken, good)
    missing = tmp_path / "missing.root"
    assert chain.deliver([{"urls": [str(missing), str(broken), str(good)]}]) is None
    (entry,) = read_json(tmp_path / "0.manifest.json")["files"]
    assert entry["source"] == str(missing)
    assert entry["before"] == 50

    chain.folder = tmp_path / "again"
    message = chain.deliver([{"urls": [str(missing), str(broken)]}])
    assert message is not None
    assert "no mirror gives the file" in message
    assert f"{missing}: file not found" in message
    assert f"{broken}: " in message


@pytest.mark.parametrize("backend", ["local", "none"])
def test_partial_results_only_on_request(
    chain: Chain, good: Path, tmp_path: Path, backend: str
) -> None:
    bad = tmp_path / "bad.root"
    truncated(bad, good)
    inputs = [{"urls": [str(good)], "n_events": 50}, {"urls": [str(bad)], "n_events": 50}]
    assert chain.deliver(inputs[:1], backend=backend) is None
    assert chain.histogram() is None
    alone = content(chain.result())

    assert chain.deliver(inputs, backend=backend, allow_partial=True) is None
    assert chain.histogram(allow_partial=True) is None
    assert content(chain.result()) == alone
    message = chain.merge(2)
    assert message is not None
    assert f"events are missing: {bad}" in message
    assert "allow_partial" in message
    assert not (tmp_path / "histograms.root").exists()

    assert chain.merge(2, allow_partial=True) is None
    closure = read_json(tmp_path / "closure.json")
    record = closure["datasets"]["ttbar__nominal"]
    assert closure["partial"] is True
    assert str(bad) in record["left_out"][0]
    assert (record["events_expected"], record["events_processed"]) == (100, 50)
    # Renormalised: the events that are there stand for the whole cross section.
    assert record["weight"] == pytest.approx(729.84 * 3378 / 50)


@pytest.mark.parametrize("backend", ["none", "local"])
def test_a_dataset_without_a_readable_file_is_told_when_it_is_added_up(
    chain: Chain, good: Path, tmp_path: Path, backend: str
) -> None:
    """Of some batches only it is no error: another one may have files that can be read."""
    names = [tmp_path / name for name in ("one.root", "two.root")]
    for number, path in enumerate(names):
        truncated(path, good)
        inputs = [{"urls": [str(path)], "n_events": 50}]
        assert chain.deliver(inputs, number, backend=backend, allow_partial=True) is None
        assert chain.histogram(number, allow_partial=True) is None
    batches = [tmp_path / f"{number}.histograms.json" for number in range(2)]
    output = tmp_path / "sum.json"
    assert chain.command("partial_sum", {}, batches=batches, output=output) is None
    output.unlink()
    message = chain.command("merge_dataset", {}, batches=batches, output=output)
    assert message is not None
    assert f"no file can be read: {names[0]}: " in message
    assert f"; {names[1]}: " in message
    assert "dataset ttbar__nominal" in message
    assert not output.exists()


def test_partial_results_with_damage_found_while_reading(
    chain: Chain, good: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.root"
    write_nanoaod(damaged, toy.events(900, seed=2), compression=uproot.ZLIB(1))
    with uproot.open({damaged: "Events"}) as tree:
        start = tree["Jet_pt"].basket_key(0).data_cursor.index
    content_bytes = bytearray(damaged.read_bytes())
    content_bytes[start + 60 : start + 200] = bytes(140)
    damaged.write_bytes(content_bytes)

    assert chain.deliver([good], backend="none") is None
    assert chain.histogram() is None
    alone = content(chain.result())
    assert chain.deliver([damaged, good], backend="none", allow_partial=True) is None
    assert chain.histogram(allow_partial=True, chunk_size=11) is None
    made = chain.result()
    assert content(made) == alone
    assert [file.closed for file in made.files] == [False, True]


def test_headers_are_read_once_beside_files_that_break_behind_our_back(
    chain: Chain, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{i}.root" for i in range(4)]
    for file in files:
        file.write_bytes(good.read_bytes())
    assert chain.deliver(files, backend="none", allow_partial=True) is None
    truncated(files[0], good)
    files[2].unlink()
    read = Counter[str]()
    read_metadata = metadata.read

    def counted(path: str, *arguments: Any) -> metadata.FileMetadata:
        read[path] += 1
        return read_metadata(path, *arguments)

    monkeypatch.setattr(metadata, "read", counted)
    assert chain.histogram(allow_partial=True) is None
    assert [file.closed for file in chain.result().files] == [False, True, False, True]
    assert read[str(files[1])] == read[str(files[3])] == 1


def test_skim_deleted_behind_our_back(chain: Chain, good: Path, tmp_path: Path) -> None:
    assert chain.deliver([good]) is None
    (skim,) = (tmp_path / "skims").glob("*.root")
    skim.unlink()
    message = chain.histogram()
    assert message is not None
    assert str(skim) in message
    assert "not found" in message
    # Running the delivery again mends it.
    assert chain.deliver([good]) is None
    assert chain.histogram() is None


def test_a_file_under_two_addresses_is_refused_when_all_are_read(
    chain: Chain, good: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.root"
    write_nanoaod(other, toy.events(20, seed=2))
    copy = shutil.copy(good, tmp_path / "copy.root")
    files = [good, other, copy]
    assert chain.deliver(files) is None
    assert chain.histogram() is None
    chain.result()
    message = chain.merge(3)
    assert message is not None
    assert f"{good} and {copy} are the same file" in message
    assert not (tmp_path / "histograms.root").exists()
    # The list's own number of all events is compared however many files there are.
    assert chain.deliver(files[:2]) is None
    assert chain.histogram() is None
    chain.result()
    dataset = {"xsec_pb": 729.84, "luminosity_per_pb": 3378, "n_files": 2}
    assert chain.merge(2, datasets={"ttbar__nominal": dataset | {"n_events": 70}}) is None
    message = chain.merge(2, datasets={"ttbar__nominal": dataset | {"n_events": 5000}})
    assert message is not None
    assert "the 2 files have 70 events, the list of files says 5000" in message


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_unwritable_output(chain: Chain, good: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    chain.folder = locked
    message = chain.deliver([good])
    assert message is not None
    assert "Permission denied" in message
    assert str(locked) in message
    assert "`results:`" in message


def test_output_below_a_file(chain: Chain, good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    chain.folder = tmp_path / "file"
    message = chain.deliver([good])
    assert message is not None
    assert "where: " in message
    assert "`results:`" in message


def test_full_disk(
    chain: Chain, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "skim"))

    monkeypatch.setattr("uproot.WritableTree.extend", full)
    message = chain.deliver([good])
    assert message is not None
    assert "No space left on device" in message
    assert "finished jobs are kept" in message
    assert not list(tmp_path.glob("skims/*"))


def test_a_manifest_that_is_none(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "0.manifest.json").write_text('{"files": 3}')
    message = chain.histogram()
    assert message is not None
    assert "0.manifest.json" in message
    assert "run again" in message


def test_unknown_settings(command: Command, tmp_path: Path) -> None:
    message = command(
        "merge",
        {"analysis": "cms_ttbar", "allow_parital": True},
        datasets=[tmp_path],
        histograms=tmp_path,
        closure=tmp_path,
    )
    assert message is not None
    assert "unknown configuration key `allow_parital`" in message
    assert "did you mean `allow_partial`" in message
