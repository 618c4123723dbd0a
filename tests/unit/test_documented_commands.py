"""Each command of the documents is one that works: programs, targets, options, files and keys."""

import importlib
import importlib.util
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from agc_pipeline import cli, config, new
from agc_pipeline.plan import planned
from conftest import ROOT
from documentation import Command, commands

RULES = set(
    re.findall(
        r"^ *(?:rule|checkpoint) (\w+):",
        "\n".join(
            path.read_text()
            for path in [ROOT / "workflow/Snakefile", *ROOT.glob("workflow/**/*.smk")]
        ),
        re.MULTILINE,
    )
)
COMMANDS = commands()


def of(program: str) -> list[Command]:
    return [command for command in COMMANDS if command.words[0] == program]


@pytest.fixture(scope="module")
def command_line() -> ModuleType:
    """That of Snakemake, whose plugin for HTCondor warns where there is no HTCondor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The environment variable CONDOR_CONFIG is unset")
        return importlib.import_module("snakemake.cli")


def test_every_program_is_looked_at() -> None:
    programs = {command.words[0] for command in COMMANDS}
    ours = {"snakemake", "make", "agc-pipeline", "python"}
    # A server of others, installation from the index, builders of images, and the shell.
    assert ours <= programs <= ours | {"tritonserver", "pip", "podman", "apptainer", "cd", "source"}
    assert {"all", "train", "matrix"} <= RULES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reader brings, or has from a run."""
    place = tmp_path_factory.mktemp("reader")
    (place / "results").mkdir()
    for name in ("workspace.json", "mine.json", "results/workspace.json", "results/fileset.json"):
        (place / name).write_text('{"ttbar__nominal": {"files": {"x.root": "Events"}}}')
    (place / "results/optimise/methods/discriminant").mkdir(parents=True)
    (place / "results/optimise/methods/discriminant/optimised.yaml").write_text(
        "fit: {model: {}}\n"
    )
    (place / "results/optimise/optimised.yaml").write_text(
        "fit: {model: {edges: {4j1b: [110, 230, 550]}}}\n"
    )
    (place / "results/atlas-hzz-simulated/optimise").mkdir(parents=True)
    (place / "results/atlas-hzz-simulated/optimise/optimised.yaml").write_text(
        "fit: {model: {edges: {4e: [80, 125, .inf]}}}\n"
    )
    new.write("dimuon", place)
    return place


@pytest.mark.parametrize("command", of("snakemake"), ids=lambda command: " ".join(command.words))
def test_snakemake(
    command: Command, command_line: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    words = ["1" if word == "N" else word for word in command.words[1:]]
    options = command_line.get_argument_parser().parse_args(words)
    # As the name of what it does, without options.
    assert (
        options.cores is not None
        or options.profile
        or words in (["matrix"], ["facility"], ["optimise"])
    )
    assert set(options.targets) <= RULES, "no such target"
    assert all((ROOT / profile).is_dir() for profile in options.profile or [])
    files = [
        Path(file) if Path(file).exists() else ROOT / file for file in options.configfile or []
    ]
    changed = command_line.parse_config(options.config)
    assert {"my-matrix.yaml", "my-facility.yaml"} & {*map(str, changed.values())} or planned(
        config.read(files, changed, root=ROOT), folders=[ROOT / "config"]
    )


@pytest.mark.parametrize("command", of("make"), ids=lambda command: " ".join(command.words))
def test_make(command: Command) -> None:
    made = subprocess.run(
        ["make", "--dry-run", *command.words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    for option in re.findall(r"--configfile (\S+)", made.stdout):
        assert (ROOT / option).is_file()


@pytest.mark.parametrize("command", of("agc-pipeline"), ids=lambda command: " ".join(command.words))
def test_agc_pipeline(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    name, *rest = command.words[1:]
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in rest if word.startswith("--"))


@pytest.mark.parametrize("command", of("python"), ids=lambda command: " ".join(command.words))
def test_python(command: Command) -> None:
    first, *rest = command.words[1:]
    if first == "-m":
        module, *rest = rest
        assert importlib.util.find_spec(module) is not None
        if module == "pytest":
            assert rest in ([], ["TEST"]) or rest[0] == "-m"
            markers = (ROOT / "pyproject.toml").read_text()
            assert all(f'"{word}:' in markers for word in rest if rest[0] == "-m" and word != "-m")
    else:
        command = [word for word in rest[:1] if word.isalpha() and word.islower()]
        shown = subprocess.run(
            [sys.executable, first, *command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
        assert all(word in shown.stdout for word in rest if word.startswith("--"))
