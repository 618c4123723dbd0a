"""The matrix without environments: cells, requirements, comparisons, verdicts, page."""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import hist
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import browser
from agc_pipeline import config
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.layers import Layer, Values, merged
from agc_pipeline.matrix import (
    cells,
    compare,
    environments,
    history,
    junit,
    page,
    pipeline,
    requirements,
    settings,
    timing,
)
from agc_pipeline.matrix import plan as matrix_plan
from agc_pipeline.matrix.plan import MatrixPlan
from agc_pipeline.matrix.records import (
    CellRecord,
    CellVerdict,
    Difference,
    EnvironmentRecord,
    Equality,
    Rates,
    StageRecord,
    Step,
    Timing,
)
from agc_pipeline.matrix.settings import Verdict, Versions
from agc_pipeline.matrix.verdicts import speed, verdict_on
from agc_pipeline.measuring import intervals, process
from agc_pipeline.measuring.intervals import Ratio
from agc_pipeline.report.page import render, write
from agc_pipeline.settings import Settings
from agc_pipeline.stages import (
    command,
    matrix_cell,
    matrix_environment,
    matrix_page,
    matrix_simulate,
)
from agc_pipeline.stages.description import Options, Stage
from conftest import ROOT

SLOWER = 0.1
BIT = Equality(grade="bit", summary="all equal")
OTHER = Equality(
    grade="different",
    summary="1 of 2 histograms differ",
    differences=(Difference(name="4j1b_ttbar", what="bin 3: 1 instead of 2"),),
)


def matrix(**changes: Any) -> settings.MatrixSettings:
    values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
    return settings.MatrixSettings.model_validate(values | changes)


def ratio(low: float, median: float, high: float) -> Ratio:
    return Ratio(low=low, median=median, high=high, confidence=0.94)


def timed(cpu: Ratio, wall: Ratio) -> Timing:
    rates = Rates(events=1000, cpu=(1.0, 2.0, 3.0), wall=(1.0, 2.0, 3.0))
    return Timing(stage="histogram", load=1.5, rates=rates, baseline=rates, cpu=cpu, wall=wall)


def record(
    name: str = "cell", versions: dict[str, str] | None = None, **changes: Any
) -> CellRecord:
    found = {"coffea": "1", "uproot": "1"} if versions is None else versions
    environment = EnvironmentRecord(
        name=name.partition("+")[0],
        requirements=(f"coffea=={found.get('coffea', '99')}",),
        python="3.11.2",
        versions=found,
        digest="".join(found.values()) * 20 if found else None,
    )
    values: dict[str, Any] = {
        "name": name,
        "axes": {"input": "ttree"},
        "reference": "lock",
        "same_axes": True,
        "finished": "2026-01-01T00:00:00+00:00",
        "seconds": 12.0,
        "cpu_seconds": 9.0,
        "environment": environment,
        "package": "p" * 64,
        "configuration": "c" * 64,
        "steps": (Step(name="resolve"), Step(name="install"), Step(name="import")),
        "histograms": BIT,
        "fit": BIT,
    }
    return CellRecord.model_validate(values | changes)


def judged(cell: CellRecord, expected: Verdict = Verdict.WORKS) -> CellVerdict:
    verdict, reason = verdict_on(cell, SLOWER)
    return CellVerdict(cell=cell, verdict=verdict, reason=reason, expected=expected)


def broken(name: str = "bad", **changes: Any) -> CellRecord:
    step = Step(name="import", problem="does not import: <b>", log="runs/x.log", tail="</pre> boom")
    return record(name, histograms=None, fit=None, steps=(step,), **changes)


def test_cells_are_crossed_excluded_and_included() -> None:
    asked = matrix(
        cells={
            "matrix": {"environment": ["lock", "newest"], "input": ["ttree", "rntuple"]},
            "exclude": [{"environment": "newest", "input": "rntuple"}],
            "include": [{"executor": "futures"}, {"environment": "newest", "delivery": "direct"}],
        }
    )
    found = cells.expand(asked)
    assert list(found) == [
        "lock",
        "lock+input-rntuple",
        "newest",
        "lock+executor-futures",
        "newest+delivery-direct",
    ]
    references = {name: cells.reference(asked, found, cell) for name, cell in found.items()}
    assert references.pop("lock") is None
    # Nothing else has newest's axes but the environment of the baseline; the last has no such.
    assert {cell.name for cell in references.values() if cell is not None} == {"lock"}


