"""Skims are taken as they are if everything that decides them is the same, and only then."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from agc_pipeline.columnar import processing
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration import (
    Analysis,
    Change,
    Cut,
    Dataset,
    EventCut,
    Flat,
    Physics,
    Process,
    Region,
    Systematic,
    Variation,
)
from agc_pipeline.delivery.backends import deliver
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.store import store_of
from agc_pipeline.readers.settings import ReadingSettings
from agc_pipeline.settings import Settings
from conftest import read_config

SIGNAL = Dataset("s", ("s",))
READING = ReadingSettings.model_validate(
    {name: read_config()["delivery"][name] for name in ("chunk_size", "network")}
)
JOB = DeliveryJob(backend="local", format="ttree", servicex=None)


class Selection(Settings):
    """No cuts of the configuration."""


class ToyPhysics(Physics):
    """Of the toy analysis."""

    selection: Selection


def everything(events: Any, _: Any) -> Any:
    return np.ones(len(events), np.bool_)


def x(events: Any, _: Any) -> Any:
    return events["x"]


def requirements(
    label: str | None = "positive", bound: float = 0.0
) -> Callable[[Any, Dataset], tuple[EventCut, ...]]:
    return lambda *_: (EventCut("", Cut("x", ">", bound), label),)


def toy(**changes: Any) -> Analysis:
    values = {
        "name": "toy",
        "settings": ToyPhysics,
        "events": "columns",
        "regions": (Region("R", "R", "x", "x", (0.0, 1.0, 2.0), mask=everything, values=x),),
        "processes": (Process("s", "S"),),
        "datasets": (SIGNAL,),
        "systematics": (),
        "requirements": requirements(),
        "reads": lambda _: {"": ("x",)},
        "layout": Flat("first", identity=("event",)),
    }
    return Analysis(**values | changes)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with two trees of the same columns, and what it says of generator weights."""
    path = tmp_path / "input.root"
    write(path, first=[-1.0, 0.5, 1.5], sums=[5.0, 7.0])
    return path


def write(path: Path, *, first: list[float], sums: list[float]) -> None:
    with uproot.recreate(path) as file:
        for tree, values in (("first", first), ("second", [0.5, 1.5, 1.7])):
            file.mktree(tree, {"event": np.arange(3), "x": np.array(values)})
        file.mktree("Runs", {"sum": np.array(sums)})


def delivered(analysis: Analysis, source: Path) -> Delivered:
    """The entry of the file, delivered or found."""
    content = skim_content(analysis, Selection(), SIGNAL, learned=False)
    store = store_of(source.parent / "skims", content, JOB)
    outcome = deliver(
        (InputFile(urls=(str(source),)),), content, None, JOB, reading=READING, store=store
    )
    (entry,) = outcome.entries()
    assert entry.error is None
    return entry


def values(entry: Delivered, tree: str = "first") -> list[float]:
    with uproot.open(entry.path) as file:
        return list(file[tree]["x"].array(library="np"))


def test_the_events_are_those_of_the_tree_that_the_layout_names(source: Path) -> None:
    assert values(delivered(toy(), source)) == [0.5, 1.5]
    other = toy(layout=Flat("second", identity=("event",)))
    assert values(delivered(other, source), "second") == [0.5, 1.5, 1.7]


def test_the_cutflow_has_the_labels_of_the_declaration(source: Path) -> None:
    assert delivered(toy(), source).cutflow == {"all": 3, "positive": 2}
    assert delivered(toy(requirements=requirements("x > 0")), source).cutflow == {
        "all": 3,
        "x > 0": 2,
    }
    assert delivered(toy(requirements=requirements(None)), source).cutflow == {"all": 3}


def test_the_cutflow_counts_the_nominal_cut(source: Path) -> None:
    # Loosest and tightest bound are the same two numbers.
    one = toy(requirements=requirements(bound=1.6), systematics=varied(1.0, 2.0))
    other = toy(requirements=requirements(bound=0.8), systematics=varied(0.5, 1.0))
    assert delivered(one, source).cutflow["positive"] == 0
    assert delivered(other, source).cutflow["positive"] == 1


def varied(low: float, high: float) -> tuple[Systematic, ...]:
    change = Change(("", "x"), lambda objects, *_: objects["x"], lambda _: (low, high))
    return (Systematic("scale", ("s",), up=Variation("scale_up", changes=(change,))),)


def first_sum(file: Any) -> float:
    return float(file["Runs"]["sum"].array(library="np").sum())


def second_sum(file: Any) -> float:
    return 2.0 * first_sum(file)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The one file of an analysis' code."""
    path = tmp_path / "analysis.py"
    path.write_text("SUM = 1\n")
    monkeypatch.setattr(processing, "_files", lambda _: [str(path)])
    return path


@pytest.mark.parametrize("generated", [second_sum, None])
def test_the_sum_of_weights_is_read_again_with_changed_code_and_the_skim_kept(
    generated: Callable[[Any], float] | None, source: Path, written: Path
) -> None:
    before = delivered(toy(generated=first_sum), source)
    assert before.sum_of_weights == 12.0
    skim = Path(str(before.path))
    made = skim.stat().st_mtime_ns
    written.write_text("SUM = 2\n")
    after = delivered(toy(generated=generated), source)
    assert after.sum_of_weights == (None if generated is None else 24.0)
    assert after.model_copy(update={"sum_of_weights": 12.0, "weighing": before.weighing}) == before
    assert skim.stat().st_mtime_ns == made
    # Once: it is there without the input.
    content = skim_content(toy(generated=generated), Selection(), SIGNAL, learned=False)
    store = store_of(source.parent / "skims", content, JOB)
    assert store is not None
    assert store.find(InputFile(urls=(str(source),))) == after


def test_a_sum_is_read_where_there_was_none(source: Path, written: Path) -> None:
    assert delivered(toy(), source).sum_of_weights is None
    assert written.exists()
    assert delivered(toy(generated=first_sum), source).sum_of_weights == 12.0


def test_a_file_that_was_written_anew_at_its_address_gives_skim_and_sum(
    source: Path, written: Path
) -> None:
    delivered(toy(generated=first_sum), source)
    written.write_text("SUM = 2\n")
    status = source.stat()
    write(source, first=[1.1, 0.5, 1.5], sums=[1.0, 2.0])
    # As on a server that does not tell.
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size
    after = delivered(toy(generated=first_sum), source)
    assert (after.sum_of_weights, values(after)) == (3.0, [1.1, 0.5, 1.5])


def test_regions_and_weights_make_no_other_skims(source: Path, written: Path) -> None:
    entry = delivered(toy(), source)
    assert written.exists()
    region = replace(toy().regions[0], name="other", title="other", edges=(0.0, 3.0))
    others = toy(
        regions=(*toy().regions, region),
        systematics=(Systematic("w", ("s",), up=Variation("w_up", weight=lambda *_: 1.1)),),
    )
    assert delivered(others, source) == entry
