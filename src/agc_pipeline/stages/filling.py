"""What all stages share that read events and fill histograms of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.readers.settings import NETWORK, NetworkSettings
from agc_pipeline.stages.description import Options, reads, runs_with, uses

if TYPE_CHECKING:
    from agc_pipeline.columnar.thresholds import Fill


class FillingOptions(Options):
    """How they read and fill, which changes no bin."""

    execution: HistogramSettings = runs_with(
        lambda plan: plan.config.histograms, "how to read and fill, which changes no bin"
    )
    network: NetworkSettings | None = runs_with(
        lambda plan: plan.config.delivery.network,
        "how to read from servers, which changes no bin",
        default=None,
    )
    metadata: Path | None = uses("file_metadata", "folder of the metadata of files", default=None)


class DatasetOptions(FillingOptions):
    """What stages are told that take all events of a dataset once more."""

    manifests: tuple[Path, ...] = reads(
        lambda plan, dataset: [
            f"{plan.folder}/manifests/{dataset}/{batch}.json" for batch in plan.batches(dataset)
        ],
        "what was delivered of the dataset",
    )


def delivered(
    manifests: Sequence[Path], options: FillingOptions, *, allow_partial: bool
) -> "tuple[str, Fill]":
    """Name of a dataset, and what fills its events in this process.

    Args:
        manifests: of all its batches.
        options: how they are read.
        allow_partial: leave out files that cannot be read.
    """
    from agc_pipeline.columnar import thresholds
    from agc_pipeline.delivery import manifest

    parts = [manifest.read(path) for path in manifests]
    fill = thresholds.of_files(
        [file for part in parts for file in part.files],
        options.execution,
        kind=parts[0].format,
        metadata=options.metadata,
        network=options.network or NETWORK,
        allow_partial=allow_partial,
    )
    return parts[0].dataset, fill
