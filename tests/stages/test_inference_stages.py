"""The stages behind the fit, and those that start from an external workspace."""

import gzip
import html
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import yaml

from agc_pipeline import analyses, archives
from agc_pipeline.files import read_json, write_json
from agc_pipeline.histograms import read_root, write_root
from agc_pipeline.inference.derived_records import (
    LimitRecord,
    RankingRecord,
    ScanRecord,
    SensitivityRecord,
    ToyRecord,
)
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.preservation import hepdata
from agc_pipeline.provenance import digest
from conftest import read_config, run_command
from models import EVERYTHING, MU, TWO_BINS, sample, spec

Command = Callable[..., str | None]
FIT = read_config()["fit"]
MINIMISER = FIT["minimiser"]
LIMIT: dict[str, Any] = {
    "confidence": 0.95,
    "statistic": "qtilde",
    "points": 5,
    "max_significance": 5,
    "toys": {"count": 60, "seed": 1},
}
WANTED: dict[str, Any] = {
    "ranking": {},
    "scan": {"scan": {"reach": 2, "points": 5, "minos": "all"}},
    "toys": {"toys": {"count": 4, "seed": 1}},
    "limit": {"limit": LIMIT, "spending": FIT["spending"]},
}


def reproduce(folder: Path, content: Any, **source: Any) -> str | None:
    """Take a workspace; gives the error."""
    path = folder / "given.json"
    write_json(path, content)
    return run_command(
        "reproduce",
        {"input": {"kind": "workspace", "path": str(path)} | source},
        output=folder / "workspace.json",
        model=folder / "model.json",
        checks=folder / "checks.json",
    )


def fit(folder: Path) -> str | None:
    return run_command(
        "fit",
        {"minimiser": MINIMISER, "compare": True, "template_noise": FIT["template_noise"]},
        workspace=folder / "workspace.json",
        model=folder / "model.json",
        output=folder / "fit.json",
    )


