"""The workflow as a part of another one, in a folder of its own, and in Snakemake's report."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from conftest import ROOT

pytestmark = pytest.mark.workflow

OUTER = f"""
configfile: "mine.yaml"


module agc:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config["agc"]


use rule * from agc as agc_*


rule summary:
    default_target: True
    input:
        rules.agc_published.output.closure,
    output:
        "summary.txt",
    shell:
        "wc -c < {{input}} > {{output}}"
"""


def snakemake(folder: Path, *options: str) -> str:
    """With the package where installations have it, far from the rules."""
    package = folder / "packages"
    if not package.exists():
        shutil.copytree(ROOT / "src", package, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_rules_of_another_workflow(tmp_path: Path) -> None:
    """With its values and its folder; captions of results are in Snakemake's own report."""
    (tmp_path / "Snakefile").write_text(OUTER)
    values = {"input": {"kind": "published"}, "n_files_max_per_sample": 1, "results": "out"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"agc": values}))
    snakemake(tmp_path)
    assert (
        int((tmp_path / "summary.txt").read_text())
        == (tmp_path / "out" / "closure.json").stat().st_size
    )
    snakemake(tmp_path, "--report", "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        (page,) = [name for name in report.namelist() if name.endswith("report.html")]
        text = report.read(page).decode()
        assert "out/closure.json" in text
        assert "Events of every file" in text


# As snakedeploy writes it, beside a copy of the folder config.
DEPLOYED = f"""
configfile: "config/config.yaml"


module agc_pipeline:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config


use rule * from agc_pipeline
"""


def test_deployed_by_snakedeploy(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text(DEPLOYED)
    with (tmp_path / "config" / "config.yaml").open("a") as file:
        file.write("input: {kind: published}\nresults: mine\n")
    told = snakemake(tmp_path, "--dry-run", "--quiet", "rules")
    assert re.search(r"^ *published +1$", told, re.MULTILINE), told
    assert re.search(r"^ *all +1$", told, re.MULTILINE)


def test_the_image_of_the_jobs_must_be_there(tmp_path: Path) -> None:
    arguments = ("--dry-run", "--software-deployment-method", "apptainer")
    workflow = ("--snakefile", str(ROOT / "Snakefile"), "--config", "container=images/none.sif")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *workflow, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "error: the image of the jobs is missing\n  where: images/none.sif\n" in done.stdout


def test_files_of_the_catalogue() -> None:
    """What the catalogue of Snakemake workflows looks for."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True
    assert usage["software-stack-deployment"] == {"conda": True}
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert (ROOT / "config" / "README.md").read_text().startswith("# Configuration\n")
