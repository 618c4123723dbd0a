"""Reference and schema of the configuration, made of its models."""

import json

import jsonschema
import pytest
import yaml

from agc_pipeline import keys
from agc_pipeline.cli import main
from conftest import ROOT

SCHEMA = ROOT / "config" / "schema.json"
PAGE = ROOT / "docs" / "keys.md"


def test_shipped_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """As `make keys` writes them."""
    main(["keys", "--schema"])
    assert capsys.readouterr().out == SCHEMA.read_text()
    main(["keys"])
    assert capsys.readouterr().out == PAGE.read_text()


def test_every_key_has_a_meaning() -> None:
    for analysis in ("cms_ttbar", "atlas_hzz"):
        found = {key.name: key for key in keys.keys(analysis, ROOT)}
        assert len(found) > 140
        assert [name for name, key in found.items() if not key.meaning] == []
    of_jets = found["physics.selection.tight.lepton_pt_min"]
    assert of_jets.kind == "number above 0 and at most 7000"
    assert (of_jets.default, of_jets.unit) == ("5", "GeV")
    cross_sections = found["physics.cross_sections_pb"]
    assert cross_sections.kind == "names to number above 0 and at most 1e+12"
    assert cross_sections.unit == "pb"
    assert found["input.kind"].kind == (
        "`simulated` or `files` or `fileset` or `published` or `workspace`"
    )
    assert found["fit.model.treatments.NAME.smoothing"].default == "none"
    assert found["delivery.network.request_timeout"].unit == "s"


def test_schema_takes_what_a_run_takes() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    files = [*ROOT.glob("config/*.yaml"), *ROOT.glob("config/cms_ttbar/*.yaml")]
    checked = 0
    for path in files:
        content = yaml.safe_load(path.read_text())
        # Another analysis has other keys, and what matrix and facility do is no configuration of a
        # run.
        plan = path.stem in ("matrix", "facility")
        if content.get("analysis", "cms_ttbar") == "cms_ttbar" and not plan:
            validator.validate(content)
            checked += 1
    assert checked > 10
    for wrong in (
        {"fit": {"model": {"prunning": {}}}},
        {"physics": {"selection": {"jet": {"pt_min": "high"}}}},
        {"input": {"kind": "simulatd"}},
    ):
        assert not validator.is_valid(wrong), wrong