def behind(folder: Path, stage: str, **changes: Any) -> str | None:
    """A stage that works on the fit."""
    return run_command(
        stage,
        {"minimiser": MINIMISER} | WANTED[stage] | changes,
        workspace=folder / "workspace.json",
        fit=folder / "fit.json",
        output=folder / f"{stage}.json",
        **({"sensitivity": folder / "sensitivity.json"} if stage == "limit" else {}),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All records of a workspace that was given."""
    folder = tmp_path_factory.mktemp("given")
    assert reproduce(folder, EVERYTHING, groups={"Shapes": ["shape"]}) is None
    assert fit(folder) is None
    for stage in WANTED:
        assert behind(folder, stage) is None
    return folder


def test_the_workspace_is_what_was_given(made: Path) -> None:
    content = read_json(made / "workspace.json")
    assert content["channels"] == EVERYTHING["channels"]
    model = read_json(made / "model.json")
    assert model["workspace_digest"] == digest(content)
    assert model["data"] == "observed"
    assert model["groups"] == {
        "lumi": "Other systematics",
        "scale": "Other systematics",
        "shape": "Shapes",
    }
    assert model["channels"]["a"]["edges"] == [0.5, 1.5, 2.5, 3.5]
    (finding,) = read_json(made / "checks.json")["findings"]
    assert finding["message"] == "events without a statistical uncertainty in bin 2"


def test_records_belong_together(made: Path) -> None:
    record = FitRecord.model_validate(read_json(made / "fit.json"))
    kinds: dict[str, Any] = {
        "ranking": RankingRecord,
        "scan": ScanRecord,
        "toys": ToyRecord,
        "limit": LimitRecord,
    }
    for name, kind in kinds.items():
        found = kind.model_validate(read_json(made / f"{name}.json"))
        assert found.workspace_digest == record.workspace_digest
        assert found.provenance["stage"] == name
    assert record.breakdown is not None
    assert set(record.breakdown.groups) == {"Shapes", "Other systematics", "Simulation statistics"}
    assert record.comparison is not None
    assert record.comparison.method == "cabinetry"


def test_ranking_works_in_cabinetry(made: Path) -> None:
    record = RankingRecord.model_validate(read_json(made / "ranking.json"))
    assert (record.n_failed, len(record.rows)) == (0, 15)
    assert record.n_fits == 2 * sum((row.width > 0) + (row.uncertainty > 0) for row in record.rows)
    assert record.results().labels == [row.parameter for row in record.rows]


def test_scan_has_its_minimum_at_the_fit(made: Path) -> None:
    record = ScanRecord.model_validate(read_json(made / "scan.json"))
    heights = np.array(record.heights, dtype=float)
    assert record.values[int(np.argmin(heights))] == pytest.approx(record.poi.bestfit, abs=1e-6)
    assert record.results().name == "mu"
    (interval,) = [entry for entry in record.intervals if entry.parameter == "mu"]
    assert interval.hesse == pytest.approx(record.poi.uncertainty, rel=1e-6)
    # All parameters but the fixed one.
    assert len(record.intervals) == 15


def test_pseudo_experiments(made: Path) -> None:
    record = ToyRecord.model_validate(read_json(made / "toys.json"))
    assert len(record.bestfit) + len(record.failures) == 4
    assert behind(made, "toys", toys={"count": 0, "seed": 1}) is None
    none = ToyRecord.model_validate(read_json(made / "toys.json"))
    assert (none.coverage, none.goodness_of_fit, none.pulls) == (None, None, ())
    assert behind(made, "toys") is None


def test_limit(made: Path) -> None:
    record = LimitRecord.model_validate(read_json(made / "limit.json"))
    assert record.limit is not None
    assert record.failures == ()
    assert len(record.cls) == len(record.strengths) == 4
    results = record.results()
    assert results is not None
    assert results.observed_limit == record.limit.observed
    gradients = SensitivityRecord.model_validate(read_json(made / "sensitivity.json"))
    assert gradients.values["limit"] == record.limit.expected[2]
    assert gradients.values["significance"] == record.expected_significance
    kinds = {entry.kind for entry in gradients.templates}
    assert kinds == {"template", "histosys", "normsys"}
    assert record.toys is not None
    assert record.toys.limit is not None
    assert abs(record.toys.limit.value - results.observed_limit) < 4 * record.toys.limit.error
    strong = LIMIT | {"max_significance": 1e-9}
    assert behind(made, "limit", limit=strong) is None
    none = LimitRecord.model_validate(read_json(made / "limit.json"))
    assert none.results() is None
    assert none.failures[0].startswith("No limit: the observed significance exceeds")
    assert none.significance == record.significance
    assert behind(made, "limit") is None


def test_fit_of_another_workspace_is_refused(made: Path, tmp_path: Path) -> None:
    assert reproduce(tmp_path, TWO_BINS) is None
    (tmp_path / "fit.json").write_bytes((made / "fit.json").read_bytes())
    error = behind(tmp_path, "ranking")
    assert error is not None
    assert "belongs to the workspace" in error


def preserve(folder: Path, **changes: Any) -> str | None:
    records = {name: folder / f"{name}.json" for name in ("workspace", "fit", "ranking", "scan")}
    return run_command(
        "preserve",
        {"report": read_config()["report"] | changes},
        **records,
        histfactory=folder / "histfactory",
        hs3=folder / "hs3",
        combine=folder / "combine",
        hepdata=folder / "hepdata.tar.gz",
        output=folder / "preservation.json",
    )


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder with the content of a submission."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def test_preservation(made: Path, tmp_path: Path) -> None:
    assert preserve(made) is None
    # What is uploaded is one file, which HEPData accepts.
    assert not (made / "hepdata").exists()
    submission_folder = unpacked(made / "hepdata.tar.gz", tmp_path)
    hepdata.validate(submission_folder)
    record = read_json(made / "preservation.json")
    no_card = "this model: the shapefactor 'free_shape' has no place in a datacard"
    assert record["lost"] == {
        "HistFactory XML": ["bounds of lumi"],
        "HS3 JSON": [],
        "Combine datacard": [no_card],
    }
    names = read_json(made / "histfactory" / "names.json")
    assert names["lost"] == record["lost"]["HistFactory XML"]
    assert names["parameters"]["scale"] == "alpha_scale"
    tables = hepdata.read(submission_folder)
    assert set(tables) == {
        *("Distribution a", "Distribution b", "Parameters", "Covariance", "Impacts"),
        *("Result", "Uncertainty breakdown", "Likelihood scan"),
    }
    fitted = FitRecord.model_validate(read_json(made / "fit.json"))
    assert fitted.poi is not None
    (result,) = tables["Result"]["Value"]
    assert result["value"] == pytest.approx(fitted.poi.bestfit)
    errors = {entry["label"]: entry for entry in result["errors"]}
    parts = [entry["symerror"] for label, entry in errors.items() if label != "total"]
    assert np.hypot.reduce(parts) == pytest.approx(fitted.uncertainty_of_poi)
    scanned = ScanRecord.model_validate(read_json(made / "scan.json")).of_interest
    assert scanned is not None
    assert errors["total"]["asymerror"] == {
        "minus": pytest.approx(-scanned.down),
        "plus": pytest.approx(scanned.up),
    }
    covariance = np.array(fitted.correlation) * np.outer(fitted.uncertainty, fitted.uncertainty)
    found = [entry["value"] for entry in tables["Covariance"]["Covariance"]]
    np.testing.assert_allclose(found, covariance.ravel(), rtol=1e-9, atol=1e-15)
    variances = [entry["value"] for entry in tables["Uncertainty breakdown"]["Variance"]]
    assert sum(variances[:-1]) == pytest.approx(variances[-1])
    submission = list(yaml.safe_load_all((submission_folder / "submission.yaml").read_text()))
    shown = {
        document["name"]: [entry["location"] for entry in document.get("additional_resources", ())]
        for document in submission
        if "data_file" in document
    }
    assert {name for name, files in shown.items() if files} == {
        *("Distribution a", "Distribution b", "Covariance", "Impacts", "Likelihood scan")
    }
    for picture, thumbnail in filter(None, shown.values()):
        assert thumbnail == f"thumb_{picture}"
        assert (submission_folder / picture).read_bytes().startswith(b"\x89PNG")
    # Again, over what is there.
    before = (made / "hepdata.tar.gz").read_bytes()
    assert preserve(made) is None
    assert (made / "hepdata.tar.gz").read_bytes() == before


def report(folder: Path) -> str | None:
    settings = {
        "analysis": None,
        "report": read_config("reproduce")["report"],
        "luminosity_per_pb": 1,
        "rules": [],
        "configuration": {"input": {"kind": "workspace", "path": "given.json"}},
    }
    names = ("workspace", "checks", "fit", "sensitivity", *WANTED)
    return run_command(
        "report",
        settings,
        **{name: folder / f"{name}.json" for name in names},
        preservation=folder / "preservation.json",
        output=folder / "report.html",
        missing=folder / "missing.json",
        summary=folder / "summary.json",
        figures=folder / "figures",
        tables=folder / "tables",
    )


def test_extras_that_fail_end_no_run(tmp_path: Path) -> None:
    # A keyword that HEPData has no room for.
    content = spec(("x" * 300, [55.0], sample("s", [50.0], ("mu", *MU))))
    assert reproduce(tmp_path, content) is None
    assert fit(tmp_path) is None
    for stage in WANTED:
        assert behind(tmp_path, stage) is None
    assert preserve(tmp_path, keywords={"phrases": ["y" * 200]}) is None
    record = read_json(tmp_path / "preservation.json")
    missing = {entry["part"]: entry["reason"] for entry in record["missing"]}
    assert list(missing) == ["HEPData tables"]
    assert "not a valid submission: submission.yaml" in missing["HEPData tables"]
    unpacked(tmp_path / "hepdata.tar.gz", tmp_path / "hepdata")
    (told,) = (tmp_path / "hepdata").iterdir()
    assert missing["HEPData tables"] in told.read_text()
    assert report(tmp_path) is None
    text = html.unescape((tmp_path / "report.html").read_text())
    for part, reason in missing.items():
        assert part in text
        assert " ".join(reason.split())[:60] in text


def test_several_normalisations_have_a_table(tmp_path: Path) -> None:
    content = spec(
        ("a", [30.0], sample("s", [10.0], ("mu", *MU)), sample("b", [20.0], ("k", *MU))),
        ("b", [100.0], sample("b", [100.0], ("k", *MU))),
        parameters=({"name": "k", "bounds": [[0.0, 5.0]]},),
    )
    assert reproduce(tmp_path, content) is None
    assert fit(tmp_path) is None
    for stage in ("ranking", "scan"):
        assert behind(tmp_path, stage) is None
    assert preserve(tmp_path) is None
    submission = unpacked(tmp_path / "hepdata.tar.gz", tmp_path / "hepdata")
    columns = hepdata.read(submission)["Normalisations"]
    assert [entry["value"] for entry in columns["Normalisation"]] == ["mu", "k"]
    # From the two counts: k is 1 +- 0.1, mu is 1 with the errors of 30 and of 20 k.
    values = [entry["value"] for entry in columns["Best fit"]]
    errors = [entry["errors"][0]["symerror"] for entry in columns["Best fit"]]
    assert values == pytest.approx([1.0, 1.0], abs=1e-6)
    assert errors == pytest.approx([np.sqrt(30 + 2**2) / 10, 0.1], rel=1e-4)
    (with_itself, with_k) = [entry["value"] for entry in columns["Correlation with mu"]]
    assert with_itself == pytest.approx(1)
    assert with_k == pytest.approx(-0.02 / (0.1 * errors[0]), rel=1e-3)


def test_pairs_of_the_scan_are_parameters(made: Path, tmp_path: Path) -> None:
    for pairs, message in (
        ([["mu", "scael"]], "unknown parameter 'scael' (did you mean scale?)"),
        ([["mu", "mc[2]"]], "'mc[2]' is fixed, or changes nothing"),
    ):
        scan = WANTED["scan"]["scan"] | {"pairs": pairs}
        for name in ("workspace", "fit", "model"):
            if (made / f"{name}.json").exists():
                (tmp_path / f"{name}.json").write_bytes((made / f"{name}.json").read_bytes())
        error = behind(tmp_path, "scan", scan=scan)
        assert error is not None
        assert message in error
        assert "fit.scan.pairs" in error


def test_report_of_a_workspace(made: Path, tmp_path: Path) -> None:
    """Without events, histograms and validation; with contours."""
    scan = WANTED["scan"]["scan"] | {"pairs": [["mu", "scale"]], "pair_points": 5}
    assert behind(made, "scan", scan=scan) is None
    assert preserve(made) is None
    (plane,) = ScanRecord.model_validate(read_json(made / "scan.json")).planes
    tables = hepdata.read(unpacked(made / "hepdata.tar.gz", tmp_path))
    heights = tables["Likelihood of mu and scale"]["-2 Delta ln L"]
    expected = [height for row in plane.heights for height in row]
    assert [entry["value"] for entry in heights] == pytest.approx(expected, rel=1e-9)
    assert report(made) is None
    text = (made / "report.html").read_text()
    assert "Workspace given.json: 2 channels" in text
    assert 'href="#events"' not in text
    assert "pb</span>" not in text
    assert "events without a statistical uncertainty" in text
    assert "<li>bounds of lumi</li>" in text
    assert read_json(made / "missing.json") == []
    figures = {path.stem for path in (made / "figures").iterdir()}
    assert "contours of 68.3 %" in text
    ranking = RankingRecord.model_validate(read_json(made / "ranking.json"))
    first = max(ranking.rows, key=lambda row: row.size)
    table = (made / "tables" / "impacts.csv").read_text().splitlines()
    assert table[0].startswith("Parameter,")
    assert [float(cell) for cell in table[1].split(",")[-4:]] == pytest.approx(
        [first.prefit_up, first.prefit_down, first.postfit_up, first.postfit_down], abs=1e-3
    )
    assert {"plane_0", "00_a_postfit", "01_b_prefit", "limit", "ranking", "scan", "toys"} <= figures


@pytest.mark.parametrize(
    ("poi", "reason"),
    [
        ("scael", "the measurement names an unknown parameter 'scael' (did you mean scale?)"),
        ("mc", "the measurement names 'mc', which has 3 values"),
    ],
)
def test_a_parameter_of_interest_that_is_none_is_told(
    tmp_path: Path, poi: str, reason: str
) -> None:
    content = json.loads(json.dumps(EVERYTHING))
    content["measurements"][0]["config"]["poi"] = poi
    assert reproduce(tmp_path, content) is None
    first, *_ = read_json(tmp_path / "checks.json")["findings"]
    assert first["severity"] == "warning"
    assert first["message"] == f"the fit has none: {reason}"
    (measurement,) = read_json(tmp_path / "workspace.json")["measurements"]
    assert measurement["config"]["poi"] == ""
    assert reproduce(tmp_path, content, poi="") is None
    findings = read_json(tmp_path / "checks.json")["findings"]
    assert all(finding["where"] != "parameter of interest" for finding in findings)


def test_without_a_signal_everything_works(tmp_path: Path) -> None:
    """The strength ends at zero, its physical bound."""
    content = json.loads(json.dumps(TWO_BINS))
    content["observations"][0]["data"] = [80.0, 130.0]
    assert reproduce(tmp_path, content) is None
    assert fit(tmp_path) is None
    record = FitRecord.model_validate(read_json(tmp_path / "fit.json"))
    assert record.diagnostics.at_bounds == ("mu",)
    assert (record.poi.bestfit, record.poi.uncertainty, record.breakdown) == (0, 0, None)
    for stage in WANTED:
        assert behind(tmp_path, stage) is None
    limit = LimitRecord.model_validate(read_json(tmp_path / "limit.json"))
    assert limit.limit is not None
    assert limit.limit.observed < limit.limit.expected[2]
    assert limit.significance == 0
    assert preserve(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "source", "message"),
    [
        ({"channels": []}, {}, "not a valid workspace"),
        ({}, {"measurement": "other"}, "no measurement 'other'"),
        ({}, {"poi": "nothing"}, "unknown parameter 'nothing'"),
        ({}, {"patchset": "p.json"}, "name one with `patch`"),
        ({}, {"member": "x.json"}, "cannot read 'x.json': this is no archive"),
        ({}, {"patch": "none.json"}, "file not found"),
    ],
)
def test_wrong_workspaces(
    tmp_path: Path, change: dict[str, Any], source: dict[str, Any], message: str
) -> None:
    error = reproduce(tmp_path, EVERYTHING | change, **source)
    assert error is not None
    assert message in error
    assert not (tmp_path / "workspace.json").exists()


def test_errors_of_the_checks_end_the_run(tmp_path: Path) -> None:
    content = json.loads(json.dumps(TWO_BINS))
    content["channels"][0]["samples"][1]["data"][0] = -500.0
    error = reproduce(tmp_path, content)
    assert error is not None
    assert "singlechannel: negative expected yield in bin 0" in error


def patchset(workspace: Any) -> Any:
    """A published set of signals, for a workspace without one."""
    return {
        "metadata": {
            "name": "signals",
            "description": "of the test",
            "digests": {"sha256": _digest(workspace)},
            "labels": ["mass"],
            "references": {"hepdata": "ins1234567"},
        },
        "patches": [
            {
                "metadata": {"name": f"mass_{mass}", "values": [mass]},
                "patch": [
                    {
                        "op": "add",
                        "path": "/channels/0/samples/0",
                        "value": TWO_BINS["channels"][0]["samples"][0]
                        | {"data": [float(mass)] * 2},
                    }
                ],
            }
            for mass in (30, 40)
        ],
        "version": "1.0.0",
    }


def _digest(workspace: Any) -> str:
    import pyhf  # noqa: PLC0415 used here only

    return str(pyhf.utils.digest(workspace))


def archived(folder: Path, kind: str, files: dict[str, Any]) -> Path:
    """An archive of JSON files."""
    path = folder / f"likelihoods.{kind}"
    contents = {name: json.dumps(content).encode() for name, content in files.items()}
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name, content in contents.items():
                target.writestr(name, content)
    else:
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as tar:
            for name, content in contents.items():
                entry = tarfile.TarInfo(f"./{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


def background() -> Any:
    content = json.loads(json.dumps(TWO_BINS))
    content["channels"][0]["samples"].pop(0)
    return content


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_a_published_likelihood(tmp_path: Path, kind: str) -> None:
    files = {"SR/BkgOnly.json": background(), "SR/patchset.json": patchset(background())}
    archive = archived(tmp_path, kind, files)
    source = {
        "path": str(archive),
        "member": "SR/BkgOnly.json",
        "patchset": "SR/patchset.json",
        "patch": "mass_40",
    }
    assert reproduce(tmp_path, {}, **source) is None
    content = read_json(tmp_path / "workspace.json")
    assert content["channels"][0]["samples"][0]["data"] == [40.0, 40.0]
    error = reproduce(tmp_path, {}, **source | {"patch": "mass_50"})
    assert error is not None
    assert "unknown patch 'mass_50' (did you mean mass_40?)" in error
    error = reproduce(tmp_path, {}, **source | {"member": "SR/none.json"})
    assert error is not None
    assert "unknown file 'SR/none.json'" in error
    error = reproduce(tmp_path, {}, path=str(archive))
    assert error is not None
    assert "name the file in it with `input.member`" in error
    assert "BkgOnly.json" in error


def test_a_compressed_workspace(tmp_path: Path) -> None:
    path = tmp_path / "workspace.json.gz"
    path.write_bytes(gzip.compress(json.dumps(TWO_BINS).encode()))
    assert reproduce(tmp_path, {}, path=str(path)) is None
    assert read_json(tmp_path / "workspace.json")["channels"] == TWO_BINS["channels"]


def test_a_single_patch(tmp_path: Path) -> None:
    operations = patchset(background())["patches"][1]["patch"]
    write_json(tmp_path / "signal.json", operations)
    assert reproduce(tmp_path, background(), patch=str(tmp_path / "signal.json")) is None
    content = read_json(tmp_path / "workspace.json")
    assert content["channels"][0]["samples"][0]["data"] == [40.0, 40.0]
    files = read_json(tmp_path / "model.json")["provenance"]["inputs"]
    assert str(tmp_path / "signal.json") in files


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([{"op": "remove", "path": "/channels/7"}], "operation 0 of the patch, remove"),
        (
            [
                {"op": "test", "path": "/version", "value": "1.0.0"},
                {"op": "test", "path": "/channels/0/name", "value": "other"},
            ],
            "operation 1 of the patch, test '/channels/0/name', does not apply",
        ),
        ([{"op": "add", "path": "/channels/9", "value": {}}], "operation 0 of the patch, add"),
        ([{"op": "add", "path": "/version/x", "value": 1}], "operation 0 of the patch, add"),
        ([{"op": "replace", "path": "/none/x", "value": 1}], "operation 0 of the patch, replace"),
        ([{"op": "move", "from": "/none", "path": "/a"}], "operation 0 of the patch, move"),
        ([{"op": "add", "path": "channels", "value": 1}], "operation 0 of the patch, add"),
        ([{"op": "multiply", "path": "/channels"}], "not a valid JSON patch: `[0]`"),
        ([{"path": "/channels"}], "not a valid JSON patch: `[0]`"),
        ("a signal", "not a valid JSON patch: the content"),
        ({"patches": []}, "this is a patchset, not a single patch"),
        # What fits, and makes something else.
        ([{"op": "remove", "path": "/channels"}], "not a valid workspace"),
        (
            [{"op": "copy", "from": "/channels/0/samples/0", "path": "/channels/0/samples/-"}],
            "sample 'background' is defined twice",
        ),
    ],
)
def test_patches_that_do_not_apply(tmp_path: Path, operations: Any, message: str) -> None:
    write_json(tmp_path / "signal.json", operations)
    content = background() | {"measurements": TWO_BINS["measurements"]}
    content["channels"][0]["samples"][0]["modifiers"].append(
        {"name": "mu", "type": "normfactor", "data": None}
    )
    error = reproduce(tmp_path, content, patch=str(tmp_path / "signal.json"))
    assert error is not None
    assert message in error
    assert not (tmp_path / "workspace.json").exists()


def test_patchsets_that_do_not_belong(tmp_path: Path) -> None:
    def error(signals: Any, content: Any) -> str:
        write_json(tmp_path / "signals.json", signals)
        source = {"patchset": str(tmp_path / "signals.json"), "patch": "mass_30"}
        message = reproduce(tmp_path, content, **source)
        assert message is not None
        return message

    signals = patchset(background())
    other = background()
    other["observations"][0]["data"][0] += 1
    assert "the patchset is for another workspace" in error(signals, other)
    operations = signals["patches"][0]["patch"]
    assert "this is a single patch, not a patchset" in error(operations, background())
    assert "not a valid patchset: `patches`" in error({"patches": []}, background())
    twice = signals | {"patches": [signals["patches"][0]] * 2}
    assert "not a valid patchset" in error(twice, background())


def test_archives_that_hold_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that are damaged, there twice, encrypted or without end."""

    def error(path: Path, member: str = "a.json") -> str:
        message = reproduce(tmp_path, {}, path=str(path), member=member)
        assert message is not None
        return message

    double = tmp_path / "double.tar"
    with tarfile.open(double, "w") as tar:
        for name in ("a.json", "./a.json"):
            tar.addfile(tarfile.TarInfo(name))
    assert "2 files 'a.json' in the archive" in error(double)
    broken = archived(tmp_path, "tar.gz", {"a.json": TWO_BINS})
    broken.write_bytes(broken.read_bytes()[:200])
    assert "cannot read 'a.json'" in error(broken)
    locked = archived(tmp_path, "zip", {"a.json": TWO_BINS})
    content = bytearray(locked.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    locked.write_bytes(content)
    assert "encrypted" in error(locked)
    folder = tmp_path / "folder.zip"
    with zipfile.ZipFile(folder, "w") as target:
        target.writestr("a.json/", b"")
    assert "unknown file 'a.json' (there are none) in the archive" in error(folder)
    assert "this is no archive" in error(tmp_path / "given.json")
    monkeypatch.setattr(archives, "LARGEST", 1_000_000)
    endless = {"a.json": "0" * 2_000_000, "b.json": TWO_BINS}
    for kind in ("zip", "tar.gz", "tar.xz"):
        assert "more than 1 MB when unpacked" in error(archived(tmp_path, kind, endless))
    # In a tar archive, the members before the one that is meant are unpacked as well.
    assert "more than 1 MB" in error(archived(tmp_path, "tar.gz", endless), member="b.json")
    assert "mu" in str(
        reproduce(
            tmp_path, {}, path=str(archived(tmp_path, "zip", endless)), member="b.json", poi="nu"
        )
    )
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b"0" * 2_000_000))
    message = reproduce(tmp_path, {}, path=str(bomb))
    assert "more than 1 MB when unpacked" in str(message)


