"""Rules and command lines follow from the descriptions of the stages."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agc_pipeline import code, config
from agc_pipeline.facility import plan as facility_plan
from agc_pipeline.facility.plan import FacilityPlan
from agc_pipeline.matrix import plan as matrix_plan
from agc_pipeline.matrix.plan import MatrixPlan
from agc_pipeline.plan import Plan
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command, descriptions
from agc_pipeline.stages.description import Options, Stage, logs, reads, runs_with, uses, writes
from agc_pipeline.stages.directives import Directives
from agc_pipeline.stages.settings_files import SettingsFiles
from conftest import ROOT, read_config, settings_file

STAGES = descriptions()
# Packages that take long to import.
HEAVY = {
    *("awkward", "cabinetry", "coffea", "dask", "hist", "jinja2", "matplotlib", "numba", "numpy"),
    *("pyarrow", "pyhf", "scipy", "uproot"),
}
# Stages whose rule has another name, which is a command.
RULES = {"matrix_verdict": "matrix", "facility_verdict": "facility"}


def rules() -> dict[str, str]:
    """Text of each rule by its name."""
    texts = (path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    parts = [part for text in texts for part in re.split(r"^ *rule (?=\w+:)", text, flags=re.M)[1:]]
    return {part.partition(":")[0]: part.partition("\n\n")[0] for part in parts}


def directives(stage: Stage[Any, Any], folder: Path, *names: str) -> Directives:
    loaded = config.load(read_config(*names))
    files = SettingsFiles(folder, lambda: True)
    if stage.name.startswith("facility_"):
        measured = facility_plan.read(ROOT / loaded.facility)
        return Directives(stage, FacilityPlan(*measured, loaded, ROOT), files)
    if not stage.name.startswith("matrix_"):
        return Directives(stage, Plan(loaded), files)
    matrix = matrix_plan.read(ROOT / loaded.matrix)
    return Directives(stage, MatrixPlan(*matrix, loaded, ROOT, sys.executable), files)


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings if "--" in name}


def test_every_rule_is_made_of_a_description() -> None:
    expected = {RULES.get(name, name): name for name in STAGES}
    found = rules()
    # Digests of the code are made by a command of the system.
    assert found.pop("code")
    assert found.keys() == expected.keys()
    for name, text in found.items():
        used = set(re.findall(r"\b([A-Z_]+)[.)]", text.split('"""')[2]))
        assert used & {stage.upper() for stage in STAGES} == {expected[name].upper()}
        assert re.match(r'\w+:\n +"""[^"]+"""\n', text)


@pytest.mark.parametrize("name", STAGES)
def test_a_rule_takes_all_of_its_description(name: str) -> None:
    text = rules()[RULES.get(name, name)]
    stage = STAGES[name]
    made = name in ("delivery_plan", "facility_verdict", "matrix_verdict")
    for directive in ("input", "log", "params", "shell", "conda", *(() if made else ("output",))):
        assert re.search(rf"^ +{directive}:", text, re.M), directive
    if name.startswith(("facility_", "matrix_")):
        # It runs where Snakemake does, for as long as its own settings say.
        for changed in ("local", "files", *(() if "\n    threads:" in text else ("threads",))):
            assert getattr(stage, changed) is Stage.__dataclass_fields__[changed].default
    else:
        for directive in ("localrule", "threads", "resources"):
            assert re.search(rf"^ +{directive}:", text, re.M), directive


@pytest.mark.parametrize("name", STAGES)
def test_a_command_line_has_exactly_what_is_described(name: str, tmp_path: Path) -> None:
    stage = STAGES[name]
    assert stage.name == name
    accepted = options(command.parser(stage)) - {"--help"}
    assert accepted == {
        "--settings",
        "--code",
        *(f"--{option}" for option in stage.options.described()),
    }
    # Where nothing is left out, the rule tells all of them.
    shell = directives(stage, tmp_path, "jet-assignment").shell
    assert set(re.findall(r" (--\w+)", shell)) == accepted
    assert f"python -m agc_pipeline.stages.{name} " in shell
    # Every path is quoted.
    assert set(re.findall(r"\{(\w+)[^}]*(?<!:q)\}", shell)) <= {"threads"}


@pytest.mark.parametrize("name", STAGES)
def test_a_command_line_says_what_it_is_for(name: str) -> None:
    text = command.parser(STAGES[name]).format_help()
    assert f"python -m agc_pipeline.stages.{name}" in text
    for option in STAGES[name].options.described().values():
        assert option.help


