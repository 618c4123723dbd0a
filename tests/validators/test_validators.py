"""What is handed to archives and services, judged by their own validators."""

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

import separate
from agc_pipeline.files import write_json, write_record
from agc_pipeline.preservation import crate
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import crate as stage
from conftest import ROOT

pytestmark = [pytest.mark.validators, pytest.mark.xdist_group("validators")]

# reana-commons imports pkg_resources, which later versions of setuptools do not have.
REQUIREMENTS = (
    *("roc-validator==0.13.0", "rocrate==0.16.0", "reana-commons==0.9.11"),
    *("cffconvert==2.0.0", "setuptools<80"),
)
PROGRAM = Path(__file__).with_name("validate_crate.py")
REANA = """
import sys, yaml
from reana_commons.validation.utils import validate_reana_yaml
print(validate_reana_yaml(yaml.safe_load(sys.stdin)))
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that is built once and kept in the user's cache."""
    logs = tmp_path_factory.mktemp("validators") / "logs"
    return separate.interpreter("validators", REQUIREMENTS, logs)


def run(interpreter: Path, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        [str(interpreter), *arguments], input=text, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The folder of a run, as far as a crate looks at it, with its description."""
    folder = tmp_path / "results"
    (folder / "figures").mkdir(parents=True)
    (folder / "logs").mkdir()
    (folder / "logs" / "fit.log").write_text("of no use elsewhere")
    (folder / "figures" / "a b.svg").write_text("<svg/>")
    (folder / "report.html").write_text("<p>1</p>")
    write_json(folder / "workspace.json", {"version": "1.0.0"})
    made = provenance(
        "fit",
        packages=("numpy",),
        settings={},
        inputs=(folder / "workspace.json", ROOT / "LICENSE"),
    )
    write_record(folder / "fit.json", {"bestfit": [1.0], "provenance": made})
    write_json(folder / "preservation.json", {})
    settings = stage.CrateStage(
        title="A run",
        description="Of a test.",
        license="CC0-1.0",
        configuration={"results": "results"},
        workflow=str(ROOT / "workflow"),
    )
    options = stage.CrateOptions(
        report=folder / "report.html",
        preservation=folder / "preservation.json",
        output=folder / crate.METADATA,
        workflow=folder / crate.WORKFLOW,
    )
    stage.run(settings, options)
    return folder


def entities(folder: Path) -> dict[str, Any]:
    graph = json.loads((folder / crate.METADATA).read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def test_a_run_is_a_workflow_run_crate(interpreter: Path, results: Path) -> None:
    found = entities(results)
    parts = {part["@id"] for part in found["./"]["hasPart"]}
    assert {"report.html", "fit.json", "figures/a b.svg", "workflow/rules/common.smk"} <= parts
    assert not any(part.startswith("logs") for part in parts)
    job = found["#job-fit.json"]
    assert job["result"] == {"@id": "fit.json"}
    assert {"@id": "workspace.json"} in job["object"]
    assert any("LICENSE" in part["@id"] for part in job["object"])
    told = run(interpreter, str(PROGRAM), "workflow-run-crate", str(results))
    assert told.splitlines()[-1] == "valid", told
    # And it is asked.
    content = json.loads((results / crate.METADATA).read_text())
    del content["@graph"][1]["license"]
    (results / crate.METADATA).write_text(json.dumps(content))
    told = run(interpreter, str(PROGRAM), "workflow-run-crate", str(results))
    assert told.splitlines()[-1] == "not valid"


def test_reana_takes_its_file(interpreter: Path) -> None:
    text = (ROOT / "reana.yaml").read_text()
    assert run(interpreter, "-c", REANA, text=text).splitlines()[-1] == "{}"
    assert "ValidationError" in run(interpreter, "-c", REANA, text=text.replace("type:", "kind:"))


def test_commands_of_reana_plan_what_it_asks_for(tmp_path: Path) -> None:
    """In a folder with its inputs only, as they are uploaded."""
    description = yaml.safe_load((ROOT / "reana.yaml").read_text())
    inputs = description["inputs"]
    for name in inputs["directories"]:
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in inputs["files"]:
        shutil.copy(ROOT / name, tmp_path)
    steps = description["workflow"]["specification"]["steps"]
    commands = [command for step in steps for command in step["commands"]]
    # The last one needs the results of all others.
    command = Template(commands[-1]).substitute(inputs["parameters"])
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), "--dry-run", "--printshellcmds"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for path in description["outputs"]["files"]:
        assert path in done.stdout
    names = {Template(each).substitute(inputs["parameters"]) for each in commands}
    assert len(names) == 2


def test_citation_is_valid_and_of_this_version(interpreter: Path) -> None:
    program = interpreter.parent / "cffconvert"
    told = subprocess.run(
        [program, "--validate", "-i", ROOT / "CITATION.cff"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "valid according to schema version 1.2.0" in told
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert json.loads((ROOT / ".zenodo.json").read_text())["version"] == version
