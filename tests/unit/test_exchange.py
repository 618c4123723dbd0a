"""Models in the formats of other programs: written, read back, and refused where they are not ours.

What ROOT and pyhs3 make of HS3 JSON is in tests/root.
"""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot

from agc_pipeline.errors import InputError, ModelError, PipelineError
from agc_pipeline.exchange import Model, card_text, datacard, hs3
from agc_pipeline.inference import external, workspace
from agc_pipeline.inference.result import fit_workspace
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.inputs import WorkspaceInput
from agc_pipeline.preservation import datacard as card_writing
from agc_pipeline.preservation import hs3 as hs3_writing
from agc_pipeline.preservation.root_names import Names
from models import CABINETRY, EVERYTHING, LUMINOSITY, MODELS, MU, TWO_CHANNELS, sample, spec


def same_likelihood(content: Any, translation: Names, other: Model) -> None:
    """Differences of -2 ln L between points are the same to 1e-8, whatever parameters are named."""
    model, data = workspace.load(content, place="test")
    theirs, same_data = workspace.load(other.workspace, place="test")
    start = np.array(model.config.suggested_init())
    free = ~np.array(model.config.suggested_fixed(), dtype=bool)
    random = np.random.default_rng(1)
    ours, read = [], []
    for _ in range(4):
        point = start + free * random.uniform(-0.2, 0.2, len(start))
        by_variable = {
            translation.parameters[name]: value
            for name, value in zip(model.config.par_names, point, strict=True)
        }
        values = [by_variable[other.variables[name]] for name in theirs.config.par_names]
        ours.append(-2 * float(model.logpdf(point, data)[0]))
        read.append(-2 * float(theirs.logpdf(values, same_data)[0]))
    np.testing.assert_allclose(np.diff(read), np.diff(ours), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_hs3_comes_back(name: str, tmp_path: Path) -> None:
    """With starts, bounds and fixed values: nothing is lost."""
    content = MODELS[name]
    translation, lost = hs3_writing.write(content, tmp_path / "model.json")
    assert lost == []
    document = json.loads((tmp_path / "model.json").read_text())
    same_likelihood(content, translation, hs3.read(document, place="test"))


def test_hs3_has_a_strength_that_is_fixed_at_one(tmp_path: Path) -> None:
    """Other factors that are constant at one are none."""
    content = copy.deepcopy(TWO_CHANNELS)
    content["measurements"][0]["config"]["parameters"] = [
        {"name": "mu", "fixed": True, "inits": [1.0]}
    ]
    path = tmp_path / "model.json"
    translation, lost = hs3_writing.write(content, path)
    assert lost == []
    same_likelihood(content, translation, hs3.read(json.loads(path.read_text()), place="test"))


def test_what_hs3_does_not_hold(tmp_path: Path) -> None:
    """Two factors in one bin of a channel, where programs have one."""
    content = spec(
        (
            "c",
            [50.0],
            sample("s", [20.0], ("mu", *MU), ("one", "staterror", [1.0])),
            sample("b", [30.0], ("other", "staterror", [2.0])),
        )
    )
    _, lost = hs3_writing.write(content, tmp_path / "model.json")
    assert lost == ["auxiliary measurement of one", "auxiliary measurement of other"]


# As ROOT writes it: constants, names of constraints, and a Poisson term of one sample.
DOCUMENT: Any = {
    "metadata": {"hs3_version": "0.2"},
    "distributions": [
        {
            "name": "model_c",
            "type": "histfactory_dist",
            "axes": [{"name": "obs_x_c", "min": 0.0, "max": 2.0, "nbins": 2}],
            "staterror": {"constraint_type": "Gauss"},
            "samples": [
                {
                    "name": "signal",
                    "data": {"contents": [20, 10.0]},
                    "modifiers": [
                        {"name": "Lumi", "type": "normfactor", "parameter": "Lumi"},
                        {"name": "mu", "type": "normfactor", "parameter": "mu"},
                        {
                            "name": "jes",
                            "type": "normsys",
                            "parameter": "alpha_jes",
                            "constraint_name": "alpha_jesConstraint",
                            "interpolation": 5,
                            "data": {"hi": 1.1, "lo": 0.9},
                        },
                    ],
                },
                {
                    "name": "background",
                    "data": {"contents": [50.0, 40.0], "errors": [2.0, 1.0]},
                    "modifiers": [
                        {
                            "name": "staterror",
                            "type": "staterror",
                            "parameters": ["gamma_stat_c_bin_0", "gamma_stat_c_bin_1"],
                            "constraint_type": "Gauss",
                        },
                        {
                            "name": "fakes",
                            "type": "shapesys",
                            "parameters": ["gamma_f_bin_0", "gamma_f_bin_1"],
                            "constraint_type": "Poisson",
                            "data": {"vals": [0.2, 0.1]},
                        },
                    ],
                },
            ],
        },
        {
            "name": "alpha_jesConstraint",
            "type": "gaussian_dist",
            "x": "alpha_jes",
            "mean": "nom_alpha_jes",
            "sigma": 1.0,
        },
    ],
    "data": [{"name": "obsData_c", "type": "binned", "contents": [75, 48]}],
    "likelihoods": [{"name": "L", "distributions": ["model_c"], "data": ["obsData_c"]}],
    "domains": [
        {
            "name": "default_domain",
            "type": "product_domain",
            "axes": [{"name": "mu", "min": -1.0, "max": 5.0}],
        }
    ],
    "parameter_points": [
        {
            "name": "default_values",
            "parameters": [
                {"name": "Lumi", "value": 1.0, "const": True},
                {"name": "mu", "value": 0.5},
            ],
        }
    ],
    "analyses": [
        {
            "name": "A",
            "likelihood": "L",
            "domains": ["default_domain"],
            "parameters_of_interest": ["mu"],
        }
    ],
}


def test_hs3_in_the_words_of_a_workspace() -> None:
    model = hs3.read(DOCUMENT, place="test")
    (channel,) = model.workspace["channels"]
    assert channel["name"] == "c"
    assert [s["modifiers"] for s in channel["samples"]] == [
        [
            {"name": "mu", "type": "normfactor", "data": None},
            {"name": "jes", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
        ],
        [
            {"name": "staterror", "type": "staterror", "data": [2.0, 1.0]},
            {"name": "fakes", "type": "shapesys", "data": [10.0, 4.0]},
        ],
    ]
    (measurement,) = model.workspace["measurements"]
    assert measurement["name"] == "A"
    assert measurement["config"]["poi"] == "mu"
    first = measurement["config"]["parameters"][0]
    assert first == {"name": "mu", "inits": [0.5], "bounds": [[-1.0, 5.0]]}
    assert model.variables["fakes[1]"] == "gamma_f_bin_1"


def _at(*path: Any) -> Callable[[Any, Any], None]:
    def change(document: Any, value: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


_CHANNEL = ("distributions", 0)
_SIGNAL = (*_CHANNEL, "samples", 0, "modifiers")
_BACKGROUND = (*_CHANNEL, "samples", 1, "modifiers")


HISTOSYS = {"name": "j", "type": "histosys", "parameter": "a", "data": {"hi": 1.1, "lo": 0.9}}


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("likelihoods", 0, "distributions"), ["model_x"], "unknown distribution 'model_x'"),
        (("likelihoods", 0, "data"), [], "1 distributions and 0 data sets"),
        (("distributions", 1, "name"), "model_c", "distribution 'model_c' is defined twice"),
        (("distributions", 1, "sigma"), 2.0, "the width of 'alpha_jesConstraint' is 2"),
        (("distributions", 1, "type"), "poisson_dist", "is no Gaussian term of 'alpha_jes'"),
        ((*_CHANNEL, "type"), "generic_dist", "distribution 'model_c' is a generic_dist"),
        ((*_CHANNEL, "staterror"), {"constraint_type": "Poisson"}, "two constraints"),
        ((*_CHANNEL, "staterror"), {"relThreshold": 0.05}, "below 0.05 are to be left out"),
        (("data", 0, "type"), "unbinned", "data set 'obsData_c' is unbinned"),
        (("data", 0, "contents"), [float("nan"), 1.0], "data.0.contents.0"),
        (("analyses", 0, "prior"), "flat", "has a prior"),
        (
            ("domains", 0, "axes"),
            [{"name": "mu", "min": -1.0, "max": 5.0}, {"name": "mu", "min": 0.0, "max": 0.1}],
            "domain 'default_domain': axis 'mu' is defined twice",
        ),
        (
            ("parameter_points", 0, "parameters"),
            [{"name": "mu", "value": 0.5}, {"name": "mu", "value": 0.5, "const": True}],
            "parameter point 'default_values': parameter 'mu' is defined twice",
        ),
        (
            (*_CHANNEL, "samples", 1, "data", "errors"),
            [2.0],
            "1 uncertainties for 2 bins",
        ),
        (("data", 0, "uncertainty"), {"sigma": [1.0, 1.0]}, "has an uncertainty of its own"),
        (("data", 0, "axes"), [{"name": "y"}], "'obsData_c' has other axes than 'model_c'"),
        (("data", 0, "axes"), [{"name": "obs_x_c", "edges": [0.0, 1.0, 3.0]}], "has other axes"),
        (
            (*_CHANNEL, "default_interpolation"),
            {"in": "poly6", "out": "poly1", "type": "add"},
            "normsys 'n': interpolation {'in': 'poly6'",
        ),
        ((*_SIGNAL, 1), {"name": "k", "type": "normfactor"}, "it has no `parameter`"),
        ((*_SIGNAL, 2, "constraint_type"), "LogNormal", "its constraint is LogNormal"),
        ((*_BACKGROUND, 1, "constraints"), ["alpha_jesConstraint"], "1 constraints for 2 bins"),
        ((*_BACKGROUND, 1, "constraints"), ["a", "b"], "unknown distribution 'a'"),
        ((*_BACKGROUND, 1, "constraints"), [None, None], "an uncertainty and without a constraint"),
        (
            (*_BACKGROUND, 1, "constraints"),
            ["alpha_jesConstraint"] * 2,
            "1 in 'alpha_jesConstraint', and 0.2 by `data.vals`",
        ),
        (("analyses", 0, "likelihood"), "l", "unknown likelihood 'l' (there are L)"),
        ((*_SIGNAL, 2, "interpolation"), 0, "interpolation 0"),
        ((*_SIGNAL, 2), HISTOSYS, "`data.hi.contents` is no list of numbers"),
        ((*_SIGNAL, 2, "type"), "normfunc", "unknown type of modifier"),
        ((*_SIGNAL, 2, "data"), {"hi": True, "lo": 0.9}, "`data.hi` is no number"),
        ((*_SIGNAL, 1, "weight"), 2.0, "weight"),
        ((*_SIGNAL, 1, "parameter"), "alpha_jes", "shares parameters with modifiers"),
        ((*_BACKGROUND, 1, "constraint_type"), "LogNormal", "its constraint is LogNormal"),
        ((*_BACKGROUND, 1, "data"), {"vals": [0.2]}, "1 values for 2 bins"),
        ((*_BACKGROUND, 0, "parameters"), ["g", "g"], "1 parameters for 2 bins"),
        ((*_CHANNEL, "samples", 1, "data", "errors"), None, "the sample has no `data.errors`"),
    ],
)
def test_hs3_that_is_refused(where: tuple[Any, ...], value: Any, message: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    norm = {"name": "n", "type": "normsys", "parameter": "n", "data": {"hi": 1.1, "lo": 0.9}}
    document["distributions"][0]["samples"][1]["modifiers"].append(norm)
    _at(*where)(document, value)
    with pytest.raises(ModelError) as caught:
        hs3.read(document, place="model.json")
    assert message in str(caught.value)
    assert "remedy: " in str(caught.value)


def _changed_document(change: Callable[[Any, Any, Any], None]) -> Any:
    document = copy.deepcopy(DOCUMENT)
    signal, background = (s["modifiers"] for s in document["distributions"][0]["samples"])
    change(document, signal, background)
    return hs3.read(document, place="model.json").workspace


def _names_of_distributions(document: Any, signal: Any, background: Any) -> None:
    signal[2]["constraint"] = signal[2].pop("constraint_name")
    fakes = background[1]
    del fakes["constraint_type"]
    fakes["constraints"] = ["f0", "f1"]
    for number, count in enumerate((25.0, 100.0)):
        poisson = {"name": f"f{number}", "type": "poisson_dist", "x": count, "mean": "product"}
        document["distributions"].append(poisson)


def _names_of_root(document: Any, signal: Any, background: Any) -> None:
    for modifier in (*signal, *background):
        modifier.pop("parameter", None)
        modifier.pop("parameters", None)
    background[1]["name"] = "f"
    values = document["parameter_points"][0]["parameters"]
    names = ("alpha_jes", "gamma_f_bin_0", "gamma_f_bin_1")
    for name in (*names, "gamma_stat_c_bin_0", "gamma_stat_c_bin_1"):
        values.append({"name": name, "value": 0.0 if name == "alpha_jes" else 1.0})


def _general_interpolation(document: Any, signal: Any, background: Any) -> None:
    shape = {"hi": {"contents": [55.0, 41.0]}, "lo": {"contents": [46.0, 40.0]}}
    background.append({"name": "h", "type": "histosys", "parameter": "h", "data": shape})
    words = {"in": "poly6", "out": "poly1", "type": "add"}
    document["distributions"][0]["default_interpolation"] = words


def test_hs3_with_other_words_for_the_same() -> None:
    """Constraints by the names of distributions, as later patches of ROOT 6.40 write them, and
    parameters that 6.32 does not name."""
    same = hs3.read(DOCUMENT, place="test").workspace
    assert _changed_document(_names_of_distributions) == same
    named = _changed_document(_names_of_root)
    names = [m["name"] for s in named["channels"][0]["samples"] for m in s["modifiers"]]
    assert names == ["mu", "jes", "staterror", "f"]
    shaped = _changed_document(_general_interpolation)
    assert shaped["channels"][0]["samples"][1]["modifiers"][2]["name"] == "h"


def test_a_constraint_of_the_likelihood_is_that_of_all_samples() -> None:
    """A likelihood names it once, and modifiers of two samples do not."""
    document = copy.deepcopy(DOCUMENT)
    for sample_ in document["distributions"][0]["samples"]:
        sample_["modifiers"].insert(0, {"name": "L", "type": "normfactor", "parameter": "Lumi"})
    del document["distributions"][0]["samples"][0]["modifiers"][1]
    del document["parameter_points"][0]["parameters"][0]
    gauss = {"name": "l", "type": "gaussian_dist", "x": 1.0, "mean": "Lumi", "sigma": 0.02}
    document["distributions"].append(gauss)
    document["likelihoods"][0]["aux_distributions"] = ["l"]
    content = hs3.read(document, place="model.json").workspace
    for sample_ in content["channels"][0]["samples"]:
        assert {"name": "lumi", "type": "lumi", "data": None} in sample_["modifiers"]
    (lumi,) = (p for p in content["measurements"][0]["config"]["parameters"] if p["name"] == "lumi")
    assert (lumi["auxdata"], lumi["sigmas"]) == ([1.0], [0.02])


def test_uncertainties_that_may_be_absolute_are_told() -> None:
    """ROOT has relative ones, pyhs3 absolute ones."""
    document = copy.deepcopy(DOCUMENT)
    document["distributions"][0]["samples"][1]["modifiers"][1]["data"]["vals"] = [10.0, 4.0]
    (note,) = hs3.read(document, place="model.json").notes
    assert "shapesys 'fakes': uncertainties of up to 10 times the content" in note
    assert hs3.read(DOCUMENT, place="model.json").notes == ()


def test_several_analyses_of_hs3(tmp_path: Path) -> None:
    """ROOT writes one of pseudodata as well: which one is meant must be said."""
    document = copy.deepcopy(DOCUMENT)
    document["analyses"].insert(0, document["analyses"][0] | {"name": "asimov"})
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    source = WorkspaceInput(kind="workspace", path=str(path))
    with pytest.raises(ModelError, match="there are 2 analyses: asimov, A"):
        external.read(source)
    content, notes = external.read(source.model_copy(update={"measurement": "A"}))
    assert content["measurements"][0]["name"] == "A"
    assert notes == ()


# From the documentation of Combine: a counting experiment.
COUNTING = """\
# Simple counting experiment, with one signal and a few background processes
imax 1  number of channels
jmax 3  number of backgrounds
kmax 4  number of nuisance parameters (sources of systematical uncertainties)
------------
bin bin1
observation 0
------------
bin             bin1 bin1 bin1 bin1
process         ppX  WW  DY  tt
process          0    1   2   3
rate           1.47  0.15  0.22  0.1
------------
lumi    lnN    1.11    -     -   1.11     lumi affects both ppX and tt
xs_ppX  lnN    1.20    -     -    -
DY_bg   gmN  4  -  -  0.055  -
tt_bg   lnN     -     -    -  0.85/1.30
trig rateParam bin1 WW 1 [0,3]
"""


def read_card(text: str, folder: Path = Path()) -> Model:
    return datacard.read(text, datacard.histograms_of(folder), place="card.txt")


def test_counting_card() -> None:
    """The likelihood is that of the formulas, at one standard deviation and at none."""
    read = read_card(COUNTING)
    model, data = workspace.load(read.workspace, place="test")
    values = dict(zip(model.config.par_names, model.config.suggested_init(), strict=True))
    values |= {"r": 2.0, "lumi": 1.0, "tt_bg": -1.0, "DY_bg[0]": 1.2, "trig": 0.5}
    expected = 2 * 1.47 * 1.11 + 0.5 * 0.15 + 1.2 * 0.22 + 0.1 * 1.11 * 0.85
    own = (
        -expected - 2 * (0.5 + math.log(math.sqrt(2 * math.pi))) - math.log(math.sqrt(2 * math.pi))
    )
    # Four events in the control region, of which 4.8 are expected.
    own += 4 * math.log(4.8) - 4.8 - math.lgamma(5)
    point = [values[name] for name in model.config.par_names]
    assert float(model.logpdf(point, data)[0]) == pytest.approx(own, rel=1e-12)
    assert model.config.suggested_bounds()[model.config.par_slice("r")] == [[0.0, 20.0]]
    assert model.config.suggested_bounds()[model.config.par_slice("trig")] == [[0.0, 3.0]]
    assert model.config.poi_name == "r"


def test_control_regions_without_events() -> None:
    text = COUNTING.replace("gmN  4", "gmN  0").replace("0.22", "0")
    with pytest.raises(ModelError, match="gmN 'DY_bg': 0 events in the control region"):
        read_card(text)


def test_surplus_entries_are_told() -> None:
    """Combine reads over them; words are a comment."""
    (line,) = (line for line in COUNTING.splitlines() if line.startswith("xs_ppX"))
    surplus = read_card(COUNTING.replace(line, f"{line} 1.5"))
    plain = read_card(COUNTING)
    assert surplus.workspace == plain.workspace
    (note,) = set(surplus.notes) - set(plain.notes)
    n = len(line.split()) - 2
    assert note == f"'xs_ppX' has {n + 1} entries for {n} processes: the last ones have no effect"
    assert read_card(COUNTING.replace(line, f"{line} of 2015 1.5")).notes == plain.notes


def test_a_card_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    path, marked = tmp_path / "card.txt", tmp_path / "marked.txt"
    path.write_text(COUNTING, encoding="utf-8")
    marked.write_text(COUNTING, encoding="utf-8-sig")
    read = [external.read(WorkspaceInput(kind="workspace", path=str(p))) for p in (path, marked)]
    assert read[0][0] == read[1][0]


def test_titles_are_read_over() -> None:
    """combineCards.py writes one before the counts; behind them a line is one of a card."""
    titled = f"Combination of a=a.txt  b=b.txt\ndate 1.1.2020\n{COUNTING}"
    titled = titled.replace("lumi    lnN", "-- Uncertainties --\nlumi    lnN")
    assert read_card(titled).workspace == read_card(COUNTING).workspace
    with pytest.raises(ModelError, match="unknown line 'observatoin 0'"):
        read_card(COUNTING.replace("observation", "observatoin"))


# Two channels that share a background without a range: 500 and 16 events.
SHARED = """\
imax 2
jmax 1
kmax *
bin         CR   SR
observation 500  16
bin         CR   SR   SR
process     bkg  bkg  sig
process     1    1    0
rate        1    0.02 3
lumi   lnN  -    -    1.02
k rateParam * bkg 1
"""


@pytest.mark.parametrize(
    ("changes", "strength", "factor"),
    [
        # 500 = k, 16 = 0.02 k + 3 r.
        ({}, 2.0, 500.0),
        ({"* bkg 1": "* bkg 700"}, 2.0, 500.0),
        # 500 = 0.001 k, 16000 = 0.02 k + 3000 r.
        ({"1    0.02 3": "0.001 0.02 3000", "500  16": "500 16000"}, 2.0, 500_000.0),
        # 500 = 700 + k, 60 = 80 + 5 k + 490 r: less than none, as Combine has it.
        (
            {
                "CR   SR   SR\n": "CR   SR   SR SR CR\n",
                "bkg  bkg  sig": "bkg bkg sig other other",
                "1    1    0": "1 1 0 2 2",
                "jmax 1": "jmax 2",
                "1    0.02 3": "1 5 490 80 700",
                "-    -    1.02": "- - 1.02 - -",
                "500  16": "500 60",
            },
            2.0,
            -200.0,
        ),
    ],
)
def test_a_rate_without_a_range_has_no_bounds(
    changes: dict[str, str], strength: float, factor: float
) -> None:
    """The data determine both: they are met exactly."""
    text = SHARED
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    settings = MinimiserSettings(method="exact", max_distance=1e-16, max_iterations=200, starts=4)
    result = fit_workspace(read_card(text).workspace, settings)
    assert result["r"].bestfit == pytest.approx(strength, rel=1e-6)
    assert result["k"].bestfit == pytest.approx(factor, rel=1e-6)


SHAPES = """\
imax 1
jmax 1
kmax *
---------------
shapes * * shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC
---------------
bin a
observation 85
---------------
bin             a      a
process         sig    bkg
process         0      1
rate            10     -1
---------------
lumi    lnN     1.10   1.0/1.05
alpha   shape   -      1
beta    shape?  1      1
a autoMCStats 0
"""


def write_shapes(folder: Path, **changes: Any) -> None:
    histograms = {
        "data_obs": [40.0, 45.0],
        "sig": [4.0, 6.0],
        "bkg": [50.0, 30.0],
        "bkg_alphaUp": [66.0, 30.0],
        "bkg_alphaDown": [40.0, 32.0],
        "sig_betaUp": [5.0, 5.0],
        "sig_betaDown": [3.0, 7.0],
    } | changes
    with uproot.recreate(folder / "shapes.root") as file:
        for name, values in histograms.items():
            if values is not None:
                file[f"a/{name}"] = (np.array(values), np.arange(len(values) + 1.0))


def test_shape_card(tmp_path: Path) -> None:
    write_shapes(tmp_path)
    (tmp_path / "card.txt").write_text(
        SHAPES.replace("beta    shape?  1      1", "beta shape? 1 1.3")
    )
    source = WorkspaceInput(kind="workspace", path=str(tmp_path / "card.txt"))
    assert list(source.files.values()) == [str(tmp_path / n) for n in ("card.txt", "shapes.root")]
    content, notes = external.read(source)
    (note,) = notes
    assert "the relative uncertainties of autoMCStats stay those of the start" in note.message
    model, _ = workspace.load(content, place="test")
    assert content["observations"] == [{"name": "a", "data": [40.0, 45.0]}]

    def rates(**values: float) -> Any:
        start = dict(zip(model.config.par_names, model.config.suggested_init(), strict=True))
        point = [(start | values)[name] for name in model.config.par_names]
        return model.expected_actualdata(point)

    nominal = np.array([54.0, 36.0])
    np.testing.assert_allclose(rates(), nominal)
    np.testing.assert_allclose(rates(r=2.0), [58.0, 42.0])
    np.testing.assert_allclose(rates(lumi=-1.0), np.array([4, 6]) / 1.1 + [50, 30])
    np.testing.assert_allclose(rates(alpha=1.0), [70.0, 36.0])
    np.testing.assert_allclose(rates(alpha=-1.0), [44.0, 38.0])
    # Templates of one process, and a factor of the other, which has none.
    np.testing.assert_allclose(rates(beta=1.0), np.array([5, 5]) + 1.3 * np.array([50, 30]))
    # With the signal: `include-signal` is of the effective number of events only.
    np.testing.assert_allclose(rates(**{"prop_bina[0]": 1.1}), [59.4, 36.0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("imax 1", "imax 2", "imax is 2, and there are 1"),
        ("observation 85", "observation 85 3", "2 observations"),
        ("observation 85", "observation 80", "80 in the card, 85 in the histogram"),
        ("rate            10 ", "rate            11 ", "11 in the card, 10 in the histogram"),
        ("rate            10 ", "rate            -10", "the rate is -10"),
        ("sig    bkg", "sig    sig", "process 'sig' is in channel 'a' twice"),
        ("sig    bkg", "sig", "lines of 1 and 2 entries"),
        ("process         0      1\n", "", "no table of processes"),
        ("alpha   shape ", "alpha   shapeN", "a line shapeN, which a workspace has no place for"),
        ("a autoMCStats 0", "k lnU 1.1 -", "a line lnU, which a workspace has no place for"),
        ("a autoMCStats 0", "k flatParam", "a line flatParam, which a workspace has no place for"),
        ("alpha   shape   -      1", "alpha   shape   -      0.5", "at 2 standard deviations"),
        ("alpha   shape   - ", "alpha   shape   1 ", "no histograms alphaUp and alphaDown"),
        ("alpha   shape   -      1", "alpha   shape   1", "1 entry for 2 processes"),
        ("alpha ", "lumi ", "the parameter 'lumi' is defined twice"),
        ("1.0/1.05", "1.0/-1", "'1.0/-1' is no factor"),
        ("1.0/1.05", "one", "'one' is no number"),
        ("autoMCStats 0", "autoMCStats 0 0 3", "hist-mode 3"),
        ("a autoMCStats", "b autoMCStats", "autoMCStats of an unknown channel 'b'"),
        ("shapes.root", "other.root", "file not found"),
        ("$CHANNEL/$PROCESS $", "w:$PROCESS $", "in a RooFit workspace"),
        ("$CHANNEL/$PROCESS $", "$CHANNEL/$MASS $", "an unknown word in `shapes`"),
        ("a autoMCStats 0", "k rateParam a nothing 1", "no process 'nothing' in a channel 'a'"),
        ("a autoMCStats 0", "k rateParam a bkg (@0*2) r", "a function of other parameters"),
        ("a autoMCStats 0", "k rateParam a bkg 1 r", "a function of other parameters"),
        ("a autoMCStats 0", "r rateParam a bkg 1", "'r' is the signal strength as well"),
        ("a autoMCStats 0", "k param 1 0.1", "param 'k' is of no rateParam"),
        (
            "a autoMCStats 0",
            "k rateParam a bkg 1\nk param 1 0.1",
            "the parameter 'lumi' is defined twice",
        ),
        (
            "a autoMCStats 0",
            "nuisance edit freeze alpha",
            "a line edit, which a workspace has no place for",
        ),
        ("a autoMCStats 0", "k lnX 1.1 -", "unknown type of line 'lnX'"),
        ("a autoMCStats 0", "k gmN 5 - 16", "of several bins or processes"),
    ],
)
def test_cards_that_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    write_shapes(tmp_path)
    assert old in SHAPES
    with pytest.raises(PipelineError) as caught:
        read_card(SHAPES.replace(old, new, 1).replace("shape?  1      1", "lnN 1.1 -"), tmp_path)
    assert message in str(caught.value)
    assert "remedy: " in str(caught.value)


def test_templates_that_change_the_sum(tmp_path: Path) -> None:
    """As ShapeTools of Combine has them: apart, not at all if small, or as they are."""
    text = SHAPES.replace("beta    shape?  1      1", "")
    small = {"bkg_alphaUp": [50.06, 30.0], "bkg_alphaDown": [49.94, 30.0]}

    def alpha(text: str, **changes: Any) -> dict[str, Any]:
        write_shapes(tmp_path, **changes)
        _, bkg = read_card(text, tmp_path).workspace["channels"][0]["samples"]
        return {m["type"]: m["data"] for m in bkg["modifiers"] if m["name"] == "alpha"}

    apart = alpha(text)
    assert apart["normsys"] == {"hi": 1.2, "lo": 0.9}
    assert apart["histosys"]["hi_data"] == pytest.approx([55.0, 25.0])
    assert alpha(text, **small).keys() == {"histosys"}
    assert alpha(text.replace("autoMCStats 0", "autoMCStats 0 0 2")) == {
        "histosys": {"hi_data": [66.0, 30.0], "lo_data": [40.0, 32.0]}
    }


def write_histograms(path: Path, **histograms: tuple[list[float], list[float]]) -> None:
    """Contents and errors by name."""
    with uproot.recreate(path) as file:
        for name, (contents, errors) in histograms.items():
            axis = hist.axis.Regular(len(contents), 0.0, 1.0)
            histogram = hist.Hist(axis, storage=hist.storage.Weight())
            histogram.view()["value"] = contents
            histogram.view()["variance"] = np.square(errors)
            file[name] = histogram


FEW = """\
imax *  number of channels
jmax *
kmax *
--- histograms
shapes * * input_$CHANNEL.root $PROCESS $PROCESS_$SYSTEMATIC
shapes * cr FAKE
bin ee mm cr
observation -1 -1 4.0
bin     ee   ee   ee     mm   mm   cr   cr
process s    b    other  s    b    s    b   # numbers come next
process -1   1    2      -1   1    -1   1
rate    -1   -1   -1     -1   30   1    2
lumi    lnN  1.1  --  0.0  0.9/1.1  -  1.2 0  ### comment
free    rateParam * b 1 [0.1,5]
* autoMCStats 10 0 1
"""


def test_statistics_of_few_events_in_several_files(tmp_path: Path) -> None:
    """As CMSHistErrorPropagator of Combine has them, worked out by hand."""
    signal, background = ([4.0, 6.0], [1.0, 2.0]), ([50.0, 30.0], [5.0, 12.0])
    other = ([5.0, 5.0], [0.0, 1.0])
    data = ([1.0, 2.0], [1.0, 1.0])
    write_histograms(tmp_path / "input_ee.root", data_obs=data, s=signal, b=background, other=other)
    write_histograms(
        tmp_path / "input_mm.root", data_obs=([9.0], [3.0]), s=([1.0], [0.1]), b=([30.0], [0.0])
    )
    assert card_text.shape_files(FEW) == ["input_ee.root", "input_mm.root"]
    read = read_card(FEW, tmp_path)
    channels = {c["name"]: c["samples"] for c in read.workspace["channels"]}

    def statistics(channel: str) -> dict[str, dict[str, Any]]:
        return {
            sample["name"]: {
                m["type"]: (m["name"], m["data"])
                for m in sample["modifiers"]
                if m["name"].startswith("prop_bin")
            }
            for sample in channels[channel]
        }

    # In bin 0 the backgrounds have 121 effective events, in bin 1 8.
    many = "prop_binee"
    assert statistics("ee") == {
        "s": {
            "staterror": (many, [1.0, 0.0]),
            "shapesys": (f"{many}_s", [0.0, pytest.approx(2.0)]),
        },
        "b": {
            "staterror": (many, [5.0, 0.0]),
            "shapesys": (f"{many}_b", [0.0, pytest.approx(30 / math.sqrt(6))]),
        },
        # 25 events of its own.
        "other": {"staterror": (f"{many}_other_gauss", [0.0, 1.0])},
    }
    assert read.variables[f"{many}_other_gauss[1]"] == "prop_binee_bin1_other"
    assert read.variables[f"{many}_b[1]"] == "prop_binee_bin1_b"
    # Backgrounds without errors: no factor, although the signal has some.
    assert statistics("mm") == {"s": {}, "b": {}}
    assert [s["data"] for s in channels["cr"]] == [[1.0], [2.0]]
    effects = {
        (channel, sample["name"]): modifier["data"]
        for channel, samples in channels.items()
        for sample in samples
        for modifier in sample["modifiers"]
        if modifier["name"] == "lumi"
    }
    assert effects == {
        ("ee", "s"): {"hi": 1.1, "lo": pytest.approx(1 / 1.1)},
        ("mm", "s"): {"hi": 1.1, "lo": 0.9},
        ("cr", "s"): {"hi": 1.2, "lo": pytest.approx(1 / 1.2)},
    }
    model, _ = workspace.load(read.workspace, place="test")
    assert len(model.config.par_names) == 11
    other = ([5.0, 0.0], [0.0, 1.0])
    write_histograms(tmp_path / "input_ee.root", data_obs=data, s=signal, b=background, other=other)
    with pytest.raises(PipelineError, match="bin 1 of process 'other' in channel 'ee' is empty"):
        read_card(FEW, tmp_path)


def test_channels_that_are_numbers_and_histograms_of_one_channel() -> None:
    """Combine calls channel 1 bin1; the lines of a channel come first."""
    read = read_card(COUNTING.replace("bin1", "1").replace("rateParam 1", "rateParam bin1"))
    assert [c["name"] for c in read.workspace["channels"]] == ["bin1"]
    shapes = {
        ("a", "b"): ["own"],
        ("d", "*"): ["channel"],
        ("*", "s"): ["process"],
        ("*", "*"): ["all"],
    }
    pairs = (("a", "b"), ("a", "s"), ("a", "t"), ("d", "s"), ("c", "s"))
    found = [card_text.names_of(shapes, *pair) for pair in pairs]
    assert found == [["own"], ["process"], ["all"], ["channel"], ["process"]]


def test_templates_with_other_edges_are_told(tmp_path: Path) -> None:
    """Combine takes bins by their numbers; rounded edges are no others."""
    write_shapes(tmp_path)
    text = SHAPES.replace("beta    shape?  1      1", "")
    plain = read_card(text, tmp_path)
    with uproot.update(tmp_path / "shapes.root") as file:
        for name, edges in (("bkg_alphaUp", [0.0, 10.0, 50.0]), ("sig", [0.0, 1.0 + 1e-7, 2.0])):
            contents = file[f"a/{name}"].values()
            del file[f"a/{name}"]
            file[f"a/{name}"] = (contents, np.array(edges))
    read = read_card(text, tmp_path)
    assert read.workspace == plain.workspace
    (note,) = set(read.notes) - set(plain.notes)
    assert note.startswith("a/bkg_alphaUp in shapes.root has other edges than data_obs: its bins")


def test_processes_without_events_have_no_uncertainties(tmp_path: Path) -> None:
    """Combine leaves them out, with the templates and errors that they may have."""
    write_shapes(tmp_path, bkg=[0.0, 0.0], sig=[40.0, 45.0])
    text = SHAPES.replace("beta    shape?  1      1", "").replace("10     -1", "85 -1")
    text = text.replace("autoMCStats 0", "autoMCStats 0 1")
    (channel,) = read_card(text, tmp_path).workspace["channels"]
    sig, bkg = channel["samples"]
    assert [m["name"] for m in sig["modifiers"]] == ["r", "lumi", "prop_bina"]
    assert bkg == {"name": "bkg", "data": [0.0, 0.0], "modifiers": []}
    read = read_card(COUNTING.replace("1.47  0.15  0.22  0.1", "1.47  0.15  0.22  0"))
    tt = read.workspace["channels"][0]["samples"][3]
    assert tt == {"name": "tt", "data": [0.0], "modifiers": []}


def test_histograms_that_are_missing_or_have_other_bins(tmp_path: Path) -> None:
    text = SHAPES.replace("beta    shape?  1      1", "")
    for changes, message in (
        ({"bkg": None}, "no histogram 'a/bkg' of bkg in a"),
        ({"bkg": [50.0, 30.0, 1.0]}, "3 bins, and data of 2"),
        ({"bkg_alphaUp": [66.0]}, "templates of alpha with other bins"),
        ({"bkg_alphaUp": [0.0, 0.0]}, "templates of alpha without events"),
        ({"data_obs": None}, "no histogram 'a/data_obs'"),
    ):
        write_shapes(tmp_path, **changes)
        with pytest.raises(PipelineError, match=message):
            read_card(text, tmp_path)


@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        (b'\n<?xml version="1.0"?><Combination/>', "this is XML", "pyhf xml2json"),
        (b"root\x00\x00\xf0\x00", "this is a ROOT file", "RooJSONFactoryWSTool"),
    ],
)
def test_models_that_need_another_program(
    content: bytes, kind: str, remedy: str, tmp_path: Path
) -> None:
    """They are not damaged, and nobody should delete them."""
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(InputError, match=kind) as caught:
        external.read(WorkspaceInput(kind="workspace", path=str(path)))
    assert remedy in str(caught.value)
    assert "delete" not in str(caught.value)


