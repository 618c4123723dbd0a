"""What every analysis must hold, checked on files of events: call ``check`` from a test of yours.

The skim keeps every event that some variation selects; histograms have the same bits whatever the
size of chunks, the format, the reader and the executor; everything that is declared is filled; a
tighter threshold takes no events that the skim lacks, which has the features of discriminants, too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from agc_pipeline.columnar import runner
from agc_pipeline.columnar.executors import Executor, InThisProcess, executor
from agc_pipeline.columnar.features import rows
from agc_pipeline.columnar.processing import Processing, skim_content
from agc_pipeline.columnar.settings import HistogramSettings, LocalDask
from agc_pipeline.columnar.thresholds import Scans, scan
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration import NOMINAL, Analysis, Dataset
from agc_pipeline.declaration.thresholds import Trial, changed, trials
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.outcome import entry
from agc_pipeline.delivery.preselected import open_input
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.settings import Format

_FORMATS: tuple[Format, ...] = ("ttree", "rntuple", "parquet")
_SUFFIXES = {"ttree": "root", "rntuple": "root", "parquet": "parquet"}
_WHOLE = 10**9
# Small enough that files of some ten events have several chunks.
_SMALL = 7
_PROCESSES = HistogramSettings(
    executor="futures",
    workers=2,
    dask=LocalDask(cluster="local"),
    reader="auto",
    chunk_size=_SMALL,
    chunk_bytes=_WHOLE,
)


def check(
    analysis: Analysis,
    selection: Any,
    files: Mapping[str, Sequence[Path]],
    folder: Path,
    *,
    empty: Iterable[str] = (),
    processes: bool = True,
) -> None:
    """Check an analysis on files of all its datasets.

    Args:
        analysis: the declaration.
        selection: ``physics.selection``, validated.
        files: name of each dataset to paths of ROOT files with some hundred events.
        folder: for skims.
        empty: names of templates that these files leave empty.
        processes: try an executor of several processes, too.

    Raises:
        AnalysisError: listing everything that does not hold.
    """
    problems: list[str] = []
    filled: set[str] = set()
    # Processes take longer to start than the events of a dataset.
    with executor(_PROCESSES, Path("unused")) if processes else nullcontext() as workers:
        for dataset in analysis.datasets:
            if dataset.name not in files:
                problems.append(f"no files of the dataset {dataset.name} to check it on")
                continue
            contract = _Contract(analysis, selection, dataset, list(files[dataset.name]))
            problems += contract.problems(folder / dataset.name, workers)
            filled |= contract.filled
    expected = {template.name for template in analysis.templates()} - set(empty)
    missing = sorted(expected - filled)
    if missing:
        problems.append(f"nothing fills {', '.join(missing)}")
    if problems:
        raise AnalysisError(
            "; ".join(problems),
            place=f"analysis {analysis.name}",
            remedy="correct its declaration or its functions",
        )


class _Contract:
    def __init__(
        self, analysis: Analysis, selection: Any, dataset: Dataset, files: list[Path]
    ) -> None:
        self.analysis = analysis
        self.selection = selection
        self.dataset = dataset
        self.files = files
        self.filled: set[str] = set()

    def problems(self, folder: Path, workers: Executor | None) -> Iterator[str]:
        reference = self._run(self._inputs())
        self._note(reference)
        runs: dict[str, Callable[[], Any]] = {
            "chunks of a few events": lambda: self._run(self._inputs(), chunk_size=_SMALL),
            "coffea's reader": lambda: self._run(self._inputs(), reader="coffea"),
        }
        if workers is not None:
            runs["several processes"] = lambda: self._run(
                self._inputs(), chunk_size=_SMALL, workers=workers
            )
        for name, run in runs.items():
            yield from self._compare(reference, run(), name)
        written = {}
        for kind in _FORMATS:
            written[kind] = skims = self._skims(folder, kind)
            delivered = self._run(skims, kind=kind, chunk_size=_SMALL)
            yield from self._compare(reference, delivered, f"the skim in the format {kind}")
        # Others have the same functions, and fewer variations.
        nominal = self.dataset.kind == "simulation" and self.dataset.variation == NOMINAL
        if nominal and self.analysis.thresholds:
            yield from self._thresholds(written["ttree"])
        # They are the same functions for all.
        (first, *_) = (d for d in self.analysis.datasets if d.kind == "simulation")
        if self.dataset == first and self.analysis.features:
            yield from self._features(written["ttree"])

    def _features(self, skims: list[Delivered]) -> Iterator[str]:
        """Features of discriminants are the same in skims, which have what they read."""
        analysis, declared = self.analysis, self.analysis.features
        regions = [r for r in analysis.regions if all(f.exists([r.name]) for f in declared)]
        ours, theirs = (
            rows(
                replace(analysis, regions=tuple(regions), learned=None),
                self.selection.model_dump(),
                self.dataset,
                declared,
                fill=partial(self._filled, files=files),
            )
            for files in (self._inputs(), skims)
        )
        for (process, region), one in ours.parts.items():
            if not all(
                map(partial(np.array_equal, equal_nan=True), one, theirs.parts[process, region])
            ):
                yield (
                    f"the skim gives other features of {process} in {region}, dataset "
                    f"{self.dataset.name}"
                )

    def _thresholds(self, skims: list[Delivered]) -> Iterator[str]:
        """Skims have the events of tighter thresholds, and combinations give their histograms.

        All are tried at once, each with the first of its values that is tighter than the selection.
        """
        selection = self.selection.model_dump()
        declared = trials(self.analysis.thresholds, selection, None, {})
        tight = changed(selection, [(trial.threshold, trial.values[1]) for trial in declared])
        tried = [
            replace(
                trial,
                # Events are selected again only with the tighter value.
                values=trial.values[int(trial.threshold.observed is None) : 2],
            )
            for trial in declared
        ]
        last = (-1,) * len(tried)
        together = self._scan(selection, tried, skims)
        for key, alone in self._scan(tight, [], self._inputs()).items():
            scanned = together[key]
            if not (
                np.array_equal(scanned.contents[last], alone.contents)
                and np.array_equal(scanned.variances[last], alone.variances)
                and np.array_equal(scanned.migrations[last], alone.migrations)
            ):
                yield (
                    f"with tighter thresholds the skim gives other events of {' in '.join(key)}, "
                    f"dataset {self.dataset.name}"
                )

    def _scan(
        self, selection: Mapping[str, Any], tried: Sequence[Trial], files: list[Delivered]
    ) -> Scans:
        return scan(
            self.analysis,
            selection,
            self.dataset,
            tried,
            unit=runner.unit_of(self.dataset, files),
            fill=lambda processing: self._filled(processing, files),
        )

    def _compare(self, reference: Any, other: Any, name: str) -> Iterator[str]:
        for content in ("histograms", "migrations"):
            for process, regions in reference[content].items():
                for region, sums in regions.items():
                    if sums != other[content][process][region]:
                        yield (
                            f"{name} give other {content} of {process} in {region}, "
                            f"dataset {self.dataset.name}"
                        )
        if reference["selected"] != other["selected"]:
            yield f"{name} give another cutflow of the dataset {self.dataset.name}"

    def _note(self, output: Any) -> None:
        for process, regions in output["histograms"].items():
            for region, sums in regions.items():
                histogram = sums.histogram()
                view = histogram.view(flow=True)
                for row, variation in enumerate(histogram.axes["variation"]):
                    if np.any(view[row]["variance"] > 0):
                        suffix = "" if variation == "nominal" else f"_{variation}"
                        self.filled.add(f"{region}_{process}{suffix}")

    def _inputs(self) -> list[Delivered]:
        entries = []
        for path in self.files:
            with uproot.open({path: self.analysis.layout.tree}) as tree:
                n = tree.num_entries
                weights = None
                if self.analysis.generated is not None and self.dataset.kind == "simulation":
                    weights = float(self.analysis.generated(tree.file.root_directory))
            entries.append(_delivered(path, n, n, weights))
        return entries

    def _skims(self, folder: Path, kind: Format) -> list[Delivered]:
        folder.mkdir(parents=True, exist_ok=True)
        content = skim_content(self.analysis, self.selection, self.dataset, learned=False)
        entries = []
        for path, source in zip(self.files, self._inputs(), strict=True):
            skim = folder / f"{path.stem}_{kind}.{_SUFFIXES[kind]}"
            with open_input(str(path), content) as tree:
                counts = write_skim(
                    tree, content, skim, url=str(path), kind=kind, chunk_size=_SMALL
                )
            entries.append(_delivered(skim, counts.before, counts.after, source.sum_of_weights))
        return entries

    def _run(
        self,
        files: list[Delivered],
        *,
        reader: Any = "auto",
        chunk_size: int = _WHOLE,
        kind: Format | None = None,
        workers: Executor | None = None,
    ) -> Any:
        unit = runner.unit_of(self.dataset, files)
        processing = Processing(self.analysis, self.selection, self.dataset, unit=unit)
        return self._filled(
            processing, files, reader=reader, chunk_size=chunk_size, kind=kind, workers=workers
        )

    @staticmethod
    def _filled(
        processing: Processing,
        files: list[Delivered],
        *,
        reader: Any = "auto",
        chunk_size: int = _WHOLE,
        kind: Format | None = None,
        workers: Executor | None = None,
    ) -> Any:
        specification = runner.Specification(
            processing,
            reader=reader,
            chunk_size=chunk_size,
            chunk_bytes=_WHOLE,
            cache=None,
            kind=kind,
        )
        run_by = InThisProcess() if workers is None else workers
        return runner.run(files, specification, run_by, allow_partial=False).output


def _delivered(path: Path, before: int, after: int, weights: float | None) -> Delivered:
    return entry(
        InputFile(urls=(str(path),)),
        before=before,
        after=after,
        path=str(path),
        size=None,
        sum_of_weights=weights,
    )