def test_parameters_of_the_configuration(tmp_path: Path) -> None:
    """They take the place of those of the measurement, for the fit and what follows."""
    settings = {
        "mu": {"bounds": [-5, 20], "start": 2},
        "shape": {"fixed": True, "start": 1},
        "free_shape": {"bounds": [0.5, 4]},
        "mc": {"start": [1.1, 0.9, 1.0], "fixed": False},
        "lumi": {"fixed": True},
    }
    assert reproduce(tmp_path, EVERYTHING, parameters=settings) is None
    (measurement,) = read_json(tmp_path / "workspace.json")["measurements"]
    assert measurement["config"]["parameters"] == [
        {"name": "mu", "bounds": [[-5.0, 20.0]], "inits": [2.0]},
        EVERYTHING["measurements"][0]["config"]["parameters"][1] | {"fixed": True},
        {"name": "shape", "inits": [1.0], "fixed": True},
        {"name": "free_shape", "bounds": [[0.5, 4.0]] * 3},
        {"name": "mc", "inits": [1.1, 0.9, 1.0]},
    ]
    assert fit(tmp_path) is None
    record = FitRecord.model_validate(read_json(tmp_path / "fit.json"))
    values = dict(
        zip(record.labels, zip(record.bestfit, record.uncertainty, strict=True), strict=True)
    )
    assert values["shape"] == (1.0, 0.0)
    assert values["lumi"] == (1.0, 0.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sclae": {"fixed": True}}, "unknown parameter 'sclae' (did you mean scale?)"),
        ({"free_shape": {"start": [1, 2]}}, "2 values for a modifier with 3 bins"),
        ({"mu": {"bounds": [3, 1]}}, "a lower bound is above the higher one"),
        ({"mu": {"value": 3}}, "unknown configuration key"),
    ],
)
def test_parameters_that_are_refused(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    error = reproduce(tmp_path, EVERYTHING, parameters=parameters)
    assert error is not None
    assert message in error


def test_propagation(tmp_path: Path) -> None:
    config = read_config()
    model = {"analysis": "cms_ttbar", "model": config["fit"]["model"]}
    histograms, closure = tmp_path / "histograms.root", tmp_path / "closure.json"
    given = {"analysis": "cms_ttbar", "n_files": 1}
    assert run_command("published", given, histograms=histograms, closure=closure) is None
    records = {name: tmp_path / f"{name}.json" for name in ("workspace", "model", "checks", "fit")}
    files = {"histograms": histograms, "closure": closure}
    outputs = {"output": records["workspace"], "model": records["model"]}
    checks = {"checks": records["checks"]}
    assert run_command("workspace", model, **files, **outputs, **checks) is None
    assert fit(tmp_path) is None
    output = tmp_path / "propagated.json"
    inputs = {name: records[name] for name in ("workspace", "fit")}
    assert run_command("propagate", model, histograms=histograms, **inputs, output=output) is None
    found, fitted = read_json(output), read_json(records["fit"])
    for title, channel in found["channels"].items():
        assert len(channel["observed"]) == 25
        # The same events in finer bins: without the statistical factors, nearly the same sum.
        fine = np.array(found["yields"]["postfit"][title]["all"]["bins"])
        merged = fine[3:].reshape(11, 2).sum(axis=1)
        coarse = np.array(fitted["yields"]["postfit"][title]["all"]["bins"])
        np.testing.assert_allclose(merged.sum(), coarse.sum(), rtol=0.02)
        np.testing.assert_allclose(merged[2:], coarse[2:], rtol=0.05)

    # The same templates under the name of an optional region, and with its axis.
    made = read_root(histograms)
    extended = analyses.load("cms_ttbar").with_learned()
    for region in extended.regions[2:]:
        for name in [name for name in made if name.startswith("4j2b")]:
            axis = hist.axis.Variable(region.edges)
            copied = hist.Hist(axis, storage=hist.storage.Weight())
            copied.view(flow=True)[...] = made[name].view(flow=True)
            made[name.replace("4j2b", region.name)] = copied
    extra = tmp_path / "extra.root"
    write_root(extra, made)
    learned = model | {"learned": True}
    assert run_command("propagate", learned, histograms=extra, **inputs, output=output) is None
    more = read_json(output)
    assert len(more["channels"]) == 22
    for moment in ("prefit", "postfit"):
        for title, expected in found["yields"][moment].items():
            assert more["yields"][moment][title] == expected
        for region in extended.regions[2:]:
            assert more["yields"][moment][region.title] == more["yields"][moment]["4j2b SR"]
            assert more["channels"][region.title]["edges"] == list(region.edges)
