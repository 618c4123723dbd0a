"""An analysis as a processor of coffea, for its Runner and for notebooks."""

from collections.abc import Mapping
from typing import Any

from coffea.processor import ProcessorABC

from agc_pipeline.columnar.exactness import power_of_two
from agc_pipeline.columnar.filling import complete
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.columnar.runner import check_scales
from agc_pipeline.declaration import Analysis
from agc_pipeline.readers.arrays import EventColumns


class Processor(ProcessorABC):
    """Fills what an analysis declares from NanoEvents of any of its datasets.

    The name of the dataset is taken from the metadata of the events, as coffea's Runner sets it
    from the keys of a fileset. Contents are those of a run, with the same bits, before the cross
    section: generator weights, or 1 for each event. Learned observables are left out.

    Args:
        analysis: the declaration, ``config.declaration``.
        selection: ``config.physics.selection``.
        units: dataset to the typical size of its generator weights, where that is not near 1 and
            not declared; that of a run stands in ``closure.json``.
    """

    def __init__(
        self, analysis: Analysis, selection: Any, units: Mapping[str, float] | None = None
    ) -> None:
        self._analysis = analysis
        self._selection = selection
        self._units = dict(units or {})

    def __reduce__(self) -> tuple[Any, ...]:
        # The analysis comes first: the selection is of its modules.
        return (_rebuilt, (self._analysis, self._selection.model_dump(), self._units))

    def process(self, events: Any) -> dict[str, Any]:
        """Fill the events of a chunk.

        Args:
            events: coffea's NanoEvents.

        Returns:
            Dataset to ``histograms`` (by process and region, of variation and observable) and
            ``migrations`` (likewise, of variation, unvaried and varied observable), of which
            ``postprocess`` makes histograms, and ``cutflow``, events behind each cut of the nominal
            selection.

        Raises:
            KeyError: for a dataset that the analysis does not declare.
            InputError: if the unit does not suit the weights.
        """
        dataset = self._analysis.dataset(events.metadata["dataset"])
        unit = power_of_two(self._units.get(dataset.name) or dataset.unit or 1.0)
        processing = Processing(self._analysis, self._selection, dataset, unit=unit)
        if self._analysis.events == "records":
            output = processing.process_records(events)
        else:
            output = processing.process(EventColumns(events, self._analysis.layout))
        check_scales(output["histograms"], processing)
        return {
            dataset.name: {
                "histograms": output["histograms"],
                "migrations": output["migrations"],
                "cutflow": output["preselection"] | output["selected"],
            }
        }

    def postprocess(self, accumulator: Any) -> Any:
        """Make histograms of the sums.

        Args:
            accumulator: the sum of what ``process`` gave for all chunks.
        """
        return {dataset: complete(output) for dataset, output in accumulator.items()}


def _rebuilt(analysis: Analysis, selection: dict[str, Any], units: dict[str, float]) -> Processor:
    return Processor(analysis, analysis.selection(selection), units)
