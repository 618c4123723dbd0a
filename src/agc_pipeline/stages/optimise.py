"""Choose the bin edges of the fit and thresholds of cuts by the expected uncertainty."""

import csv
import io
import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import analyses
from agc_pipeline.code import data
from agc_pipeline.files import write_json, write_text
from agc_pipeline.inference.settings import (
    TRAINED,
    MinimiserSettings,
    ModelStage,
    OptimisationSettings,
)
from agc_pipeline.provenance import provenance
from agc_pipeline.stages.description import Stage, never, reads, writes, writes_folder
from agc_pipeline.stages.filling import FillingOptions, delivered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hist import Hist

    from agc_pipeline.declaration import Analysis, Threshold
    from agc_pipeline.inference.closed_form import ClosedForm
    from agc_pipeline.inference.discriminant_search import Discriminants, Name
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
        features: names of those that discriminants are made of.
        minimiser: ``fit.minimiser``.
        optimise: ``optimise``.
    """

    physics: dict[str, object]
    thresholds: dict[str, tuple[float, ...]]
    features: tuple[str, ...] = ()
    minimiser: MinimiserSettings
    optimise: OptimisationSettings


def _of_judge(name: str) -> Any:
    def path(plan: "Plan") -> str | list[str]:
        return [] if plan.judge is None else f"{plan.judge}/{name}"

    return path


class OptimiseOptions(FillingOptions):
    """What the stage is told beside its settings."""

    histograms: Path = reads(lambda plan: plan.histograms_of_model(data=False), "`histograms.root`")
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
    rows: tuple[Path, ...] = reads(
        lambda plan: [
            f"{plan.folder}/optimise/features/{dataset.name}.npz"
            for dataset in plan.analysis.datasets
            if plan.optimises_discriminants
            and dataset.kind == "simulation"
            and dataset.name in plan.datasets
        ],
        "features of each dataset's events, if discriminants are trained",
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
    methods: Path = writes_folder(
        "optimise/methods", "folder for what each method gives: configuration, and models"
    )
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
        features=tuple(plan.features) if plan.optimises_discriminants else (),
        minimiser=plan.config.fit.minimiser,
        optimise=plan.config.optimise,
    )


def run(settings: OptimiseStage, options: OptimiseOptions) -> None:
    """Write the candidates, and the configuration with the best one.

    Raises:
        PipelineError: if the model cannot be built, or histograms are missing.
    """
    from agc_pipeline.inference.optimisation import judged
    from agc_pipeline.inference.optimisation_record import OptimisationRecord, loss
    from agc_pipeline.inference.workspace import quieten
    from agc_pipeline.report import page
    from agc_pipeline.report.sections import optimisation
    from agc_pipeline.report.style import Gallery

    quieten()
    analysis = analyses.load(settings.analysis).with_selection(settings.selection)
    run_ = _Run(analysis, settings, options)
    candidates = run_.baselines(_declared(analysis, settings))
    for method in settings.optimise.methods:
        candidates.append(run_.scored(method) if method in TRAINED else run_.searched(method))
        log.info("%s: expected uncertainty %.4f", method, candidates[-1].uncertainty)
    if options.judge is not None and options.judge_closure is not None:
        judge = _Judge(run_, options.judge, options.judge_closure)
        candidates = judged(
            candidates,
            run_.model_of,
            judge.model_of,
            throws=settings.optimise.throws,
            seed=settings.optimise.seed,
            # Of another observable, nothing is known of which of its events are in which bins.
            within=judge.loosest if run_.trials or options.rows else None,
        )
    # The judge takes no part in the choice: its word on the best one has no bias.
    objective, noise = settings.optimise.objective, settings.optimise.noise
    best = min(candidates, key=lambda entry: loss(entry, objective, noise=noise))
    fits = {entry.method: run_.whole_fit(entry) for entry in candidates}
    record = OptimisationRecord(
        analysis=analysis.name,
        candidates=tuple(candidates),
        trials=settings.thresholds,
        objective=objective,
        noise=noise,
        best=best.method,
        fits=fits,
        gradients=run_.gradients(best),
        provenance=dict(
            provenance(
                "optimise",
                packages=("cabinetry", "hist", "numpy", "pyhf", "scipy", "uproot"),
                settings=settings.model_dump(),
                inputs=(options.histograms, options.closure, *options.scans, *options.rows),
            )
        ),
    )
    options.methods.mkdir(parents=True, exist_ok=True)
    for entry in candidates:
        if entry.method in settings.optimise.methods:
            run_.write(entry, record.provenance)
    write_json(options.output, record.model_dump())
    write_text(options.table, _table(record))
    write_text(options.fragment, _fragment(best, record.verdict, run_))
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
        self,
        histograms: "Mapping[str, Hist]",
        subsets: "Mapping[str, str]",
        analysis: "Analysis | None" = None,
    ) -> "ClosedForm":
        """The closed form with histograms.

        Args:
            histograms: by name.
            subsets: datasets of which all events are in another one, which is named.
            analysis: with a discriminant; None is without.
        """
        from agc_pipeline.inference.closed_form import closed_form

        # Scores are nowhere beyond their histograms.
        fine = self._fine if analysis is None else None
        return closed_form(
            analysis or self.analysis, histograms, self.settings.model, subsets, fine
        )

    @cached_property
    def discriminants(self) -> "Discriminants":
        """Those that are trained with the cuts that others are compared with."""
        from agc_pipeline.columnar import features
        from agc_pipeline.inference.discriminant_search import Discriminants

        return Discriminants(
            self.analysis,
            self.settings.optimise,
            self.settings.model,
            features=self.settings.features,
            rows={path.stem: features.read(path) for path in self.options.rows},
            weights={name: account.weight for name, account in self.accounts.datasets.items()},
            subsets=self.accounts.subsets,
        )

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

    def analysis_of(self, entry: "Candidate") -> "Analysis":
        """The declaration, with the discriminant of a candidate as the observable."""
        return self.discriminants.analysis if entry.features else self.analysis

    def histograms_of(self, entry: "Candidate") -> "Mapping[str, Hist]":
        """Those of a candidate."""
        if entry.features:
            return self.discriminants[_trained(entry.method)].histograms
        return self.histograms(self.place(entry))

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
        """The closed form with the thresholds and the discriminant of a candidate."""
        if entry.features:
            return self.discriminants[_trained(entry.method)].model
        return self.model_at(self.place(entry))

    def searched(self, method: "Method") -> "Candidate":
        """The best bins and thresholds of a search."""
        import time

        from agc_pipeline.inference.optimisation import optimise

        start = time.process_time()
        windows = [region.name for region in self.analysis.regions if region.window]
        result = optimise(self.templates, method, self.settings.optimise, windows)
        seconds = time.process_time() - start + self.seconds
        return self.candidate(method, result.edges, result.place, result, seconds)

    def scored(self, method: "Method") -> "Candidate":
        """What the discriminant of a method promises."""
        place: dict[str, Any] = {"trials": self.trials}
        place |= {"place": self.reference, "reference": self.reference}
        return self.discriminants.candidate(_trained(method), place)

    def write(self, entry: "Candidate", provenance: "Mapping[str, Any]") -> None:
        """Write a configuration with a candidate, and the models of its discriminant, if any."""
        folder = self.folder_of(entry)
        if entry.features:
            self.discriminants.write(
                _trained(entry.method), folder, self.settings.model_dump(), dict(provenance)
            )
        write_text(folder / "optimised.yaml", _fragment(entry, entry.verdict, self))

    def folder_of(self, entry: "Candidate") -> Path:
        """Folder for a candidate."""
        return self.options.methods / entry.method.replace(" ", "_")

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
            self.analysis_of(entry),
            self.histograms_of(entry),
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
            self.analysis_of(entry),
            self.histograms_of(entry),
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
        self._checked = False
        self._known: dict[tuple[object, ...], ClosedForm] = {}

    @property
    def loosest(self) -> "ClosedForm":
        """The closed form with the cuts of the run."""
        return self._run.closed_form(self._histograms, self._accounts.subsets)

    def model_of(self, entry: "Candidate") -> "ClosedForm":
        """The closed form with the thresholds of a candidate: events are selected with them."""
        scored = entry.method if entry.features else None
        key = (scored, *entry.thresholds.values())
        if key not in self._known:
            changed = self._run.changed(entry)
            again = bool(changed) or scored is not None
            if again and not self._checked:
                # The skims must be of the same cuts.
                _require_same(self._filled([], self._run.analysis), self._histograms, self._path)
                self._checked = True
            histograms: Mapping[str, Hist] = self._histograms
            analysis = self._run.analysis
            if again:
                if scored is not None:
                    analysis = self._run.discriminants.scoring(_trained(scored))
                histograms = self._filled(changed, analysis)
            self._known[key] = self._run.closed_form(
                histograms, self._accounts.subsets, None if scored is None else analysis
            )
        return self._known[key]

    def _filled(
        self, values: "list[tuple[Threshold, float]]", observed: "Analysis"
    ) -> "Mapping[str, Hist]":
        """The histograms of its events.

        Args:
            values: of thresholds that are not those of the run.
            observed: the declaration, with the observables.
        """
        from agc_pipeline.columnar import thresholds
        from agc_pipeline.declaration.thresholds import changed
        from agc_pipeline.errors import InputError
        from agc_pipeline.inference.threshold_templates import Scanned

        run_, options = self._run, self._run.options
        analysis = thresholds.of_fit(observed)
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
            _, fill = delivered(paths, options, allow_partial=self._accounts.partial)
            scans[name] = thresholds.scan(
                analysis,
                changed(run_.settings.physics, values),
                analysis.dataset(name),
                (),
                unit=account.unit or 1.0,
                fill=fill,
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


def _trained(method: "Method") -> "Name":
    """The same as the name of a discriminant."""
    return next(name for name in TRAINED if name == method)


def _fragment(entry: "Candidate", verdict: str, run_: _Run) -> str:
    """Configuration of a run with the bins, thresholds and models of a candidate.

    Its report shows the optimisation.
    """
    import yaml

    from agc_pipeline.declaration.thresholds import fragment

    content: dict[str, Any] = {
        "fit": {"model": {"edges": {name: list(e) for name, e in entry.edges.items()}}},
        "report": {"optimisation": str(run_.options.output)},
    }
    if entry.features:
        content["discriminant"] = str(run_.folder_of(entry))
    if run_.trials:
        # All of them, so that they are the same in a run that is not as loose.
        values = [
            (trial.threshold, entry.thresholds[trial.threshold.name]) for trial in run_.trials
        ]
        content["physics"] = {"selection": fragment(run_.settings.physics, values)}
    lines = yaml.safe_dump(content, default_flow_style=None, sort_keys=False, width=100)
    return f"# By `snakemake optimise`. {verdict}.\n{lines}"


STAGE = Stage(
    name="optimise",
    settings=OptimiseStage,
    options=OptimiseOptions,
    configure=configure,
    run=run,
    when=never,
    watched={"templates": lambda _: data("report/templates/*")},
    external=lambda plan: [
        path for name in ("histograms.root", "closure.json") if (path := _of_judge(name)(plan))
    ],
)
main = STAGE.main

if __name__ == "__main__":
    main()
