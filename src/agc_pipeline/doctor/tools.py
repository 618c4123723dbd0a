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
    version, well = _said([found, "--version"] if command == "sinfo" else [found], timeout)
    if not well:
        remedy = f"log in to a submit node; else configure {name} here, or remove it"
        return Finding(name, "failed", f"{found}: {version}", remedy)
    if find_spec(plugin) is None:
        package = plugin.replace("_", "-")
        return Finding(name, "missing", f"{version}; no plugin", f"pip install {package}")
    return Finding(name, "ok", version)


def uv(*, timeout: float) -> Finding:
    """The program that builds the environments of the matrix."""
    found = shutil.which("uv")
    if found is None:
        return Finding("uv", "missing", "`snakemake matrix` needs it", "install the extra `matrix`")
    version, well = _said([found, "--version"], timeout)
    if not well:
        return Finding("uv", "failed", f"{found}: {version}", "install the extra `matrix` anew")
    return Finding("uv", "ok", version)


def _said(command: list[str], timeout: float) -> tuple[str, bool]:
    """First line that a command prints, or the last one of its error, and whether it is well."""
    try:
        done = subprocess.run(  # noqa: S603 - one of ours, found in PATH
            command, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s", False
    except OSError as error:
        return error.strerror or type(error).__name__, False
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return lines[0].strip("$ "), True
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"status {done.returncode}", False
