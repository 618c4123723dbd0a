"""Which parts of a declared model the datasets of a run give, before any event is read.

The planning of a run and the building of the model look at the same, and say it in the same words.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from agc_pipeline.declaration import NOMINAL, Analysis, Template
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.inference.edges import fitted_regions
from agc_pipeline.inference.settings import ModelSettings

# Process and variation of templates, to the datasets that they lack.
Missing = Mapping[tuple[str, str], tuple[str, ...]]

DROP = (
    "leave the parts of the model that depend on them out with `fit.model.missing_datasets: drop`"
)


def sources(analysis: Analysis) -> dict[Template, tuple[str, ...]]:
    """The datasets whose sum each template of the fitted regions is."""
    regions = fitted_regions(analysis)
    return {
        template: tuple(dataset.name for dataset, _ in analysis.sources(template))
        for template in analysis.templates()
        if template.region in regions
    }


def missing(templates: Mapping[Template, Iterable[str]], present: Collection[str]) -> Missing:
    """What is not there, since datasets are missing: a sum needs all of its own.

    Args:
        templates: each with its datasets.
        present: names of the datasets that there are.
    """
    return {
        (template.process, template.variation): absent
        for template, names in templates.items()
        if (absent := tuple(name for name in names if name not in present))
    }


def has_dataset(analysis: Analysis, process: str, variation: str) -> bool:
    """Whether a process has datasets of a variation; other variations come from its nominal one."""
    return any(
        dataset.variation == variation and process in dataset.processes
        for dataset in analysis.datasets
    )


def not_in_run(datasets: Iterable[str]) -> str:
    """Why a part of the model is not there."""
    return f"dataset {' or '.join(datasets)} is not in the run"


def not_measured(analysis: Analysis) -> str:
    """That nothing of the parameter of interest is there."""
    names = ", ".join(repr(name) for name in analysis.free[0].processes)
    return f"no yield of process {names}, whose normalisation is measured"


def fitted_datasets(analysis: Analysis, settings: ModelSettings) -> tuple[str, ...]:
    """Names of the datasets whose histograms are fitted; none of the sum of templates."""
    match settings.data:
        case "observed":
            return tuple(dataset.name for dataset in analysis.data)
        case "pseudodata":
            return tuple(analysis.pseudodata)
        case "asimov":
            return ()


def remedy_of_data(analysis: Analysis, settings: ModelSettings) -> str:
    """What can be done where the histograms that are fitted are not there."""
    datasets = ", ".join(fitted_datasets(analysis, settings))
    kind = "datasets of collision data" if settings.data == "observed" else "the pseudodata"
    first = f"process the datasets {datasets}" if datasets else f"declare {kind}"
    if settings.data == "observed" and not analysis.data and analysis.pseudodata:
        first += ", fit the pseudodata with `fit.model.data: pseudodata`"
    return f"{first}, or fit the expectation with `fit.model.data: asimov`"


def check(
    analysis: Analysis,
    settings: ModelSettings,
    present: Collection[str] | None,
    *,
    place: str,
) -> None:
    """Check that a run has all datasets that its model needs.

    Args:
        analysis: the declaration, with the selection of the run.
        settings: of the model.
        present: names of the datasets of the run; None where histograms are taken as they are.
        place: where datasets are listed.

    Raises:
        ConfigurationError: if the model cannot be built without others.
    """
    if settings.data != "asimov" and not fitted_datasets(analysis, settings):
        what = "collision data" if settings.data == "observed" else "pseudodata"
        raise ConfigurationError(
            f"the analysis {analysis.name} declares no {what}",
            place="fit.model.data",
            remedy=remedy_of_data(analysis, settings),
        )
    if present is None:
        return
    lacking = missing(sources(analysis), present)
    if settings.missing_datasets == "error" and (
        reasons := list(dict.fromkeys(_reasons(analysis, lacking)))
    ):
        raise ConfigurationError(
            "; ".join(reasons), place=place, remedy=f"process all datasets, or {DROP}"
        )
    if all((process, NOMINAL) in lacking for process in analysis.free[0].processes):
        raise ConfigurationError(
            not_measured(analysis),
            place=place,
            remedy="process its nominal dataset, or declare another parameter of interest",
        )
    if absent := [name for name in fitted_datasets(analysis, settings) if name not in present]:
        raise ConfigurationError(
            "; ".join(not_in_run([name]) for name in absent),
            place=place,
            remedy=remedy_of_data(analysis, settings),
        )


def _reasons(analysis: Analysis, lacking: Missing) -> Iterator[str]:
    for (process, variation), datasets in lacking.items():
        if has_dataset(analysis, process, variation):
            yield not_in_run(datasets)
