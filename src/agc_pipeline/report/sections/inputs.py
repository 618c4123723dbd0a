"""Section of the input: accounts of events, cutflow, cross sections."""

from collections.abc import Mapping
from typing import Any

from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.declaration import NOMINAL, Analysis
from agc_pipeline.errors import InputError
from agc_pipeline.formatting import count, name_list, plural
from agc_pipeline.inference.fit_records import blinded_words
from agc_pipeline.report import figures
from agc_pipeline.report.figures.cutflow import fractions
from agc_pipeline.report.style import Gallery, Picture

_KINDS = {
    "simulated": "Simulated input",
    "published": "Published histograms as input",
    "files": "Input files listed in the configuration",
    "fileset": "Input files listed in a fileset",
}


def accounts(analysis: Analysis, closure: Closure) -> dict[str, DatasetAccount]:
    """The datasets of the run, in the order of the analysis."""
    return {
        dataset.name: closure.datasets[dataset.name]
        for dataset in analysis.datasets
        if dataset.name in closure.datasets
    }


def cuts(datasets: Mapping[str, DatasetAccount]) -> list[str]:
    """Names of all cuts, in the order of the cutflows."""
    return list(dict.fromkeys(cut for entry in datasets.values() for cut in entry.cutflow))


def summary(configuration: Mapping[str, Any], datasets: Mapping[str, DatasetAccount]) -> str:
    """The kind of input and the number of its events, in one line."""
    source = configuration.get("input", {})
    kind = source.get("kind", "unknown")
    title: str = _KINDS.get(kind, kind)
    if kind == "simulated" and (listed := [n for n in datasets if n in source.get("datasets", {})]):
        title += f", and files of {name_list(listed)}"
    if not datasets:
        # Published yields have no events.
        return title
    of = f"{len(datasets)} {plural('dataset', len(datasets))}"
    if not any(entry.files for entry in datasets.values()):
        generated = sum(entry.n_generated for entry in datasets.values())
        return f"{title}: {count(generated)} generated events of {of}"
    events = sum(entry.events_processed for entry in datasets.values())
    return f"{title}: {count(events)} events in the files of {of}"


def blinded(
    configuration: Mapping[str, Any], analysis: Analysis, datasets: Mapping[str, DatasetAccount]
) -> dict[str, str]:
    """Words on the windows in which collision data of the run are left out, by region."""
    if not configuration.get("blinded") or not any(d.name in datasets for d in analysis.data):
        return {}
    return {
        region.name: blinded_words(region.blinded, region.label)
        for region in analysis.with_learned().regions
        if region.blinded is not None
    }


def reference_cross_section(analysis: Analysis, closure: Closure) -> float | None:
    """Cross section that a parameter of interest of 1 stands for, in pb.

    Returns:
        None unless the parameter alone scales one process, which has all events of datasets with
        one cross section.

    Raises:
        InputError: if the run has no dataset of the process.
    """
    if not analysis.free or len(analysis.free[0].processes) != 1:
        return None
    (process,) = analysis.free[0].processes
    if any(process in free.processes for free in analysis.free[1:]):
        # The product is measured.
        return None
    datasets = [
        dataset
        for dataset in analysis.datasets
        if dataset.kind == "simulation"
        and dataset.variation == NOMINAL
        and process in dataset.processes
    ]
    # The cross section of a dataset is that of all its events.
    fills = [fill for dataset in datasets for fill in dataset.filled]
    if len(fills) > len(datasets) or any(fill.mask or fill.weight for fill in fills):
        return None
    if len({dataset.cross_section_name for dataset in datasets}) != 1:
        return None
    for dataset in datasets:
        if dataset.name in closure.datasets:
            return closure.datasets[dataset.name].xsec_pb
    raise InputError(
        f"no dataset of {process}, whose cross section is measured",
        place="closure.json",
        remedy=f"add {datasets[0].name} to the input",
    )


def cutflow(
    gallery: Gallery, analysis: Analysis, datasets: Mapping[str, DatasetAccount]
) -> Picture | None:
    """Which part of the events is left behind each cut; None without cuts."""
    names = cuts(datasets)
    left = fractions(datasets, names)
    if len(names) < 2 or not left:
        return None
    return gallery.picture(
        "cutflow",
        lambda: figures.cutflow(analysis, datasets, names),
        caption="Part of the unweighted events of the nominal simulation and of data that is left "
        "behind each cut. The regions, without a line between them, share the last common cut.",
        alternative=f"Fractions of events behind {', '.join(names)} for {', '.join(left)}.",
        numbers={"cuts": names, "fractions": left},
        labelled=True,
    )
