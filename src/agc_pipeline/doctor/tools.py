"""Programs: batch systems with Snakemake's plugins for them, and uv for the matrix."""

import shutil
import subprocess
from importlib.util import find_spec

from agc_pipeline.doctor.findings import Finding


def batch(name: str, command: str, plugin: str, *, timeout: float) -> Finding:
    """A batch system: its submit commands, and the plugin of Snakemake.

    Args:
        name: of the batch system.
        command: that prints its version.
        plugin: module of Snakemake's executor plugin.
        timeout: seconds.
    """
    found = shutil.which(command)
    if found is None:
        return Finding(
            name, "missing", f"no {command} here", f"log in to a submit node, or install {name}"
        )
    version = _version([found, "--version"] if command == "sinfo" else [found], timeout)
    if version is None:
        return Finding(name, "failed", f"{found} fails", f"repair the installation of {name}")
    if find_spec(plugin) is None:
        package = plugin.replace("_", "-")
        return Finding(name, "missing", f"{version}; no plugin", f"pip install {package}")
    return Finding(name, "ok", version)


def uv(*, timeout: float) -> Finding:
    """The program that builds the environments of the matrix."""
    found = shutil.which("uv")
    if found is None:
        return Finding("uv", "missing", "`snakemake matrix` needs it", "install the extra `matrix`")
    version = _version([found, "--version"], timeout)
    return (
        Finding("uv", "failed", f"{found} fails", "install it anew")
        if version is None
        else (Finding("uv", "ok", version))
    )


def _version(command: list[str], timeout: float) -> str | None:
    """First line that a command prints; None if it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - one of ours, found in PATH
            command, capture_output=True, text=True, timeout=timeout, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip("$ ") if lines else None