def test_reference_differs_only_in_the_environment_if_there_is_such_a_cell() -> None:
    asked = matrix(
        cells={"matrix": {"environment": ["lock", "newest"], "input": ["ttree", "rntuple"]}}
    )
    found = cells.expand(asked)
    reference = cells.reference(asked, found, found["newest+input-rntuple"])
    assert reference is not None
    assert reference.name == "lock+input-rntuple"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environments": {"a/b": {}}}, "environments.a/b"),
        (
            {"cells": {"matrix": {"environment": []}}},
            "`cells.matrix.environment` is wrong: it is",
        ),
        ({"cells": {"matrix": {"input": ["ttree"] * 2}}}, "ttree is listed twice"),
        ({"extras": ["simulation"] * 2}, "`extras` is wrong: simulation is listed twice"),
        ({"fail_on": ["broken"] * 2}, "`fail_on` is wrong: broken is listed twice"),
    ],
)
def test_a_wrong_matrix_is_told(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    with pytest.raises(ConfigurationError, match=re.escape(message)) as error:
        matrix_plan.read(path)
    assert error.value.place.startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "message", "key", "line"),
    [
        ({"baseline": {"input": "x"}}, "does not define analysis, ", "baseline", "baseline:"),
        (
            {"baseline": {"input": "csv"}},
            "unknown input 'csv' (there are ",
            "baseline.input",
            "  input: csv",
        ),
        (
            {"cells": {"matrix": {"inptu": ["ttree"]}}},
            "unknown axis 'inptu' (did you mean input?)",
            "cells.matrix.inptu",
            "    inptu:",
        ),
        (
            {"cells": {"exclude": [{"input": "csv"}]}},
            "unknown input 'csv' (there are ",
            "cells.exclude",
            "  exclude:",
        ),
        ({"axes": {"environment": {}}}, "are defined in", "axes.environment", "  environment: {}"),
        (
            {"inputs": {"cms_ttbar": {"datasets": ["ttbar__nominal"], "simulation": {"scal": 1}}}},
            "unknown configuration key `scal`",
            "inputs.cms_ttbar.simulation.scal",
            "      scal: 1",
        ),
        ({"inputs": {"dimuon": {"datasets": ["x"]}}}, "analysis cms_ttbar", "inputs", "inputs:"),
        ({"extras": ["nonsense"]}, "the package has no extra 'nonsense'", "extras", "extras:"),
    ],
)
def test_the_line_of_a_wrong_name_is_told(
    changes: dict[str, Any],
    message: str,
    key: str,
    line: str,
    config_values: dict[str, Any],
    tmp_path: Path,
) -> None:
    values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
    if "input" in changes.get("baseline", {}) and key != "baseline":
        changes = {"baseline": values["baseline"] | changes["baseline"]}
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False))

    def configure() -> None:
        made = MatrixPlan(*matrix_plan.read(path), config.load(config_values), ROOT, "3.11")
        matrix_environment.configure(made, "lock")
        matrix_simulate.configure(made, "cms_ttbar", "ttbar__nominal")

    with pytest.raises(ConfigurationError, match=re.escape(message)) as error:
        configure()
    number = path.read_text().splitlines().index(line) + 1
    assert error.value.place == f"`{key}` in {path}, line {number}"


def test_a_missing_matrix_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        matrix_plan.read(tmp_path / "no.yaml")


def test_another_kind_replaces_what_belonged_to_the_old_one() -> None:
    values = {"input": {"kind": "files", "mirrors": {}}, "delivery": {"a": 1, "b": 2}}
    other = {"input": {"kind": "published"}, "delivery": {"b": 3}}
    assert merged(values, other) == {
        "input": {"kind": "published"},
        "delivery": {"a": 1, "b": 3},
    }
    assert values["delivery"] == {"a": 1, "b": 2}
    dask = {"cluster": "local", "memory_limit": 0}
    site = {"cluster": "scheduler", "address": "tcp://x:1"}
    assert merged({"dask": dask}, {"dask": site}) == {"dask": site}


def plan(values: dict[str, Any], **changes: Any) -> MatrixPlan:
    settings = matrix(**changes)
    told = Values(Layer(settings.model_dump(mode="json")))
    return MatrixPlan(settings, told, config.load(values), ROOT, "3.11")


def test_every_cell_of_the_default_matrix_has_a_valid_configuration(
    config_values: dict[str, Any],
) -> None:
    made = plan(config_values)
    told = {name: matrix_cell.configure(made, name) for name in made.cells}
    assert told["lock"].reference is None
    source = told["lock+input-skim"].configuration["input"]
    assert source["path"].endswith("/results/matrix/inputs/cms_ttbar/skim.json")
    assert Path(source["path"]).is_absolute()
    assert told["newest"].same_axes is True
    assert told["lock+input-skim"].same_axes is False
    assert all(made.uses_inputs(name) for name in made.cells)
    # Each analysis is compared with itself, and has its own configuration and events.
    other = told["lock+analysis-atlas_hzz"]
    assert other.reference is None
    assert other.configuration["analysis"] == "atlas_hzz"
    assert other.configuration["input"]["path"].endswith("/inputs/atlas_hzz/ttree.json")
    assert other.configuration["fit"]["model"]["data"] == "asimov"
    assert told["newest+analysis-atlas_hzz"].reference == other.name
    assert told["lock+analysis-atlas_hzz+executor-futures"].reference == other.name
    assert told["lock+executor-futures"].reference == "lock"
    (record,) = made.events_record(other.name)
    assert record.endswith("/matrix/inputs/atlas_hzz.json")
    made_of = {name: set(entry.datasets) for name, entry in made.settings.inputs.items()}
    for name, datasets in made_of.items():
        jobs = [matrix_simulate.configure(made, name, dataset) for dataset in datasets]
        assert {job.job["dataset"] for job in jobs} == datasets
        assert {job.analysis for job in jobs} == {name}


def test_a_copy_of_the_file_has_the_same_cells(config_values: dict[str, Any]) -> None:
    one, other = plan(config_values), plan({**config_values, "matrix": "mine.yaml"})
    assert one.configuration("lock") == other.configuration("lock")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"run": {"results": "/elsewhere"}}, "run"),
        ({"axes": {"place": {"far": {"results": "/elsewhere"}}}}, r"axes\.place\.far"),
    ],
)
def test_results_of_cells_are_their_own(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError, match=f"`{place}.results` would have no effect"):
        matrix(**changes)


