"""Deliver a batch of files of one dataset: skims and their manifest."""

import argparse
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery import manifest
from agc_pipeline.delivery.backends import deliver
from agc_pipeline.delivery.settings import DeliverySettings
from agc_pipeline.provenance import digest, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class DeliverStage(Settings):
    """What one delivery job needs; ``selection`` is the analysis' own."""

    analysis: str
    process: str
    variation: str
    files: tuple[InputFile, ...]
    selection: dict[str, object]
    delivery: DeliverySettings
    allow_partial: bool


def stage(arguments: argparse.Namespace) -> None:
    """Deliver, then write the manifest."""
    settings = command.settings(DeliverStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    selection = analysis.selection(settings.selection)
    arguments.skims.mkdir(parents=True, exist_ok=True)
    delivered = tuple(
        deliver(
            settings.files,
            analyses.load_preselection(settings.analysis),
            selection,
            settings.delivery,
            arguments.skims,
            allow_partial=settings.allow_partial,
        )
    )
    skims = settings.delivery.backend != "none"
    manifest.write(
        arguments.manifest,
        manifest.Manifest(
            dataset=analysis.dataset_name(settings.process, settings.variation),
            process=settings.process,
            variation=settings.variation,
            backend=settings.delivery.backend,
            format=settings.delivery.format if skims else None,
            selection=digest(selection.model_dump()) if skims else None,
            files=delivered,
            provenance=provenance(
                "deliver",
                packages=("awkward", "uproot"),
                settings=settings.model_dump(),
                inputs=[Path(file.record) for file in settings.files if file.record is not None],
            ),
        ),
    )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--manifest", type=Path, required=True, help="manifest to write")
    options.add_argument("--skims", type=Path, required=True, help="folder for the skims")
    command.run(stage, options)


if __name__ == "__main__":
    main()
