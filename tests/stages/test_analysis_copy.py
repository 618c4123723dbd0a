"""A copy of the ttbar analysis with a cut and a systematic on MET, in one file and its yaml."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import toy
from agc_pipeline import analyses, config, contract
from agc_pipeline.columnar import runner
from agc_pipeline.columnar.executors import InThisProcess
from agc_pipeline.columnar.processing import Processing, skim_content
from agc_pipeline.declaration import Change
from agc_pipeline.declaration.query import query
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import AnalysisError, ConfigurationError
from agc_pipeline.readers.opening import open_tree
from conftest import ROOT
from oracle import analysis as oracle
from oracle.events import events_from_arrays
from oracle.strategies import Arrays, write_nanoaod
from processed import delivered

OWN = ROOT / "src/agc_pipeline/analyses/cms_ttbar"
BOUND, SCALE = 40.0, 1.1
# What is added to the file of the declaration.
MET = '''
from dataclasses import replace

from pydantic import PositiveFloat

from agc_pipeline.declaration import Change, Cut, EventCut, Systematic, Variation

from .processes import ALL
from .settings import Selection


class MetSelection(Selection):
    """Cuts of this analysis, with one on MET in GeV, and a factor on MET."""

    met_min: PositiveFloat
    met_scale: PositiveFloat


class MetPhysics(TtbarPhysics):
    """Physics of this analysis."""

    selection: MetSelection


def with_met(selection, dataset):
    return (
        EventCut("MET", Cut("pt", ">", selection.met_min), "MET"),
        *requirements(selection, dataset),
    )


def scaled_met(met, events, selection):
    return met.pt * selection.met_scale


def met_factors(selection):
    return selection.met_scale, selection.met_scale


ANALYSIS = replace(
    ANALYSIS,
    settings=MetPhysics,
    requirements=with_met,
    systematics=(
        *ANALYSIS.systematics,
        Systematic(
            "MET scale",
            ALL,
            up=Variation("met_up", changes=(Change(("MET", "pt"), scaled_met, met_factors),)),
        ),
    ),
)
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> config.Configuration:
    """Configuration of the copy."""
    folder = tmp_path_factory.mktemp("lab") / "ttbar_with_met"
    shutil.copytree(OWN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config/cms_ttbar", folder / "config")
    initial = folder / "__init__.py"
    initial.write_text(initial.read_text() + MET)
    physics = folder / "config/physics.yaml"
    values = yaml.safe_load(physics.read_text())
    values["physics"]["selection"] |= {"met_min": BOUND, "met_scale": SCALE}
    physics.write_text(yaml.safe_dump(values))
    return config.load_config(overrides={"analysis": str(folder)}, root=ROOT)


def events(n: int, seed: int) -> tuple[Arrays, Any]:
    """Toy events with MET around the cut, exactly at its bounds as well."""
    arrays = toy.events(n, seed=seed)
    rng = np.random.default_rng(seed)
    at = [np.float32(BOUND), np.nextafter(np.float32(BOUND), np.float32(100)), BOUND / SCALE]
    met = np.where(rng.random(n) < 0.2, rng.choice(at, n), rng.exponential(60, n))
    arrays["MET_pt"] = met.astype(np.float32)
    return arrays, arrays["MET_pt"].astype(np.float64)


def expected(arrays: Arrays, met: Any, process: str) -> Any:
    """Plain loops: the oracle of the ttbar analysis on the events that pass the cut on MET."""

    def passing(factor: float) -> list[Any]:
        pairs = zip(events_from_arrays(arrays), met, strict=True)
        return [event for event, value in pairs if float(value) * factor > BOUND]

    def smear(*_: int) -> float:
        return 0.0

    nominal, up = passing(1.0), passing(SCALE)
    assert len(nominal) < len(up) < len(met)
    histograms = oracle.analyse(nominal, process, "nominal", smear=smear)
    varied = oracle.analyse(up, process, "nominal", smear=smear)
    return histograms | {(region, "met_up"): varied[region, "nominal"] for region in oracle.REGIONS}


def test_events_of_the_copy_are_the_expected_ones(
    copy: config.Configuration, tmp_path: Path
) -> None:
    analysis, selection = copy.declaration, copy.physics.selection
    dataset = analysis.dataset("ttbar__nominal")
    arrays, met = events(2000, seed=3)
    path, n = tmp_path / "input.root", len(met)
    write_nanoaod(path, arrays, events_per_piece=300)
    content = skim_content(analysis, selection, dataset, learned=False)
    assert content.columns["MET"] == ("pt",)
    skim = tmp_path / "skim.root"
    with open_tree(str(path), content.columns, content.layout) as tree:
        counts = write_skim(tree, content, skim, url=str(path), kind="ttree", chunk_size=400)
    # The skim has the events that only the variation selects, and drops others.
    with open_tree(str(skim), content.columns, content.layout) as tree:
        kept = tree["MET_pt"].array(library="np").astype(float)
    assert np.any((kept <= BOUND) & (kept * SCALE > BOUND))
    assert kept.min() * SCALE >= BOUND * (1 - 1e-6)
    loops = expected(arrays, met, "ttbar")
    for file in (delivered(path, n, n), delivered(skim, n, counts.after)):
        for reader in ("auto", "coffea"):
            specification = runner.Specification(
                Processing(analysis, selection, dataset),
                reader=reader,  # type: ignore[arg-type]
                chunk_size=500,
                chunk_bytes=10**9,
                cache=None,
            )
            iterative = InThisProcess()
            output = runner.run([file], specification, iterative, allow_partial=False).output
            for (region, variation), histogram in loops.items():
                if variation == "pt_res_up":
                    continue
                contents = output["histograms"]["ttbar"][region].histogram()
                view = contents[{"variation": variation}].view(True)
                assert view["value"] == pytest.approx(histogram.sumw, rel=1e-5)
                assert view["variance"] == pytest.approx(histogram.sumw2, rel=1e-5)
                assert math.fsum(histogram.sumw) > 0
    assert counts.cutflow["MET"] == np.count_nonzero(met > BOUND)


def test_the_query_has_the_loosened_cut(copy: config.Configuration) -> None:
    analysis, selection = copy.declaration, copy.physics.selection
    for dataset in analysis.datasets:
        asked = query(analysis, selection, dataset)
        first = asked.cut.split(" & ")[0]
        assert first.startswith("(MET_pt > ")
        bound = float(first.removeprefix("(MET_pt > ").removesuffix(")"))
        assert bound == pytest.approx(BOUND / SCALE, rel=1e-4)
        assert bound < BOUND / SCALE
        assert asked.columns["MET"] == ("pt",)


def test_the_copy_holds_the_contract(copy: config.Configuration, tmp_path: Path) -> None:
    analysis = copy.declaration
    files = {}
    for seed, dataset in enumerate(analysis.datasets):
        path = tmp_path / f"{dataset.name}.root"
        write_nanoaod(path, events(150, seed=seed + 1)[0], events_per_piece=50)
        files[dataset.name] = [path]
    contract.check(analysis, copy.physics.selection, files, tmp_path / "skims", processes=False)


def test_factors_cannot_be_forgotten(copy: config.Configuration, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="factors"):
        Change(("MET", "pt"), lambda met, *_: met.pt * SCALE)  # type: ignore[call-arg]
    # Nor can they be too small.
    analysis = copy.declaration
    systematic = analysis.systematics[-1]
    assert systematic.up is not None
    change = replace(systematic.up.changes[0], factors=lambda _: (1.0, 1.05))
    up = replace(systematic.up, changes=(change,))
    systematics = (*analysis.systematics[:-1], replace(systematic, up=up))
    analysis = replace(analysis, systematics=systematics, reference=None)
    path = tmp_path / "input.root"
    write_nanoaod(path, events(200, seed=5)[0])
    dataset = analysis.dataset("wjets__nominal")
    specification = runner.Specification(
        Processing(analysis, copy.physics.selection, dataset),
        reader="auto",
        chunk_size=500,
        chunk_bytes=10**9,
        cache=None,
    )
    with pytest.raises(AnalysisError, match=r"met_up makes .* beyond its declared factors"):
        runner.run(
            [delivered(path, 200, 200)],
            specification,
            InThisProcess(),
            allow_partial=False,
        )


def test_the_copy_and_the_original_are_independent(copy: config.Configuration) -> None:
    original = analyses.load("cms_ttbar")
    assert "MET" not in original.columns(original.datasets[0], copy.physics.selection)
    assert original.regions[0].mask is not copy.declaration.regions[0].mask
    assert copy.declaration.learned is not None
    assert copy.declaration.learned.training == "ttbar_with_met.jet_assignment.training"
    with pytest.raises(ConfigurationError, match="met_min"):
        config.load_config(overrides={"physics": {"selection": {"met_min": 40}}}, root=ROOT)
