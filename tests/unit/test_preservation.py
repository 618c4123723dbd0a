"""HistFactory XML and HEPData, read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agc_pipeline.errors import ModelError, PipelineError
from agc_pipeline.inference import workspace
from agc_pipeline.inference.modifiers import model_likelihood
from agc_pipeline.preservation import hepdata, histfactory
from models import CABINETRY, MODELS, MU, TWO_CHANNELS, sample, spec


def written(content: Any, folder: Path) -> Any:
    place = folder / "xml"
    place.mkdir()
    histfactory.write(content, place)
    return histfactory.read(place)


@pytest.mark.parametrize("name", MODELS)
def test_xml_comes_back(name: str, tmp_path: Path) -> None:
    back = written(MODELS[name], tmp_path)
    assert histfactory.differences(MODELS[name], back) == []
    models = [workspace.load(content, place="test") for content in (MODELS[name], back)]
    rates = [
        model_likelihood(model, data).rates(np.array(model.config.suggested_init()))
        for model, data in models
    ]
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-12)


def test_files_do_not_depend_on_the_place(tmp_path: Path) -> None:
    written(TWO_CHANNELS, tmp_path)
    folder = tmp_path / "xml"
    assert {path.name for path in (folder / "config").iterdir()} == {
        "model_signal.xml",
        "model_control.xml",
    }
    for path in folder.rglob("*.xml"):
        assert str(tmp_path) not in path.read_text()
    moved = folder.rename(tmp_path / "moved")
    assert histfactory.differences(TWO_CHANNELS, histfactory.read(moved)) == []


def test_differences_are_named() -> None:
    def changed(change: Any) -> list[str]:
        other = json.loads(json.dumps(TWO_CHANNELS))
        change(other)
        return histfactory.differences(TWO_CHANNELS, other)

    assert histfactory.differences(TWO_CHANNELS, json.loads(json.dumps(TWO_CHANNELS))) == []
    assert changed(lambda w: w["observations"][0]["data"].append(1.0)) == ["data of signal"]
    assert changed(lambda w: w["channels"].pop()) == ["channel control"]
    assert changed(lambda w: w["channels"][0]["samples"].pop()) == ["signal, bkg2"]
    assert changed(lambda w: w["channels"][0]["samples"][1]["modifiers"].pop()) == [
        "signal, bkg1, normsys coupled_normsys"
    ]


def test_channel_that_is_no_file_name(tmp_path: Path) -> None:
    content = spec(("a/b", [50.0], sample("s", [40.0], ("mu", *MU))))
    with pytest.raises(ModelError, match="'a/b' cannot be the name"):
        histfactory.write(content, tmp_path)


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