def test_descriptions_are_cheap_to_import() -> None:
    script = (
        "import sys; from agc_pipeline import stages; stages.descriptions(); "
        f"print(*({HEAVY} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_what_a_stage_computes_with_is_loaded_before_it_is_measured() -> None:
    script = (
        "import sys; from agc_pipeline import code; code.load('agc_pipeline.stages.ranking'); "
        "print('pyhf' in sys.modules, 'agc_pipeline.inference.ranking' in sys.modules, "
        "'agc_pipeline.plan' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "False"]


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_depends_on_the_whole_configuration(name: str) -> None:
    paths = {Path(path).name: path for path in code.sources(f"agc_pipeline.stages.{name}")}
    assert "plan.py" not in paths or "simulation/plan.py" in paths["plan.py"]
    assert not any(path.endswith("agc_pipeline/config.py") for path in paths.values())


class Count(Settings):
    number: int


class CountOptions(Options):
    source: Path = reads("in/{dataset}.txt", "text")
    others: tuple[Path, ...] = reads(lambda _, dataset: [f"{dataset}.1", f"{dataset}.2"], "more")
    extra: Path | None = reads(lambda _: [], "text, if any")
    how: Count = runs_with(lambda _: Count(number=7), "how to count")
    unused: Count | None = runs_with(lambda _: None, "how to do what is not done")
    scratch: Path = uses("scratch", "folder")
    failures: Path = logs(".failures.json", "failures")
    output: Path = writes("out/{dataset}.json", "record")


def test_directives_of_a_description(tmp_path: Path) -> None:
    ran = []
    stage = Stage(
        name="description",
        settings=Count,
        configure=lambda _, dataset: Count(number=len(dataset)),
        options=CountOptions,
        run=lambda settings, options: ran.append((settings, options)),
        watched={"data": "data.txt"},
        generated={"log": "out.log"},
        files=lambda _: 3,
    )
    made = directives(stage, tmp_path)
    job = {"dataset": "ab", "other": "c"}
    given = made.input
    assert given["others"](job) == ["ab.1", "ab.2"]
    assert given["extra"](job) == []
    assert given | {"others": None, "extra": None} == {
        "source": "results/in/{dataset}.txt",
        "others": None,
        "extra": None,
        "data": "results/data.txt",
    }
    assert made.output == {"output": "results/out/{dataset}.json", "log": "results/out.log"}
    assert made.log == {
        "text": "results/logs/description/{dataset}.log",
        "failures": "results/logs/description/{dataset}.failures.json",
    }
    assert made.benchmark == "results/benchmarks/description/{dataset}.tsv"
    settings = Path(made.params["settings"](job))
    assert settings.parent == tmp_path / ".settings/description/settings/ab"
    assert settings.read_text() == '{"number":2}'
    assert made.params["scratch"] == "results/scratch"
    resources = made.resources
    how = Path(resources["how"](job))
    assert how.read_text() == '{"number":7}'
    assert "unused" not in resources
    assert resources["mem_mb"](job, 2) == 2 * resources["mem_mb"](job, 1)
    assert (made.local, made.threads) == (False, 1)
    assert made.shell == (
        "{{ python -m agc_pipeline.stages.description --settings {params.settings:q}"
        " --code {input.code:q}"
        " --source {input.source:q} --others {input.others:q} --extra {input.extra:q}"
        " --how {resources.how:q} --scratch {params.scratch:q} --failures {log.failures:q}"
        " --output {output.output:q}"
        " || python -m agc_pipeline.stages.failure $? {log.text:q}; }} > {log.text:q} 2>&1"
    )
    arguments = ["--settings", str(settings), "--source", "a b", "--others", "c", "d", "--extra"]
    arguments += ["--how", str(how), "--scratch", "s", "--failures", "f", "--output", "o"]
    stage.main(arguments)
    expected = CountOptions(
        source=Path("a b"),
        others=(Path("c"), Path("d")),
        extra=None,
        how=Count(number=7),
        unused=None,
        scratch=Path("s"),
        failures=Path("f"),
        output=Path("o"),
    )
    assert ran == [(Count(number=2), expected)]
    with pytest.raises(SystemExit, match=r"`number` cannot be 'x'(.|\n)*where: --how"):
        stage.main([*arguments, "--how", settings_file(tmp_path, {"number": "x"})])
    settings.unlink()
    with pytest.raises(SystemExit, match="the configuration was changed during the run"):
        stage.main(arguments)


def test_inputs_of_the_user_are_compared_by_their_content(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    mine, among, made_here = tmp_path / "a.json", results / "b.json", results / "ab.json"
    events = tmp_path / "events.root"
    stage = Stage(
        name="description",
        settings=Count,
        configure=lambda _: Count(number=1),
        options=Options,
        run=lambda *_: None,
        watched={
            "own": lambda plan, dataset: [str(mine), f"{plan.folder}/{dataset}.json"],
            "models": lambda _: [str(among), str(tmp_path / "missing.json")],
        },
        events={"files": lambda _: [str(events)]},
        external=lambda _: [str(among)],
    )
    plan = SimpleNamespace(folder=str(results))
    described = Directives(stage, plan, SettingsFiles(results, lambda: False))
    assert described.input.keys() == {"own", "models", "files"}

    def contents(path: Path, text: str) -> str:
        path.write_text(text)
        # Older than everything that was made of it.
        os.utime(path, (0, 0))
        return described.params["contents"]({"dataset": "ab"})

    contents(mine, "1")
    first = contents(among, "1")
    for path in (mine, among):
        assert contents(path, "10") != first
        assert contents(path, "1") == first
        os.utime(path)
        assert described.params["contents"]({"dataset": "ab"}) == first
    # What rules write, and events, are compared in another way.
    assert contents(made_here, "1") == contents(events, "1") == first
