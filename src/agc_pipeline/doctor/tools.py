"""Programs: batch systems with Snakemake's plugins for them, and uv for the matrix."""

import subprocess
from importlib.util import find_spec

from agc_pipeline import extras
from agc_pipeline.doctor.findings import Finding

# Batch systems as Snakemake and Dask name them: name for people, command that prints the
# version, and module of Snakemake's plugin.
BATCH_SYSTEMS = {
    "htcondor": ("HTCondor", "condor_version", "snakemake_executor_plugin_htcondor"),
    "slurm": ("Slurm", "sinfo", "snakemake_executor_plugin_slurm"),
}


def batch(name: str, command: str, plugin: str | None, *, timeout: float) -> Finding:
    """A batch system: its submit commands, and the plugin of Snakemake.

    Args:
        name: of the batch system.
        command: that prints its version.
        plugin: module of Snakemake's executor plugin; None where Snakemake submits nothing.
        timeout: seconds.
    """
    program = extras.program(command)
    if program is None:
        return Finding(
            name,
            "missing",
            f"{command} is not in PATH",
            f"log in to a submit node, or install {name}",
        )
    arguments = ["--version"] if command == "sinfo" else []
    version, works = _version([program, *arguments], timeout)
    if not works:
        # A program that is installed and not configured is no pool: only profiles need one.
        remedy = f"log in to a submit node, or configure {name} here"
        return Finding(name, "missing", f"{program}: {version}", remedy)
    if plugin is not None and find_spec(plugin) is None:
        package = plugin.replace("_", "-")
        return Finding(name, "missing", f"{version}; no plugin", f"pip install {package}")
    return Finding(name, "ok", version)


def uv(*, timeout: float) -> Finding:
    """The program that builds the environments of the matrix."""
    program = extras.program("uv")
    if program is None:
        return Finding("uv", "missing", "`snakemake matrix` needs it", extras.remedy("matrix"))
    version, works = _version([program, "--version"], timeout)
    if not works:
        return Finding("uv", "failed", f"{program}: {version}", extras.remedy("matrix"))
    return Finding("uv", "ok", version)


def _version(command: list[str], timeout: float) -> tuple[str, bool]:
    """First line that a command prints, or the last one of its error; whether it succeeded."""
    try:
        process = subprocess.run(  # noqa: S603 - one of ours, found in PATH
            command, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s", False
    except OSError as error:
        return error.strerror or type(error).__name__, False
    lines = process.stdout.strip().splitlines()
    if process.returncode == 0 and lines:
        return lines[0].strip("$ "), True
    errors = process.stderr.strip().splitlines()
    return errors[-1] if errors else f"status {process.returncode}", False
