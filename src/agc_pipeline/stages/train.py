"""Train the models that assign jets to partons, and judge each on events that it has not seen."""

import argparse
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from agc_pipeline import analyses
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.analysis import union
from agc_pipeline.files import write_bytes, write_json
from agc_pipeline.learning import evaluation, example_files, models, training, training_record
from agc_pipeline.learning.examples import Examples
from agc_pipeline.learning.settings import TrainingSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.readers.settings import ReadingSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class TrainStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        selection: ``physics.selection``, the analysis' own.
        learned: settings of the learned observables, likewise.
        training: ``learning.training``.
        files: to be read, as far as they are needed.
    """

    analysis: str
    selection: dict[str, object]
    learned: dict[str, object]
    training: TrainingSettings
    files: tuple[InputFile, ...]


def stage(arguments: argparse.Namespace) -> None:
    """Write both models, their card, and the record of what they can do.

    Raises:
        PipelineError: if there is nothing to train on, or with.
    """
    settings = command.settings(TrainStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    learned = analysis.learned
    if learned is None:
        raise TypeError(f"{analysis.name} has no learned observables")
    xgboost = training.xgboost_distribution(learned.name)
    training.check_hyperparameters(settings.training)
    physics = import_module(learned.training)
    processing = Processing(
        analysis, analysis.selection(settings.selection), analysis.dataset(learned.trained_on)
    )
    own = analysis.learned_settings(settings.learned)

    def examples_of(arrays: Any) -> Examples:
        columns = ArrayColumns(arrays, analysis.layout)
        return physics.examples(processing.nominal(columns, physics.MASK), own)

    columns = analysis.columns(processing.dataset, processing.selection, learned=True)
    examples, data = example_files.read(
        settings.files,
        union([columns, physics.READS]),
        analysis.layout,
        examples_of,
        command.settings(ReadingSettings, arguments.reading),
        n_events_max=settings.training.n_events_max,
    )
    training.check_enough(examples, settings.training.n_events_min)
    trained = training.train_both(
        examples, physics.FEATURES, settings.training, threads=arguments.threads
    )
    rows, judged = evaluation.evaluate(examples, physics.FEATURES, trained)
    made_by = provenance(
        "train",
        packages=("awkward", "numba", "numpy", "uproot", xgboost),
        settings=settings.model_dump(),
    )
    cards = {
        parity: models.TrainedModel(
            trained_on=parity,
            sha256=models.sha256(model.content),
            n_trees=model.n_trees,
            best_iteration=model.n_trees - 1,
            n_events=model.n_events,
            n_events_validation=model.n_events_validation,
            metrics=judged[parity].metrics,
        )
        for parity, model in trained.items()
    }
    card = models.ModelCard(
        features=physics.FEATURES,
        even=cards["even"],
        odd=cards["odd"],
        configuration=settings.model_dump(exclude={"files"}),
        data=data,
        provenance=dict(made_by),
    )
    for parity, model in trained.items():
        write_bytes(models.path(arguments.models, parity), model.content)
    write_json(arguments.models / models.CARD, card.model_dump())
    record = training_record.TrainingRecord(
        wording=physics.WORDING,
        edges=evaluation.edges(),
        rows=rows,
        even=judged["even"],
        odd=judged["odd"],
        models={parity: described.sha256 for parity, described in cards.items()},
        provenance=dict(made_by),
    )
    write_json(arguments.record, record.model_dump())
    everything = rows[0]
    log.info(
        "%s: right in %.1f +- %.1f %% of %d events, %s: %.1f +- %.1f %%",
        record.wording.part,
        *(100 * everything.part.value, 100 * everything.part.uncertainty, everything.n_events),
        record.wording.baseline,
        *(100 * everything.baseline.value, 100 * everything.baseline.uncertainty),
    )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--reading", required=True, help="how to read, which changes no model")
    options.add_argument("--threads", type=int, default=1, help="2 train both models at a time")
    options.add_argument("--models", type=Path, required=True, help="folder to write models to")
    options.add_argument("--record", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
