"""What many tests need: the repository, its configuration, real samples, stages as commands."""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

# As in the jobs of the workflow: with matrices as small as these, threads only wait for each other.
# Set before the first import of numpy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from agc_pipeline import analyses, config
from agc_pipeline.analyses.cms_ttbar.settings import Selection

# How long an example takes says nothing on a shared machine.
settings.register_profile("agc_pipeline", deadline=None, max_examples=60)
settings.load_profile("agc_pipeline")

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT.parent / "shared" / "samples"


def read_config(*names: str) -> dict[str, Any]:
    """Configuration files of the repository on top of the defaults."""
    return config.read([ROOT / "config" / f"{name}.yaml" for name in names], root=ROOT)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that build environments run only if they are asked for: they take minutes."""
    if "matrix" in (config.option.markexpr or ""):
        return
    reason = "builds environments, takes minutes: run it with -m matrix"
    for item in items:
        if item.get_closest_marker("matrix") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def config_values() -> dict[str, Any]:
    """The default configuration as Snakemake reads it."""
    return read_config()


@pytest.fixture
def selection() -> Selection:
    values = read_config()["physics"]["selection"]
    chosen = analyses.load("cms_ttbar").selection(values)
    assert isinstance(chosen, Selection)
    return chosen


@pytest.fixture
def sample() -> Callable[[str], Path]:
    """Path of a real NanoAOD sample; skips where the samples are not at hand."""

    def find(name: str) -> Path:
        path = SAMPLES / name
        if not path.exists():
            pytest.skip(f"real sample {name} is not at hand (looked in ../shared/samples)")
        return path

    return find


def settings_file(folder: Path, settings: Any) -> str:
    """Path of a new file with settings, as a stage reads it."""
    handle, name = tempfile.mkstemp(suffix=".json", dir=folder)
    os.close(handle)
    Path(name).write_text(json.dumps(settings), encoding="utf-8")
    return name


def run_command(stage: str, settings: Any, **options: Any) -> str | None:
    """Run a stage's command line in this process; gives its error message, None if it is well.

    Settings, also those of options, are dictionaries.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        arguments = [f"agc_pipeline.stages.{stage}"]
        for name, value in {"settings": settings, **options}.items():
            values = value if isinstance(value, list) else [value]
            told = (settings_file(Path(folder), v) if isinstance(v, dict) else v for v in values)
            arguments += [f"--{name}", *map(str, told)]
        patch.setattr(sys, "argv", arguments)
        try:
            import_module(arguments[0]).main()
        except SystemExit as end:
            code = end.code
        else:
            return None
    assert isinstance(code, str), f"usage error: {code}"
    return code


@pytest.fixture
def command() -> Callable[..., str | None]:
    """``run_command``."""
    return run_command
