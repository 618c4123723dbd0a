"""The exported XML in a real ROOT: the same likelihood, the same fit."""

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import separate
from agc_pipeline import analyses
from agc_pipeline.inference import workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.result import fit_workspace
from agc_pipeline.inference.settings import FitSettings
from agc_pipeline.preservation import histfactory, hs3
from agc_pipeline.preservation.root_names import names
from agc_pipeline.preservation.root_reading import read
from agc_pipeline.validation import published
from conftest import read_config
from models import (
    CABINETRY,
    COUPLED_SHAPEFACTOR,
    EVERYTHING,
    LUMINOSITY,
    MU,
    TWO_CHANNELS,
    sample,
    spec,
)

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("root")]

SETTINGS = FitSettings.model_validate(read_config()["fit"])
PROGRAM = Path(__file__).with_name("histfactory_in_root.py")
HS3_PROGRAMS = [Path(__file__).with_name(f"hs3_in_{name}.py") for name in ("root", "pyhs3")]
# Without statistical factors, whose terms pyhs3 0.4 leaves out of its likelihood.
IN_PYHS3 = ("two channels",)

# Everything that has a place in XML, with names that ROOT does not take.
PLACED = spec(
    (
        "4j, 2b/high",
        [95.0, 60.0],
        sample("$t\\bar{t}$", [20.0, 10.0], ("signal strength", *MU)),
        sample(
            "W/Z+jets",
            [70.0, 45.0],
            ("k", *MU),
            ("JES/eta", "normsys", {"hi": 1.1, "lo": 0.9}),
            ("JES/eta", "histosys", {"hi_data": [72.0, 44.0], "lo_data": [69.0, 47.0]}),
            ("stat", "staterror", [1.0, 0.8]),
            ("lumi ", "normsys", {"hi": 1.02, "lo": 0.98}),
        ),
        sample(
            "fakes",
            [5.0, 5.0],
            ("fakes", "shapesys", [1.0, 1.5]),
            ("stat", "staterror", [1.0, 0.0]),
        ),
        sample("free", [5.0, 5.0], ("alpha_k", "shapefactor", None)),
    ),
    (
        "1",
        [5.0, 6.0],
        sample(
            "free", [5.0, 5.0], ("alpha_k", "shapefactor", None), ("fixed", "staterror", [0.9, 0.4])
        ),
    ),
    parameters=(
        {"name": "JES/eta", "fixed": True, "inits": [1.0]},
        {"name": "k", "bounds": [[0.2, 3.0]], "inits": [0.9], "fixed": True},
        {"name": "fixed", "fixed": True},
        {"name": "lumi ", "inits": [0.3]},
    ),
    poi="signal strength",
)


@cache
def five_files() -> Any:
    analysis = analyses.load("cms_ttbar")
    return build_workspace(analysis, published.load(analysis, 5), SETTINGS.model).workspace


@cache
def models() -> dict[str, Any]:
    return {
        "published histograms": five_files(),
        "every modifier": PLACED,
        "luminosity": LUMINOSITY,
        "luminosity of the signal": EVERYTHING,
        "cabinetry": CABINETRY,
        "two channels": TWO_CHANNELS,
        "shapefactor": COUPLED_SHAPEFACTOR,
    }


def points(content: Any) -> list[dict[str, float]]:
    """Values of all parameters that are not fixed by pyhf's names: the start, and near it."""
    config = workspace.load(content, place="test")[0].config
    random = np.random.default_rng(1)
    free = ~np.array(config.suggested_fixed(), dtype=bool)
    start = np.array(config.suggested_init())
    low, high = np.array(config.suggested_bounds()).T
    rows = [start, *(start + free * random.uniform(-0.02, 0.02, (4, len(start))))]
    return [
        dict(zip(config.par_names, np.clip(row, low, high).tolist(), strict=True)) for row in rows
    ]


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Python with ROOT, of an environment that is built once and kept in the user's cache."""
    logs = tmp_path_factory.mktemp("root") / "logs"
    return str(separate.interpreter("root", separate.ROOT, logs))


