"""The published histograms that come with the package."""

import json
from pathlib import Path

import numpy as np
import pytest

from agc_pipeline import analyses
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.validation import published

ANALYSIS = analyses.load("cms_ttbar")
NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, -1)
REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


def test_available() -> None:
    assert published.available(analyses.load("cms_ttbar")) == NUMBERS


@pytest.mark.parametrize("n_files", NUMBERS)
def test_every_histogram_of_the_analysis(n_files: int) -> None:
    histograms = published.load(analyses.load("cms_ttbar"), n_files)
    names = [template.name for template in ANALYSIS.templates()]
    names += [ANALYSIS.pseudodata_name(region.name) for region in ANALYSIS.regions]
    assert list(histograms) == names
    assert len(names) == 124
    for histogram in histograms.values():
        assert histogram.values(flow=True).shape == (27,)
        assert np.all(histogram.variances(flow=True) >= 0)
        assert np.array_equal(histogram.axes[0].edges, np.arange(50, 551, 20))


@pytest.mark.parametrize(
    ("n_files", "name", "position", "content"),
    [
        # Source: iris-hep/analysis-grand-challenge, analyses/cms-open-data-ttbar/reference,
        # histos_N_file_per_process.json; position counts from the underflow.
        (5, "4j1b_ttbar", 5, 59.4183646845966),
        (5, "4j1b_ttbar", 26, 2426.892947182547),
        (5, "4j1b_pseudodata", 4, 9.674864880760076),
        (5, "4j1b_pseudodata", 8, 1974.0587656723208),
    ],
)
def test_spot_values(n_files: int, name: str, position: int, content: float) -> None:
    histograms = published.load(analyses.load("cms_ttbar"), n_files)
    assert histograms[name].values(flow=True)[position] == pytest.approx(content, rel=1e-13)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the original files are not in ../shared")
@pytest.mark.parametrize("n_files", NUMBERS)
def test_reproduces_the_original_files(n_files: int) -> None:
    stem = "all" if n_files == -1 else n_files
    path = REFERENCE / f"histos_{stem}_file_per_process.json"
    original = json.loads(path.read_text())
    histograms = published.load(analyses.load("cms_ttbar"), n_files)
    assert set(original) == set(histograms)
    for name, content in original.items():
        np.testing.assert_allclose(
            histograms[name].values(flow=True), content["contents"], rtol=1e-12, err_msg=name
        )
        np.testing.assert_array_equal(histograms[name].axes[0].edges, content["edges"])


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the original files are not in ../shared")
@pytest.mark.parametrize("n_files", NUMBERS)
def test_event_counts_are_those_of_the_first_files(n_files: int) -> None:
    listed = json.loads((REFERENCE / "nanoaod_inputs.json").read_text())
    taken = slice(None if n_files == -1 else n_files)
    assert published.read(analyses.load("cms_ttbar"), n_files).n_generated == {
        f"{process}__{variation}": sum(file["nevts"] for file in dataset["files"][taken])
        for process, variations in listed.items()
        for variation, dataset in variations.items()
    }


def test_variance_is_the_sum_of_squared_weights() -> None:
    histograms = published.load(analyses.load("cms_ttbar"), 5)
    weight = published.weights(analyses.load("cms_ttbar"), 5)["wjets__nominal"]
    entries = published.read(analyses.load("cms_ttbar"), 5).entries("4j2b_wjets")
    nominal = histograms["4j2b_wjets"].variances(flow=True)
    shifted = histograms["4j2b_wjets_scale_var_up"].variances(flow=True)
    np.testing.assert_allclose(nominal, weight**2 * entries, rtol=1e-13)
    np.testing.assert_allclose(shifted, (1.025 * weight) ** 2 * entries, rtol=1e-13)


def test_btag_variations_mirror_each_other() -> None:
    histograms = published.load(analyses.load("cms_ttbar"), -1)
    up, down, nominal = (
        histograms[f"4j1b_ttbar{suffix}"].values(flow=True)
        for suffix in ("_btag_var_2_up", "_btag_var_2_down", "")
    )
    np.testing.assert_allclose(up + down, 2 * nominal, rtol=1e-14)
    assert np.all(up >= nominal)


def test_pseudodata_variance_counts_the_shares_squared() -> None:
    histograms = published.load(analyses.load("cms_ttbar"), 1)
    matrix, parton, wjets = (
        histograms[f"4j2b_{name}"].variances() for name in ("ttbar_ME_var", "ttbar_PS_var", "wjets")
    )
    np.testing.assert_allclose(
        histograms["4j2b_pseudodata"].variances(), matrix / 4 + parton / 4 + wjets, rtol=1e-13
    )


def test_all_may_be_said_in_two_ways() -> None:
    assert published.read(analyses.load("cms_ttbar"), "all") == published.read(
        analyses.load("cms_ttbar"), -1
    )
    assert published.weights(analyses.load("cms_ttbar"), "all")["ttbar__nominal"] == pytest.approx(
        729.84 * 3378 / 276_079_127, rel=1e-15
    )


@pytest.mark.parametrize("n_files", [0, 3, 7, 787])
def test_unpublished_number_names_those_that_are(n_files: int) -> None:
    with pytest.raises(ConfigurationError, match=f"for {n_files} files") as error:
        published.load(analyses.load("cms_ttbar"), n_files)
    assert "1, 2, 5, 10, 20, 50, 100, 200, -1 (all)" in error.value.remedy
    assert error.value.place == "n_files_max_per_sample"


def test_says_where_it_comes_from() -> None:
    for n_files in NUMBERS:
        numbers = published.read(analyses.load("cms_ttbar"), n_files)
        assert numbers.n_files == n_files
        assert "iris-hep/analysis-grand-challenge" in numbers.source
        assert numbers.licence.startswith("MIT")
