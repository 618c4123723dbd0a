"""What every analysis must hold, on toy events: run it with pytest."""

from pathlib import Path

import yaml

from agc_pipeline import analyses, contract

from . import toy

FOLDER = Path(__file__).resolve().parent


def test_the_contract(tmp_path: Path) -> None:
    """Skims, chunks, formats and executors give the same bits, and everything is filled."""
    analysis = analyses.load(str(FOLDER))
    physics = yaml.safe_load((FOLDER / "config" / "physics.yaml").read_text())["physics"]
    toys = toy.write(tmp_path / "toys", scale=0.003)
    files = {dataset: [path] for dataset, path in toys.items()}
    selection = analysis.selection(physics["selection"])
    contract.check(analysis, selection, files, tmp_path / "skims")
