"""Workspaces that can be read in two ways, and settings without effect."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.errors import ModelError, PipelineError
from agc_pipeline.inference import consistency, workspace
from agc_pipeline.inference.modifiers import model_likelihood
from models import EVERYTHING, LUMINOSITY, MODELS, MU, TWO_CHANNELS, sample, spec

Change = Callable[[Any], Any]


def changed(content: Any, change: Change) -> Any:
    copy = json.loads(json.dumps(content))
    change(copy)
    return copy


def findings(content: Any) -> list[tuple[str, str, str]]:
    return [(f.severity, f.where, f.message) for f in consistency.check(content)]


def settings(content: Any, name: str, **values: Any) -> None:
    """Give settings to a parameter."""
    entries = content["measurements"][0]["config"]["parameters"]
    entry = next((entry for entry in entries if entry["name"] == name), None)
    if entry is None:
        entry = {"name": name}
        entries.append(entry)
    entry.update(values)


def modifiers(content: Any, channel: int, number: int) -> Any:
    return content["channels"][channel]["samples"][number]["modifiers"]


@pytest.mark.parametrize("name", MODELS)
def test_models_that_mean_one_thing(name: str) -> None:
    assert findings(MODELS[name]) == []


def test_a_sample_twice_is_not_the_last_of_them() -> None:
    """Both together are 100 events: data of 110 are 10 events of signal, not 70."""
    n = ("n", "normsys", {"hi": 1.05, "lo": 0.95})

    def model(second: str) -> Any:
        signal = sample("signal", [10.0, 5.0], ("mu", *MU))
        return spec(
            (
                "c",
                [110.0, 55.0],
                signal,
                sample("bkg", [60.0, 30.0], n),
                sample(second, [40.0, 20.0], n),
            )
        )

    with pytest.raises(ModelError, match="channel 'c': sample 'bkg' is defined twice") as caught:
        workspace.load(model("bkg"), place="here")
    assert "rename one of them" in caught.value.remedy
    loaded, data = workspace.load(model("other"), place="here")
    assert model_likelihood(loaded, data).rates(np.array([1.0, 0.0])).tolist() == [110.0, 55.0]


SHORT = "give all contents of a channel in the same bins"
CASES: dict[str, tuple[Any, Change, str]] = {
    "channel": (
        EVERYTHING,
        lambda w: w["channels"].append(w["channels"][0]),
        "channel 'a' is defined twice",
    ),
    "observation": (
        EVERYTHING,
        lambda w: w["observations"].append({"name": "b", "data": [1.0, 2.0, 3.0]}),
        "observation 'b' is defined twice",
    ),
    "measurement": (
        EVERYTHING,
        lambda w: w["measurements"].append(w["measurements"][0]),
        "measurement 'measurement' is defined twice",
    ),
    "modifier": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 1).append(modifiers(w, 0, 1)[1]),
        "channel 'a', sample 'fake': normsys 'shape' is defined twice",
    ),
    "no observation": (
        EVERYTHING,
        lambda w: w["observations"].pop(),
        "channel 'b': it has no observation",
    ),
    "short observation": (
        EVERYTHING,
        lambda w: w["observations"][0]["data"].pop(),
        "channel 'a', observation: 2 bins, but sample 'signal' has 3",
    ),
    "long observation": (
        EVERYTHING,
        lambda w: w["observations"][0]["data"].append(1.0),
        "channel 'a', observation: 4 bins, but sample 'signal' has 3",
    ),
    "short sample": (
        EVERYTHING,
        lambda w: w["channels"][1]["samples"][1]["data"].pop(),
        "channel 'b', sample 'small': 2 bins, but sample 'free' has 3",
    ),
    "short histosys": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 1)[0]["data"]["lo_data"].pop(),
        "sample 'fake', histosys 'shape', lo_data: 2 bins",
    ),
    "short shapesys": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 1)[2]["data"].pop(),
        "sample 'fake', shapesys 'poisson': 2 bins",
    ),
    "long staterror": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 3)[0]["data"].append(1.0),
        "sample 'small', staterror 'mc': 4 bins",
    ),
    "shapefactor of other bins": (
        TWO_CHANNELS,
        lambda w: (
            modifiers(w, 0, 1).append({"name": "f", "type": "shapefactor", "data": None}),
            w["channels"].append(
                {"name": "c", "samples": [sample("s", [1.0], ("f", "shapefactor", None))]}
            ),
            w["observations"].append({"name": "c", "data": [1.0]}),
        ),
        "shapefactor 'f' has 1 bin here and 2 in channel 'signal', sample 'bkg1'",
    ),
    "staterror of other samples": (
        TWO_CHANNELS,
        lambda w: (
            modifiers(w, 0, 1).append({"name": "s", "type": "staterror", "data": [1.0, 1.0]}),
            modifiers(w, 1, 0).append({"name": "s", "type": "staterror", "data": [1.0, 1.0]}),
        ),
        "staterror 's' is in channel 'control' as well, for other samples",
    ),
    "shapesys of two samples": (
        EVERYTHING,
        lambda w: modifiers(w, 1, 0).append(modifiers(w, 0, 1)[2]),
        "shapesys 'poisson' is in channel 'b', sample 'free' as well",
    ),
    "two types of one name": (
        EVERYTHING,
        lambda w: modifiers(w, 1, 0).append({"name": "scale", "type": "normfactor", "data": None}),
        "normsys 'scale' has the name of a normfactor",
    ),
    "a name that is a bin": (
        EVERYTHING,
        lambda w: modifiers(w, 1, 0).append(
            {"name": "mc[1]", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
        ),
        "two parameters have the name 'mc[1]'",
    ),
    "not finite": (
        EVERYTHING,
        lambda w: w["channels"][0]["samples"][0].update(data=[1.0, float("nan"), 10**400]),
        "bins 1, 2: not a finite number",
    ),
    "not a number": (
        EVERYTHING,
        lambda w: w["observations"][1].update(data=[True, 390, 260]),
        "observation of 'b': bin 0: not a finite number",
    ),
    "infinite factor": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 0)[2]["data"].update(hi=float("inf")),
        "normsys 'scale': factor 0: not a finite number",
    ),
    "infinite template": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 1)[0]["data"].update(hi_data=[75.0, float("inf"), 37.0]),
        "histosys 'shape', hi_data: bin 1: not a finite number",
    ),
    "negative staterror": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 3)[0].update(data=[-1.0, 0.8, 0.0]),
        "staterror 'mc': negative uncertainty in bin 0",
    ),
    "negative shapesys": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 1)[2].update(data=[6.0, -9.0, 5.0]),
        "shapesys 'poisson': negative uncertainty in bin 1",
    ),
    "an uncertainty without end": (
        EVERYTHING,
        lambda w: modifiers(w, 0, 1)[2].update(data=[6.0, 1e99, 1e-99]),
        "shapesys 'poisson': the uncertainty in bins 1, 2 is out of all proportion",
    ),
    "nothing with an uncertainty": (
        EVERYTHING,
        lambda w: w["channels"][0]["samples"][3].update(data=[1e-300, 6.0, 3.0]),
        "staterror 'mc': the uncertainty in bin 0 is out of all proportion",
    ),
    "too large a number": (
        EVERYTHING,
        lambda w: w["channels"][0]["samples"][0].update(data=[1e200, 30.0, 10.0]),
        "bin 0: not a finite number",
    ),
    "luminosity without settings": (
        LUMINOSITY,
        lambda w: w["measurements"][0]["config"]["parameters"].pop(),
        "the modifier lumi needs auxdata, sigmas, inits, bounds",
    ),
    "luminosity without an uncertainty": (
        LUMINOSITY,
        lambda w: w["measurements"][0]["config"]["parameters"][1].pop("sigmas"),
        "the modifier lumi needs sigmas",
    ),
    "luminosity with two of them": (
        LUMINOSITY,
        lambda w: settings(w, "lumi", sigmas=[0.1, 0.2]),
        "2 values of sigmas for 1 parameter",
    ),
    "settings twice": (
        EVERYTHING,
        lambda w: w["measurements"][0]["config"]["parameters"].append({"name": "mu"}),
        "settings of the parameter 'mu': they are given twice",
    ),
    "start of another length": (
        EVERYTHING,
        lambda w: settings(w, "free_shape", inits=[1.0]),
        "1 value of inits for 3 parameters",
    ),
    "infinite bound": (
        EVERYTHING,
        lambda w: settings(w, "mu", bounds=[[0, float("inf")]]),
        "settings of the parameter 'mu', bounds: value 1: not a finite number",
    ),
    "bounds the wrong way round": (
        EVERYTHING,
        lambda w: settings(w, "mu", bounds=[[10, 0]]),
        "bounds that are not a lower and a higher value",
    ),
    "one bound": (
        EVERYTHING,
        lambda w: settings(w, "mu", bounds=[[10]]),
        "bounds that are not a lower and a higher value",
    ),
    "width of a free factor": (
        EVERYTHING,
        lambda w: settings(w, "mu", sigmas=[1.0]),
        "a normfactor has no sigmas",
    ),
    "negative width": (
        EVERYTHING,
        lambda w: settings(w, "lumi", sigmas=[-0.03]),
        "sigmas that are not positive",
    ),
    "no width, of a parameter that is held": (
        LUMINOSITY,
        lambda w: settings(w, "lumi", sigmas=[0], fixed=True),
        "sigmas that are not positive",
    ),
    "bins without an uncertainty are freed": (
        EVERYTHING,
        lambda w: settings(w, "mc", fixed=False),
        "frees the bins without an uncertainty",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name: str) -> None:
    content, change, message = CASES[name]
    with pytest.raises(ModelError) as caught:
        workspace.load(changed(content, change), place="here")
    assert message in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (
            lambda w: w["observations"].append({"name": "c", "data": [1.0]}),
            "observations",
            "data without a channel: unknown channel 'c'",
        ),
        (
            lambda w: settings(w, "scael", fixed=True),
            "`parameters` of the measurement",
            "settings without effect: unknown parameter 'scael' (did you mean scale?)",
        ),
        (
            lambda w: settings(w, "mu", bounds=[[2, 10]]),
            "settings of the parameter 'mu'",
            "the fit starts at the bound",
        ),
        (
            lambda w: w["channels"][0]["samples"][3].update(data=[-5.0, 6.0, 3.0]),
            "channel 'a', sample 'small', staterror 'mc'",
            "the uncertainty in bin 0 is dropped: its samples together have no positive content",
        ),
        (
            lambda w: w["channels"][0]["samples"][1].update(data=[60.0, 0.0, 40.0]),
            "channel 'a', sample 'fake', shapesys 'poisson'",
            "the uncertainty in bin 1 is dropped: the sample has no positive content",
        ),
        (
            lambda w: modifiers(w, 1, 1)[1].update(name="mc"),
            "channel 'a'",
            "staterror 'mc' is in channel 'b' as well: each channel has its own parameters",
        ),
    ],
)
def test_what_is_told(change: Change, where: str, message: str) -> None:
    content = changed(EVERYTHING, change)
    ((severity, place, text),) = findings(content)
    assert (severity, place) == ("warning", where)
    assert message in text
    workspace.load(content, place="here")


def test_settings_of_a_luminosity_that_is_not_there_are_no_mistake() -> None:
    content = changed(TWO_CHANNELS, lambda w: settings(w, "lumi", auxdata=[1.0], sigmas=[0.0]))
    assert findings(content) == []


def test_thousands_of_errors_are_one_message() -> None:
    content = json.loads(json.dumps(TWO_CHANNELS))
    content["channels"][0]["samples"] *= 300
    content["channels"][0]["samples"][0]["name"] = "x" * 10_000
    content["channels"][1]["samples"][0]["data"] = [float("nan")] * 5000
    with pytest.raises(ModelError) as caught:
        workspace.load(content, place="here")
    assert len(str(caught.value)) < 2500


class UnreadableError(Exception):
    """The workspace has no such reading."""


def rates(content: Any, values: dict[str, float], last: bool) -> dict[tuple[str, int], float]:
    """Expected events by channel and bin in plain loops, the constraints aside.

    Args:
        content: a workspace.
        values: of the parameters by name; those that interpolate are 0, 1 or -1.
        last: whether the last of two of one name counts, or the first.
    """

    def one_of_each(entries: Any, *keys: str) -> list[Any]:
        ordered = entries if last else reversed(entries)
        return list({tuple(entry[key] for key in keys): entry for entry in ordered}.values())

    observed = {
        entry["name"]: entry["data"] for entry in one_of_each(content["observations"], "name")
    }
    result = {}
    for channel in one_of_each(content["channels"], "name"):
        if channel["name"] not in observed:
            raise UnreadableError
        for number in range(len(observed[channel["name"]])):
            total = 0.0
            for entry in one_of_each(channel["samples"], "name"):
                if len(entry["data"]) != len(observed[channel["name"]]):
                    raise UnreadableError
                events, factor = entry["data"][number], 1.0
                for modifier in one_of_each(entry["modifiers"], "type", "name"):
                    name, data = modifier["name"], modifier["data"]
                    match modifier["type"]:
                        case "normfactor" | "lumi":
                            factor *= values[name]
                        case "normsys":
                            factor *= {1: data["hi"], -1: data["lo"], 0: 1.0}[values[name]]
                        case "histosys":
                            shifts = {1: data["hi_data"], -1: data["lo_data"], 0: entry["data"]}
                            events += shifts[values[name]][number] - entry["data"][number]
                        case _:
                            factor *= values[f"{name}[{number}]"]
                total += events * factor
            result[channel["name"], number] = total
    return result


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    if isinstance(content, dict):
        return [path, *(p for key in content for p in places(content[key], (*path, key)))]
    if isinstance(content, list):
        return [path, *(p for n, entry in enumerate(content) for p in places(entry, (*path, n)))]
    return [path]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A workspace with one to three accidents: copies, losses, renamings and wrong numbers."""
    content = changed(EVERYTHING, lambda w: modifiers(w, 1, 1)[1].update(name="mc"))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in places(content) if p]))
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        key, value = path[-1], parent[path[-1]]
        if isinstance(parent, list) and draw(st.booleans()):
            if draw(st.booleans()):
                parent.insert(draw(st.integers(0, len(parent))), json.loads(json.dumps(value)))
            else:
                parent.pop(key)
        elif key == "name":
            names = ["a", "b", "signal", "fake", "free", "small", "mu", "lumi", "scale", "shape"]
            names += ["poisson", "mc", "free_shape", "measurement"]
            parent[key] = draw(st.sampled_from(names))
        elif isinstance(value, float | int):
            parent[key] = draw(
                st.sampled_from([0.0, -value, 2 * value, float("nan"), True, 1e308, 1e90, 1e-300])
            )
        elif isinstance(parent, dict) and draw(st.booleans()):
            parent.pop(key)
    return content


@given(mutated(), st.integers(0, 2**32 - 1))
def test_no_number_where_two_readings_are_possible(content: Any, seed: int) -> None:
    """What is accepted has the rates of both readings, and is loaded without a traceback."""
    try:
        model, data = workspace.load(content, place="here")
        likelihood = model_likelihood(model, data)
    except PipelineError:
        return
    random = np.random.default_rng(seed)
    names = model.config.par_names
    kinds = dict(model.config.modifiers)
    values = {}
    for name, value in zip(names, random.uniform(0.5, 2, len(names)), strict=True):
        interpolated = kinds.get(name) in ("normsys", "histosys")
        values[name] = float(random.integers(-1, 2)) if interpolated else float(value)
        if name.startswith("mc["):
            # Bins of all channels, one after the other.
            values[name] = 1.0
    assert len(values) == len(names)
    point = list(values.values())
    with np.errstate(over="ignore", invalid="ignore"):
        ours = likelihood.rates(np.array(point))
    positions = [
        (name, n) for name in model.config.channels for n in range(model.config.channel_nbins[name])
    ]
    for last in (True, False):
        other = rates(content, values, last)
        assert set(other) == set(positions)
        np.testing.assert_allclose(ours, [other[place] for place in positions], rtol=1e-9)
