"""The results of a run, as the report reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hist

from agc_pipeline.attempts import Missing
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.columnar.performance import PerformanceRecord
from agc_pipeline.doctor.findings import Finding
from agc_pipeline.inference.derived_records import (
    LimitRecord,
    PropagationRecord,
    RankingRecord,
    ScanRecord,
    SensitivityRecord,
    ToyRecord,
)
from agc_pipeline.inference.fit_records import CheckRecord, FitRecord
from agc_pipeline.inference.optimisation_record import OptimisationRecord
from agc_pipeline.learning.training_record import TrainingRecord
from agc_pipeline.report.runtimes import Job, Runtime
from agc_pipeline.validation.results import ValidationResult


@dataclass(frozen=True)
class Run:
    """The results of a run. What a run does not have is None, and has no section.

    Attributes:
        checks: content of ``checks.json``.
        fit: content of ``fit.json``.
        ranking: content of ``ranking.json``.
        scan: content of ``scan.json``.
        toys: content of ``toys.json``.
        limit: content of ``limit.json``.
        sensitivity: content of ``sensitivity.json``.
        runtimes: of its jobs.
        jobs: when they ran; none if it is not known.
        performance: cost of its histograms; None if they were not filled.
        findings: state of the machine and the services that the run uses.
        dask_reports: addresses of Dask's performance reports, relative to the page.
        closure: content of ``closure.json``; None if the run starts from a workspace.
        validation: content of ``validation.json``; None without published histograms.
        propagated: content of ``propagated.json``.
        histograms: content of ``histograms.root``.
        training: content of ``training.json``; None if no models were trained.
        optimisation: record of another run's optimisation; None if none is shown.
        unpreserved: formats for others that could not be written.
        lost: what the formats of models do not hold, by their titles.
    """

    checks: CheckRecord
    fit: FitRecord
    ranking: RankingRecord
    scan: ScanRecord
    toys: ToyRecord
    limit: LimitRecord
    sensitivity: SensitivityRecord
    runtimes: Sequence[Runtime]
    performance: PerformanceRecord | None
    findings: Sequence[Finding]
    jobs: Sequence[Job] = ()
    dask_reports: Sequence[str] = ()
    closure: Closure | None = None
    validation: ValidationResult | None = None
    propagated: PropagationRecord | None = None
    histograms: Mapping[str, hist.Hist] | None = None
    training: TrainingRecord | None = None
    optimisation: OptimisationRecord | None = None
    unpreserved: Sequence[Missing] = ()
    lost: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def missing(self) -> list[Missing]:
        """Parts that nothing else depends on, and that failed."""
        comparison = self.fit.comparison
        missing = []
        if comparison is not None and comparison.failure is not None:
            part = f"fit by the other method, {comparison.method}"
            missing.append(Missing(part=part, reason=comparison.failure))
        if self.propagated is not None:
            missing += self.propagated.missing
        return [*missing, *self.unpreserved]

    @property
    def partial(self) -> bool:
        """Whether files were left out."""
        return self.fit.partial or (self.closure is not None and self.closure.partial)

    @property
    def provenances(self) -> list[Mapping[str, Any]]:
        """Provenance of the records, in the order of the workflow."""
        records = (
            self.closure,
            self.validation,
            self.checks,
            self.fit,
            self.ranking,
            self.scan,
            self.toys,
            self.limit,
            self.propagated,
            self.training,
        )
        return [record.provenance for record in records if record is not None and record.provenance]

    @property
    def software(self) -> dict[str, str]:
        """Versions of the packages; several, if stages ran with different ones."""
        versions: dict[str, dict[str, None]] = {}
        for record in self.provenances:
            for name, version in record["software"].items():
                versions.setdefault(name, {})[version] = None
        return {name: ", ".join(several) for name, several in sorted(versions.items())}
