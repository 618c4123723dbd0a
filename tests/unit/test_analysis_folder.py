"""Which files in the folder of an analysis are part of a run."""

from collections.abc import Iterable
from pathlib import Path

from agc_pipeline.declaration.folder import code_files, data_files


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def within(folder: Path, paths: Iterable[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_files_behind_links_to_folders_count(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write(tmp_path / "shared", "sf.json", "deep/more.json", "helper.py")
    write(folder, "__init__.py", "own/a.json")
    for name in ("one", "two", "input"):
        (folder / name).symlink_to(tmp_path / "shared")
    assert within(folder, data_files(folder)) == [
        "one/deep/more.json",
        "one/sf.json",
        "own/a.json",
        "two/deep/more.json",
        "two/sf.json",
    ]
    assert within(folder, code_files(folder)) == ["__init__.py", "one/helper.py", "two/helper.py"]


def test_links_that_lead_round_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write(tmp_path, "results/fit.json", "toy/__init__.py", "toy/own/a.json")
    (folder / "own" / "self").symlink_to(folder / "own")
    (folder / "own" / "up").symlink_to("..")
    (folder / "beside").symlink_to(tmp_path)
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    assert within(folder, data_files(folder)) == ["own/a.json"]


def test_files_of_people_are_no_part_of_a_run(tmp_path: Path) -> None:
    write(
        tmp_path,
        "__init__.py",
        "test_toy.py",
        "README.md",
        "run.yaml",
        "config/toy.yaml",
        ".hidden/a.json",
        "__pycache__/a.pyc",
        "tests/a.json",
        "input/a.json",
        "sf/input/a.json",
        "sf/README.md",
        "config/sf/a.yaml",
    )
    assert within(tmp_path, data_files(tmp_path)) == [
        "config/sf/a.yaml",
        "sf/README.md",
        "sf/input/a.json",
    ]
    assert within(tmp_path, code_files(tmp_path)) == ["__init__.py"]
