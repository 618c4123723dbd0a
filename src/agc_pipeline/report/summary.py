"""The result of a run in short: ``summary.json`` beside the page, for terminals and other tools."""

from agc_pipeline.attempts import Missing
from agc_pipeline.inference.fit_records import DataKind
from agc_pipeline.inference.headline import Headline, headline
from agc_pipeline.report.facts import Fact
from agc_pipeline.report.run import Run
from agc_pipeline.settings import Settings
from agc_pipeline.validation.results import Verdict


class Summary(Settings):
    """What a run has measured, and what to look at.

    Attributes:
        title: of the analysis.
        data: kind of the data that were fitted.
        headlines: the result as it is quoted, then in other units; none without a parameter of
            interest.
        facts: what to look at, the most serious first.
        closure: whether all files and events are accounted for; None without files.
        validation: verdict on the published histograms; None without these.
        missing: what failed and is left out.
        workspace_digest: of the model that was fitted.
    """

    title: str
    data: DataKind
    headlines: tuple[Headline, ...]
    facts: tuple[Fact, ...]
    closure: bool | None
    validation: Verdict | None
    missing: tuple[Missing, ...]
    workspace_digest: str


def headlines(run: Run, quantity: str, reference_pb: float | None) -> tuple[Headline, ...]:
    """The result as it is quoted: the cross section if there is one, then the parameter itself.

    Args:
        run: the results.
        quantity: name of what is measured.
        reference_pb: cross section that a parameter of 1 stands for, in pb; None if it is none.
    """
    if run.fit.poi is None:
        return ()
    entries = []
    if reference_pb is not None:
        entries.append(
            headline(run.fit, run.scan, quantity=quantity, unit="pb", scale=reference_pb)
        )
    # Where the parameter scales several cross sections, its value is none.
    is_other = reference_pb is not None or "cross section" in quantity.lower()
    entries.append(headline(run.fit, run.scan, quantity=run.fit.poi.name if is_other else quantity))
    return tuple(entry for entry in entries if entry is not None)
