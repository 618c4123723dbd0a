"""Choose the bin edges of the fit and thresholds of cuts by the expected uncertainty."""

import csv
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import analyses
from agc_pipeline.code import data
from agc_pipeline.files import write_json, write_text
from agc_pipeline.inference.settings import MinimiserSettings, ModelStage, OptimisationSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.readers.settings import NETWORK
from agc_pipeline.stages.description import Stage, never, reads, writes, writes_folder
from agc_pipeline.stages.filling import FillingOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hist import Hist

    from agc_pipeline.declaration import Analysis, Threshold
    from agc_pipeline.inference.closed_form import ClosedForm
    from agc_pipeline.inference.optimisation import Place, Result
    from agc_pipeline.inference.optimisation_record import (
        Candidate,
        Edges,
        Method,
        OptimisationRecord,
        WholeFit,
    )
    from agc_pipeline.inference.template_gradients import TemplateGradients
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class OptimiseStage(ModelStage):
    """What the stage needs of the configuration.

    Attributes:
        physics: ``physics.selection``, the analysis' own.
        thresholds: values that are tried, by name; the first is that of the run.
        minimiser: ``fit.minimiser``.
        optimise: ``optimise``.
    """

    physics: dict[str, object]
    thresholds: dict[str, tuple[float, ...]]
    minimiser: MinimiserSettings
    optimise: OptimisationSettings


def _of_judge(name: str) -> Any:
    def path(plan: "Plan") -> str | list[str]:
        return [] if plan.judge is None else f"{plan.judge}/{name}"

    return path


class OptimiseOptions(FillingOptions):
    """What the stage is told beside its settings."""

    histograms: Path = reads("histograms.root", "merged ROOT file")
    closure: Path = reads("closure.json", "closure record of the merge")
    scans: tuple[Path, ...] = reads(
        lambda plan: [
            f"{plan.folder}/optimise/thresholds/{dataset.name}.npz"
            for dataset in plan.analysis.datasets
            if plan.trials and dataset.kind == "simulation" and dataset.name in plan.datasets
        ],
        "sums of weights of each dataset for all combinations of thresholds, if there are any",
        default=(),
    )
    judge: Path | None = reads(
        _of_judge("histograms.root"), "the same of an independent simulation, if any", default=None
    )
    judge_closure: Path | None = reads(
        _of_judge("closure.json"), "its closure record, if any", default=None
    )
    output: Path = writes("optimise/optimise.json", "JSON record to write")
    fragment: Path = writes("optimise/optimised.yaml", "configuration with the best bins to write")
    table: Path = writes("optimise/optimise.csv", "table of all candidates to write")
    page: Path = writes("optimise/optimise.html", "HTML page to write")
    figures: Path = writes_folder("optimise/figures", "folder for the figures of the page")
    tables: Path = writes_folder("optimise/tables", "folder for the tables of the page")


def configure(plan: "Plan") -> OptimiseStage:
    """The model, and how bins and thresholds are looked for."""
    return OptimiseStage(
        analysis=plan.config.analysis,
        model=plan.config.fit.model,
        selection=plan.config.selection,
        blinded=plan.blinded,
        physics=plan.physics["selection"],
        thresholds={trial.threshold.name: trial.values for trial in plan.trials},
        minimiser=plan.config.fit.minimiser,
        optimise=plan.config.optimise,
    )


