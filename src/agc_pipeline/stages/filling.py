"""What all stages share that read events and fill histograms of them."""

from pathlib import Path

from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.readers.settings import NetworkSettings
from agc_pipeline.stages.description import Options, runs_with, uses


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
