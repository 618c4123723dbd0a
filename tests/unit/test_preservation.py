"""HistFactory XML and HEPData, read back."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyhf.readxml
import pytest
from matplotlib.figure import Figure

from agc_pipeline.errors import PipelineError
from agc_pipeline.inference import workspace
from agc_pipeline.inference.modifiers import model_likelihood
from agc_pipeline.inference.result import fit_workspace
from agc_pipeline.inference.settings import FitSettings
from agc_pipeline.preservation import hepdata, histfactory
from agc_pipeline.preservation.root_names import Names, names
from agc_pipeline.preservation.root_reading import read
from conftest import read_config
from models import CABINETRY, MODELS, MU, TWO_CHANNELS, sample, spec

MINIMISER = FitSettings.model_validate(read_config()["fit"]).minimiser


def written(content: Any, folder: Path) -> tuple[Path, Names, list[str]]:
    place = folder / "xml"
    place.mkdir()
    return place, *histfactory.write(content, place)


def pyhf_reads(folder: Path) -> Any:
    """The workspace that pyhf reads, with its own idea of what XML does not say."""
    with contextlib.chdir(folder):
        content = pyhf.readxml.parse("model.xml", ".")
    pyhf.readxml.clear_filecache()
    return content


LOST = {"luminosity": ["bounds of lumi"], "everything": ["bounds of lumi"]}


@pytest.mark.parametrize("name", MODELS)
def test_xml_comes_back(name: str, tmp_path: Path) -> None:
    """As ROOT reads it, and as pyhf does: the same rates for the same parameters."""
    content = MODELS[name]
    folder, translation, lost = written(content, tmp_path)
    assert lost == LOST.get(name, [])
    model, data = workspace.load(content, place="test")
    start = np.array(model.config.suggested_init())
    values = start + np.linspace(-0.3, 0.3, len(start))
    other, same_data = workspace.load(pyhf_reads(folder), place="test")
    # Both sort their channels and their bins.
    staterrors = {f"staterror_{title}" for title in translation.channels.values()}
    theirs = {}
    for label, value in zip(model.config.par_names, values, strict=True):
        variable = translation.parameters[label]
        centre, width = translation.scales.get(label, (0.0, 1.0))
        scalar = "lumi" if variable == "Lumi" else variable.removeprefix("alpha_")
        theirs[variable if variable.startswith("gamma_") else scalar] = (value - centre) / width
    vector = [theirs[_variable(label, staterrors)] for label in other.config.par_names]
    np.testing.assert_allclose(
        model_likelihood(other, same_data).rates(np.array(vector)),
        model_likelihood(model, data).rates(values),
        rtol=1e-12,
    )


def _variable(label: str, staterrors: set[str]) -> str:
    """ROOT's name of a parameter of pyhf's reading."""
    name, bracket, number = label.rstrip("]").rpartition("[")
    if not bracket:
        return label
    stat = f"stat_{name.removeprefix('staterror_')}" if name in staterrors else name
    return f"gamma_{stat}_bin_{number}"


def test_files_do_not_depend_on_the_place(tmp_path: Path) -> None:
    folder, translation, _ = written(TWO_CHANNELS, tmp_path)
    assert {path.name for path in (folder / "config").iterdir()} == {
        "model_signal.xml",
        "model_control.xml",
    }
    for path in folder.rglob("*.xml"):
        assert str(tmp_path) not in path.read_text()
    moved = folder.rename(tmp_path / "moved")
    assert histfactory.differences(TWO_CHANNELS, read(moved), translation) == []


def test_differences_are_named(tmp_path: Path) -> None:
    folder, translation, _ = written(TWO_CHANNELS, tmp_path)

    def changed(change: Any) -> list[str]:
        reading = read(folder)
        change(reading.workspace)
        return histfactory.differences(TWO_CHANNELS, reading, translation)

    assert changed(lambda w: w["observations"][0]["data"].append(1.0)) == ["data of signal"]
    assert changed(lambda w: w["channels"].pop()) == ["channel control"]
    assert changed(lambda w: w["channels"][0]["samples"].pop()) == ["signal, bkg2"]
    assert changed(lambda w: w["channels"][0]["samples"][1]["modifiers"].pop()) == [
        "signal, bkg1, normsys coupled_normsys"
    ]


def test_names_that_root_does_not_take() -> None:
    """Letters, digits and underscores; never two variables with one name."""
    systematics = ["JES/eta", "JES eta", "1", "\u00e9\u00e9", "stat_x_4j2b_SR", "Lumi", "a,b"]
    content = spec(
        (
            "4j2b SR",
            [50.0],
            sample(
                "$\\PQt$",
                [40.0],
                ("mu", *MU),
                ("alpha_JES_eta", *MU),
                ("stat x_4j2b_SR", "shapesys", [1.0]),
                *((name, "normsys", {"hi": 1.1, "lo": 0.9}) for name in systematics),
            ),
        ),
        ("4j2b-SR", [50.0], sample("data", [1.0], ("st", "staterror", [0.5]))),
        ("", [50.0], sample("", [1.0])),
    )
    translation = names(content)
    assert translation.channels == {"4j2b SR": "x_4j2b_SR", "4j2b-SR": "x_4j2b_SR_2", "": "unnamed"}
    assert translation.samples == {"$\\PQt$": "x__PQt_", "data": "data_2", "": "unnamed"}
    variables = list(translation.parameters.values())
    assert len(set(variables)) == len(variables) == len(translation.parameters)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in variables)
    assert "Lumi" not in variables
    assert translation.parameters["JES/eta"] == "alpha_JES_eta"
    assert translation.parameters["JES eta"] == "alpha_JES_eta_2"
    assert translation.parameters["st[0]"] == "gamma_stat_x_4j2b_SR_2_bin_0"
    model, _ = workspace.load(content, place="test")
    assert set(translation.parameters) == set(model.config.par_names)


def settings_lost() -> Any:
    """A systematic that is fixed at +1, and starts and bounds of a shapefactor."""
    return spec(
        (
            "a",
            [95.0, 60.0],
            sample("signal", [20.0, 10.0], ("mu", *MU)),
            sample("b", [70.0, 45.0], ("k", *MU), ("n", "normsys", {"hi": 1.1, "lo": 0.9})),
            sample("f", [5.0, 5.0], ("sf", "shapefactor", None)),
        ),
        ("cr", [5.0, 6.0], sample("f", [5.0, 5.0], ("sf", "shapefactor", None))),
        parameters=(
            {"name": "n", "fixed": True, "inits": [1.0]},
            {"name": "k", "bounds": [[0.2, 3.0]], "inits": [0.9], "fixed": True},
            {"name": "sf", "inits": [1.2, 0.8], "bounds": [[0, 7], [0, 7]]},
        ),
    )


def test_a_systematic_may_be_called_lumi(tmp_path: Path) -> None:
    """As in most datacards; the luminosity of ROOT and pyhf is another parameter."""
    lumi = ("lumi", "normsys", {"hi": 1.1, "lo": 0.9})
    content = spec(("c", [11.0], sample("s", [4.0], ("mu", *MU), lumi), sample("b", [8.0], lumi)))
    _, translation, lost = written(content, tmp_path)
    assert (translation.parameters["lumi"], lost) == ("alpha_lumi", [])


def test_fixed_values_are_written_and_the_rest_is_listed(tmp_path: Path) -> None:
    folder, _, lost = written(settings_lost(), tmp_path)
    assert lost == ["start of sf", "bounds of sf"]
    for parameters in (
        pyhf_reads(folder)["measurements"][0]["config"]["parameters"],
        read(folder).workspace["measurements"][0]["config"]["parameters"],
    ):
        settings = {entry["name"]: entry for entry in parameters}
        assert settings["n"]["fixed"]
        assert settings["n"]["inits"] == [1.0]
        assert settings["k"]["fixed"]
        assert settings["k"]["inits"] == [0.9]
        assert settings["k"]["bounds"] == [[0.2, 3.0]]
    # Held at zero instead, the systematic would move the result by a third.
    ours, theirs = (
        fit_workspace(content, MINIMISER).poi for content in (settings_lost(), pyhf_reads(folder))
    )
    assert ours.bestfit == pytest.approx(1.0, abs=0.05)
    assert theirs.bestfit == pytest.approx(ours.bestfit, abs=1e-9)
    assert theirs.uncertainty == pytest.approx(ours.uncertainty, abs=1e-9)


def test_names_of_files_and_histograms(tmp_path: Path) -> None:
    """Names with slashes, and those that only together are one name."""
    content = spec(
        (
            "SR/high",
            [52.0, 31.0],
            sample("ttbar/semilep", [5.0, 8.0], ("mu", *MU)),
            sample("a", [20.0, 10.0], ("b", "shapesys", [1.0, 1.0])),
            sample("a_b", [20.0, 10.0], ("JES/eta", "normsys", {"hi": 1.1, "lo": 0.92})),
            sample("data", [5.0, 5.0], ("st", "staterror", [3.0, 2.0])),
            sample("statistical", [5.0, 5.0], ("nominal", "shapefactor", None)),
        )
    )
    folder, translation, lost = written(content, tmp_path)
    assert lost == []
    assert translation.channels == {"SR/high": "SR_high"}
    (channel,) = pyhf_reads(folder)["channels"]
    assert [s["data"] for s in channel["samples"]] == [
        s["data"] for s in content["channels"][0]["samples"]
    ]


def test_names_that_are_longer_than_those_of_files(tmp_path: Path) -> None:
    names = [250 * "c" + end for end in ("1", "2")]
    content = spec(
        *(
            (name, [52.0], sample(300 * "s", [5.0], ("mu", *MU), (name, "staterror", [1.0])))
            for name in names
        )
    )
    folder, translation, lost = written(content, tmp_path)
    assert lost == []
    assert list(translation.channels) == names
    assert [len(channel["samples"]) for channel in pyhf_reads(folder)["channels"]] == [1, 1]


@pytest.mark.parametrize(
    ("content", "lost"),
    [
        (
            spec(
                (
                    "a",
                    [50.0],
                    sample("s", [40.0], ("mu", *MU), ("first", "staterror", [1.0])),
                    sample("b", [4.0], ("second", "staterror", [1.0])),
                )
            ),
            ["a: separate staterrors first, second"],
        ),
        (
            spec(
                (
                    "a",
                    [50.0, 3.0],
                    sample("s", [40.0, 2.0], ("mu", *MU), ("st", "staterror", [1.0, 0.1])),
                    sample("b", [4.0, 0.0], ("st", "staterror", [1.0, 0.5])),
                )
            ),
            ["a, b, staterror st"],
        ),
        (
            spec(
                (
                    "a",
                    [50.0],
                    sample("s", [40.0], ("mu", *MU)),
                    sample("b", [5.0], ("x", "histosys", {"hi_data": [11.0], "lo_data": [-1.0]})),
                )
            ),
            ["a, b, histosys x: negative content, for which ROOT takes zero"],
        ),
        (
            spec(
                ("a", [50.0], sample("s", [40.0], ("mu", *MU), ("st", "staterror", [1.0]))),
                parameters=(
                    {"name": "st", "sigmas": [0.5], "auxdata": [1.1], "bounds": [[0.5, 2]]},
                ),
            ),
            ["bounds of st", "auxdata of st", "sigmas of st"],
        ),
        # The luminosity of some samples, which cannot be templates beside others.
        (
            spec(
                (
                    "a",
                    [50.0],
                    sample(
                        "s",
                        [40.0],
                        ("mu", *MU),
                        ("lumi", "lumi", None),
                        ("x", "histosys", {"hi_data": [41.0], "lo_data": [39.0]}),
                    ),
                    sample("b", [10.0]),
                ),
                parameters=(
                    {
                        "name": "lumi",
                        "auxdata": [1.0],
                        "sigmas": [0.1],
                        "inits": [1.0],
                        "bounds": [[0, 10]],
                    },
                ),
            ),
            ["a, b: ROOT scales it with the luminosity as well"],
        ),
        # Bounds that XML takes are different, and have the start between them.
        (
            spec(
                ("a", [50.0], sample("s", [40.0], ("mu", *MU), ("k", *MU), ("l", *MU))),
                parameters=(
                    {"name": "k", "bounds": [[2, 2]]},
                    {"name": "l", "bounds": [[0, 3]], "inits": [4], "fixed": True},
                ),
            ),
            [],
        ),
        # Settings of a luminosity that is not in the model.
        (
            spec(
                ("a", [50.0], sample("s", [40.0], ("mu", *MU))),
                parameters=({"name": "lumi", "auxdata": [2.0], "sigmas": [0.1]},),
            ),
            [],
        ),
    ],
)
def test_what_xml_does_not_hold(content: Any, lost: list[str], tmp_path: Path) -> None:
    assert written(content, tmp_path)[2] == lost


def test_statistical_uncertainties_that_root_would_take_otherwise(tmp_path: Path) -> None:
    """Without a word, Poisson terms and a threshold of 5 %; Gaussian terms of a ShapeSys."""
    content = spec(
        (
            "a",
            [50.0, 50.0],
            sample("s", [40.0, 10.0], ("mu", *MU), ("st", "staterror", [1.0, 1.0])),
            sample("b", [4.0, 5.0], ("sh", "shapesys", [1.0, 1.0])),
        )
    )
    folder, translation, lost = written(content, tmp_path)
    assert lost == []
    path = folder / "config" / "model_a.xml"
    text = path.read_text()
    assert '<StatErrorConfig RelErrorThreshold="0" ConstraintType="Gaussian" />' in text
    path.write_text(re.sub("<StatErrorConfig.*|ConstraintType=.Poisson.", "", text))
    reading = read(folder)
    assert reading.poisson == ("a",)
    assert reading.dropped == ("gamma_stat_a_bin_0",)
    assert reading.gaussian == ("sh",)
    assert histfactory.differences(content, reading, translation) == [
        "a: Gaussian terms of statistical uncertainties",
        "a: statistical uncertainties of 1 bins",
        "Poisson terms of sh",
        "fixed value of st",
    ]


def submission(folder: Path) -> tuple[Path, Path]:
    model = folder / "workspace.json"
    model.write_text(json.dumps(CABINETRY))
    made = [
        hepdata.table(
            "Events: a/b, c",
            "Some events.",
            [
                hepdata.axis("x [GeV]", [(0.0, 1.5), (1.5, 3.0)]),
                hepdata.variable("Data", [3.0, 4.25], {"stat": [0.1234567, 0.0]}),
                hepdata.variable("Impact", [None, 1e-7], {"sys": [(-0.5, 0.25), (-1.0, 1.0)]}),
            ],
            {"observables": ["SIG"], "cmenergies": [13000.0]},
        )
    ]
    place, archive = folder / "hepdata", folder / "hepdata.tar.gz"
    place.mkdir()
    hepdata.write(made, place, archive, comment="A test.", workspace=model)
    return place, archive


def test_submission_comes_back(tmp_path: Path) -> None:
    place, archive = submission(tmp_path)
    assert hepdata.read(place) == {
        "Events a b c": {
            "x [GeV]": [{"low": 0.0, "high": 1.5}, {"low": 1.5, "high": 3.0}],
            "Data": [
                {"value": 3.0, "errors": [{"symerror": 0.1234567, "label": "stat"}]},
                {"value": 4.25},
            ],
            "Impact": [
                {
                    "value": "-",
                    "errors": [{"asymerror": {"minus": -0.5, "plus": 0.25}, "label": "sys"}],
                },
                {"value": 1e-7, "errors": [{"symerror": 1.0, "label": "sys"}]},
            ],
        }
    }
    assert json.loads((place / "workspace.json").read_text()) == CABINETRY
    assert archive.stat().st_size > 0


def test_tables_and_pictures_of_any_name(tmp_path: Path) -> None:
    """Names that are one in HEPData are numbered; macros that matplotlib has not are text."""
    model = tmp_path / "workspace.json"
    model.write_text(json.dumps(CABINETRY))
    columns = [hepdata.axis("x", [1.0]), hepdata.variable("y", [2.0])]
    long = 70 * "n"
    made = [
        hepdata.table(name, "Events.", columns, {"observables": ["SIG"]})
        for name in ("a/b", "A b", "a b 2", long, long + "m")
    ]
    hepdata.tell_apart(made)
    figure = Figure()
    figure.subplots().set_title("$\\PH\\to\\PGg$ {_x^y")
    place = tmp_path / "hepdata"
    place.mkdir()
    hepdata.write(
        made,
        place,
        tmp_path / "hepdata.tar.gz",
        comment="A test.",
        workspace=model,
        pictures={"a b": figure},
    )
    expected = ["a b", "A b 2", "a b 2 2", long[:64], f"{long[:62]} 2"]
    assert list(hepdata.read(place)) == expected
    assert (place / "table_00.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_submission_twice(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    first, second = (submission(folder)[1].read_bytes() for folder in folders)
    assert first == second


def test_damaged_submission(tmp_path: Path) -> None:
    place, _ = submission(tmp_path)
    (place / "events_a_b_c.yaml").write_text("independent_variables: 3\n")
    with pytest.raises(PipelineError, match="not a valid submission: "):
        hepdata.validate(place)
