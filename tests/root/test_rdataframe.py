"""The benchmark's analysis in a real ROOT: the package's histograms, from files of both kinds."""

import sys
from pathlib import Path

import pytest

import separate
from agc_pipeline.facility import sample
from processed import run

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import rdataframe

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("root")]


def test_rdataframe_fills_the_same_histograms(tmp_path: Path) -> None:
    interpreter = separate.interpreter("root", separate.ROOT, tmp_path)
    with rdataframe.InRoot(interpreter) as root:
        # Of W+jets hardly an event is selected, but it has weights of its own.
        for kind, process, container in (
            ("ttbar", "ttbar", "ttree"),
            ("ttbar", "wjets", "rntuple"),
        ):
            path = tmp_path / f"{process}.root"
            sample.write(path, kind, 2000, container=container)
            histograms = run(path, 2000, "auto", dataset=(process, "nominal")).output["histograms"]
            assert histograms["4j2b"][{"variation": "pt_res_up"}].sum().value > 20
            filled = root.fill("Events", process, [str(path)])
            assert filled.differences(histograms) == []
            filled.contents["4j1b nominal"][5] += 1
            del filled.contents["4j2b btag_var_0_up"]
            assert filled.differences(histograms) == ["4j1b nominal", "4j2b btag_var_0_up"]
