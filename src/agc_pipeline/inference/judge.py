"""What the results of another run must be that judge an optimisation.

They must be of the same analysis and cuts, and of events that the run does not have.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hist
import numpy as np

from agc_pipeline.columnar import closure
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import Analysis
from agc_pipeline.delivery import manifest
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.files import read_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference.edges import fitted_regions

_KEY = "optimise.judge"
_RESULTS = ("histograms.root", "closure.json")
_REMEDY = (
    "give the folder of a finished run with other simulated events and the same analysis, cuts and "
    "regions, or null for none"
)


@dataclass(frozen=True)
class Judged:
    """The run that is judged, as far as it is known before its jobs.

    Attributes:
        folder: of its results.
        analysis: the declaration, with the regions that are fitted.
        simulated: names of its simulated datasets; none where it starts from histograms.
        selection: digest of ``physics.selection``.
        simulations: digests of the settings of the files that it simulates, by dataset and part.
        addresses: of its input files.
        cuts: whether thresholds are tried, for which the judge selects events.
    """

    folder: Path
    analysis: Analysis
    simulated: Collection[str]
    selection: str
    simulations: Mapping[tuple[str, str], str]
    addresses: Collection[str]
    cuts: bool


def check(folder: Path, run: Judged) -> None:
    """Check the results of another run, before any job.

    Args:
        folder: of its results.
        run: that it judges.

    Raises:
        PipelineError: if they cannot judge it.
    """
    for problem in _problems(folder, run):
        raise ConfigurationError(f"{folder}: {problem}", place=_KEY, remedy=_REMEDY)


def _problems(folder: Path, run: Judged) -> Iterator[str]:
    if not folder.is_dir():
        yield "there is no such folder" if not folder.exists() else "it is no folder"
    if folder.resolve() == run.folder.resolve():
        yield "these are the results that are to be judged"
    if missing := [name for name in _RESULTS if not (folder / name).is_file()]:
        yield f"the run has not ended: there is no {' and no '.join(missing)}"
    accounts = closure.read(folder / "closure.json")
    if accounts.provenance.get("stage") == "published":
        yield "published histograms have no events of their own"
    names = {name for name, account in accounts.datasets.items() if account.kind == "simulation"}
    if lacking := sorted(set(run.simulated) - names):
        yield f"it has no dataset {', '.join(lacking)}"
    yield from _histogram_problems(read_root(folder / "histograms.root"), run.analysis)
    yield from _manifest_problems(folder, run)
    yield from _shared(folder, accounts, run)


def _histogram_problems(histograms: Mapping[str, hist.Hist], analysis: Analysis) -> Iterator[str]:
    """Regions, systematics or bins that the judge does not have."""
    regions = fitted_regions(analysis)
    names = {t.name: t.region for t in analysis.templates() if t.region in regions}
    if missing := [name for name in names if name not in histograms]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield f"it has no histogram {missing[0]}{more}: its analysis or regions are others"
    for name, region in names.items():
        edges = histograms[name].axes[0].edges
        if not np.array_equal(edges, regions[region].edges):
            yield f"its histogram {name} has other bins"


def _manifest_problems(folder: Path, run: Judged) -> Iterator[str]:
    """Events that were selected with other cuts, or cannot be selected again."""
    for name in run.simulated:
        paths = sorted((folder / "manifests" / name).glob("*.json"))
        if run.cuts and not paths:
            yield f"it has no skims of {name} to select events from"
        for path in paths[:1]:
            selection = manifest.read(path).selection
            if selection is not None and selection != run.selection:
                yield "it was made with another `physics.selection`"


def _shared(folder: Path, accounts: Closure, run: Judged) -> Iterator[str]:
    """Events that the run has, too."""
    for (dataset, part), settings in run.simulations.items():
        record = folder / "simulated" / dataset / f"{part}.json"
        if record.is_file() and read_json(record)["provenance"]["settings"] == settings:
            yield f"its events of {dataset} are those of this run: it has the same `simulation`"
    for dataset in run.simulated:
        if dataset not in accounts.datasets:
            continue
        both = [f.source for f in accounts.datasets[dataset].files if f.source in run.addresses]
        if both:
            yield f"its events of {dataset} are those of this run: both have {both[0]}"


def require_others(
    place: Path,
    ours: tuple[Closure, Mapping[str, hist.Hist]],
    theirs: tuple[Closure, Mapping[str, hist.Hist]],
) -> None:
    """Check that two runs have no events in common, as far as that is seen in their results.

    Args:
        place: of the second, for the error.
        ours: accounts and histograms.
        theirs: likewise.

    Raises:
        InputError: if they have.
    """
    first, second = (
        {
            file.uuid: file.source
            for account in accounts.datasets.values()
            if account.kind == "simulation"
            for file in account.files
            if file.uuid is not None
        }
        for accounts, _ in (ours, theirs)
    )
    common = [second[uuid] for uuid in second if uuid in first]
    same = all(
        name in theirs[1] and np.array_equal(histogram.values(), theirs[1][name].values())
        for name, histogram in ours[1].items()
    )
    if common or same:
        raise InputError(
            "the judge has the events of the run that it judges"
            + (f": both have {common[0]}" if common else ""),
            place=str(place),
            remedy=_REMEDY,
        )