def test_cards_that_no_patch_or_archive_has(tmp_path: Path) -> None:
    path = tmp_path / "card.txt"
    path.write_text(SHAPES)
    for changes, message in (
        ({"patch": "signal.json"}, "patches are for JSON"),
        ({"member": "card.txt"}, "this is no archive"),
    ):
        with pytest.raises(PipelineError, match=message):
            external.read(WorkspaceInput(kind="workspace", path=str(path), **changes))


# Everything that a card has a place for; the luminosity has a Gaussian term.
CARD = spec(
    (
        "signal region",
        [110.0, 60.0],
        sample(
            "signal",
            [10.0, 5.0],
            ("mu", *MU),
            ("lumi", "lumi", None),
            ("eff", "normsys", {"hi": 1.05, "lo": 0.96}),
        ),
        sample(
            "top",
            [60.0, 40.0],
            ("k_top", *MU),
            ("lumi", "lumi", None),
            ("jes", "normsys", {"hi": 1.1, "lo": 0.92}),
            ("jes", "histosys", {"hi_data": [62.0, 38.0], "lo_data": [57.0, 43.0]}),
            ("mc", "staterror", [2.0, 1.5]),
        ),
        sample("other", [30.0, 10.0], ("jes", "normsys", {"hi": 0.9, "lo": 1.1})),
    ),
    ("control", [400.0], sample("top", [380.0], ("k_top", *MU), ("lumi", "lumi", None))),
    parameters=(
        {"name": "k_top", "inits": [0.9], "bounds": [[0.5, 2.0]]},
        {
            "name": "lumi",
            "auxdata": [1.0],
            "sigmas": [0.02],
            "bounds": [[0.9, 1.1]],
            "inits": [1.0],
        },
    ),
    bounds=(0, 20),
)


