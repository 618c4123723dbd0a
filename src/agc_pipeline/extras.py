"""Optional packages and programs: what needs them, and what to do where they are not installed."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from agc_pipeline.errors import ConfigurationError

# Modules that each extra of the package brings. Some are distributed under several names.
_MODULES = {
    "cluster": ("dask", "distributed"),
    "facility": ("simpy",),
    "learning": ("xgboost", "tritonclient"),
    "matrix": ("uv", "hatchling"),
    "servicex": ("servicex",),
    "simulation": ("pythia8mc", "fastjet"),
    "tracking": ("mlflow",),
    "xrootd": ("XRootD", "fsspec_xrootd"),
}


def installed(extra: str) -> bool:
    """Whether the packages of an extra are there."""
    return all(find_spec(module) is not None for module in _MODULES[extra])


def program(name: str) -> str | None:
    """Path of a program: that of this environment, also if it is not active, or one in PATH."""
    own = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join((own, os.environ.get("PATH", os.defpath))))


def remedy(extra: str) -> str:
    """How to install an extra."""
    return f"install the extra: `make setup-all`, or `pip install 'agc-pipeline[{extra}]'`"


def require(extra: str, *, setting: str, alternative: str) -> None:
    """Refuse a configuration that needs packages which are not installed.

    Args:
        extra: of this package.
        setting: what needs it, as a place in the configuration.
        alternative: what to set where they should not be installed.

    Raises:
        ConfigurationError: if one of them is missing.
    """
    if not installed(extra):
        raise ConfigurationError(
            f"packages of the extra `{extra}` are not installed",
            place=setting,
            remedy=f"{remedy(extra)}; or {alternative}",
        )
