"""No file is counted twice, and what a list of files says is what they have."""

import gzip
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_datasets import ANALYSIS, PHYSICS
from test_ledger import entry

import toy
from agc_pipeline import filesets
from agc_pipeline.columnar.ledger import check_origins, close
from agc_pipeline.datasets import InputFile, take
from agc_pipeline.datasets import check_origins as check_headers
from agc_pipeline.delivery.outcome import promised
from agc_pipeline.errors import ClosureError, ConfigurationError, InputError, PipelineError
from agc_pipeline.files import write_json
from agc_pipeline.readers.file_header import uuid_of
from agc_pipeline.readers.opening import check_uuid
from oracle.strategies import write_nanoaod

OTHER = "01234567-89ab-cdef-0123-456789abcdef"


def read(folder: Path, text: str) -> Any:
    path = folder / "fileset.json"
    path.write_text(text)
    listed = filesets.read(path, ANALYSIS, PHYSICS)
    check_headers(listed, place=str(path))
    return listed


def fileset(files: Any, **metadata: Any) -> str:
    return json.dumps({"ttbar__nominal": {"files": files, "metadata": metadata}})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(30))
    return path


@pytest.mark.parametrize("link", [shutil.copy, os.symlink, os.link])
def test_copies_and_links_are_named_at_the_plan(tmp_path: Path, good: Path, link: Any) -> None:
    other = tmp_path / "other.root"
    link(good, other)
    with pytest.raises(ConfigurationError, match="listed more than once") as caught:
        read(tmp_path, fileset({"a.root": "Events", "other.root": "Events"}))
    assert str(good) in caught.value.problem
    assert str(other) in caught.value.problem
    assert caught.value.place == str(tmp_path / "fileset.json")


@pytest.mark.parametrize(
    "other",
    ["root://one:1094//store/x.root", "root://ONE/store//x.root", "root://one//store/x.root"],
)
def test_ways_of_writing_an_address(tmp_path: Path, other: str) -> None:
    files = {"root://one//store/x.root": "Events"}
    assert len(read(tmp_path, fileset(files))[0].files) == 1
    if other not in files:
        with pytest.raises(ConfigurationError, match="are the same file"):
            read(tmp_path, fileset({**files, other: "Events"}))
    # Another file of the same server.
    assert len(read(tmp_path, fileset({**files, other + "2": "Events"}))[0].files) == 2


def test_the_uuid_of_a_fileset_is_that_of_the_file(tmp_path: Path, good: Path) -> None:
    uuid = uuid_of(good)
    assert uuid is not None
    for text in (uuid, str(UUID(uuid)).upper(), str(UUID(int=0))):
        (dataset,) = read(tmp_path, fileset({"a.root": {"uuid": text}}))
        check_uuid(uuid, dataset.files[0].uuid, url="a.root")
    with pytest.raises(ConfigurationError, match=f"has the UUID {uuid}, the list says"):
        read(tmp_path, fileset({"a.root": {"uuid": OTHER}}))
    with pytest.raises(InputError, match="the list of files says"):
        check_uuid(uuid, OTHER, url="a.root")
    # Where the files are not at hand, those of the list are compared.
    twice = {f"root://{door}//x.root": {"uuid": OTHER} for door in ("one", "two")}
    with pytest.raises(ConfigurationError, match=r"root://two//x.root are the same file"):
        read(tmp_path, fileset(twice))


def test_one_file_of_two_mirrors_is_named_when_all_are_read() -> None:
    ledgers = {
        "ttbar__nominal": [entry("root://one//x.root", uuid="1"), entry("b.root", uuid="2")],
        "wjets__nominal": [entry("c.root"), entry("d.root")],
    }
    check_origins(ledgers)
    ledgers["wjets__nominal"].append(entry("root://two//x.root", uuid="1"))
    with pytest.raises(ClosureError, match=r"root://one//x.root and root://two//x.root") as caught:
        check_origins(ledgers)
    assert caught.value.place == "ttbar__nominal and wjets__nominal"


def test_steps_are_all_of_a_file(tmp_path: Path) -> None:
    (dataset,) = read(tmp_path, fileset({"a.root": {"steps": [[0, 4], [4, 9]]}}))
    assert dataset.files[0].n_events == 9
    for steps in (
        [[0, 11], [11, 9]],
        [[0, 4]],
        [[0, 4], [5, 9]],
        [[4, 9]],
        [[4, 9], [0, 4]],
        [[0, 9], [0, 9]],
        [],
    ):
        with pytest.raises(ConfigurationError, match=r"steps of a\.root are not all"):
            read(tmp_path, fileset({"a.root": {"steps": steps, "num_entries": 9}}))


