"""An analysis on coffea's own Runner: the same bits as in a run."""

import pickle
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, Runner

import agc_pipeline
import toy
import weighted_analysis
from agc_pipeline import analyses
from agc_pipeline.columnar import runner
from agc_pipeline.columnar.filling import complete
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.errors import AnalysisError
from conftest import ROOT
from oracle.strategies import write_nanoaod
from processed import ANALYSIS, EXECUTOR, SELECTION

# The toy files have less than coffea's schema of NanoAOD looks for.
pytestmark = pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")


def on_runner(fileset: Any, processor: Any, chunk_size: int = 13) -> Any:
    executor = IterativeExecutor(status=False, retries=0)
    run = Runner(executor=executor, schema=NanoAODSchema, chunksize=chunk_size)
    # As for workers in other processes.
    return run(fileset, pickle.loads(pickle.dumps(processor)))  # noqa: S301


def in_a_run(analysis: Any, selection: Any, dataset: str, files: dict[Path, Any]) -> Any:
    entries = [
        entry(InputFile(urls=(str(path),)), before=n, after=n, path=str(path), size=None, **weights)
        for path, (n, weights) in files.items()
    ]
    declared = analysis.dataset(dataset)
    processing = Processing(analysis, selection, declared, unit=runner.unit_of(declared, entries))
    specification = runner.Specification(
        processing, reader="auto", chunk_size=1000, chunk_bytes=10**9, cache=None
    )
    return complete(runner.run(entries, specification, EXECUTOR, allow_partial=False).output)


def check(output: Any, expected: Any, dataset: str) -> None:
    assert list(output) == [dataset]
    assert output[dataset]["histograms"] == expected["histograms"]
    assert output[dataset]["cutflow"] == expected["preselection"] | expected["selected"]


def test_ttbar_on_coffeas_runner(tmp_path: Path) -> None:
    path, config = tmp_path / "toy.root", agc_pipeline.load_config(root=ROOT)
    write_nanoaod(path, toy.events(40))
    processor = agc_pipeline.Processor(config.declaration, config.physics.selection)
    output = on_runner({"wjets__nominal": {"files": {str(path): "Events"}}}, processor)
    expected = in_a_run(
        config.declaration, config.physics.selection, "wjets__nominal", {path: (40, {})}
    )
    check(output, expected, "wjets__nominal")
    assert output["wjets__nominal"]["histograms"]["wjets"]["4j2b"].sum(flow=True).value > 5
    with pytest.raises(Exception, match="other"):
        on_runner({"other": {"files": {str(path): "Events"}}}, processor)


def test_generator_weights_need_their_unit(tmp_path: Path) -> None:
    files = weighted_analysis.write(tmp_path)["wjets"]
    folder = (tmp_path / weighted_analysis.NAME).rename(tmp_path / "on_runner")
    analysis = analyses.load(str(folder))
    selection = analysis.selection(weighted_analysis.SELECTION)
    fileset = {"wjets": {"files": {str(file.path): "Events" for file in files}}}
    counts = {f.path: (len(f.arrays["event"]), {"sum_of_weights": f.generated}) for f in files}
    n_events, first = counts[files[0].path]
    units = {"wjets": first["sum_of_weights"] / n_events}
    output = on_runner(fileset, agc_pipeline.Processor(analysis, selection, units), 1500)
    check(output, in_a_run(analysis, selection, "wjets", counts), "wjets")
    with pytest.raises(Exception, match="sums in units of 1: these would not be exact"):
        on_runner(fileset, agc_pipeline.Processor(analysis, selection), 1500)


def test_the_unit_is_not_that_of_weights_which_cancel(tmp_path: Path) -> None:
    dataset = ANALYSIS.dataset("ttbar__nominal")
    entries = [
        entry(
            InputFile(urls=(f"{n}.root",)),
            before=n,
            after=n,
            path=f"{n}.root",
            size=None,
            sum_of_weights=weights,
        )
        for n, weights in ((2, 1e-7), (100, 1e5), (50, -4.1e4))
    ]
    assert runner.unit_of(dataset, entries) == 1024
    assert runner.unit_of(dataset, entries[::-1]) == 1024
    assert runner.unit_of(replace(dataset, unit=3.0), entries) == 4


@pytest.mark.parametrize("reader", ["auto", "coffea"])
def test_a_function_from_elsewhere_that_fails_is_no_damaged_file(
    reader: Any, tmp_path: Path
) -> None:
    """What it raises may be of a type that readers raise for files, which may be left out."""
    path = tmp_path / "toy.root"
    write_nanoaod(path, toy.events(40))
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("def values(events, selection):\n    return float('text')\n")
    values = runpy.run_path(str(elsewhere))["values"]
    region = replace(ANALYSIS.regions[0], values=values)
    analysis = replace(ANALYSIS, regions=(region, *ANALYSIS.regions[1:]))
    specification = runner.Specification(
        Processing(analysis, SELECTION, analysis.dataset("ttbar__nominal")),
        reader=reader,
        chunk_size=1000,
        chunk_bytes=10**9,
        cache=None,
    )
    file = entry(InputFile(urls=(str(path),)), before=40, after=40, path=str(path), size=None)
    with pytest.raises(AnalysisError, match=r"ValueError: could not .*\n.*elsewhere\.py, line 2"):
        runner.run([file], specification, EXECUTOR, allow_partial=True)
