"""One contract over all analyses of the package, and over ones that break it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toy
import toy_mini
from agc_pipeline import analyses, contract
from agc_pipeline.declaration import Change, Variation
from agc_pipeline.errors import AnalysisError
from conftest import read_config
from oracle.strategies import write_nanoaod
from processed import ANALYSIS, SELECTION

Files = dict[str, list[Path]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Toy events of all datasets of the ttbar analysis."""
    folder = tmp_path_factory.mktemp("ttbar")
    paths = {}
    for seed, dataset in enumerate(ANALYSIS.datasets):
        paths[dataset.name] = [folder / f"{dataset.name}.{i}.root" for i in range(2)]
        for i, path in enumerate(paths[dataset.name]):
            arrays = toy.events(60, seed=10 * seed + i + 1)
            write_nanoaod(path, arrays, events_per_piece=20)
    return paths


def firsts(files: Files) -> Files:
    """One file of each dataset."""
    return {name: paths[:1] for name, paths in files.items()}


def test_ttbar(files: Files, tmp_path: Path) -> None:
    contract.check(ANALYSIS, SELECTION, files, tmp_path / "skims")


def variation(name: str, **changes: Any) -> Any:
    """The ttbar analysis with another change of the jets' pt."""
    systematics = []
    for systematic in ANALYSIS.systematics:
        if systematic.variations == (name,):
            change = replace(systematic.up.changes[0], **changes)  # type: ignore[union-attr]
            up = Variation(name, changes=(change,))
            systematics.append(replace(systematic, up=up))
        else:
            systematics.append(systematic)
    return replace(ANALYSIS, systematics=tuple(systematics), reference=None)


def test_a_variation_beyond_its_factors_is_refused(files: Files, tmp_path: Path) -> None:
    # Whoever changes the function and forgets the loosening of the preselection is told.
    def larger(jets: Any, _: Any, selection: Any) -> Any:
        return jets.pt * 1.2

    analysis = variation("pt_scale_up", values=larger)
    with pytest.raises(AnalysisError, match=r"pt_scale_up makes .* beyond its declared factors"):
        contract.check(analysis, SELECTION, files, tmp_path / "skims", processes=False)


def test_the_loosening_follows_from_the_factors(files: Files, tmp_path: Path) -> None:
    def larger(jets: Any, _: Any, selection: Any) -> Any:
        return jets.pt * 1.2

    analysis = variation("pt_scale_up", values=larger, factors=lambda _: (1.2, 1.2))
    contract.check(analysis, SELECTION, firsts(files), tmp_path / "skims", processes=False)


def test_a_change_cannot_be_declared_without_factors() -> None:
    with pytest.raises(TypeError, match="factors"):
        Change(("Jet", "pt"), lambda jets, *_: jets.pt)  # type: ignore[call-arg]


def test_what_nothing_fills_is_named(files: Files, tmp_path: Path) -> None:
    region = replace(
        ANALYSIS.regions[0],
        name="9b",
        title="nine tags",
        mask=lambda events, _: np.asarray(events.count("tagged") > 90),
    )
    analysis = replace(ANALYSIS, regions=(*ANALYSIS.regions, region), reference=None)
    with pytest.raises(AnalysisError, match="nothing fills 9b_single_top_s_chan"):
        contract.check(analysis, SELECTION, firsts(files), tmp_path / "skims", processes=False)


def test_masks_and_observables_of_another_length_are_refused(files: Files, tmp_path: Path) -> None:
    region = replace(ANALYSIS.regions[0], values=lambda events, _: np.zeros(len(events) + 1))
    analysis = replace(ANALYSIS, regions=(region, ANALYSIS.regions[1]), reference=None)
    with pytest.raises(AnalysisError, match=r"an observable of .* events has the shape"):
        contract.check(analysis, SELECTION, files, tmp_path / "skims", processes=False)
    region = replace(ANALYSIS.regions[0], mask=lambda events, _: events.count("tagged"))
    analysis = replace(ANALYSIS, regions=(region, ANALYSIS.regions[1]), reference=None)
    with pytest.raises(AnalysisError, match="a mask of"):
        contract.check(analysis, SELECTION, files, tmp_path / "skims", processes=False)


def test_atlas_hzz(tmp_path: Path) -> None:
    # One dataset of simulated events: the others have the same functions.
    whole = analyses.load("atlas_hzz")
    datasets = (whole.dataset("llll"), whole.dataset("data"))
    analysis = replace(whole, datasets=datasets, reference=None)
    selection = analysis.selection(read_config("atlas-hzz")["physics"]["selection"])
    paths = {dataset.name: [tmp_path / f"{dataset.name}.root"] for dataset in datasets}
    for seed, (name, (path,)) in enumerate(paths.items()):
        toy_mini.write(path, name, 14, seed)
    contract.check(analysis, selection, paths, tmp_path / "skims")