def test_a_compressed_fileset(tmp_path: Path) -> None:
    """As coffea's ``save`` writes them; what is packed as an archive has no one content."""
    path, text = tmp_path / "fileset.json.gz", fileset({"a.root": {"num_entries": 9}}).encode()
    path.write_bytes(gzip.compress(text))
    (dataset,) = filesets.read(path, ANALYSIS, PHYSICS)
    assert dataset.files[0].n_events == 9
    path.write_bytes(gzip.compress(text)[:-12])
    with pytest.raises(InputError, match=r"cannot read 'fileset\.json\.gz'"):
        filesets.read(path, ANALYSIS, PHYSICS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fileset.json", text)
    with pytest.raises(InputError, match="archive"):
        filesets.read(path, ANALYSIS, PHYSICS)


def test_events_of_a_dataset(tmp_path: Path) -> None:
    files = {"a.root": {"num_entries": 300}, "b.root": "Events"}
    with pytest.raises(ConfigurationError, match="n_events 200, its files add up to 300 or more"):
        read(tmp_path, fileset(files, n_events=200))
    (dataset,) = read(tmp_path, fileset(files, n_events=5000))
    assert dataset.n_events == 5000
    assert take((dataset,), 1)[0].n_events is None
    entries = [
        entry("a.root", expected=300, before=300),
        entry("b.root", expected=None, before=200),
    ]
    close(entries, 2, "ttbar__nominal", allow_partial=False, n_events=500)
    with pytest.raises(ClosureError, match=r"the 2 files have 500 events, the list .* says 5000"):
        close(entries, 2, "ttbar__nominal", allow_partial=False, n_events=5000)


def test_collision_data_are_complete() -> None:
    entries = [entry("a.root"), entry("b.root", error="unreadable")]
    assert len(close(entries, 2, "data", allow_partial=True)) == 1
    for allow_partial in (True, False):
        with pytest.raises(ClosureError, match=r"luminosity would be too large: b\.root") as caught:
            close(entries, 2, "data", allow_partial=allow_partial, data=True)
        assert "allow_partial" not in caught.value.remedy


def test_record_and_list_agree(tmp_path: Path) -> None:
    record = tmp_path / "a.json"
    write_json(record, {"n_events": 5, "n_generated": 70})
    file = InputFile(urls=("a.root",), record=str(record))
    assert promised(file) == (5, 70)
    assert promised(file.model_copy(update={"n_events": 5})) == (5, 70)
    with pytest.raises(InputError, match="says 5 events, the list of files 6"):
        promised(file.model_copy(update={"n_events": 6}))
    write_json(record, {"n_events": 5, "n_generated": 4})
    assert promised(file) == (5, 4)
    write_json(record, {"n_events": 5, "n_generated": 0})
    with pytest.raises(InputError, match="none was generated"):
        promised(file)


COUNT = st.none() | st.sampled_from([3, 4, 7])
DESCRIPTION = st.fixed_dictionaries(
    {},
    optional={
        "num_entries": COUNT,
        "steps": st.none() | st.lists(st.sampled_from([(0, 3), (3, 7), (0, 7)]), max_size=2),
        "uuid": st.sampled_from([None, OTHER, "no uuid"]),
        "object_path": st.sampled_from([None, "Events", "Runs"]),
    },
)
NAME = st.sampled_from(
    ["root://h/a.root", "root://h//a.root", "root://g/a.root", "/d/b.root", "/d/./b.root"]
)


@given(st.lists(st.tuples(NAME, DESCRIPTION), min_size=1, max_size=3), COUNT)
def test_a_fileset_has_one_meaning_or_none(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, Any]], n_events: int | None
) -> None:
    """Whatever is accepted lists each file once, with the numbers that every key states."""
    text = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in files)
    metadata = json.dumps({"n_events": n_events})
    text = f'{{"ttbar__nominal": {{"files": {{{text}}}, "metadata": {metadata}}}}}'
    folder = tmp_path_factory.mktemp("fileset")
    try:
        (dataset,) = read(folder, text)
    except PipelineError:
        return
    assert [file.source for file in dataset.files] == [name for name, _ in files]
    places = {os.path.normpath(name.replace("://h//", "://h/")) for name, _ in files}
    assert len(places) == len(files)
    uuids = [value["uuid"] for _, value in files if value.get("uuid")]
    assert len(set(uuids)) == len(uuids)
    for file, (_, value) in zip(dataset.files, files, strict=True):
        assert value.get("object_path") != "Runs"
        steps = value.get("steps")
        stated = {value.get("num_entries"), steps[-1][1] if steps else None} - {None}
        assert stated <= {file.n_events}
        if steps is not None:
            assert [event for start, stop in steps for event in range(start, stop)] == list(
                range(file.n_events)
            )
    counts = [file.n_events for file in dataset.files]
    if n_events is not None:
        assert dataset.n_events == n_events
        assert None in counts or sum(counts) == n_events