def test_a_wrong_value_of_a_cell_is_told_where_it_stands(
    config_values: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    for part, cell in (("run", "lock"), ("axes.executor.futures", "lock+executor-futures")):
        values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
        changed = values
        for name in part.split("."):
            changed = changed[name]
        changed["histograms"] = {"chunk_size": -7}
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        made = MatrixPlan(*matrix_plan.read(path), config.load(config_values), ROOT, "3.11")
        with pytest.raises(ConfigurationError, match="cannot be -7") as error:
            matrix_cell.configure(made, cell)
        lines = path.read_text().splitlines()
        (line,) = [number for number, text in enumerate(lines, 1) if ": -7" in text]
        place = f"`{part}.histograms.chunk_size` in {path}, line {line}"
        assert error.value.place == place


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smoke", "a run configuration, which `--configfile` takes"),
        ("facility", "a facility file, which `--config facility=FILE` takes"),
    ],
)
def test_another_kind_of_file_is_told_in_one_sentence(name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^this is {told}, and not a matrix file\n"):
        matrix_plan.read(ROOT / "config" / f"{name}.yaml")


def test_a_format_that_events_cannot_have_is_refused(config_values: dict[str, Any]) -> None:
    included = [{"analysis": "atlas_hzz", "input": "skim"}]
    made = plan(config_values, cells={"matrix": {"environment": ["lock"]}, "include": included})
    with pytest.raises(ConfigurationError, match="cannot be read as skim"):
        matrix_cell.configure(made, "lock+analysis-atlas_hzz+input-skim")


def test_events_of_another_analysis_are_asked_for(config_values: dict[str, Any]) -> None:
    inputs = {"cms_ttbar": {"datasets": ["ttbar__nominal"], "simulation": {"scael": 1}}}
    made = plan(config_values, inputs=inputs)
    matrix_cell.configure(made, "lock")
    with pytest.raises(ConfigurationError, match="events of the analysis atlas_hzz"):
        matrix_cell.configure(made, "lock+analysis-atlas_hzz")
    with pytest.raises(ConfigurationError, match="scael") as error:
        matrix_simulate.configure(made, "cms_ttbar", "ttbar__nominal")
    assert error.value.place == "`inputs.cms_ttbar.simulation.scael` in --config"


DOCUMENTED = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "matrix.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("text", DOCUMENTED)
def test_examples_of_the_documents_work_in_a_copy_of_the_shipped_file(
    text: str, config_values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(config_values, **yaml.safe_load(text))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    for environment in made.settings.environments.values():
        for path in filter(None, map(requirements.local_path, environment.requirements)):
            path.parent.mkdir(exist_ok=True)
            path.touch()
    for name in made.cells:
        told = matrix_cell.configure(made, name).configuration
        # Not the events of a whole run.
        assert "/matrix/inputs/" in told["input"]["path"]
    for name in made.settings.environments:
        assert matrix_environment.configure(made, name).name == name


@pytest.mark.parametrize(
    ("changes", "place", "messages"),
    [
        (
            {"timing": {"stages": ["histo"]}},
            "`timing.stages`",
            [
                "unknown stage 'histo' (did you mean histogram?)",
                "run: deliver, export_models, ",
            ],
        ),
        (
            {"target": "fitt.json"},
            "`target`",
            ["no rule makes the target 'fitt.json' in", "did you mean fit.json?"],
        ),
        ({"target": "../fit.json"}, "`target`", ["no rule makes the target '../fit.json'"]),
        ({"target": "environments/lock.json"}, "`target`", ["no rule makes the target"]),
    ],
)
def test_a_target_or_stage_that_no_cell_has_is_refused(
    changes: dict[str, Any], place: str, messages: list[str], config_values: dict[str, Any]
) -> None:
    values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
    made = plan(config_values, **merged(values, changes))
    with pytest.raises(ConfigurationError) as error:
        matrix_cell.configure(made, "lock")
    assert error.value.place.startswith(place)
    for message in messages:
        assert message in str(error.value)


def test_what_cells_may_write_and_run_is_accepted(config_values: dict[str, Any]) -> None:
    values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())
    # Models are trained in one cell only.
    timing = values["timing"] | {"stages": ["deliver", "train"]}
    for target in ("report.html", "figures", "histograms/ttbar__nominal/0000.json"):
        made = plan(config_values, target=target, timing=timing)
        for cell in ("lock", "lock+scoring-xgboost"):
            assert matrix_cell.configure(made, cell).target == target


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("../nonexist", "no wheel or checkout '../nonexist': /"),
        ("no-2.0-py3-none-any.whl", "no wheel or checkout 'no-2.0-py3-none-any.whl': /"),
        ("nonexistent-pkg-zzz==", "not a requirement: 'nonexistent-pkg-zzz=='"),
        ("docs", "'docs' would be the newest release of a package of this name, and is a folder"),
        ("./docs", "'./docs' is no checkout of a package: /"),
        ("numpy[x]>2,<2.1", None),
        ("uproot==5.6.*", "no version of uproot can be 'uproot==5.7.4' and 'uproot==5.6.*'"),
        ("Uproot==5.7", "no version of uproot can be 'uproot==5.7.4' and 'Uproot==5.7'"),
        ("uproot==5.7.*,!=5.7.3", None),
        ("uproot>=5.6.4; python_version < '3'", None),
        ("./uproot-6.0-py3-none-any.whl", "no version of uproot can be 'uproot==5.7.4' and './up"),
        ("./uproot-5.7.4-py3-none-any.whl", None),
        ("uproot @ https://x.org/uproot-5.7.4-py3-none-any.whl", None),
    ],
)
def test_a_requirement_that_cannot_be_is_refused_before_environments_are_built(
    requirement: str,
    message: str | None,
    config_values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    # A folder of the name of a package that the lock has says nothing.
    for name in ("docs", "numpy"):
        Path(name).mkdir()
    for version in ("6.0", "5.7.4"):
        Path(f"uproot-{version}-py3-none-any.whl").touch()
    environments = {"lock": {}, "mine": {"requirements": ["numpy", "uproot==5.7.4", requirement]}}
    made = plan(config_values, environments=environments)
    assert matrix_environment.configure(made, "lock").requirements == ()
    if message is None:
        assert requirement in matrix_environment.configure(made, "mine").requirements
        return
    with pytest.raises(ConfigurationError, match=re.escape(message)) as error:
        matrix_environment.configure(made, "mine")
    assert error.value.place.startswith("`environments.mine.requirements`")


def test_axes_are_any_configuration(config_values: dict[str, Any]) -> None:
    scoring = {
        "none": {},
        "xgboost": {"jet_assignment": "xgboost"},
        "wrong": {"histograms": {"wrokers": 3}},
    }
    made = plan(
        config_values,
        axes={"scoring": scoring},
        baseline={"environment": "lock", "scoring": "none"},
        cells={"matrix": {"scoring": list(scoring), "environment": ["lock"]}},
    )
    for name, scorer in (("lock", "off"), ("lock+scoring-xgboost", "xgboost")):
        assert matrix_cell.configure(made, name).configuration["jet_assignment"] == scorer
    with pytest.raises(ConfigurationError, match=r"unknown .* `histograms\.wrokers`"):
        matrix_cell.configure(made, "lock+scoring-wrong")


def test_requirements_are_read(tmp_path: Path) -> None:
    wheel = tmp_path / "coffea-2026.9.0+x-py3-none-any.whl"
    wheel.write_bytes(b"content")
    checkout = tmp_path / "branch"
    (checkout / ".git").mkdir(parents=True)
    (checkout / "a.py").write_text("1")
    assert requirements.name("Coffea[dask]>=1") == "coffea"
    assert requirements.name(str(wheel)) == "coffea"
    assert requirements.name(str(checkout)) is None
    with pytest.raises(ConfigurationError, match="not a requirement: 'coffea=1'"):
        requirements.name("coffea=1")
    asked = (str(wheel), str(checkout), "numpy==2")
    before = requirements.contents(asked)
    assert before.keys() == set(asked[:2])
    (checkout / ".git" / "index").write_text("not part of it")
    assert requirements.contents(asked) == before
    (checkout / "a.py").write_text("2")
    assert requirements.contents(asked)[str(checkout)] != before[str(checkout)]


def test_what_the_package_needs_has_no_bounds() -> None:
    names = requirements.direct(ROOT / "pyproject.toml", ["xrootd"], place="extras")
    assert {"coffea", "uproot", "xrootd", "fsspec-xrootd"} <= set(names)
    assert not any(mark in name for name in names for mark in "<>=")
    with pytest.raises(ConfigurationError, match="no extra 'nonsense'"):
        requirements.direct(ROOT / "pyproject.toml", ["nonsense"], place="extras")


def test_moved_packages_are_those_of_no_locked_version() -> None:
    lock = "a==1\nb==1 ; python_version < '3.12'\nb==2 ; python_version >= '3.12'\nc==1\n"
    found = requirements.versions(["a==1", "b==2", "c @ git+https://x.org/c@main", "D_e==5"])
    assert environments.changed_versions(lock, found) == {"c": ("1", "c@main"), "d-e": (None, "5")}


def test_local_packages_have_a_name(tmp_path: Path) -> None:
    checkout = tmp_path / "branch"
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text('[project]\nname = "My_Package"\n')
    other = tmp_path / "other"
    lines = [f"{tmp_path}/coffea-2026.9.0+x-py3-none-any.whl", str(checkout), str(other)]
    assert requirements.versions(lines) == {
        "coffea": "2026.9.0+x",
        "my-package": str(checkout),
        "other": str(other),
    }
    asked = [lines[0], str(checkout), "uproot @ git+https://x.org/u@main", "numpy==2"]
    assert requirements.outside(asked) == {
        "coffea": "local",
        "my-package": "local",
        "uproot": "address",
    }


def test_environments_are_built_once_and_need_no_index_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wheel = _wheel(tmp_path, "tiny", "1.0")

    def made(*asked: str) -> EnvironmentRecord:
        request = environments.EnvironmentRequest(
            "mine", (), asked, "", sys.executable, prerelease=False
        )
        return environments.build(request, tmp_path / "kept", tmp_path / "logs", timeout=600)

    first = made(str(wheel))
    interpreter = str(first.interpreter)
    subprocess.run([interpreter, "-c", "import tiny"], check=True)
    assert made(str(wheel)) == first
    assert first.versions == {"tiny": "1.0 (local)"}
    assert first.changed_versions == {"tiny": (None, "1.0 (local)")}
    # It may well be that this is to be had elsewhere.
    unknown = made("tiny==2.0")
    assert unknown.unavailable == "the package index does not answer"
    assert unknown.interpreter is None
    gone = made(str(tmp_path / "other-1.0-py3-none-any.whl"))
    assert gone.interpreter is None


def test_the_lowest_and_the_newest_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("mine", "1"), ("mine", "2"), ("mine", "3"), ("far", "1"), ("far", "2")):
        _wheel(tmp_path, name, version, needs=() if name == "far" else ("far",))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    project = tmp_path / "pyproject.toml"
    dependencies = (
        'dependencies = ["mine>=1,<3"]\noptional-dependencies = {more = ["mine[x]>=1"]}\n'
    )
    project.write_text(f"[project]\n{dependencies}")
    assert requirements.direct(project, ["more"], place="extras") == ("mine", "mine[x]")
    bounded = requirements.direct(project, ["more"], place="extras", bounds=True)
    assert bounded == ("mine<3,>=1", "mine[x]>=1")

    def resolved(versions: Versions, *needs: str) -> dict[str, str]:
        request = environments.EnvironmentRequest(
            "any",
            needs,
            (),
            "far==1\nmine==2\n",
            sys.executable,
            prerelease=False,
            versions=versions,
        )
        return environments.build(request, tmp_path / "kept", tmp_path, timeout=600).versions

    # What a dependency needs stays as locked beside the lowest version of the dependency itself.
    assert resolved("locked", "mine") == {"mine": "2", "far": "1"}
    assert resolved("lowest", bounded[0]) == {"mine": "1", "far": "1"}
    assert resolved("newest", "mine") == {"mine": "3", "far": "2"}


