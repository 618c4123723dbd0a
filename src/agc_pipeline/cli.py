"""The command ``agc-pipeline``, for what is not part of a run."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from agc_pipeline.analyses.base import JET_ASSIGNMENT
from agc_pipeline.doctor.examine import examine
from agc_pipeline.doctor.findings import Finding
from agc_pipeline.errors import ConfigurationError, PipelineError
from agc_pipeline.matrix.cells import override

_TIMEOUT = 10.0
# Of what a run reads, the files that name services.
_CONFIGURATION = (Path("config/default.yaml"), Path("config/cms_ttbar/learning.yaml"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``agc-pipeline``."""
    options = argparse.ArgumentParser(prog="agc-pipeline", description=__doc__)
    commands = options.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="what this machine offers, and what is missing")
    doctor.add_argument(
        "--configfile", type=Path, nargs="*", default=[], help="as given to Snakemake"
    )
    doctor.add_argument(
        "--timeout", type=float, default=_TIMEOUT, help="seconds for all probes (%(default)g)"
    )
    chosen = options.parse_args(arguments)
    try:
        known = [path for path in _CONFIGURATION if path.exists()]
        configuration = _read([*known, *chosen.configfile])
    except PipelineError as error:
        sys.exit(f"error: {error}")
    findings = examine(
        configuration, learned=JET_ASSIGNMENT, include_unused=True, timeout=chosen.timeout
    )
    print("\n".join(table(findings)))
    # What is missing may not be needed; what fails was asked for.
    if any(finding.state == "failed" for finding in findings):
        sys.exit(1)


def table(findings: Sequence[Finding]) -> list[str]:
    """Lines of text: name, state and detail, and below what to do."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.name:<{width}}  {finding.state:<7}  {finding.detail}")
        if finding.remedy and finding.state != "ok":
            lines.append(f"{'':<{width}}  {'':<7}  -> {finding.remedy}")
    return lines


def _read(paths: Sequence[Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(
                f"cannot read the configuration: {type(error).__name__}",
                place=str(path),
                remedy="correct the path or the file",
            ) from error
        merged = override(merged, content or {})
    return merged


if __name__ == "__main__":
    main()
