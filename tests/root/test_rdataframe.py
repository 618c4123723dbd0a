"""The benchmark's analysis in a real ROOT: the package's histograms, from TTrees and RNTuples."""

from pathlib import Path

import pytest

import rdataframe
import separate
import toy
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.delivery.preselected import open_input
from agc_pipeline.delivery.skim import write_skim
from oracle.strategies import write_nanoaod
from processed import ANALYSIS, SELECTION, run

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("root")]


def test_rdataframe_fills_the_same_histograms(tmp_path: Path) -> None:
    interpreter = separate.interpreter("root", separate.ROOT, tmp_path)
    path, skim = tmp_path / "events.root", tmp_path / "skim.root"
    write_nanoaod(path, toy.events(3000), events_per_piece=1000)
    content = skim_content(ANALYSIS, SELECTION, ANALYSIS.dataset("wjets__nominal"), learned=False)
    with open_input(str(path), content) as tree:
        counts = write_skim(tree, content, skim, url=str(path), kind="rntuple", chunk_size=1000)
    with rdataframe.InRoot(interpreter) as root:
        for process, file, n_events in (("ttbar", path, 3000), ("wjets", skim, counts.after)):
            dataset = (process, "nominal")
            histograms = run(file, n_events, "auto", dataset=dataset).output["histograms"]
            assert histograms["4j2b"][{"variation": "pt_res_up"}].sum().value > 20
            filled = root.fill("Events", process, [str(file)])
            assert filled.differences(histograms) == []
            filled.contents["4j1b nominal"][10] += 1
            del filled.contents["4j2b btag_var_0_up"]
            assert filled.differences(histograms) == ["4j1b nominal", "4j2b btag_var_0_up"]
