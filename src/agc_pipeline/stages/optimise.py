"""Choose the bin edges of the fit by the expected uncertainty."""

import csv
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import analyses
from agc_pipeline.files import write_json, write_text
from agc_pipeline.inference.settings import MinimiserSettings, ModelStage, OptimisationSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.stages.description import Options, Stage, never, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.declaration import Analysis
    from agc_pipeline.inference.closed_form import ClosedForm
    from agc_pipeline.inference.optimisation import Candidate, Edges, WholeFit
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class OptimiseStage(ModelStage):
    """What the stage needs of the configuration.

    Attributes:
        minimiser: ``fit.minimiser``.
        optimise: ``optimise``.
    """

    minimiser: MinimiserSettings
    optimise: OptimisationSettings


def _of_judge(name: str) -> Any:
    def path(plan: "Plan") -> str | list[str]:
        judge = plan.config.optimise.judge
        return [] if judge is None else f"{judge}/{name}"

    return path


class OptimiseOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = reads("histograms.root", "merged ROOT file")
    closure: Path = reads("closure.json", "closure record of the merge")
    judge: Path | None = reads(
        _of_judge("histograms.root"), "the same of an independent simulation, if any", default=None
    )
    judge_closure: Path | None = reads(
        _of_judge("closure.json"), "its closure record, if any", default=None
    )
    output: Path = writes("optimise/optimise.json", "JSON record to write")
    fragment: Path = writes("optimise/optimised.yaml", "configuration with the best bins to write")
    table: Path = writes("optimise/optimise.csv", "table of all candidates to write")


def configure(plan: "Plan") -> OptimiseStage:
    """The model, and how bins are looked for."""
    return OptimiseStage(
        analysis=plan.config.analysis,
        model=plan.config.fit.model,
        selection=plan.config.selection,
        blinded=plan.blinded,
        minimiser=plan.config.fit.minimiser,
        optimise=plan.config.optimise,
    )


def run(settings: OptimiseStage, options: OptimiseOptions) -> None:
    """Write the candidates, and the configuration with the best one.

    Raises:
        PipelineError: if the model cannot be built, or histograms are missing.
    """
    from agc_pipeline.inference.optimisation import (
        OptimisationRecord,
        candidate,
        judged,
        optimise,
    )
    from agc_pipeline.inference.workspace import quieten

    quieten()
    analysis = analyses.load(settings.analysis).with_selection(settings.selection)
    model = _closed_form(analysis, settings, options.histograms, options.closure)
    declared = _declared(analysis, settings)
    candidates = [candidate(model, "declared", declared)]
    for method in settings.optimise.methods:
        candidates.append(optimise(model, method, settings.optimise))
        log.info("%s: expected uncertainty %.4f", method, candidates[-1].uncertainty)
    if options.judge is not None and options.judge_closure is not None:
        judge = _closed_form(analysis, settings, options.judge, options.judge_closure)
        of_errors = {"throws": settings.optimise.throws, "seed": settings.optimise.seed}
        candidates = judged(candidates, model, judge, **of_errors)
    # The judge takes no part in the choice: its word on the best one has no bias.
    best = min(candidates, key=lambda entry: entry.uncertainty)
    fits = {
        entry.method: _whole_fit(analysis, settings, options, entry)
        for entry in {entry.method: entry for entry in (candidates[0], best)}.values()
    }
    record = OptimisationRecord(
        candidates=tuple(candidates),
        best=best.method,
        fits=fits,
        provenance=dict(
            provenance(
                "optimise",
                packages=("cabinetry", "hist", "numpy", "pyhf", "scipy", "uproot"),
                settings=settings.model_dump(),
                inputs=(options.histograms, options.closure),
            )
        ),
    )
    write_json(options.output, record.model_dump())
    write_text(options.table, _table(candidates))
    write_text(options.fragment, _fragment(best))
    log.info("%s", _verdict(best))


def _closed_form(
    analysis: "Analysis", settings: OptimiseStage, histograms: Path, accounts: Path
) -> "ClosedForm":
    from agc_pipeline.columnar import closure
    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference.closed_form import closed_form

    return closed_form(
        analysis, read_root(histograms), settings.model, closure.read(accounts).subsets
    )


def _declared(analysis: "Analysis", settings: OptimiseStage) -> "Edges":
    from agc_pipeline.inference.edges import fit_edges, fitted_regions

    return {
        name: tuple(map(float, fit_edges(region, settings.model.edges) or region.edges))
        for name, region in fitted_regions(analysis).items()
    }


def _whole_fit(
    analysis: "Analysis", settings: OptimiseStage, options: OptimiseOptions, entry: "Candidate"
) -> "WholeFit":
    from agc_pipeline.columnar import closure
    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference.optimisation import whole_fit

    return whole_fit(
        analysis,
        read_root(options.histograms),
        settings.model.model_copy(update={"edges": entry.edges}),
        settings.minimiser,
        subsets=closure.read(options.closure).subsets,
        toys=settings.optimise.toys,
        seed=settings.optimise.seed,
    )


def _table(candidates: "list[Candidate]") -> str:
    """The candidates as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "bins of",
            "number of bins",
            "expected uncertainty",
            "of the fit",
            "of varied templates",
            "scatter in the independent simulation",
            "its error",
            "gain",
            "error of the gain",
            "verdict",
            "CPU seconds",
        )
    )
    for entry in candidates:
        judgement = entry.judgement
        real: tuple[object, ...] = ("",) * 5
        if judgement is not None:
            real = tuple(judgement.model_dump().values())
        numbers = " + ".join(map(str, entry.bins.values()))
        claimed = (entry.uncertainty, entry.fit, entry.templates)
        writer.writerow((entry.method, numbers, *claimed, *real, entry.seconds))
    return text.getvalue()


def _verdict(best: "Candidate") -> str:
    """One line on the best candidate."""
    claim = f"{best.method}: expected uncertainty {best.uncertainty:.4f}"
    judgement = best.judgement
    if best.method == "declared":
        return f"no bins with a smaller expected uncertainty than the declared ones: {claim}"
    if judgement is None:
        return f"{claim}; not judged: give an independent simulation with `optimise.judge`"
    gain = f"{judgement.gain:.1%} +- {judgement.gain_error:.1%}"
    verdict = {"better": "a gain", "none": "no gain beyond noise", "worse": "a loss"}
    return (
        f"{claim}; scatter in the independent simulation {judgement.scatter:.4f}, smaller by "
        f"{gain} than with the declared bins: {verdict[judgement.verdict]}"
    )


def _fragment(best: "Candidate") -> str:
    """Configuration of a run with the best bins."""
    import yaml

    content = {"fit": {"model": {"edges": {name: list(e) for name, e in best.edges.items()}}}}
    lines = yaml.safe_dump(content, default_flow_style=None, sort_keys=False, width=100)
    return f"# By `snakemake optimise`. {_verdict(best)}.\n{lines}"


STAGE = Stage(
    name="optimise",
    settings=OptimiseStage,
    options=OptimiseOptions,
    configure=configure,
    run=run,
    when=never,
)
main = STAGE.main

if __name__ == "__main__":
    main()
