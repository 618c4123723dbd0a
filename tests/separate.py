"""Environments of their own for programs that the project's environment does not have."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agc_pipeline.matrix import environments
from agc_pipeline.matrix.records import EnvironmentRecord

# Alpha versions are all that the package index has of ROOT, here 6.40.
ROOT = ("root==0.1a12", "pyhs3==0.4.2")


def environment(
    name: str,
    requirements: Sequence[str],
    logs: Path,
    *,
    python: str = sys.executable,
    timeout: float = 600,
) -> EnvironmentRecord:
    """An environment that is built once and kept in the user's cache."""
    request = environments.EnvironmentRequest(
        name, tuple(requirements), (), "", python, prerelease=False
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return environments.build(request, cache / "agc_pipeline" / name, logs, timeout=timeout)


def interpreter(name: str, requirements: Sequence[str], logs: Path) -> Path:
    """Python of such an environment; the test is skipped where it cannot be had."""
    record = environment(name, requirements, logs)
    if record.unavailable is not None or record.interpreter is None:
        pytest.skip(f"no environment for {name}: {environments.describe(record)}")
    return Path(record.interpreter)