def run(settings: OptimiseStage, options: OptimiseOptions) -> None:
    """Write the candidates, and the configuration with the best one.

    Raises:
        PipelineError: if the model cannot be built, or histograms are missing.
    """
    import time

    from agc_pipeline.inference.optimisation import judged, optimise
    from agc_pipeline.inference.optimisation_record import OptimisationRecord
    from agc_pipeline.inference.workspace import quieten
    from agc_pipeline.report import page
    from agc_pipeline.report.sections import optimisation
    from agc_pipeline.report.style import Gallery

    quieten()
    analysis = analyses.load(settings.analysis).with_selection(settings.selection)
    run_ = _Run(analysis, settings, options)
    windows = [region.name for region in analysis.regions if region.window]
    candidates = run_.baselines(_declared(analysis, settings))
    for method in settings.optimise.methods:
        start = time.process_time()
        result = optimise(run_.templates, method, settings.optimise, windows)
        seconds = time.process_time() - start + run_.seconds
        candidates.append(run_.candidate(method, result.edges, result.place, result, seconds))
        log.info("%s: expected uncertainty %.4f", method, candidates[-1].uncertainty)
    if options.judge is not None and options.judge_closure is not None:
        judge = _Judge(run_, options.judge, options.judge_closure)
        candidates = judged(
            candidates,
            run_.model_of,
            judge.model_of,
            throws=settings.optimise.throws,
            seed=settings.optimise.seed,
            within=judge.loosest if run_.trials else None,
        )
    # The judge takes no part in the choice: its word on the best one has no bias.
    best = min(candidates, key=_promise(settings))
    fits = {entry.method: run_.whole_fit(entry) for entry in candidates}
    record = OptimisationRecord(
        analysis=analysis.name,
        candidates=tuple(candidates),
        trials=settings.thresholds,
        best=best.method,
        fits=fits,
        gradients=run_.gradients(best),
        provenance=dict(
            provenance(
                "optimise",
                packages=("cabinetry", "hist", "numpy", "pyhf", "scipy", "uproot"),
                settings=settings.model_dump(),
                inputs=(options.histograms, options.closure, *options.scans),
            )
        ),
    )
    write_json(options.output, record.model_dump())
    write_text(options.table, _table(record))
    write_text(options.fragment, _fragment(record, run_, options.output))
    options.figures.mkdir(parents=True, exist_ok=True)
    gallery = Gallery(options.figures, partial=run_.accounts.partial)
    values = {
        "title": "Optimisation",
        "subtitle": f"{analysis.name}: bins and thresholds by the expected uncertainty",
        "partial": run_.accounts.partial,
        "left_out": run_.accounts.left_out,
        "optimisation": optimisation.section(gallery, analysis, record),
    }
    page.write(options.page, "optimise.html.j2", values, options.tables)
    log.info("%s", record.verdict)


def _promise(settings: OptimiseStage) -> "Callable[[Candidate], float]":
    """What is smallest for the best candidate."""

    def promise(entry: "Candidate") -> float:
        if settings.optimise.objective == "uncertainty" or not entry.significance:
            return entry.uncertainty if settings.optimise.noise else entry.fit
        noise = entry.templates**2 if settings.optimise.noise else 0.0
        return 1 / entry.significance**2 + noise

    return promise


