"""What was delivered before is found again, if everything that it depends on is the same."""

import os
from pathlib import Path
from typing import Any

import pytest

from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.layout import NANOAOD
from agc_pipeline.delivery import forced
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.preselected import SkimContent
from agc_pipeline.delivery.store import Store, store_of
from agc_pipeline.errors import InputError

MADE_BY = {"selection": {"pt_min": 30.0}, "delivery": {"backend": "local"}, "software": {"a": "1"}}
REMOTE = InputFile(urls=("https://a.example/x/events.root", "root://b.example//x"), n_events=7)


def store(folder: Path, kind: str = "ttree", **changes: Any) -> Store:
    return Store(folder, kind, MADE_BY | changes)


def deliver(into: Store, file: InputFile) -> Delivered:
    path = into.path(file)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"skim")
    entry = Delivered(
        source=file.source,
        path=str(path),
        size=4,
        expected=7,
        before=7,
        after=2,
        generated=7,
        cutflow={},
    )
    into.keep(file, entry)
    return entry


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    assert store(tmp_path).find(REMOTE) is None
    entry = deliver(store(tmp_path), REMOTE)
    assert store(tmp_path).find(REMOTE) == entry
    assert store(tmp_path).path(REMOTE).name.startswith("events.")


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": {"pt_min": 25.0}},
        {"delivery": {"backend": "servicex"}},
        {"software": {"a": "2"}},
    ],
)
def test_any_change_of_what_makes_a_skim_is_another_delivery(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    deliver(store(tmp_path), REMOTE)
    assert store(tmp_path, **changes).find(REMOTE) is None


@pytest.mark.parametrize("change", [{"n_events": 8}, {"urls": ("https://c.example/events.root",)}])
def test_any_change_of_the_input_is_another_delivery(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    deliver(store(tmp_path), REMOTE)
    assert store(tmp_path).find(REMOTE.model_copy(update=change)) is None


def test_another_mirror_behind_the_first_changes_nothing(tmp_path: Path) -> None:
    entry = deliver(store(tmp_path), REMOTE)
    assert store(tmp_path).find(REMOTE.model_copy(update={"urls": REMOTE.urls[:1]})) == entry


def test_a_local_input_that_changed_is_another_delivery(tmp_path: Path) -> None:
    source = tmp_path / "input.root"
    source.write_bytes(b"abc")
    file = InputFile(urls=(str(source),))
    entry = deliver(store(tmp_path / "skims"), file)
    assert store(tmp_path / "skims").find(file) == entry
    later = source.stat().st_mtime + 1
    os.utime(source, (later, later))
    assert store(tmp_path / "skims").find(file) is None


def test_a_skim_that_was_changed_or_removed_is_not_there(tmp_path: Path) -> None:
    entry = deliver(store(tmp_path), REMOTE)
    assert entry.path is not None
    Path(entry.path).write_bytes(b"cut")
    assert store(tmp_path).find(REMOTE) is None
    Path(entry.path).unlink()
    assert store(tmp_path).find(REMOTE) is None


def test_a_new_delivery_replaces_the_older_ones_of_the_same_file_only(tmp_path: Path) -> None:
    other = InputFile(urls=("https://a.example/y/events.root",), n_events=3)
    deliver(store(tmp_path), REMOTE)
    deliver(store(tmp_path), other)
    leftover = tmp_path / f".{store(tmp_path).path(REMOTE).stem.rpartition('.')[0]}.old.tmp.root"
    leftover.touch()
    newer = store(tmp_path, software={"a": "2"})
    deliver(newer, REMOTE)
    assert newer.find(REMOTE) is not None
    assert store(tmp_path).find(REMOTE) is None
    assert store(tmp_path).find(other) is not None
    assert not leftover.exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_files_of_the_same_name_do_not_meet(tmp_path: Path) -> None:
    other = InputFile(urls=("https://a.example/y/events.root",), n_events=7)
    assert store(tmp_path).path(REMOTE) != store(tmp_path).path(other)


def test_names_stay_short_enough_for_file_systems(tmp_path: Path) -> None:
    long = InputFile(urls=(f"https://a.example/{'n' * 400}.root",))
    assert len(store(tmp_path).path(long).name) < 150


def test_a_record_that_is_none_is_an_error_with_its_place(tmp_path: Path) -> None:
    deliver(store(tmp_path), REMOTE)
    record = store(tmp_path).path(REMOTE).with_suffix(".json")
    record.write_text("{}")
    with pytest.raises(InputError, match="not the record of a skim") as error:
        store(tmp_path).find(REMOTE)
    assert error.value.place == str(record)


def test_a_forced_delivery_finds_none_of_before(tmp_path: Path) -> None:
    content = SkimContent(
        columns={},
        layout=NANOAOD,
        preselect=lambda _: ([], {}),
        records=False,
        generated=None,
        description=None,
        code=(),
    )
    job = DeliveryJob(backend="local", format="ttree", servicex=None)

    def now() -> Store:
        made = store_of(tmp_path / "skims", content, job)
        assert made is not None
        return made

    # Where there are no skims, there is nothing to force.
    forced.force(tmp_path / "skims")
    assert not (tmp_path / "skims").exists()
    for _ in range(2):
        assert now().find(REMOTE) is None
        entry = deliver(now(), REMOTE)
        assert now().find(REMOTE) == entry
        forced.force(tmp_path / "skims")
    assert len(forced.marks(tmp_path / "skims")) == 1


@pytest.mark.parametrize(("kind", "suffix"), [("rntuple", ".root"), ("parquet", ".parquet")])
def test_the_suffix_is_that_of_the_format(tmp_path: Path, kind: str, suffix: str) -> None:
    assert store(tmp_path, kind).path(REMOTE).suffix == suffix
