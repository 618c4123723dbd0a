"""Which hyperparameters suit the jet assignment: each set is judged on events that it has not seen.

    python benchmarks/training.py results/simulated/ttbar__nominal/*.root
    python benchmarks/training.py FILE ... --test OTHER ...

Without --test the even model is judged on odd events and vice versa, as in a run; the set with the
smallest log loss is the one to choose. Fractions of the chosen set are then flattered a little:
--test gives those of files that played no part in the choice.
"""

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import command_line
from agc_pipeline import analyses
from agc_pipeline.analyses.cms_ttbar.jet_assignment import JET_ASSIGNMENT
from agc_pipeline.analyses.cms_ttbar.jet_assignment import training as jets
from agc_pipeline.analyses.cms_ttbar.settings import JetAssignment
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.analysis import union
from agc_pipeline.learning import evaluation, example_files, training
from agc_pipeline.learning.examples import Examples
from agc_pipeline.learning.settings import TrainingSettings
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.readers.settings import ReadingSettings
from agc_pipeline.stages.command import errors_told

CONFIG = Path(__file__).parent.parent / "config"
ANALYSIS = "cms_ttbar"


def sets() -> Iterator[dict[str, Any]]:
    """The hyperparameters that are tried."""
    sampled = {"subsample": 0.7, "colsample_bytree": 0.7}
    for depth, penalty in product((3, 4, 5, 6), (1, 10)):
        yield {"learning_rate": 0.1, "max_depth": depth, "reg_lambda": penalty, **sampled}
    yield {"learning_rate": 0.1, "max_depth": 6}
    yield {"learning_rate": 0.05, "max_depth": 4, "reg_lambda": 10, **sampled}


def read(paths: list[Path]) -> Examples:
    """All examples of some files."""
    physics = yaml.safe_load((CONFIG / ANALYSIS / "physics.yaml").read_text())["physics"]
    delivery = yaml.safe_load((CONFIG / "default.yaml").read_text())["delivery"]
    analysis = analyses.load(ANALYSIS)
    own = JetAssignment.model_validate(physics[JET_ASSIGNMENT.name])
    processing = Processing(
        analysis,
        analysis.selection(physics["selection"]),
        analysis.dataset(JET_ASSIGNMENT.trained_on),
    )

    def examples_of(arrays: Any) -> Examples:
        columns = ArrayColumns(arrays, analysis.layout)
        return jets.examples(processing.nominal(columns, jets.MASK), own)

    columns = analysis.columns(processing.dataset, processing.selection, learned=True)
    files = [InputFile(urls=(str(path),)) for path in paths]
    settings = ReadingSettings(chunk_size=delivery["chunk_size"], network=delivery["network"])
    examples, _ = example_files.read(
        files,
        union([columns, jets.READS]),
        analysis.layout,
        examples_of,
        settings,
        n_events_max=10**9,
    )
    return examples


def row(examples: Examples, test: Examples | None, settings: TrainingSettings) -> list[str]:
    """What a set of hyperparameters can do."""
    start = time.process_time()
    trained = training.train_both(examples, jets.FEATURES, settings, threads=1)
    seconds = time.process_time() - start
    rows, models = evaluation.evaluate(examples if test is None else test, jets.FEATURES, trained)
    fractions = [
        f"{100 * item.value:.1f} ± {100 * item.uncertainty:.1f}"
        for item in (rows[0].part, rows[0].whole, rows[0].baseline)
    ]
    loss = np.mean([model.metrics["log_loss"] for model in models.values()])
    trees = " + ".join(str(model.n_trees) for model in trained.values())
    return [f"{loss:.5f}", *fractions, trees, f"{seconds:.1f}"]


def main() -> None:
    """Print a table, one row for each set, as they come."""
    arguments = command_line.parser(__doc__)
    arguments.add_argument(
        "files", type=command_line.file, nargs="+", help="NanoAOD with generator particles"
    )
    arguments.add_argument(
        "--test", type=command_line.file, nargs="+", default=[], help="files to judge on"
    )
    arguments.add_argument("--configured", action="store_true", help="only the configured set")
    options = arguments.parse_args()
    learning = yaml.safe_load((CONFIG / ANALYSIS / "learning.yaml").read_text())["learning"]
    values = {name: value for name, value in learning["training"].items() if name != "tracking"}
    settings = TrainingSettings.model_validate(values)
    with errors_told(output="the command line"):
        examples = read(options.files)
        test = read(options.test) if options.test else None
        training.check_enough(examples, settings.n_events_min)
        if test is not None:
            training.check_enough(test, 1)
        print(f"{len(examples)} events, judged on {len(examples if test is None else test)}\n")
        titles = ("log loss", "hadronic top [%]", "all four [%]", "trijet [%]", "trees", "CPU [s]")
        print("| hyperparameters |", " | ".join(titles), "|\n|" + " --- |" * (len(titles) + 1))
        for hyperparameters in [settings.hyperparameters] if options.configured else sets():
            cells = row(
                examples, test, settings.model_copy(update={"hyperparameters": hyperparameters})
            )
            text = ", ".join(f"{name} {value}" for name, value in hyperparameters.items())
            print(f"| {text} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