class _Run:
    """Models of a run with the thresholds of candidates.

    Args:
        analysis: the declaration.
        settings: of the stage.
        options: of the job.

    Raises:
        InputError: if the histograms and the sums for thresholds are not of the same events.
    """

    def __init__(
        self, analysis: "Analysis", settings: OptimiseStage, options: OptimiseOptions
    ) -> None:
        from agc_pipeline.columnar import closure, thresholds
        from agc_pipeline.histograms import read_root
        from agc_pipeline.inference import threshold_templates
        from agc_pipeline.inference.closed_form import filled_edges

        self.analysis, self.settings, self.options = analysis, settings, options
        self.accounts = closure.read(options.closure)
        self._histograms = read_root(options.histograms)
        self._fine = (
            filled_edges(analysis, self._histograms) if settings.optimise.overflow else None
        )
        model = self.closed_form(self._histograms, self.accounts.subsets)
        self.trials = thresholds.of_values(analysis, settings.thresholds if options.scans else {})
        self.templates = threshold_templates.without_thresholds(model)
        self._models: dict[Place, ClosedForm] = {}
        self.seconds = 0.0
        self._scanned = None
        if not self.trials:
            return
        scans = {path.stem: thresholds.read(path) for path in options.scans}
        self.seconds = sum(seconds for _, seconds in scans.values())
        self._scanned = threshold_templates.Scanned(
            thresholds.of_fit(analysis),
            self.trials,
            {name: scan for name, (scan, _) in scans.items()},
            {name: account.weight for name, account in self.accounts.datasets.items()},
        )
        _require_same(
            self._scanned.histograms([0] * len(self.trials)), self._histograms, options.histograms
        )
        self.templates = threshold_templates.threshold_templates(model, self._scanned)

    def closed_form(
        self, histograms: "Mapping[str, Hist]", subsets: "Mapping[str, str]"
    ) -> "ClosedForm":
        """The closed form with histograms."""
        from agc_pipeline.inference.closed_form import closed_form

        return closed_form(self.analysis, histograms, self.settings.model, subsets, self._fine)

    @property
    def loosest(self) -> "Place":
        """Number of the value of each threshold that the run has."""
        return (0,) * len(self.trials)

    @property
    def reference(self) -> "Place":
        """Number of the value of each threshold that others are compared with."""
        values = self.settings.optimise.reference
        return tuple(
            trial.values.index(values.get(trial.threshold.name, trial.values[0]))
            for trial in self.trials
        )

    def model_at(self, place: "Place") -> "ClosedForm":
        """The closed form with some values of thresholds, as a run with them has it."""
        if place not in self._models:
            histograms = self.histograms(place)
            self._models[place] = self.closed_form(histograms, self.accounts.subsets)
        return self._models[place]

    def histograms(self, place: "Place") -> "Mapping[str, Hist]":
        """Those with some values of thresholds."""
        if self._scanned is None or not any(place):
            return self._histograms
        return self._scanned.histograms(place)

    def place(self, entry: "Candidate") -> "Place":
        """Number of the value of each threshold of a candidate."""
        return tuple(
            trial.values.index(entry.thresholds[trial.threshold.name]) for trial in self.trials
        )

    def model_of(self, entry: "Candidate") -> "ClosedForm":
        """The closed form with the thresholds of a candidate."""
        return self.model_at(self.place(entry))

    def candidate(
        self,
        method: "Method",
        edges: "Edges",
        place: "Place",
        result: "Result | None" = None,
        seconds: float = 0.0,
    ) -> "Candidate":
        """What bins and thresholds promise."""
        from agc_pipeline.inference.optimisation import candidate

        return candidate(
            self.model_at(place),
            method,
            edges,
            trials=self.trials,
            place=place,
            reference=self.reference,
            result=result,
            seconds=seconds,
        )

    def baselines(self, declared: "Edges") -> "list[Candidate]":
        """The declared bins, and these with all events of the histograms."""
        from agc_pipeline.inference.optimisation import untuned

        finer = untuned(self.templates.model, declared)
        candidates = [self.candidate("declared", declared, self.reference)]
        if finer != declared:
            candidates.append(self.candidate("untuned", finer, self.reference))
        return candidates

    def whole_fit(self, entry: "Candidate") -> "WholeFit":
        """The whole fit of what a candidate expects."""
        from agc_pipeline.inference.optimisation import whole_fit

        return whole_fit(
            self.analysis,
            self.histograms(self.place(entry)),
            self.settings.model.model_copy(update={"edges": entry.edges}),
            self.settings.minimiser,
            subsets=self.accounts.subsets,
            toys=self.settings.optimise.toys,
            seed=self.settings.optimise.seed,
            signal=self.settings.optimise.objective == "significance",
        )

    def gradients(self, entry: "Candidate") -> "TemplateGradients":
        """What each template of a candidate does to the expected uncertainty."""
        from agc_pipeline.inference.optimisation import gradients

        return gradients(
            self.analysis,
            self.histograms(self.place(entry)),
            self.settings.model.model_copy(update={"edges": entry.edges}),
            self.settings.minimiser,
            subsets=self.accounts.subsets,
        )

    def changed(self, entry: "Candidate") -> "list[tuple[Threshold, float]]":
        """The thresholds that are others than those of the run, with their values."""
        return [
            (trial.threshold, entry.thresholds[trial.threshold.name])
            for trial, at in zip(self.trials, self.place(entry), strict=True)
            if at
        ]


class _Judge:
    """Models of an independent simulation.

    Args:
        of: the run that is judged.
        histograms: merged ROOT file.
        accounts: closure record, beside which are the manifests.
    """

    def __init__(self, of: _Run, histograms: Path, accounts: Path) -> None:
        from agc_pipeline.columnar import closure
        from agc_pipeline.histograms import read_root
        from agc_pipeline.inference import judge

        self._run, self._folder = of, accounts.parent
        self._accounts = closure.read(accounts)
        self._path, self._histograms = histograms, read_root(histograms)
        judge.require_others(
            accounts,
            (of.accounts, of.histograms(of.loosest)),
            (self._accounts, self._histograms),
        )
        self._known: dict[tuple[float, ...], ClosedForm] = {}
        self._same = False

    @property
    def loosest(self) -> "ClosedForm":
        """The closed form with the cuts of the run."""
        return self._run.closed_form(self._histograms, self._accounts.subsets)

    def model_of(self, entry: "Candidate") -> "ClosedForm":
        """The closed form with the thresholds of a candidate: events are selected with them."""
        key = tuple(entry.thresholds.values())
        if key not in self._known:
            changed = self._run.changed(entry)
            if changed and not self._same:
                # The skims must be of the same cuts.
                _require_same(self._filled([]), self._histograms, self._path)
                self._same = True
            histograms = self._filled(changed) if changed else self._histograms
            self._known[key] = self._run.closed_form(histograms, self._accounts.subsets)
        return self._known[key]

    def _filled(self, values: "list[tuple[Threshold, float]]") -> "Mapping[str, Hist]":
        from agc_pipeline.columnar import thresholds
        from agc_pipeline.declaration.thresholds import changed
        from agc_pipeline.delivery import manifest
        from agc_pipeline.errors import InputError
        from agc_pipeline.inference.threshold_templates import Scanned

        run_, options = self._run, self._run.options
        analysis = thresholds.of_fit(run_.analysis)
        scans, weights = {}, {}
        for name, account in self._accounts.datasets.items():
            if account.kind == "data":
                continue
            paths = sorted((self._folder / "manifests" / name).glob("*.json"))
            if not paths:
                raise InputError(
                    "the judge has no skims to select events from",
                    place=str(self._folder / "manifests" / name),
                    remedy="run it with the same version, or set `optimise.thresholds: {}`",
                )
            delivered = [manifest.read(path) for path in paths]
            scans[name] = thresholds.scan(
                analysis,
                changed(run_.settings.physics, values),
                analysis.dataset(name),
                (),
                unit=account.unit or 1.0,
                fill=thresholds.of_files(
                    [file for each in delivered for file in each.files],
                    options.execution,
                    kind=delivered[0].format,
                    metadata=options.metadata,
                    network=options.network or NETWORK,
                    allow_partial=self._accounts.partial,
                ),
            )
            weights[name] = account.weight
        return Scanned(analysis, (), scans, weights).histograms(())


