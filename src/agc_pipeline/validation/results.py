"""Results of the validation, as written to and read from JSON."""

from pathlib import Path
from typing import Any, Literal

from agc_pipeline.files import read_record
from agc_pipeline.settings import Settings
from agc_pipeline.validation.compare import Agreement, Comparison

Verdict = Literal["agrees", "disagrees", "inconclusive"]


class Mode(Settings):
    """The published histograms to compare with, and the kind of comparison.

    Attributes:
        same_events: the published histograms are of the same events.
        n_files: files per dataset of the published histograms; -1 is all.
        description: for people.
    """

    same_events: bool
    n_files: int
    description: str


class TemplateResult(Settings):
    """Result for one histogram.

    Attributes:
        name: of the histogram.
        region: name of its region.
        process: name of its process, "data" or "pseudodata".
        variation: label of its variation.
        comparison: numbers and level of agreement.
    """

    name: str
    region: str
    process: str
    variation: str
    comparison: Comparison


class ValidationResult(Settings):
    """Result of a run.

    Attributes:
        verdict: "inconclusive" means that no histogram had enough entries.
        summary: the verdict as a sentence.
        mode: of the comparison.
        partial: files of the run were left out.
        counts: number of histograms with each level of agreement.
        templates: one result for each histogram.
        not_compared: datasets that the run does not have, or has simulated in the place of data.
        unpublished: regions and systematics of the run that were not published.
        provenance: of the file.
    """

    verdict: Verdict
    summary: str
    mode: Mode
    partial: bool
    counts: dict[Agreement, int]
    templates: tuple[TemplateResult, ...]
    not_compared: tuple[str, ...]
    unpublished: tuple[str, ...] = ()
    provenance: dict[str, Any]


def read(path: Path) -> ValidationResult:
    """Read ``validation.json``.

    Raises:
        InputError: if the file is missing or is something else.
    """
    return read_record(ValidationResult, path, "the output of the rule `validate`")
