"""Commands for what is not part of a run."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import shtab

from agc_pipeline import analyses, config, keys, new
from agc_pipeline.doctor.examine import examine
from agc_pipeline.doctor.findings import Finding
from agc_pipeline.errors import PipelineError
from agc_pipeline.layers import Values
from agc_pipeline.places import root_folder, use_own_modules
from agc_pipeline.plan import planned
from agc_pipeline.secrets import without_secrets

_TIMEOUT = 10.0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of ``agc-pipeline``."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="agc-pipeline", description=__doc__)
    options.add_argument(
        "--version", action="version", version=f"agc-pipeline {version('agc-pipeline')}"
    )
    commands = options.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="what this machine offers, and what is missing")
    files = doctor.add_argument(
        "--configfile", type=Path, nargs="*", default=[], help="as given to Snakemake"
    )
    # The name is that of shtab.
    files.complete = shtab.FILE  # type: ignore[attr-defined]
    doctor.add_argument(
        "--timeout", type=float, default=_TIMEOUT, help="seconds for all probes (%(default)g)"
    )
    doctor.set_defaults(run=_doctor)
    start = commands.add_parser("new", help="write a small analysis that runs, to be changed")
    start.add_argument("name", metavar="NAME", help="of the analysis and of its folder")
    start.set_defaults(run=_new)
    listed = commands.add_parser("keys", help="print all keys of the configuration, in Markdown")
    listed.add_argument(
        "--analysis", help="whose keys are printed; without it, that of the default configuration"
    )
    listed.add_argument(
        "--schema", action="store_true", help="print a JSON schema for editors instead"
    )
    listed.set_defaults(run=_keys)
    completion = commands.add_parser("completion", help="print what completes this command")
    completion.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="that completes")
    completion.set_defaults(run=_completion)
    return options


def _completion(arguments: argparse.Namespace) -> None:
    print(shtab.complete(_parser(), arguments.shell))


def _keys(arguments: argparse.Namespace) -> None:
    use_own_modules()
    root = root_folder()
    analysis = arguments.analysis or config.read(root=root)["analysis"]
    if arguments.schema:
        print(json.dumps(keys.schema(analysis), indent=1, ensure_ascii=False))
    else:
        print(keys.page(analysis, root), end="")


def _new(arguments: argparse.Namespace) -> None:
    folder = new.write(arguments.name, Path.cwd())
    print(f"wrote the analysis {folder.name}, see {folder.name}/README.md; run it with")
    print(f"  {new.command(folder)}")


def _doctor(arguments: argparse.Namespace) -> None:
    use_own_modules()
    configuration = config.read(arguments.configfile, root=Path())
    findings = [_validation(configuration, arguments.configfile)]
    # A wrong configuration says nothing of what is needed.
    usable = configuration if findings[0].state != "failed" else {}
    findings += examine(
        usable,
        learned=_learned(usable),
        include_unused=True,
        timeout=arguments.timeout,
    )
    print("\n".join(table(findings)))
    # What is missing may not be needed; what fails was asked for.
    if any(finding.state == "failed" for finding in findings):
        sys.exit(1)


def _validation(configuration: Values, files: Sequence[Path]) -> Finding:
    """Whether a run would begin with this configuration."""
    if "analysis" not in configuration:
        return Finding("configuration", "unused", "not in the folder of the Snakefile")
    try:
        planned(configuration, folders=[path.parent for path in files], projects=[Path()])
    except PipelineError as error:
        told = f"{error.problem} ({error.place})"
        detail = without_secrets(" ".join(told.split()))
        return Finding("configuration", "failed", detail, error.remedy)
    names = ", ".join(map(str, files)) or "defaults"
    return Finding("configuration", "ok", names)


def _learned(configuration: Mapping[str, Any]) -> str | None:
    """Key of the configuration of the learned observables of its analysis, if it has any."""
    # Away from the Snakefile and without a configuration there is none.
    name = configuration.get("analysis")
    learned = None if name is None else analyses.load(str(name)).learned
    return None if learned is None else learned.name


def table(findings: Sequence[Finding]) -> list[str]:
    """Lines of text: name, state and detail, and below what to do."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.name:<{width}}  {finding.state:<7}  {finding.detail}")
        if finding.remedy and finding.state != "ok":
            lines.append(f"{'':<{width}}  {'':<7}  -> {finding.remedy}")
    return lines


if __name__ == "__main__":
    main()
