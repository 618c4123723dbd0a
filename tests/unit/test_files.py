"""Atomic writing."""

import errno
import os
import stat
from pathlib import Path

import pytest

from agc_pipeline import files
from agc_pipeline.errors import InputError, PipelineError


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    files.write_json(path, {"old": 1})

    def fail() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert files.read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["result.json"]  # noqa: PTH208 - hidden files count


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full, which is always full")
    path = tmp_path / "result.json"
    with pytest.raises(OSError, match="No space left") as caught, files.atomic_path(path):
        full.write_text("what is written")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_private_files_are_private_whatever_the_mask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        files.write_text(tmp_path / "own", "a token", private=True)
    finally:
        os.umask(mask)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600


def test_folders_are_made_and_permissions_are_ordinary(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    files.write_text(path, "x")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"x": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_reading_errors_name_file_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        with pytest.raises(InputError) as caught:
            files.read_json(tmp_path / name)
        assert caught.value.place == str(tmp_path / name)
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        (f'{{"n": {"9" * 5000}}}', "digits"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "the key 'b' is defined twice"),
        (f'{{"{"k" * 5000}": 1, "{"k" * 5000}": 2}}', "k...' is defined twice"),
        ("", "Expecting value"),
        ('{"name": "\\uD800"}', "half of a character"),
        ('{"a": [{"\\u0000": 1}]}', "the character zero"),
    ],
)
def test_text_that_is_no_json_or_more_than_one(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match="not valid JSON: ") as caught:
        files.read_json(tmp_path / "x.json")
    assert problem in caught.value.problem
    assert len(str(caught.value)) < 400


def test_characters_that_are_written_in_two_halves(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(r'{"name": "\ud83d\ude00 \\ud800 \\u0000"}')
    assert files.read_json(tmp_path / "x.json") == {"name": "\U0001f600 \\ud800 \\u0000"}


def test_errors_survive_pickling() -> None:
    import pickle  # noqa: PLC0415

    error = InputError("bad", place="here", remedy="mend")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(again, InputError)
    assert isinstance(again, PipelineError)
    assert str(again) == "bad\n  where: here\n  remedy: mend"


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for below in ("file/record.json", "file/folder/record.json"):
        with pytest.raises(NotADirectoryError) as caught:
            files.write_json(tmp_path / below, {})
        assert str(caught.value.filename).startswith(str(tmp_path / "file"))
