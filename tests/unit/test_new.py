"""``agc-pipeline new``: what it writes, and the names that it refuses."""

import re
from pathlib import Path

import pytest
import yaml

from agc_pipeline import analyses, cli, config, new
from agc_pipeline.errors import ConfigurationError
from conftest import ROOT


def test_a_new_analysis_has_its_name_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["new", "four_muons"])
    folder = tmp_path / "four_muons"
    assert "--configfile four_muons/run.yaml" in capsys.readouterr().out
    for path in folder.rglob("*"):
        assert "starter" not in path.name
        if path.suffix in (".py", ".yaml", ".md"):
            assert "starter" not in path.read_text().lower()
    configuration = config.load_config([folder / "run.yaml"], root=ROOT)
    assert configuration.declaration.name == "four_muons"
    assert type(configuration.physics).__name__ == "FourMuonsPhysics"
    assert (configuration.results, configuration.parts) == ("results/four_muons", frozenset())
    listed = yaml.safe_load((folder / "run.yaml").read_text())["input"]["datasets"]
    for dataset in listed.values():
        assert all((folder / "input" / file).is_file() for file in dataset["files"])
    # Nothing is left beside it.
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("4mu", "it cannot be the name of a Python package"),
        ("my-muons", "it cannot be the name of a Python package"),
        ("../muons", "it is a path, and the folder is made in the one that you are in"),
        ("class", "it cannot be the name of a Python package"),
        ("_", "it cannot be the name of a Python package"),
        ("cms_ttbar", "there is an analysis of this name"),
        ("yaml", "there is a Python module of this name"),
        ("results", "exists"),
    ],
)
def test_a_name_that_cannot_be(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "results").mkdir()
    with pytest.raises(ConfigurationError, match=rf"{re.escape(repr(name))}.*{problem}"):
        new.write(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_the_command_tells_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"error: an analysis cannot be called '1a'"):
        cli.main(["new", "1a"])


def test_the_command_is_right_in_the_repository_and_elsewhere(tmp_path: Path) -> None:
    assert new.command(ROOT / "muons") == "snakemake --cores 2 --configfile muons/run.yaml"
    elsewhere = new.command(tmp_path / "muons")
    assert elsewhere == f"snakemake --cores 2 -s {ROOT}/Snakefile --configfile muons/run.yaml"


def test_the_starter_is_an_analysis() -> None:
    assert analyses.load("agc_pipeline.starter").name == "starter"
