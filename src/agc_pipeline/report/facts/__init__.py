"""What to look at in a result: facts with their numbers, why they matter, and what can be done.

Nothing here is an error: the run has ended well. It is what a reviewer would ask about. Each fact
is a function, in the module of what it is about; ``docs/statistics.md`` lists all of them.
"""

from agc_pipeline.report.facts import fits, inputs, templates, toys
from agc_pipeline.report.facts.fact import Fact, FactGroup, Kind, Severity, grouped
from agc_pipeline.report.parameter_titles import titles
from agc_pipeline.report.run import Run

__all__ = ["TOY_FACTS", "Fact", "FactGroup", "facts", "grouped"]

# Kinds that the page also tells in the tile of pseudo-experiments.
TOY_FACTS: tuple[Kind, ...] = toys.KINDS
_ORDER: dict[Severity, int] = {"serious": 0, "warning": 1, "note": 2}


def facts(run: Run) -> list[Fact]:
    """Everything to look at in a run, the most serious first."""
    names = titles(run.fit)
    entries = [
        *inputs.of_input(run),
        *toys.of_toys(run.toys, names),
        *fits.of_fit(run.fit, names),
        *fits.of_parameters(run.fit, run.ranking, names),
        *fits.of_scan(run.scan, names),
        *templates.of_templates(run.fit),
        *templates.of_statistics(run.fit),
        *inputs.of_checks(run),
    ]
    return sorted(entries, key=lambda fact: _ORDER[fact.severity])
