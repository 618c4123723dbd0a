"""Machine code is taken only from folders to which nobody else may write."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agc_pipeline import machine_code
from agc_pipeline.compiling import kernel
from agc_pipeline.errors import ConfigurationError


def link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder, target_is_directory=True)
    return folder / "link"


def for_all(folder: Path) -> Path:
    made = folder / "kernels"
    made.mkdir()
    made.chmod(0o777)
    return made


def below_one_for_all(folder: Path) -> Path:
    made = for_all(folder) / "digest"
    made.mkdir(mode=0o700)
    return made


def of_a_group(folder: Path) -> Path:
    made = for_all(folder)
    made.chmod(0o775)
    if os.getuid() == 0:
        os.chown(made, 0, 12345)
    else:
        pytest.skip("only root may give a folder to a group")
    return made


def of_another_user(folder: Path) -> Path:
    made = for_all(folder)
    made.chmod(0o700)
    if os.getuid() != 0:
        pytest.skip("only root may give a folder away")
    os.chown(made, 12345, 0)
    return made


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (link, "is a link"),
        (for_all, "all users may write to"),
        (below_one_for_all, "all users may write to"),
        (of_a_group, "its group may write to"),
        (of_another_user, "belongs to another user"),
    ],
)
def test_folders_of_others_are_refused(
    tmp_path: Path, make: Callable[[Path], Path], problem: str
) -> None:
    folder = make(tmp_path)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        machine_code.check_folder(folder, tmp_path / "elsewhere" / "a.py")
    assert caught.value.place in (str(folder), str(folder.parent))
    assert "NUMBA_CACHE_DIR" in caught.value.remedy


def test_folders_of_the_user_are_taken(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    machine_code.check_folder(own, tmp_path / "a.py")
    # Below the folder of temporary files, whose sticky bit protects what is in it.
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    inside = tmp_path / "sticky" / "own"
    inside.mkdir(mode=0o700)
    machine_code.check_folder(inside, tmp_path / "elsewhere" / "a.py")
    # Whoever may write beside the source needs no machine code.
    own.chmod(0o775)
    machine_code.check_folder(own, tmp_path / "a.py")
    own.chmod(0o777)
    with pytest.raises(ConfigurationError, match="all users"):
        machine_code.check_folder(own, tmp_path / "a.py")


def test_a_kernel_looks_where_its_code_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def double(values: np.ndarray) -> np.ndarray:
        return values * 2

    monkeypatch.setattr(machine_code.numba.config, "CACHE_DIR", str(tmp_path / "kernels"))
    assert kernel(double)(np.arange(3)).tolist() == [0, 2, 4]
    (tmp_path / "kernels").chmod(0o777)
    with pytest.raises(ConfigurationError, match="all users"):
        kernel(double)(np.arange(3))


def test_a_folder_that_somebody_left_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code.tempfile, "tempdir", str(tmp_path))
    own = machine_code._temporary_folder()
    assert own.stat().st_mode & 0o777 == 0o700
    assert machine_code._temporary_folder() == own
    own.chmod(0o777)
    other = machine_code._temporary_folder()
    assert other != own
    assert other.stat().st_mode & 0o777 == 0o700
    own.rmdir()
    own.symlink_to(for_all(tmp_path))
    assert machine_code._temporary_folder() not in (own, own.resolve())


KERNELS = {
    "numbers_of_kernels.py": "SCALE, OFFSET = 2.0, 0.0\n",
    "inner_kernel.py": """
from agc_pipeline.compiling import kernel
import numbers_of_kernels
@kernel
def inner(x):
    return x + 1.0 + numbers_of_kernels.OFFSET
""",
    "outer_kernel.py": """
from agc_pipeline.compiling import kernel
import numbers_of_kernels
from inner_kernel import inner
from numbers_of_kernels import SCALE
@kernel
def outer(x):
    return inner(x) * SCALE
@kernel
def of_module(x):
    return x * numbers_of_kernels.SCALE
print(outer(1.0), of_module(1.0))
""",
}


def test_machine_code_follows_constants_and_kernels_of_other_modules(tmp_path: Path) -> None:
    """numba looks for changes in the file of the function alone."""
    for name, text in KERNELS.items():
        (tmp_path / name).write_text(text)

    def computed(name: str = "", old: str = "", new: str = "") -> str:
        if name:
            path = tmp_path / name
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        command = [sys.executable, "outer_kernel.py"]
        return subprocess.run(
            command, cwd=tmp_path, text=True, check=True, capture_output=True
        ).stdout.strip()

    def kept() -> set[Path]:
        return set((tmp_path / "__pycache__").glob("*.nbc"))

    assert computed() == "4.0 2.0"
    once = kept()
    # Nothing is compiled again, in whatever process.
    assert computed() == "4.0 2.0"
    assert len(once) == 3
    assert kept() == once
    assert computed("numbers_of_kernels.py", "2.0", "3.0") == "6.0 3.0"
    assert computed("inner_kernel.py", "1.0", "5.0") == "18.0 3.0"
    assert computed("numbers_of_kernels.py", "0.0", "1.0") == "21.0 3.0"


def added(x: float) -> float:
    """A function that is compiled."""
    return x + 1.0


def test_nothing_is_kept_where_numba_has_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "_KEEPS", False)
    compiled = machine_code.compiled(added)
    assert compiled(1.0) == 2.0
    assert compiled.stats.cache_path is None
