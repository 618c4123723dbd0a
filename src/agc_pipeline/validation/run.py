"""All histograms of a run against the published ones."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import hist
import numpy as np

from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import NOMINAL, Analysis, Template
from agc_pipeline.errors import InputError
from agc_pipeline.validation import compare, published
from agc_pipeline.validation.compare import Agreement, Comparison, Side
from agc_pipeline.validation.published import PublishedYields
from agc_pipeline.validation.results import Mode, TemplateResult, ValidationResult
from agc_pipeline.validation.settings import ValidationSettings
from agc_pipeline.validation.summary import overall_verdict, pseudodata_results


def validate(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    closure: Closure,
    settings: ValidationSettings,
    provenance: Mapping[str, Any],
    *,
    pseudodata: bool = False,
) -> ValidationResult:
    """Compare every histogram of the datasets that the run has.

    Args:
        analysis: the declaration.
        histograms: content of ``histograms.root``.
        closure: event accounts of the run.
        settings: tolerances.
        provenance: of the result.
        pseudodata: simulated events stand in the place of collision data, which are then compared
            with no published ones.

    Raises:
        InputError: if a histogram is missing or has other bins than published.
    """
    mode = comparison_mode(analysis, closure)
    reference = published.load(analysis, mode.n_files)
    templates = (
        _yields(analysis, histograms, reference, settings, pseudodata=pseudodata)
        if isinstance(published.read(analysis, mode.n_files), PublishedYields)
        else _counts(analysis, histograms, reference, closure, mode=mode, settings=settings)
    )
    counts = Counter(result.comparison.agreement for result in templates)
    verdict, summary = overall_verdict(counts)
    return ValidationResult(
        verdict=verdict,
        summary=summary,
        mode=mode,
        partial=closure.partial,
        counts={agreement: counts[agreement] for agreement in Agreement},
        templates=tuple(templates),
        not_compared=tuple(
            dataset.name
            for dataset in analysis.datasets
            if closure.datasets
            and (dataset.name not in closure.datasets or (pseudodata and dataset.kind == "data"))
        ),
        unpublished=_unpublished(analysis, closure, reference),
        provenance=dict(provenance),
    )


def _unpublished(
    analysis: Analysis, closure: Closure, reference: Mapping[str, hist.Hist]
) -> tuple[str, ...]:
    """Regions and systematics of a run none of whose histograms is published."""
    filled = [
        template
        for template in analysis.templates()
        if any(dataset.name in closure.datasets for dataset, _ in analysis.sources(template))
    ]
    there = [template for template in filled if template.name in reference]
    regions = {template.region for template in filled} - {template.region for template in there}
    variations = {_variation_label(analysis, template) for template in filled} - {
        _variation_label(analysis, template) for template in there
    }
    return (*sorted(regions), *sorted(variations))


def _counts(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    reference: Mapping[str, hist.Hist],
    closure: Closure,
    *,
    mode: Mode,
    settings: ValidationSettings,
) -> list[TemplateResult]:
    """Every histogram of the datasets of a run against published counts."""
    numbers = published.counts(analysis, mode.n_files)
    weights = published.weights(analysis, mode.n_files)
    results = {}
    for template in analysis.templates():
        if template.name not in reference:
            continue
        dataset = published.dataset_of(analysis, template)
        if dataset in closure.datasets:
            _check_bins(template.name, histograms, reference)
            entry = closure.datasets[dataset]
            results[template] = _compare(
                _side(histograms[template.name], entry.weight, entry.n_generated),
                _side(reference[template.name], weights[dataset], numbers.n_generated[dataset]),
                same_events=mode.same_events,
                random=numbers.histograms[template.name].random,
                settings=settings,
            )
    templates = [
        TemplateResult(
            name=template.name,
            region=template.region,
            process=template.process,
            variation=_variation_label(analysis, template),
            comparison=comparison,
        )
        for template, comparison in results.items()
    ]
    return [*templates, *pseudodata_results(analysis, histograms, results)]


def _yields(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    reference: Mapping[str, hist.Hist],
    settings: ValidationSettings,
    *,
    pseudodata: bool,
) -> list[TemplateResult]:
    """Nominal yields of processes, and data, against published ones."""
    results = []
    for region in analysis.regions:
        names = {
            process.name: Template(region.name, process.name, NOMINAL).name
            for process in analysis.processes
        }
        if not pseudodata:
            names["data"] = analysis.data_name(region.name)
        for process, name in names.items():
            if name not in reference or name not in histograms:
                continue
            _check_bins(name, histograms, reference)
            # Published are the bins only.
            ours, theirs = (
                _side(source[name], 1.0, 1.0).inner() for source in (histograms, reference)
            )
            comparison = _compare(
                ours, theirs, same_events=process == "data", random=False, settings=settings
            )
            results.append(
                TemplateResult(
                    name=name,
                    region=region.name,
                    process=process,
                    variation=NOMINAL,
                    comparison=comparison,
                )
            )
    return results


def comparison_mode(analysis: Analysis, closure: Closure) -> Mode:
    """The published histograms to compare with, and the kind of comparison.

    The run has the input of published histograms if every dataset processed as many events as were
    generated, and these numbers are those of the same number of files of the published list.

    Args:
        analysis: the declaration.
        closure: event accounts of the run.
    """
    if any(
        isinstance(published.read(analysis, n_files), PublishedYields)
        for n_files in published.available(analysis)
    ):
        return Mode(
            same_events=False,
            n_files=-1,
            description="Published are yields, and the observed events in each bin: these are "
            "compared event by event with collision data; shapes and sums of the expected "
            "yields are compared within tolerances.",
        )
    datasets = closure.datasets
    whole = all(entry.events_processed == entry.n_generated for entry in datasets.values())
    for n_files in published.available(analysis):
        n_generated = published.counts(analysis, n_files).n_generated
        same = all(entry.n_generated == n_generated[name] for name, entry in datasets.items())
        if whole and same:
            input_files = {-1: "all files", 1: "the first file"}.get(
                n_files, f"the first {n_files} files"
            )
            return Mode(
                same_events=True,
                n_files=n_files,
                description=f"The input is {input_files} of each dataset, the same events as in "
                "the published histograms: every bin is compared entry by entry. Only histograms "
                "that were published with random numbers of their own are compared statistically.",
            )
    description = (
        "The input is not that of any published histograms: shapes and selected fractions are "
        "compared with the published histograms of all files, within tolerances."
    )
    if not whole:
        description += (
            " The number of generated events differs from that of the events in the files, as in "
            "simulated input, where it is calibrated to the published yields: then the yield of "
            "each dataset agrees by construction; shapes, the ratio of the regions and the effect "
            "of variations are real tests."
        )
    return Mode(same_events=False, n_files=-1, description=description)


def _compare(
    ours: Side,
    theirs: Side,
    *,
    same_events: bool,
    random: bool,
    settings: ValidationSettings,
) -> Comparison:
    if same_events:
        return compare.same_events(
            ours,
            theirs,
            random=random,
            tolerances=settings.same_events,
            p_value_min=settings.p_value_min,
        )
    return compare.other_events(
        ours, theirs, tolerances=settings.other_events, p_value_min=settings.p_value_min
    )


def _side(histogram: hist.Hist, weight: float, n_generated: float) -> Side:
    return Side(
        contents=histogram.values(flow=True) / weight,
        variances=histogram.variances(flow=True) / weight**2,
        n_generated=n_generated,
    )


def _check_bins(
    name: str, histograms: Mapping[str, hist.Hist], reference: Mapping[str, hist.Hist]
) -> None:
    if name not in histograms:
        raise InputError(
            f"no histogram {name!r}, although its dataset was processed",
            place="histograms.root",
            remedy="delete the file and run again",
        )
    ours, theirs = (source[name].axes[0].edges for source in (histograms, reference))
    if not np.array_equal(ours, theirs):
        raise InputError(
            f"histogram {name!r} has {len(ours) - 1} bins from {ours[0]:g} to {ours[-1]:g}, "
            f"but the published one has {len(theirs) - 1} from {theirs[0]:g} to {theirs[-1]:g}",
            place="histograms.root",
            remedy="delete the file and run again",
        )


def _variation_label(analysis: Analysis, template: Template) -> str:
    """Label of the variation of a template."""
    for systematic in analysis.systematics:
        if template.process not in systematic.processes:
            continue
        up, down = systematic.up, systematic.down
        if up is not None and template.variation == up.name:
            return f"{systematic.name}, up" if down else systematic.name
        if down is not None and template.variation == down.name:
            return f"{systematic.name}, down"
    return NOMINAL