@pytest.mark.parametrize("content", [CARD, TWO_CHANNELS, LUMINOSITY, CABINETRY])
def test_card_comes_back(content: Any, tmp_path: Path) -> None:
    """The same likelihood in our reading, and the rest is listed."""
    translation, lost = card_writing.write(content, tmp_path)
    read = read_card((tmp_path / "datacard.txt").read_text(), tmp_path)
    assert not [entry for entry in lost if entry.startswith(("data of", "fixed value"))]
    if content is CARD:
        assert lost == [
            "interpolation of normalisations within one standard deviation, which Combine has of "
            "its own"
        ]
    if content is not CABINETRY:
        same_likelihood(content, translation, read)
    else:
        # Its template changes the sum of the sample, which Combine varies exponentially.
        assert "Signal Region, Background, histosys Modeling" in lost


def test_names_that_are_words_of_cards(tmp_path: Path) -> None:
    """A channel, a sample, and parameters; the parameter of interest is another one than r."""
    lumi = ("lumi", "normsys", {"hi": 1.1, "lo": 1 / 1.1})
    content = spec(
        (
            "bin",
            [110.0],
            sample("rate", [10.0], ("mu", *MU), lumi),
            sample("data_obs", [95.0], ("r", *MU), ("shapes", "normsys", {"hi": 1.2, "lo": 0.9})),
        ),
        ("process", [50.0], sample("data_obs", [48.0], ("r", *MU))),
    )
    translation, lost = card_writing.write(content, tmp_path)
    assert lost == [
        "bounds of mu",
        "interpolation of normalisations within one standard deviation, which Combine has of its "
        "own",
    ]
    read = read_card((tmp_path / "datacard.txt").read_text(), tmp_path)
    same_likelihood(content, translation, read)


def test_models_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(card_writing.NoPlaceError, match="shapefactor 'free_shape' has no place"):
        card_writing.write(EVERYTHING, tmp_path)
    without = spec(("c", [5.0], sample("b", [5.0], ("k", "normsys", {"hi": 1.1, "lo": 0.9}))))
    without["measurements"][0]["config"] = {"poi": "", "parameters": []}
    with pytest.raises(card_writing.NoPlaceError, match="does not scale a signal"):
        card_writing.write(without, tmp_path)
    with pytest.raises(InputError, match="file not found"):
        read_card(SHAPES, tmp_path / "elsewhere")
