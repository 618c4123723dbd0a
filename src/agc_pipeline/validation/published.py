"""Published histograms: package data of each analysis, decoded to weighted histograms.

The files hold integer entry counts, so that the statistical uncertainty, which the published
yields lack, follows exactly. Their README describes the encoding.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Literal

import hist
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from agc_pipeline import analyses
from agc_pipeline.analyses.base import NOMINAL, Analysis, Template
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.settings import Settings

NFiles = int | Literal["all"]

_SUFFIX = "_files.json"


class Encoded(Settings):
    """One histogram: ``content / weight = factor * entries + slope * sums``.

    Attributes:
        entries: events in each bin, with under- and overflow.
        entries_of: name of the histogram that has the same entries; instead of ``entries``.
        factor: weight of an event relative to its dataset's.
        slope: change of that weight per unit of the summed quantity.
        sums: sum over the events of a bin of the quantity that they are weighted with.
        sums_of: name of the histogram that has the same sums; instead of ``sums``.
        random: drawn from an unseeded generator: reproducible only statistically.
    """

    entries: tuple[int, ...] | None = None
    entries_of: str | None = None
    factor: PositiveFloat = 1.0
    slope: float = 0.0
    sums: tuple[float, ...] | None = None
    sums_of: str | None = None
    random: bool = False


class Published(Settings):
    """The published histograms for one number of files per dataset.

    Attributes:
        title: of the histograms.
        source: of the publication.
        licence: of the published numbers.
        encoding: note for readers of the file.
        n_files: files per dataset, in the order of the published list; -1 is all.
        luminosity_per_pb: luminosity that the yields are normalised to, 1/pb.
        cross_sections_pb: for each process, pb.
        n_generated: for each dataset, events in the files taken.
        histograms: by name, without the pseudodata.
    """

    title: str
    source: str
    licence: str
    encoding: str
    n_files: int
    luminosity_per_pb: PositiveFloat
    cross_sections_pb: dict[str, PositiveFloat]
    n_generated: dict[str, PositiveInt]
    histograms: dict[str, Encoded] = Field(min_length=1)

    def entries(self, name: str) -> NDArray[np.int64]:
        """Events in each bin of a histogram, with under- and overflow."""
        encoded = self.histograms[name]
        if encoded.entries is None:
            return self.entries(str(encoded.entries_of))
        return np.asarray(encoded.entries, dtype=np.int64)

    def relative_contents(self, name: str) -> NDArray[np.float64]:
        """Contents of a histogram divided by the weight of its dataset, with flow bins."""
        encoded = self.histograms[name]
        contents = encoded.factor * self.entries(name)
        if encoded.slope != 0:
            source = encoded if encoded.sums is not None else self.histograms[str(encoded.sums_of)]
            contents = contents + encoded.slope * np.asarray(source.sums)
        return np.asarray(contents, dtype=np.float64)


def available(analysis: str) -> tuple[int, ...]:
    """Numbers of files per dataset that histograms were published for; -1 (all) comes last."""
    folder = files(f"agc_pipeline.analyses.{analysis}") / "published"
    if not folder.is_dir():
        return ()
    stems = [
        item.name.removesuffix(_SUFFIX) for item in folder.iterdir() if item.name.endswith(_SUFFIX)
    ]
    numbers = sorted(int(stem) for stem in stems if stem != "all")
    return (*numbers, -1) if "all" in stems else tuple(numbers)


@cache
def read(analysis: str, n_files: NFiles) -> Published:
    """The published numbers for the first ``n_files`` files of each dataset.

    Args:
        analysis: name of the package in ``agc_pipeline.analyses``.
        n_files: number of files; "all" or -1 is all.

    Raises:
        ConfigurationError: if nothing was published for this analysis or number of files.
    """
    return Published.model_validate_json(_bytes(analysis, n_files))


def file_digest(analysis: str, n_files: NFiles) -> str:
    """SHA-256 of the package data that ``read`` reads."""
    return hashlib.sha256(_bytes(analysis, n_files)).hexdigest()


def load(analysis: str, n_files: NFiles) -> dict[str, hist.Hist]:
    """The published histograms with ``Weight`` storage: every template, then the pseudodata.

    The variance of a bin is ``content^2 / entries``. For events of equal weight this is the sum of
    squared weights exactly. Where weights differ (``Encoded.slope``) it is the lower bound of that
    sum, which lacks the square of the relative spread of the event weights within a bin.

    Args:
        analysis: name of the package in ``agc_pipeline.analyses``.
        n_files: number of files per dataset; "all" or -1 is all.

    Raises:
        ConfigurationError: if nothing was published for this analysis or number of files.
    """
    declaration = analyses.load(analysis)
    published = read(analysis, n_files)
    scale = weights(analysis, n_files)
    axes = {
        region.name: hist.axis.Variable(region.edges, name=region.observable, label=region.label)
        for region in declaration.regions
    }
    histograms = {}
    for template in declaration.templates():
        histogram = hist.Hist(axes[template.region], storage=hist.storage.Weight())
        contents = scale[dataset_of(declaration, template)] * published.relative_contents(
            template.name
        )
        entries = published.entries(template.name)
        view = histogram.view(flow=True)
        view["value"] = contents
        view["variance"] = contents**2 / np.maximum(entries, 1)
        histograms[template.name] = histogram
    for region in declaration.regions:
        histograms[declaration.pseudodata_name(region.name)] = sum(
            histograms[Template(region.name, process, variation).name] * share
            for (process, variation), share in declaration.pseudodata.items()
        )
    return histograms


def weights(analysis: str, n_files: NFiles) -> dict[str, float]:
    """Weight of one event of each dataset: luminosity times cross section / generated events.

    Raises:
        ConfigurationError: if nothing was published for this analysis or number of files.
    """
    declaration = analyses.load(analysis)
    published = read(analysis, n_files)
    return {
        name: published.luminosity_per_pb
        * published.cross_sections_pb[process]
        / published.n_generated[name]
        for process, variation in declaration.datasets
        for name in (declaration.dataset_name(process, variation),)
    }


def dataset_of(analysis: Analysis, template: Template) -> str:
    """Name of the dataset that fills a template: its own if there is one, else the nominal."""
    own = (template.process, template.variation)
    variation = template.variation if own in analysis.datasets else NOMINAL
    return analysis.dataset_name(template.process, variation)


def _bytes(analysis: str, n_files: NFiles) -> bytes:
    number = -1 if n_files == "all" else n_files
    published = available(analysis)
    if number not in published:
        choices = ", ".join("-1 (all)" if n == -1 else str(n) for n in published)
        raise ConfigurationError(
            f"no published histograms of {analysis} for {n_files} files per dataset",
            place="n_files_max_per_sample",
            remedy=f"choose among {choices}" if published else "choose another kind of `input:`",
        )
    stem = "all" if number == -1 else str(number)
    folder = files(f"agc_pipeline.analyses.{analysis}") / "published"
    return (folder / f"{stem}{_SUFFIX}").read_bytes()
