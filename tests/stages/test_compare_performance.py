"""Costs of two runs, compared by one command."""

import sys
from pathlib import Path

import pytest

from agc_pipeline.columnar import performance
from agc_pipeline.columnar.performance import Performance, PerformanceRecord, merged
from agc_pipeline.readers.clock import Seconds
from agc_pipeline.stages import compare_performance


def cost(events: int, cpu: float) -> Performance:
    return Performance(
        files=1, events=events, bytes=10 * events, seconds={"read": Seconds(cpu=cpu, wall=2 * cpu)}
    )


def test_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = PerformanceRecord(datasets={"a": {"baskets": cost(100, 2)}, "b": {"coffea": cost(5, 1)}})
    new = PerformanceRecord(datasets={"a": {"baskets": cost(200, 2)}})
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, record in zip(paths, (old, new), strict=True):
        performance.write(path, record)
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, paths)])
    compare_performance.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["baskets", "old", "new", "new/old"] in lines
    assert ["events", "per", "CPU", "second", "50", "100", "2.000"] in lines
    assert ["bytes", "per", "event", "10.0", "10.0", "1.000"] in lines
    assert ["files", "1", "0", "0.000"] in lines
    # 2 s for 100 events, then for 200; twice that on the clock.
    assert ["read", "[cpu", "ns/event]", "20000000.0", "10000000.0", "0.500"] in lines
    assert ["read", "[wall", "ns/event]", "40000000.0", "20000000.0", "0.500"] in lines
    assert ["all", "[wall", "ns/event]", "40000000.0", "20000000.0", "0.500"] in lines

    monkeypatch.setattr(sys, "argv", ["compare", str(tmp_path / "none.json"), str(paths[1])])
    with pytest.raises(SystemExit, match="file not found"):
        compare_performance.main()


def test_costs_add_up() -> None:
    summed = merged([{"baskets": cost(100, 2)}, {"baskets": cost(50, 1), "uproot": cost(1, 1)}])
    assert summed["baskets"].events == 150
    assert summed["baskets"].total == Seconds(cpu=3, wall=6)
    assert summed["uproot"].rate == 1
