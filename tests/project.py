"""A copy of the project in a folder, in which tests run the workflow and edit what they like."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

import toy
from agc_pipeline import histograms
from conftest import ROOT
from oracle.strategies import write_nanoaod

COPIED = ("Snakefile", "config", "environment.yml", "profiles", "src", "workflow")
DATASETS = ("ttbar__nominal", "ttbar__ME_var", "wjets__nominal")
# Of everything that is made of a fit, as little as there can be.
SHORT = {"toys": {"count": 3}, "scan": {"points": 5, "minos": "poi"}}
# Value and variance of every bin of every histogram.
Contents = dict[str, list[tuple[float, float]]]


def contents(folder: Path) -> Contents:
    """The histograms of a project."""
    named = histograms.read_root(folder / "results/histograms.root")
    return {name: h.view(flow=True).tolist() for name, h in named.items()}


def environment(package: Path) -> dict[str, str]:
    """That of commands that find a package, and the programs beside this Python, first."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PYTHONPATH": str(package), "PATH": path}


def run(*command: str, folder: Path) -> str:
    """Output of a module that must succeed in a folder."""
    return _output([sys.executable, "-m", *command], folder)


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(ROOT / "src"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def snakemake(folder: Path, configuration: str, *options: str) -> str:
    """Output of the workflow of this checkout, which must succeed in a folder."""
    files = ("-s", str(ROOT / "Snakefile"), "--configfile", configuration)
    # Unlike `python -m snakemake`, it does not look for modules in the working folder by itself.
    program = str(Path(sys.executable).parent / "snakemake")
    return _output([program, "--cores", "2", *files, "--nocolor", *options], folder)


class Project:
    """A copy of the project in a folder, with a configuration for toy input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                # With what is compiled, times are kept, but not what others are just writing.
                unfinished = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")
                shutil.copytree(source, folder / name, ignore=unfinished)
            else:
                shutil.copy(source, folder / name)
        self.write_input()
        self.configure()

    def write_input(self) -> None:
        """Write the files that the run reads."""
        self.files = {name: [f"{name}.{i}.root" for i in range(2)] for name in DATASETS}
        (self.folder / "data").mkdir()
        for seed, (name, files) in enumerate(self.files.items()):
            for i, file in enumerate(files):
                n = 1500 if name.startswith("ttbar") else 400
                write_nanoaod(self.folder / "data" / file, toy.events(n, seed=10 * seed + i + 1))

    def configure(self, **changes: Any) -> None:
        """Write the configuration, with changes of its top keys."""
        content = self.configuration() | changes
        (self.folder / "toy.yaml").write_text(yaml.safe_dump(content))

    def configuration(self) -> dict[str, Any]:
        """What differs from the default configuration."""
        return {
            "files_per_job": 2,
            "input": {
                "kind": "files",
                "mirrors": {"disk": "data"},
                "mirror_order": ["disk"],
                "datasets": {
                    name: {"files": dict.fromkeys(files)} for name, files in self.files.items()
                },
            },
            # Toy events of all processes look alike: their shapes are no model of anything.
            "physics": {"luminosity_per_pb": 100},
            "fit": {
                "model": {"missing_datasets": "drop", "data": "asimov"},
                **SHORT,
            },
        }

    def arguments(self, *options: str) -> list[str]:
        return [
            *(sys.executable, "-m", "snakemake", "--cores", "2"),
            *(() if "--configfile" in options else ("--configfile", "toy.yaml")),
            # Ends the list of configuration files, so that a target may follow.
            "--nocolor",
            *options,
        ]

    def environment(self) -> dict[str, str]:
        # The copy's package comes before the installed one.
        return environment(self.folder / "src")

    def run(self, *options: str, umask: int = -1) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(*options),
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            umask=umask,
            check=False,
        )

    def todo(self, *options: str) -> dict[str, int]:
        """Rules that would run, with the number of their jobs."""
        done = self.run(*options, "--dry-run", "--printshellcmds")
        assert done.returncode == 0, done.stdout
        return dict(Counter(re.findall(r"^(?:local)?rule (\w+):$", done.stdout, re.MULTILINE)))

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def contents(self) -> Contents:
        return contents(self.folder)
