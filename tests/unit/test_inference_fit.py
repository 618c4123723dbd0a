"""Fits of the published histograms, and their records."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import cabinetry
import numpy as np
import pyhf
import pytest
import scipy.optimize

from agc_pipeline import analyses
from agc_pipeline.errors import InputError, ModelError
from agc_pipeline.files import write_json
from agc_pipeline.inference import fit, fit_records, workspace
from agc_pipeline.inference.fit import Fit
from agc_pipeline.inference.fit_records import FitRecord, ModelRecord, of_workspace
from agc_pipeline.inference.minimum import minimise
from agc_pipeline.inference.model import Model, build_workspace
from agc_pipeline.inference.modifiers import model_likelihood
from agc_pipeline.inference.result import FitResult, fit_workspace
from agc_pipeline.inference.settings import MinimiserSettings, ModelSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.validation import published
from conftest import read_config

ANALYSIS = analyses.load("cms_ttbar")
NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, -1)


def config() -> Any:
    return read_config()["fit"]


def minimiser() -> MinimiserSettings:
    return MinimiserSettings.model_validate(config()["minimiser"])


@cache
def built(n_files: int, data: str = "pseudodata") -> tuple[Any, ModelRecord]:
    """Workspace and record of the published histograms."""
    settings = ModelSettings.model_validate(config()["model"] | {"data": data})
    model = build_workspace(ANALYSIS, published.load(analyses.load("cms_ttbar"), n_files), settings)
    return model.workspace, described(model)


def described(model: Model) -> ModelRecord:
    about = of_workspace(model.workspace, provenance("workspace", packages=("pyhf",), settings={}))
    return ModelRecord(**about, **dict(model.description))


@cache
def fitted(n_files: int, data: str = "pseudodata") -> tuple[pyhf.Model, list[float], Fit]:
    model, observed = workspace.load(built(n_files, data)[0], place="test")
    return model, observed, fit.fit(model, observed, minimiser())


def record(n_files: int) -> FitRecord:
    spec, about = built(n_files)
    result = fit_workspace(spec, minimiser(), description=about)
    return result.record(provenance("fit", packages=("pyhf",), settings={}))


def measured(n_files: int, data: str = "pseudodata") -> tuple[float, float]:
    model, _, found = fitted(n_files, data)
    poi = model.config.poi_index
    return found.results.bestfit[poi], found.results.uncertainty[poi]


@pytest.mark.parametrize(
    ("n_files", "value", "uncertainty"),
    [
        # Source: computed independently with exact derivatives by automatic differentiation (jax),
        # converged to a gradient below 1e-9, on the same published histograms.
        (1, 0.9608, 0.1082),
        (5, 0.9533, 0.0919),
        (200, 0.9479, 0.0778),
        (-1, 0.9468, 0.0789),
    ],
)
def test_published_measurement(n_files: int, value: float, uncertainty: float) -> None:
    found = measured(n_files)
    # The source has four decimals.
    assert found[0] == pytest.approx(value, abs=6e-5)
    assert found[1] == pytest.approx(uncertainty, abs=6e-5)


def test_five_files() -> None:
    value, uncertainty = measured(5)
    assert (round(value, 3), round(uncertainty, 3)) == (0.953, 0.092)


@pytest.mark.parametrize(
    ("n_files", "value", "uncertainty"),
    [
        # Source: ROOT 6.40, HistFactory and RooFit, on the same published histograms. RooFit
        # leaves out statistical uncertainties below 0.1 %.
        (1, 0.9622, 0.1101),
        (5, 0.95364, 0.0917),
        (-1, 0.9471, 0.0796),
    ],
)
def test_agrees_with_roofit(n_files: int, value: float, uncertainty: float) -> None:
    found = measured(n_files)
    assert found[0] == pytest.approx(value, abs=2e-3)
    assert found[1] == pytest.approx(uncertainty, rel=0.02)


@pytest.mark.parametrize("n_files", NUMBERS)
def test_every_published_number_converges(n_files: int) -> None:
    model, data, found = fitted(n_files)
    assert found.diagnostics.distance < 1e-16
    assert found.diagnostics.gradient_norm < 1e-4
    assert found.diagnostics.iterations <= 20
    # The parameters are strongly correlated.
    assert 1e-4 < found.diagnostics.smallest_eigenvalue < 1e-3
    assert 1e4 < found.diagnostics.condition_number < 2e4
    assert found.diagnostics.at_bounds == ()
    # Another method, from another start, finds no other minimum.
    function = model_likelihood(model, data)
    start = np.array(model.config.suggested_init())
    other = scipy.optimize.minimize(
        lambda at: function.expand(at).value,
        np.where(start == 1, 0.99, 0.5),
        jac=lambda at: function.expand(at).gradient,
        hess=lambda at: function.expand(at).hessian,
        method="trust-exact",
        options={"gtol": 1e-3},
    )
    value, uncertainty = measured(n_files)
    assert other.x[model.config.poi_index] == pytest.approx(value, abs=1e-3 * uncertainty)


@pytest.mark.parametrize("n_files", NUMBERS)
def test_covariance_is_the_curvature_of_the_likelihood_of_pyhf(n_files: int) -> None:
    """One sigma away in any direction, -2 ln L has a second derivative of 2."""
    model, data, found = fitted(n_files)
    best, sigma = found.results.bestfit, found.results.uncertainty
    correlation = found.results.corr_mat
    root = sigma[:, np.newaxis] * np.linalg.cholesky(correlation)
    poi = model.config.poi_index
    along_poi = sigma * correlation[:, poi]
    random = np.random.default_rng(n_files % 1000).normal(size=(20, len(best)))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    step = 0.01
    for direction in (along_poi, *(random @ root.T)):
        values = [-2 * model.logpdf(best + k * step * direction, data)[0] for k in (-1, 0, 1)]
        assert np.diff(values, 2)[0] / step**2 == pytest.approx(2, rel=1e-3)
        assert min(values) == values[1]


def test_agrees_with_the_fit_of_cabinetry() -> None:
    """As far as that goes: its numerical derivatives leave several per cent on uncertainties."""
    model, data, found = fitted(5)
    other = cabinetry.fit.fit(model, data, goodness_of_fit=True)
    ours = found.results
    assert ours.labels == other.labels
    assert ours.best_twice_nll <= other.best_twice_nll
    assert ours.best_twice_nll == pytest.approx(other.best_twice_nll, abs=1e-3)
    np.testing.assert_allclose(ours.bestfit, other.bestfit, atol=0.05)
    np.testing.assert_allclose(ours.uncertainty, other.uncertainty, rtol=0.2)
    assert ours.goodness_of_fit == pytest.approx(other.goodness_of_fit, abs=1e-6)


def test_the_fit_of_cabinetry_stays_available() -> None:
    model, data, _ = fitted(5)
    plain = minimiser().model_copy(update={"method": "cabinetry"})
    before = pyhf.get_backend()
    found = fit.fit(model, data, plain)
    other = cabinetry.fit.fit(model, data, goodness_of_fit=True)
    assert found.results.bestfit.tolist() == other.bestfit.tolist()
    assert found.results.uncertainty.tolist() == other.uncertainty.tolist()
    # It stops short of the minimum, and says so.
    assert found.diagnostics.iterations is None
    assert 1e-9 < found.diagnostics.distance < 1e-2
    assert pyhf.get_backend() == before


def test_the_fit_of_cabinetry_fails_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        pyhf.set_backend("numpy", "scipy")
        raise pyhf.exceptions.FailedMinimization(scipy.optimize.OptimizeResult(message="no"))

    monkeypatch.setattr(cabinetry.fit, "fit", failing)
    model, data, _ = fitted(5)
    before = pyhf.get_backend()
    with pytest.raises(ModelError, match=r"cabinetry's fit fails.*\n.*method") as caught:
        fit.fit(model, data, minimiser().model_copy(update={"method": "cabinetry"}))
    assert "method: exact" in caught.value.remedy
    assert pyhf.get_backend() == before


def test_uncertainty_is_that_of_the_profile() -> None:
    """One parabolic sigma away from the minimum, -2 ln L rises by nearly one."""
    model, data, found = fitted(5)
    poi = model.config.poi_index
    value, uncertainty = measured(5)
    rises = []
    for sign in (-1, 1):
        model_, data_ = workspace.load(held_at(value + sign * uncertainty), place="test")
        function = model_likelihood(model_, data_)
        fixed = np.zeros(len(found.results.labels), dtype=bool)
        fixed[poi] = True
        start = found.results.bestfit.copy()
        start[poi] = value + sign * uncertainty
        minimum = minimise(
            function,
            start,
            bounds=np.array(model_.config.suggested_bounds(), dtype=float),
            fixed=fixed,
            settings=minimiser(),
        )
        assert minimum.parameters[poi] == start[poi]
        rises.append(-2 * model.logpdf(minimum.parameters, data)[0] - found.results.best_twice_nll)
    # Asymmetric: the lower side is steeper.
    assert rises[0] > rises[1]
    assert np.mean(rises) == pytest.approx(1, abs=0.1)


def held_at(value: float) -> Any:
    spec = json.loads(json.dumps(built(5)[0]))
    spec["measurements"][0]["config"]["parameters"][0]["inits"] = [value]
    return spec


def test_asimov_data_give_back_the_nominal_model() -> None:
    value, uncertainty = measured(5, "asimov")
    assert value == 1
    assert 0.05 < uncertainty < 0.15
    _, _, found = fitted(5, "asimov")
    assert found.diagnostics.gradient_norm < 1e-8
    assert found.results.goodness_of_fit == pytest.approx(1)
    assert built(5, "asimov")[1].data == "asimov"


def test_global_state_of_pyhf_is_left_alone() -> None:
    spec = json.loads(json.dumps(built(5)[0]))
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            if sample["name"] == "ttbar":
                sample["modifiers"].append({"name": "copy", "type": "normfactor", "data": None})
    before = pyhf.get_backend()
    model, data = workspace.load(spec, place="test")
    assert fit.fit(model, data, minimiser()).diagnostics.undetermined == ("copy", "ttbar_norm")
    assert pyhf.get_backend() == before
    fitted(5)
    assert pyhf.get_backend() == before


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "fit.json"
    write_json(path, record(5).model_dump())
    return path


def test_record_comes_back(written: Path) -> None:
    read = fit_records.read(FitRecord, written, built(5)[0])
    assert read == record(5)
    ours, _, found = fitted(5)
    for name, value in read.results()._asdict().items():
        np.testing.assert_array_equal(value, getattr(found.results, name), err_msg=name)
    assert read.poi.name == ours.config.poi_name == "ttbar_norm"
    assert (read.poi.bestfit, read.poi.uncertainty) == measured(5)
    content = json.loads(written.read_text())
    assert content["poi"]["name"] == "ttbar_norm"
    assert content["workspace_digest"] == built(5)[1].workspace_digest
    assert content["provenance"]["stage"] == "fit"
    assert (content["left_out"], content["partial"]) == ([], False)


def test_record_works_in_cabinetry(written: Path) -> None:
    read = fit_records.read(FitRecord, written, built(5)[0]).results()
    model, data, _ = fitted(5)
    prediction = cabinetry.model_utils.prediction(model, fit_results=read)
    observed = [sum(data[model.config.channel_slices[c]]) for c in model.config.channels]
    expected = [np.sum(yields) for yields in prediction.model_yields]
    assert expected == pytest.approx(observed, rel=0.01)
    assert cabinetry.model_utils.match_fit_results(model, read).labels == read.labels
    pulls = cabinetry.visualize.pulls(read, save_figure=False)
    shown = [label.get_text() for label in pulls.axes[0].get_yticklabels()]
    # cabinetry leaves out the statistical factors of the bins.
    assert set(shown) == {s.name for s in ANALYSIS.systematics} | {"ttbar_norm"}
    matrix = cabinetry.visualize.correlation_matrix(read, pruning_threshold=0.1, save_figure=False)
    assert "ttbar_norm" in [label.get_text() for label in matrix.axes[0].get_yticklabels()]


def test_yields() -> None:
    yields = record(5).yields
    spec, about = built(5)
    for c, channel in enumerate(spec["channels"]):
        name = channel["name"]
        before, after = yields.prefit[name], yields.postfit[name]
        assert set(before.samples) == {sample["name"] for sample in channel["samples"]}
        for sample in channel["samples"]:
            found = before.samples[sample["name"]]
            assert found.bins == pytest.approx(sample["data"], rel=1e-12)
            assert found.total == pytest.approx(sum(sample["data"]), rel=1e-12)
            assert len(found.uncertainty) == 11
        for stage in (before, after):
            bins = np.sum([sample.bins for sample in stage.samples.values()], axis=0)
            assert stage.all.bins == pytest.approx(bins, rel=1e-12)
            assert stage.all.total == pytest.approx(bins.sum(), rel=1e-12)
        observed = about.channels[name].observed
        assert list(observed) == spec["observations"][c]["data"]
        # The fit knows the sum as well as the data do; before it is uncertain by tens of per cent.
        assert after.all.total == pytest.approx(sum(observed), rel=0.005)
        assert after.all.total_uncertainty < 3 * np.sqrt(sum(observed))
        assert before.all.total_uncertainty > 0.1 * before.all.total
        # Bins are correlated: uncertainties add up to more than those of independent bins.
        assert before.all.total_uncertainty > np.linalg.norm(before.all.uncertainty)
    assert about.channels["4j2b SR"].edges == tuple(range(110, 551, 40))
    assert about.channels["4j2b SR"].region == "4j2b"


def test_left_out_samples_have_no_yields() -> None:
    histograms = published.load(analyses.load("cms_ttbar"), 5)
    histograms |= {
        name: histogram * 0.0
        for name, histogram in histograms.items()
        if name.startswith("4j1b_wjets")
    }
    settings = ModelSettings.model_validate(config()["model"])
    model = build_workspace(ANALYSIS, histograms, settings, partial=True)
    result = fit_workspace(model.workspace, minimiser(), description=model.description)
    made = result.record(provenance("test", packages=(), settings={}))
    assert "W+jets" not in made.yields.postfit["4j1b CR"].samples
    assert "W+jets" in made.yields.postfit["4j2b SR"].samples
    assert [entry.describe() for entry in made.left_out] == [
        "wjets, 4j1b: 4j1b_wjets has no events"
    ]
    assert made.partial


def test_results_of_another_workspace(written: Path) -> None:
    with pytest.raises(ModelError, match="belongs to the workspace") as caught:
        fit_records.read(FitRecord, written, built(1)[0])
    assert caught.value.place == str(written)


def test_damaged_record(written: Path) -> None:
    content = json.loads(written.read_text())
    content["bestfit"][3] = "much"
    write_json(written, content)
    with pytest.raises(InputError, match=r"not a FitRecord: `bestfit\.3`"):
        fit_records.read(FitRecord, written, built(5)[0])


def test_record_of_a_model_is_not_one_of_a_fit(tmp_path: Path) -> None:
    write_json(tmp_path / "model.json", built(5)[1].model_dump())
    assert fit_records.read(ModelRecord, tmp_path / "model.json", built(5)[0]) == built(5)[1]
    with pytest.raises(InputError, match="not a FitRecord: `labels`: Field required"):
        fit_records.read(FitRecord, tmp_path / "model.json", built(5)[0])


def test_result_by_names() -> None:
    result = fit_workspace(built(5)[0], minimiser())
    _, _, reference = fitted(5)
    assert isinstance(result, FitResult)
    assert result["ttbar_norm"] == result.poi
    assert result.poi.bestfit == measured(5)[0]
    assert [row.name for row in result] == reference.results.labels
    assert [row.uncertainty for row in result] == reference.results.uncertainty.tolist()
    position = reference.results.labels.index("Luminosity")
    poi = reference.results.labels.index("ttbar_norm")
    assert (
        result.correlation_of("ttbar_norm", "Luminosity")
        == reference.results.corr_mat[poi, position]
    )
    assert str(result).splitlines()[0].split() == ["ttbar_norm", "0.9533", "+-", "0.0919"]
    # Without a description the bins are numbered.
    assert result.record().channels["4j1b CR"].edges[0] == 0.5
