"""Published histograms: package data beside each analysis, decoded to weighted histograms.

Where the events are public, the files hold integer entry counts for numbers of input files, so that
the statistical uncertainty, which the published yields lack, follows exactly. Where only yields
are published, they hold these with an uncertainty, and the observed events. Their README describes
what they are.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal

import hist
import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
)

from agc_pipeline.declaration import Analysis, Region, Template
from agc_pipeline.errors import AnalysisError, ConfigurationError
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
        random: drawn from an unseeded generator: can be reproduced statistically only.
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
        title: what it is.
        source: where it was published.
        licence: of the published numbers.
        encoding: reminder for who reads the file.
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
            summed = encoded if encoded.sums is not None else self.histograms[str(encoded.sums_of)]
            contents = contents + encoded.slope * np.asarray(summed.sums)
        return np.asarray(contents, dtype=np.float64)


class Yields(Settings):
    """One histogram of expected events.

    Attributes:
        contents: of each bin, without under- and overflow.
        variances: of the contents.
    """

    contents: tuple[float, ...]
    variances: tuple[NonNegativeFloat, ...]


class PublishedYields(Settings):
    """Published yields, which no number of files stands for.

    Attributes:
        title: what it is.
        source: where it was published.
        licence: of the published numbers.
        encoding: reminder for who reads the file.
        n_files: -1, as of all files.
        yields: of simulated histograms by name, with variations.
        data: observed events of each bin, by region.
    """

    title: str
    source: str
    licence: str
    encoding: str
    n_files: Literal[-1]
    yields: dict[str, Yields] = Field(min_length=1)
    data: dict[str, tuple[NonNegativeInt, ...]] = Field(default_factory=dict)


def available(analysis: Analysis) -> tuple[int, ...]:
    """Numbers of files per dataset that histograms were published for; -1 (all) comes last."""
    folder = _folder(analysis)
    if not folder.is_dir():
        return ()
    stems = [
        item.name.removesuffix(_SUFFIX) for item in folder.iterdir() if item.name.endswith(_SUFFIX)
    ]
    numbers = sorted(int(stem) for stem in stems if stem != "all")
    return (*numbers, -1) if "all" in stems else tuple(numbers)


def read(analysis: Analysis, n_files: NFiles) -> Published | PublishedYields:
    """The published numbers for the first ``n_files`` files of each dataset.

    Args:
        analysis: the analysis.
        n_files: number of files; "all" or -1 is all.

    Raises:
        ConfigurationError: if nothing was published for this analysis or number of files.
    """
    return _decoded(_bytes(analysis, n_files))


def counts(analysis: Analysis, n_files: NFiles) -> Published:
    """The same where counts of events are published.

    Raises:
        TypeError: where yields are.
    """
    published = read(analysis, n_files)
    if not isinstance(published, Published):
        raise TypeError(f"yields are published of {analysis.name}, not counts")
    return published


@cache
def _decoded(content: bytes) -> Published | PublishedYields:
    return TypeAdapter[Published | PublishedYields](Published | PublishedYields).validate_json(
        content
    )


def file_digest(analysis: Analysis, n_files: NFiles) -> str:
    """SHA-256 of the package data that ``read`` reads."""
    return hashlib.sha256(_bytes(analysis, n_files)).hexdigest()


def load(analysis: Analysis, n_files: NFiles) -> dict[str, hist.Hist]:
    """The published histograms with ``Weight`` storage.

    Of counts these are the templates, then the pseudodata; of yields, templates and data: those
    that are published, which a systematic or a region that was added to the analysis is not.

    The variance of a bin is ``content^2 / entries``. For events of equal weight, which all but
    the b-tagging variations have, this is the sum of squared weights exactly. In b-tagging
    variations it is the sum's lower bound; what it misses is the square of the relative spread of
    the event weights within a bin: 0.0015 / GeV times the spread of a jet's pt, a per cent or less
    of the variance.

    Args:
        analysis: the analysis.
        n_files: number of files per dataset; "all" or -1 is all.

    Raises:
        ConfigurationError: if nothing was published for this analysis or number of files.
    """
    published = read(analysis, n_files)
    if isinstance(published, PublishedYields):
        return _of_yields(analysis, published)
    scale = weights(analysis, n_files)
    histograms = {}
    for template in analysis.templates():
        if template.name not in published.histograms:
            continue
        histogram = _empty(analysis.region(template.region))
        contents = scale[dataset_of(analysis, template)] * published.relative_contents(
            template.name
        )
        entries = published.entries(template.name)
        view = histogram.view(flow=True)
        view["value"] = contents
        view["variance"] = contents**2 / np.maximum(entries, 1)
        histograms[template.name] = histogram
    for region in analysis.regions:
        parts = pseudodata_templates(analysis, region.name)
        if all(template.name in histograms for template in parts):
            histograms[analysis.pseudodata_name(region.name)] = sum(
                histograms[template.name] * share for template, share in parts.items()
            )
    return histograms


def _of_yields(analysis: Analysis, published: PublishedYields) -> dict[str, hist.Hist]:
    histograms = {}
    for template in analysis.templates():
        if template.name in published.yields:
            yields = published.yields[template.name]
            histogram = _empty(analysis.region(template.region))
            histogram.view()["value"] = yields.contents
            histogram.view()["variance"] = yields.variances
            histograms[template.name] = histogram
    for name, observed in published.data.items():
        histogram = _empty(analysis.region(name))
        histogram.view()["value"] = histogram.view()["variance"] = observed
        histograms[analysis.data_name(name)] = histogram
    return histograms


def _empty(region: Region) -> hist.Hist:
    axis = hist.axis.Variable(region.edges, name=region.observable, label=region.label)
    return hist.Hist(axis, storage=hist.storage.Weight())


def weights(analysis: Analysis, n_files: NFiles) -> dict[str, float]:
    """Weight of one event of each dataset: luminosity times cross section / generated events.

    Raises:
        ConfigurationError: if nothing was published for this analysis or number of files.
    """
    published = counts(analysis, n_files)
    return {
        dataset.name: published.luminosity_per_pb
        * published.cross_sections_pb[dataset.cross_section_name]
        / published.n_generated[dataset.name]
        for dataset in analysis.datasets
    }


def dataset_of(analysis: Analysis, template: Template) -> str:
    """Name of the one dataset that fills a template.

    Raises:
        AnalysisError: if it is the sum of several: histograms are not published so.
    """
    sources = analysis.sources(template)
    if len(sources) != 1:
        raise AnalysisError(
            f"the template {template.name} is the sum of {len(sources)} datasets",
            place=f"published histograms of the analysis {analysis.name}",
            remedy="compare with published histograms only where each template has one dataset",
        )
    return sources[0][0].name


def pseudodata_templates(analysis: Analysis, region: str) -> dict[Template, float]:
    """Templates of which the pseudodata of a region are the sum, with their shares."""
    return {
        Template(region, process, analysis.dataset(name).variation): share
        for name, share in analysis.pseudodata.items()
        for process in analysis.dataset(name).processes
    }


def _folder(analysis: Analysis) -> Path:
    if analysis.folder is None:
        raise TypeError(f"the analysis {analysis.name} was not loaded from a folder")
    return analysis.folder / "published"


def _bytes(analysis: Analysis, n_files: NFiles) -> bytes:
    number = -1 if n_files == "all" else n_files
    published = available(analysis)
    if number not in published:
        choices = ", ".join("-1 (all)" if n == -1 else str(n) for n in published)
        raise ConfigurationError(
            f"no published histograms of {analysis.name} for {n_files} files per dataset",
            place="n_files_max_per_sample",
            remedy=f"choose among {choices}" if published else "choose another kind of `input:`",
        )
    stem = "all" if number == -1 else str(number)
    folder = _folder(analysis)
    return (folder / f"{stem}{_SUFFIX}").read_bytes()