BACKEND = """
import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n"
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder, name), "w") as file:
        file.writestr("tiny.py", Path("src/tiny.py").read_text())
        file.writestr("tiny-1.0.dist-info/METADATA", METADATA)
        file.writestr("tiny-1.0.dist-info/WHEEL", WHEEL)
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
"""


@pytest.mark.parametrize("named", [True, False])
def test_an_edited_checkout_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    checkout = tmp_path / "tiny"
    (checkout / "src").mkdir(parents=True)
    system = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
    project = '[project]\nname = "tiny"\nversion = "1.0"\n' if named else ""
    (checkout / "pyproject.toml").write_text(system + project)
    (checkout / "own.py").write_text(BACKEND)
    digested = mock.Mock(wraps=requirements.contents)
    monkeypatch.setattr(requirements, "contents", digested)
    for number in range(3):
        (checkout / "src" / "tiny.py").write_text(f"number = {number}\n")
        request = environments.EnvironmentRequest(
            "mine", (), ("./tiny",), "", sys.executable, prerelease=False
        )
        made = environments.build(request, tmp_path / "kept", tmp_path / "logs", timeout=600)
        command = [str(made.interpreter), "-c", "import tiny; print(tiny.number)"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert told == f"{number}\n"
        assert digested.call_count == number + 1


def _wheel(folder: Path, name: str, version: str, *, needs: Sequence[str] = ()) -> Path:
    """The wheel of a package with an empty module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    information = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        for file, text in information.items():
            archive.writestr(f"{name}-{version}.dist-info/{file}", text)
    return path


def test_only_the_locked_compiler_shares_its_code() -> None:
    def folder(name: str, numpy: str, **changed: tuple[str, str]) -> Path:
        made = EnvironmentRecord(
            name=name,
            requirements=(),
            python="3.11.2",
            versions={"numba": "1", "llvmlite": "1", "numpy": numpy},
            changed_versions=changed,
            interpreter=f"/e/{name}/bin/python",
        )
        return environments.compiled_code(made)

    assert folder("a", "2") == folder("b", "2", coffea=("1", "2"))
    # The lock has more than one version for more than one Python.
    assert folder("a", "2") != folder("a", "3")
    assert folder("a", "2", numba=("1", "1")) == Path("/e/a/numba")


@pytest.mark.parametrize(
    ("n", "rank", "confidence"),
    # Tables of the sign test: two-sided, 5 of 5 is 0.0625, 7 of 7 0.0156, 8 or more of 9 0.0391.
    [(1, 0, 0.0), (5, 0, 0.9375), (7, 0, 0.984375), (9, 1, 0.9609375)],
)
def test_median_interval(n: int, rank: int, confidence: float) -> None:
    assert intervals.median_interval(n) == (rank, pytest.approx(confidence))


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=9), st.floats(0.2, 5), st.data())
def test_a_common_load_drops_out_of_ratios(
    load: list[float], factor: float, data: st.DataObject
) -> None:
    found = intervals.compare([factor * x for x in load], load)
    assert found.low == pytest.approx(found.high) == pytest.approx(factor)
    assert found.low <= found.median * (1 + 1e-12)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ratio(1.11, 1.2, 1.3), "slower"),
        (ratio(1.05, 1.2, 1.3), "unclear"),
        (ratio(0.7, 1.05, 3.0), "same"),
        (ratio(0.5, 0.7, 0.8), "faster"),
        (ratio(0.5, 0.7, 1.0), "same"),
    ],
)
def test_a_regression_is_called_only_where_the_spread_allows_it(
    found: Ratio, expected: str
) -> None:
    assert speed(found, SLOWER) == expected


SAME, SLOW = ratio(0.9, 1.0, 1.1), ratio(1.4, 1.5, 1.6)


@pytest.mark.parametrize(
    ("cell", "verdict", "words"),
    [
        (record(), Verdict.WORKS, "all equal"),
        (record(histograms=None, fit=None), Verdict.WORKS, "baseline"),
        (record(fit=OTHER), Verdict.DIFFERENT, "4j1b_ttbar, bin 3"),
        (record(timings=(timed(SLOW, SLOW),)), Verdict.SLOWER, "1.50 (1.40 to 1.60)"),
        # A sleep takes no CPU time.
        (record(timings=(timed(SAME, SLOW),)), Verdict.SLOWER, "wall-clock"),
        (record(timings=(timed(SAME, SAME),)), Verdict.WORKS, "all equal"),
        (record(timings=(timed(SLOW, SLOW),), same_axes=False), Verdict.WORKS, "1.50"),
        (record(timings=(timed(SLOW, SLOW),), fit=OTHER), Verdict.DIFFERENT, "differ"),
        (record(same_environment=True, histograms=None, fit=None), Verdict.WORKS, "not run again"),
        (broken(), Verdict.BROKEN, "does not import"),
        (record(untested="no Python"), Verdict.UNTESTED, "no Python"),
    ],
)
def test_verdicts(cell: CellRecord, verdict: Verdict, words: str) -> None:
    found, reason = verdict_on(cell, SLOWER)
    assert found is verdict
    assert words in reason


def histogram(contents: list[float]) -> hist.Hist:
    made = hist.Hist(hist.axis.Regular(len(contents) - 2, 0, 1), storage=hist.storage.Weight())
    made.view(flow=True).value = contents
    made.view(flow=True).variance = np.abs(contents)
    return made


def test_histograms_are_compared() -> None:
    base = {"a": histogram([0, 1, 2, 0]), "b": histogram([0, 5, 6, 1])}
    same = compare.histograms(base | {"more": base["a"]}, base, tolerance=1e-9)
    assert (same.grade, same.summary) == (
        "bit",
        "all 2 histograms equal to the bit; 1 further ones",
    )
    close = base | {"a": histogram([0, 1 + 1e-12, 2, 0])}
    assert compare.histograms(close, base, tolerance=1e-9).grade == "tolerance"
    other = compare.histograms({"a": histogram([0, 1, 2, 3])}, base, tolerance=1e-9)
    assert other.grade == "different"
    assert [(item.name, item.what) for item in other.differences] == [
        ("a", "bin 3: 3 instead of 0"),
        ("b", "missing"),
    ]
    nan = base | {"a": histogram([0, float("nan"), 2, 0])}
    assert compare.histograms(nan, base, tolerance=1e-9).grade == "different"
    # As many digits as tell them apart, and how far that is.
    near = base | {"a": histogram([0, 1 + 2e-7, 2 + 1e-3, 0])}
    (found,) = compare.histograms(near, base, tolerance=1e-9).differences
    assert found.what == (
        "bin 1: 1.0000002 instead of 1; bin 2: 2.001 instead of 2; "
        "largest relative difference 0.0005"
    )
    # Contents may be equal, or nearly, and variances not.
    uncertain = {"a": histogram([0, 1 + 1e-12, 2, 0]), "b": base["b"]}
    uncertain["a"].view(flow=True).variance = [0, 1.5, 2, 0]
    (found,) = compare.histograms(uncertain, base, tolerance=1e-9).differences
    assert found.what == "bin 1: variance 1.5 instead of 1; largest relative difference 0.5"
    wider = base | {"a": histogram([0, 1, 2, 3, 0])}
    assert "edges" in compare.histograms(wider, base, tolerance=1e-9).differences[0].what


@pytest.mark.parametrize(
    ("bestfit", "uncertainty", "grade"),
    [
        (1.0, 0.1, "bit"),
        (1.00001, 0.1, "tolerance"),
        (1.001, 0.1, "different"),
        (1.0, 0.11, "different"),
        (float("nan"), 0.1, "different"),
    ],
)
def test_fits_are_compared(bestfit: float, uncertainty: float, grade: str) -> None:
    base = {"labels": ["mu"], "bestfit": [1.0], "uncertainty": [0.1]}
    ours = {"labels": ["mu"], "bestfit": [bestfit], "uncertainty": [uncertainty]}
    assert compare.fit(ours, base, tolerance=1e-3).grade == grade
    assert compare.fit({**ours, "labels": ["nu"]}, base, tolerance=1e-3).grade == "different"


def test_parameters_that_differ_are_told_apart() -> None:
    base = {"labels": ["mu"], "bestfit": [1000.0], "uncertainty": [0.001]}
    for bestfit, uncertainty, told in (
        (1000.0001, 0.001, "1000.0001 \u00b1 0.001 instead of 1000 \u00b1 0.001"),
        (1000.0, 0.00100005, "1000 \u00b1 0.00100005 instead of 1000 \u00b1 0.001"),
        (1001.0, 0.002, "1001 \u00b1 0.002 instead of 1000 \u00b1 0.001"),
    ):
        ours = {"labels": ["mu"], "bestfit": [bestfit], "uncertainty": [uncertainty]}
        (found,) = compare.fit(ours, base, tolerance=1e-5).differences
        assert found.what == told


def test_warnings_are_collected_without_lines_and_folders() -> None:
    place = "site-packages/coffea/x.py"
    one = f"/e1/lib/python3.11/{place}:12: FutureWarning: <f at 0x7f1> in '/a/x' goes\n  f()\n"
    two = f"12:00:00 text\n/e2/lib/python3.13/{place}:99: FutureWarning: <f at 0x2> in '/b/x' goes"
    web = f"/e1/lib/python3.11/{place}:12: UserWarning: see https://example.org/a/b instead"
    assert pipeline.collect_warnings([one, two, web, "DeprecationWarning: no place"]) == (
        "coffea/x.py: FutureWarning: <f at > in 'x' goes",
        "coffea/x.py: UserWarning: see https://example.org/a/b instead",
    )


def test_history_keeps_each_run_once() -> None:
    first = [judged(record("lock")), judged(broken())]
    past = history.add(history.History(), first)
    assert history.add(past, first) == past
    later = judged(record("lock", finished="2026-01-02T00:00:00+00:00"))
    both = history.add(past, [later])
    assert [entry.finished[:10] for entry in both.of("lock")] == ["2026-01-01", "2026-01-02"]
    assert len(both.environments) == 1


def test_what_separates_is_the_smallest_difference() -> None:
    good = judged(record("lock", {"coffea": "1", "uproot": "1", "numpy": "1"}))
    closer = judged(record("new", {"coffea": "2", "uproot": "2", "numpy": "1"}))
    bad = judged(broken("newest", versions={"coffea": "2", "uproot": "2", "numpy": "2"}))
    past = history.add(history.History(), [good, closer, bad])
    (found,) = history.separations(past, [good, closer, bad])
    assert (found.bad, found.good) == ("newest", "new")
    assert [change.model_dump() for change in found.changes] == [
        {"what": "numpy", "good": "1", "bad": "2"}
    ]


def test_what_separates_is_the_package_and_not_the_axis() -> None:
    other = {"input": "rntuple"}
    lock = judged(record("lock+input-rntuple", axes=other))
    axis = judged(
        record("mine", {"coffea": "2", "uproot": "1"}, finished="2026-01-02T00:00:00+00:00")
    )
    bad = judged(broken("mine+input-rntuple", versions={"coffea": "2", "uproot": "1"}, axes=other))
    past = history.add(history.History(), [lock, axis, bad])
    (separation,) = history.separations(past, [lock, axis, bad])
    assert separation.good == "lock+input-rntuple"
    assert [change.what for change in separation.changes] == ["coffea"]


def test_what_does_not_resolve_differs_in_what_was_asked_for() -> None:
    good = judged(record("lock"))
    bad = judged(broken("none", versions={}))
    past = history.add(history.History(), [good, bad])
    (found,) = history.separations(past, [good, bad])
    assert [(change.what, change.bad) for change in found.changes] == [
        ("requirements", "coffea==99")
    ]


def test_an_unknown_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    assert history.read(path) == history.History()
    path.write_text("[]")
    with pytest.raises(InputError, match="not a history"):
        history.read(path)
    lost = history.add(history.History(), [judged(record())]).model_copy(
        update={"environments": {}}
    )
    history.write(path, lost)
    with pytest.raises(InputError, match="of a run is not there"):
        history.read(path)


def test_a_damaged_history_is_told_before_any_cell(
    config_values: dict[str, Any], tmp_path: Path
) -> None:
    made = plan(config_values, folder=str(tmp_path))
    path = tmp_path / "history.json"
    assert matrix_page.configure(made).history == str(path)
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON") as caught:
        matrix_page.configure(made)
    assert caught.value.place == str(path)
    assert "move it away" in caught.value.remedy


@pytest.mark.parametrize("expect", [Verdict.WORKS, Verdict.BROKEN])
@pytest.mark.parametrize("interpreter", ["/x/bin/python", None])
def test_cells_and_environments_without_a_result_are_other_jobs(
    config_values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interpreter: str | None,
    expect: Verdict,
) -> None:
    """Snakemake takes jobs again whose parameters changed; what is known to be broken stays."""
    values = yaml.safe_load((ROOT / "config" / "matrix.yaml").read_text())["environments"]
    values["newest"] |= {"expect": expect}
    made = plan({**config_values, "results": str(tmp_path)}, environments=values)
    folder = tmp_path / "matrix"
    job = matrix_cell.configure(made, "newest")
    environment = record("newest").environment.model_copy(update={"interpreter": interpreter})
    (tmp_path / "environment.json").write_text(environment.model_dump_json())
    (tmp_path / "package.json").write_text('{"digest": "", "path": ""}')
    options = matrix_cell.CellOptions(
        environment=tmp_path / "environment.json",
        package=tmp_path / "package.json",
        reference=None,
        failures=folder / "failures" / "cells" / "newest",
        folder=tmp_path / "run",
        output=tmp_path / "cell.json",
    )
    results = [broken("newest", environment=environment), record("newest", environment=environment)]
    monkeypatch.setattr("agc_pipeline.matrix.cell.run", lambda *_: results.pop())
    matrix_cell.run(job, options)
    assert matrix_cell.configure(made, "newest") == job
    matrix_cell.run(job, options)
    # What has no environment waits for it.
    counted = int(interpreter is not None and expect is Verdict.WORKS)
    assert matrix_cell.configure(made, "newest") == job.model_copy(update={"failures": counted})
    request = matrix_environment.configure(made, "newest")
    monkeypatch.setattr(environments, "build", lambda *_, **__: environment)
    matrix_environment.run(
        request,
        matrix_environment.EnvironmentOptions(
            failures=folder / "failures" / "environments" / "newest",
            output=tmp_path / "environment.json",
        ),
    )
    counted = int(interpreter is None and expect is Verdict.WORKS)
    assert matrix_environment.configure(made, "newest").failures == counted


def everything() -> list[CellVerdict]:
    return [
        judged(record("lock", histograms=None, fit=None, timings=(timed(SAME, SAME),))),
        judged(broken("bad", versions={"coffea": "3", "uproot": "1"})),
        judged(broken("known"), Verdict.BROKEN),
        judged(record("lock+input-rntuple", histograms=OTHER, new_warnings=("x.py: W: <i>",))),
        judged(record("away", untested="Python 3.19 is not at hand")),
    ]


def test_junit(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    fail_on = (Verdict.SLOWER, Verdict.DIFFERENT, Verdict.BROKEN)
    junit.write(path, everything(), fail_on)
    (suite,) = ET.parse(path).getroot().findall("testsuite")  # noqa: S314
    kinds = {
        case.get("name"): [child.tag for child in case if child.tag != "system-out"]
        for case in suite
    }
    assert kinds == {
        "lock": [],
        "bad": ["error"],
        "known": ["skipped"],
        "lock+input-rntuple": ["failure"],
        "away": ["skipped"],
    }
    assert (suite.get("errors"), suite.get("failures"), suite.get("skipped")) == ("1", "1", "2")


def test_page_shows_everything_and_runs_nothing(tmp_path: Path) -> None:
    cells_ = everything()
    past = history.add(history.History(), cells_)
    again = judged(
        record("lock", finished="2026-02-01T00:00:00+00:00", timings=(timed(SAME, SAME),))
    )
    past = history.add(past, [again])
    values = page.values(cells_, past, SLOWER, (Verdict.BROKEN,), tmp_path)
    html = render("matrix.html.j2", values, tmp_path)
    assert "does not import: &lt;b&gt;" in html
    assert "&lt;/pre&gt; boom" in html
    assert f'href="{os.path.relpath("runs/x.log", tmp_path)}"' in html
    assert "x.py: W: &lt;i&gt;" in html
    assert "coffea: 1 &rarr; 3" in html
    assert "<polyline" in html
    # 1000 events in 2 s of CPU time, beside the load of the machine.
    assert re.search(r'>500</data></td><td class="n"><data value="1.5">1.5</data></td>', html)
    assert re.search(r"Expected failures.*#cell-known", html)
    assert [item.cell.name for item in values["unexpected"]] == ["bad"]
    # The table of environments has no column that only one of them fills.
    assert values["columns"] == ["as the baseline"]
    assert [(differs, item.cell.name) for differs, item in values["single_cells"]] == [
        ("input rntuple", "lock+input-rntuple")
    ]
    identifiers = re.findall(r'id="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(identifiers)
    assert html.count("<script") == 1
    assert not re.search(r"url\(|src=", html)


def test_page_in_a_browser(tmp_path: Path) -> None:
    past = history.add(history.History(), everything())
    values = page.values(everything(), past, SLOWER, (Verdict.BROKEN,), tmp_path)
    write(tmp_path / "index.html", "matrix.html.j2", values, tmp_path / "tables")
    with browser.chromium() as program:
        browser.check_page(program, tmp_path / "index.html", tmp_path)


def test_page_has_a_column_for_what_several_environments_are_tried_with(tmp_path: Path) -> None:
    names = ("lock", "lock+input-skim", "lock+input-rntuple", "newest+input-skim")
    cells_ = [judged(record(name)) for name in names]
    values = page.values(cells_, history.History(), SLOWER, (Verdict.BROKEN,), tmp_path)
    assert values["columns"] == ["as the baseline", "input skim"]
    shown = [
        (row.environment, [cell and cell.cell.name for cell in row.cells]) for row in values["rows"]
    ]
    assert shown == [
        ("lock", ["lock", "lock+input-skim"]),
        ("newest", [None, "newest+input-skim"]),
    ]
    assert [item.cell.name for _, item in values["single_cells"]] == ["lock+input-rntuple"]


class Target(Settings):
    target: str


def test_a_record_has_the_command_of_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings").write_text('{"target": "a"}')
    arguments = ["--settings", str(tmp_path / "settings")]
    monkeypatch.setenv(process.FOLDER, str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    runs: list[Target] = []
    stage = Stage(
        name="command",
        settings=Target,
        configure=Target,
        options=Options,
        run=lambda settings, _: runs.append(settings),
    )
    command.main(stage)
    (path,) = tmp_path.glob("*.json")
    told = json.loads(path.read_text())
    assert runs == [Target(target="a")]
    assert told["arguments"] == arguments


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[timing.Worker]:
    (tmp_path / "repeated.py").write_text(
        "import sys, time\n"
        "def main():\n"
        "    # The requests are not its input.\n"
        "    path, text = sys.argv[1], sys.argv[2] + sys.stdin.read()\n"
        "    if text == 'hang': time.sleep(1000)\n"
        "    if text == 'fail': sys.exit('a reason')\n"
        "    with open(path, 'a') as file: file.write(text)\n"
    )
    variables = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    # What hangs does so for ever; what does not has time enough.
    with timing.Worker(sys.executable, variables, tmp_path / "worker.log", 10.0) as made:
        yield made


@pytest.mark.parametrize(("installed", "code"), [(True, 1), (False, 0)])
def test_a_package_with_a_module_that_does_not_import_is_told(
    installed: bool, code: int, tmp_path: Path
) -> None:
    """No stage imports hepdata_lib before it runs."""
    package = tmp_path / "hepdata_lib"
    package.mkdir()
    text = "raise AttributeError('broken here')" if installed else ""
    (package / "__init__.py").write_text(text)
    variables = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    command = [sys.executable, "-m", "agc_pipeline.matrix.worker", "--import"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    told = json.loads(done.stdout)
    assert told.get("problem") == ("AttributeError: broken here" if installed else None)
    assert installed or told["cpu_seconds"] > 0


def repeated(*arguments: str) -> StageRecord:
    return StageRecord(
        module="repeated",
        arguments=arguments,
        cpu_seconds=1,
        start_cpu_seconds=1,
        memory_mb=1,
    )


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_job_started_ends_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "from pathlib import Path; from agc_pipeline.measuring.commands import run; "
        f"run(['sh', '-c', 'echo $$; exec sleep 1000'], Path({str(log)!r}), timeout=1000)"
    )
    variables = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    job = subprocess.Popen([sys.executable, "-c", code], env=variables, stderr=subprocess.PIPE)
    while not (log.exists() and log.read_text().strip()):
        assert job.poll() is None
        time.sleep(0.05)
    job.terminate()
    _, errors = job.communicate()
    assert errors == b"terminated\n"
    # Its number is free once the system has taken note of its end.
    while exists(int(log.read_text())):
        time.sleep(0.05)


def test_a_worker_repeats_a_stage(worker: timing.Worker, tmp_path: Path) -> None:
    path = tmp_path / "written"
    for text in ("a", "b"):
        cpu, wall = worker.repeat(repeated(str(path), text))
        assert cpu >= 0
        assert wall > 0
    assert path.read_text() == "ab"


def test_times_have_the_load_of_the_machine(
    worker: timing.Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    job = repeated(str(tmp_path / "written"), "a")
    for baseline in (None, (worker, job)):
        told = timing.time_stage(2, (worker, job), baseline)
        assert (told.load, told.cpu is None) == (2.5, baseline is None)


def test_a_stage_that_fails_or_hangs_when_repeated_is_told(
    worker: timing.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(timing.RepetitionError, match="repeated ran once, but fails") as failed:
        worker.repeat(repeated("x", "fail"))
    assert failed.value.worker is worker
    assert "a reason" in worker.log.read_text()
    monkeypatch.setattr(worker, "_timeout", 0.2)
    with pytest.raises(timing.RepetitionError, match="did not finish within"):
        worker.repeat(repeated("x", "hang"))


def test_longest_and_matching_jobs(tmp_path: Path) -> None:
    def job(root: str, dataset: str, cpu: float) -> StageRecord:
        return StageRecord(
            module="agc_pipeline.stages.histogram",
            arguments=("--manifest", f"{root}/manifests/{dataset}/0000.json"),
            cpu_seconds=cpu,
            start_cpu_seconds=1,
            memory_mb=1,
        )

    ours = [job("a", "x", 1), job("a", "y", 2)]
    theirs = [job("b", "x", 3), job("b", "y", 1)]
    longest = timing.longest(ours, "histogram")
    assert longest == ours[1]
    assert timing.matching(ours[1], theirs) == theirs[1]
    assert timing.longest(ours, "deliver") is None


def test_every_stage_of_the_matrix_is_told_by_its_command(
    command: Callable[..., str | None],
) -> None:
    error = command("matrix_verdict", {}, record="no.json")
    assert error is not None
    assert "configuration key `expected` is missing" in error