def ask(interpreter: str, request: Mapping[str, Any], program: Path = PROGRAM) -> Any:
    result = subprocess.run(
        [interpreter, str(program)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers(interpreter: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """ROOT's answers about all models, by their names."""
    folders, request = {}, {}
    for name, content in models().items():
        folders[name] = tmp_path_factory.mktemp("model")
        translation, _ = histfactory.write(content, folders[name])
        request[str(folders[name])] = [
            {
                translation.parameters[parameter]: (value - centre) / width
                for parameter, value in point.items()
                for centre, width in [translation.scales.get(parameter, (0.0, 1.0))]
            }
            for point in points(content)
        ]
    given = ask(interpreter, request)
    return {name: given[str(folder)] | {"folder": folder} for name, folder in folders.items()}


@pytest.mark.parametrize("name", models())
def test_the_likelihood_is_that_of_pyhf(name: str, answers: dict[str, Any]) -> None:
    content = models()[name]
    model, data = workspace.load(content, place="test")
    ours = [
        -float(model.logpdf([point[parameter] for parameter in model.config.par_names], data)[0])
        for point in points(content)
    ]
    theirs = answers[name].get("values", answers[name].get("error"))
    np.testing.assert_allclose(np.diff(theirs), np.diff(ours), rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("name", models())
def test_the_parameters_are_read_without_root_as_with_it(
    name: str, answers: dict[str, Any]
) -> None:
    theirs = answers[name]["variables"]
    for variable, (start, bounds, fixed) in read(answers[name]["folder"]).variables.items():
        # ROOT leaves the luminosity out where nothing depends on it.
        value, low, high, constant = theirs.get(variable, [start, *bounds, fixed])
        assert (value, constant) == (start, fixed), variable
        np.testing.assert_allclose((low, high), bounds, rtol=1e-9, err_msg=variable)


@pytest.mark.parametrize("name", models())
def test_the_fit_is_ours(name: str, answers: dict[str, Any]) -> None:
    """MINUIT stops within one per cent of the uncertainty, and a little inside of bounds."""
    content = models()[name]
    poi = fit_workspace(content, SETTINGS.minimiser).poi
    value, uncertainty = answers[name]["fit"][names(content).parameters[poi.name]]
    if poi.uncertainty == 0:
        assert value == pytest.approx(poi.bestfit, abs=1e-3)
        return
    assert value == pytest.approx(poi.bestfit, abs=0.02 * poi.uncertainty)
    assert uncertainty == pytest.approx(poi.uncertainty, rel=0.02)


def test_fixed_values_change_the_fit(answers: dict[str, Any]) -> None:
    """The systematic that is fixed at +1 is fixed there in ROOT, too."""
    variables = answers["every modifier"]["variables"]
    assert variables["alpha_JES_eta"] == [1.0, -5.0, 5.0, True]
    assert variables["k"][0] == 0.9
    assert variables["k"][3]
    assert all(variables[f"gamma_stat_x_1_bin_{number}"][3] for number in (0, 1))
    assert variables["alpha_lumi_"][0] == 0.3


def test_without_a_word_root_takes_other_terms(interpreter: str, tmp_path: Path) -> None:
    """What the configuration of statistical uncertainties is for, and that the reader knows it."""
    content = five_files()
    histfactory.write(content, tmp_path)
    for path in (tmp_path / "config").iterdir():
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if "StatErrorConfig" not in line))
    (given,) = ask(interpreter, {str(tmp_path): []}).values()
    reading = read(tmp_path)
    dropped = [
        name
        for name, (*_, fixed) in given["variables"].items()
        if name.startswith("gamma") and fixed
    ]
    assert sorted(reading.dropped) == sorted(dropped)
    assert len(dropped) > 10
    lost = histfactory.differences(content, reading, names(content))
    assert [entry for entry in lost if "4j2b" in entry] == [
        "4j2b SR: Gaussian terms of statistical uncertainties",
        "4j2b SR: statistical uncertainties of 11 bins",
        "fixed value of staterror_4j2b-SR",
    ]
    poi = fit_workspace(content, SETTINGS.minimiser).poi
    value, uncertainty = given["fit"]["ttbar_norm"]
    assert abs(value - poi.bestfit) > 0.1 * poi.uncertainty or uncertainty < 0.9 * poi.uncertainty


def test_hs3_in_other_programs(interpreter: str, tmp_path: Path) -> None:
    """The same likelihood: in ROOT of all models, in pyhs3 of those that it has all terms of."""
    requests: list[dict[str, Any]] = [{}, {}]
    paths = {}
    for name, content in models().items():
        paths[name] = str(tmp_path / f"{name}.json")
        translation, lost = hs3.write(content, Path(paths[name]))
        assert lost == []
        requests[0][paths[name]] = [
            {translation.parameters[parameter]: value for parameter, value in point.items()}
            for point in points(content)
        ]
        requests[1][paths[name]] = requests[0][paths[name]] if name in IN_PYHS3 else []
    in_root, in_pyhs3 = (
        ask(interpreter, request, program)
        for request, program in zip(requests, HS3_PROGRAMS, strict=True)
    )
    for name, content in models().items():
        model, data = workspace.load(content, place="test")
        ours = [
            -2 * float(model.logpdf([point[p] for p in model.config.par_names], data)[0])
            for point in points(content)
        ]
        theirs = -2 * np.array(in_root[paths[name]].get("values", []))
        np.testing.assert_allclose(np.diff(-theirs), np.diff(ours), rtol=0, atol=1e-8)
        assert "error" not in in_pyhs3[paths[name]], name
        if name in IN_PYHS3:
            # Its factors are of single precision.
            other = -2 * np.array(in_pyhs3[paths[name]]["values"])
            np.testing.assert_allclose(np.diff(other), np.diff(ours), rtol=0, atol=1e-6)