def _require_same(ours: "Mapping[str, Hist]", theirs: "Mapping[str, Hist]", place: Path) -> None:
    """Check that histograms are of the same events: sums are exact.

    Raises:
        InputError: if they are not.
    """
    import numpy as np

    from agc_pipeline.errors import InputError

    for name, histogram in ours.items():
        other = theirs.get(name)
        if other is None or not np.array_equal(*(h.values(flow=True) for h in (histogram, other))):
            raise InputError(
                f"the histogram {name} is not that of the skims and cuts of this run",
                place=str(place),
                remedy="run it again with the same `physics.selection`, input and version",
            )


def _declared(analysis: "Analysis", settings: OptimiseStage) -> "Edges":
    from agc_pipeline.inference.edges import fit_edges, fitted_regions

    return {
        name: tuple(map(float, fit_edges(region, settings.model.edges) or region.edges))
        for name, region in fitted_regions(analysis).items()
    }


_COLUMNS = (
    "bins of",
    "number of bins",
    "thresholds",
    "no systematic knows of",
    "expected uncertainty",
    "of the fit",
    "of varied templates",
    "expected significance",
    "before edges and thresholds were moved to those of histograms",
    "largest change of yields by sigmoids",
    "by rounding of edges and thresholds",
    "whole fit",
    "bias of pseudo-experiments",
    "coverage",
    "scatter in the independent simulation",
    "its error",
    "gain",
    "error of the gain",
    "verdict",
    "CPU seconds",
)


def _table(record: "OptimisationRecord") -> str:
    """The candidates as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in record.candidates:
        judgement = entry.judgement
        real: tuple[object, ...] = ("",) * 5
        if judgement is not None:
            real = tuple(judgement.model_dump().values())
        fit = record.fits[entry.method]
        writer.writerow(
            (
                entry.method,
                " + ".join(map(str, entry.bins.values())),
                "; ".join(f"{name} {value:g}" for name, value in entry.thresholds.items()),
                "; ".join(entry.unknown),
                *(entry.uncertainty, entry.fit, entry.templates, entry.significance),
                *(entry.soft, entry.by_sigmoids, entry.by_rounding),
                *(fit.uncertainty, fit.bias, fit.coverage),
                *real,
                entry.seconds,
            )
        )
    return text.getvalue()


def _fragment(record: "OptimisationRecord", run_: _Run, path: Path) -> str:
    """Configuration of a run with the best bins and thresholds.

    Args:
        record: of the optimisation.
        run_: that was optimised.
        path: of the record, which the report of that run shows.
    """
    import yaml

    from agc_pipeline.declaration.thresholds import fragment

    best = record.chosen
    content: dict[str, Any] = {
        "fit": {"model": {"edges": {name: list(e) for name, e in best.edges.items()}}},
        "report": {"optimisation": str(path)},
    }
    if run_.trials:
        # All of them, so that they are the same in a run that is not as loose.
        values = [(trial.threshold, best.thresholds[trial.threshold.name]) for trial in run_.trials]
        content["physics"] = {"selection": fragment(run_.settings.physics, values)}
    lines = yaml.safe_dump(content, default_flow_style=None, sort_keys=False, width=100)
    return f"# By `snakemake optimise`. {record.verdict}.\n{lines}"


STAGE = Stage(
    name="optimise",
    settings=OptimiseStage,
    options=OptimiseOptions,
    configure=configure,
    run=run,
    when=never,
    watched={"templates": lambda _: data("report/templates/*")},
)
main = STAGE.main

if __name__ == "__main__":
    main()
