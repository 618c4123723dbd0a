"""Records of what is derived from a fit: ranking, scan, pseudo-experiments, limit, propagation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from agc_pipeline.attempts import Missing
from agc_pipeline.inference.fit_records import (
    Channel,
    Parameter,
    Workspace,
    WorkspaceRecord,
    of_workspace,
)
from agc_pipeline.inference.problem import NO_INTEREST
from agc_pipeline.inference.profile import Interval, Plane
from agc_pipeline.inference.ranking import Rank
from agc_pipeline.inference.settings import Statistic
from agc_pipeline.inference.spending import Spending
from agc_pipeline.inference.template_gradients import TemplateGradients
from agc_pipeline.inference.toy_tests import ToyTests
from agc_pipeline.inference.yields import Yields
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    from cabinetry.fit import LimitResults, RankingResults, ScanResults


class RankingRecord(WorkspaceRecord):
    """Impacts of all parameters.

    Attributes:
        poi: name of the parameter of interest; None without one, and no row has impacts then.
        rows: of the other parameters, in the order of the model.
        n_fits: number of fits.
        n_failed: how many of them failed.
        reason: why there are no impacts; None if there are.
    """

    poi: str | None
    rows: tuple[Rank, ...]
    n_fits: int
    n_failed: int
    reason: str | None = None

    @classmethod
    def of(
        cls,
        rows: tuple[Rank, ...],
        poi: str | None,
        workspace: Workspace,
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
        """The record of a ranking.

        Args:
            rows: of ``ranking.rank``.
            poi: name of the parameter of interest, if there is one.
            workspace: that was fitted.
            provenance: of the file that holds the record; None is empty.
        """
        return cls(**of_workspace(workspace, provenance or {}), **cls.counts(rows, poi))

    @staticmethod
    def counts(rows: tuple[Rank, ...], poi: str | None) -> dict[str, Any]:
        """The fields that follow from the rows."""
        shifts = [shift for row in rows for shift in (row.width, row.uncertainty) if shift > 0]
        return {
            "poi": poi,
            "rows": rows,
            "n_fits": 0 if poi is None else 2 * len(shifts),
            "n_failed": sum(len(row.failures) for row in rows),
            "reason": NO_INTEREST if poi is None else None,
        }

    def results(self) -> "RankingResults":
        """What cabinetry's plot takes, without the rows with a failed fit or without impacts."""
        from cabinetry.fit import RankingResults

        rows = [row for row in self.rows if not row.failures and self.poi is not None]
        return RankingResults(
            bestfit=np.array([row.bestfit for row in rows]),
            uncertainty=np.array([row.uncertainty for row in rows]),
            labels=[row.parameter for row in rows],
            prefit_up=np.array([row.prefit_up for row in rows]),
            prefit_down=np.array([row.prefit_down for row in rows]),
            postfit_up=np.array([row.postfit_up for row in rows]),
            postfit_down=np.array([row.postfit_down for row in rows]),
        )


class ScanRecord(WorkspaceRecord):
    """Profile of the likelihood.

    Attributes:
        poi: the parameter that is scanned; None without one.
        values: of it.
        heights: of -2 ln L above its minimum; None where a fit failed.
        intervals: asymmetric uncertainties (MINOS).
        planes: profiles of two parameters at a time.
        reason: why nothing is scanned; None if there is a scan.
    """

    poi: Parameter | None
    values: tuple[float, ...]
    heights: tuple[float | None, ...]
    intervals: tuple[Interval, ...]
    planes: tuple[Plane, ...] = ()
    reason: str | None = None

    @property
    def of_interest(self) -> Interval | None:
        """The asymmetric uncertainties of the parameter that is scanned, if there are any."""
        entries = (entry for entry in self.intervals if self.poi is not None)
        name = None if self.poi is None else self.poi.name
        return next((entry for entry in entries if entry.parameter == name), None)

    def results(self) -> "ScanResults | None":
        """What cabinetry's plot takes; None without a scan."""
        from cabinetry.fit import ScanResults

        if self.poi is None or self.reason is not None:
            return None
        return ScanResults(
            name=self.poi.name,
            bestfit=self.poi.bestfit,
            uncertainty=self.poi.uncertainty,
            parameter_values=np.array(self.values),
            delta_nlls=np.array(self.heights, dtype=np.float64),
        )


class Pull(Settings):
    """Mean and width of the pulls of a parameter in pseudo-experiments, with uncertainties.

    Attributes:
        parameter: its name.
        count: number of pulls: of fits in which it has an uncertainty.
        mean: of the pulls.
        mean_error: uncertainty of the mean.
        width: standard deviation of the pulls.
        width_error: uncertainty of the width.
    """

    parameter: str
    count: int
    mean: float
    mean_error: float
    width: float
    width_error: float


class ToyRecord(WorkspaceRecord):
    """Pseudo-experiments.

    Attributes:
        poi: the parameter of interest that they were thrown with, and its uncertainty; None
            without one.
        count: number of pseudo-experiments.
        seed: of their random numbers.
        failures: why fits failed, by number of the pseudo-experiment.
        bestfit: of the parameter of interest, in each that converged; empty without one.
        uncertainty: likewise.
        at_bounds: number of those in which the parameter of interest ends at one of its bounds.
        pulls: of all parameters that are free.
        coverage: fraction whose interval of one standard deviation holds the truth, of those in
            which the parameter of interest has an uncertainty; None without any.
        statistic: of the goodness of fit, in each that converged.
        observed: the same for the data.
        goodness_of_fit: fraction whose statistic is as large as that of the data; None likewise.
    """

    poi: Parameter | None
    count: int
    seed: int
    failures: dict[int, str]
    bestfit: tuple[float, ...]
    uncertainty: tuple[float, ...]
    at_bounds: int
    pulls: tuple[Pull, ...]
    coverage: float | None
    statistic: tuple[float, ...]
    observed: float
    goodness_of_fit: float | None

    @property
    def converged(self) -> int:
        """Number of pseudo-experiments whose fit converged."""
        return len(self.statistic)

    @property
    def measured(self) -> int:
        """Number of those in which the parameter of interest has an uncertainty."""
        return sum(size > 0 for size in self.uncertainty)


# Of -2 to +2 standard deviations; None where there is none.
Bands = tuple[float | None, float | None, float | None, float | None, float | None]


class Expected(Settings):
    """An observed number, and those expected without signal, each None where there is none."""

    observed: float | None
    expected: Bands


class LimitRecord(WorkspaceRecord):
    """Upper limit and significance; None, and the reason, where they make no sense.

    Attributes:
        poi: name of the parameter of interest; None without one.
        confidence: level of the limit.
        statistic: of the tests.
        limit: upper limit with CLs.
        significance: standard deviations by which no signal is excluded.
        expected_significance: the same, expected for a strength of 1.
        strengths: at which CLs is listed.
        cls: CLs at these.
        failures: why something is missing.
        remarks: what is to be known about what is there.
        toys: significance and CLs by pseudo-experiments; None without any.
    """

    poi: str | None
    confidence: float
    statistic: Statistic
    limit: Expected | None
    significance: float | None
    expected_significance: float | None
    strengths: tuple[float, ...]
    cls: tuple[Expected, ...]
    failures: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    toys: ToyTests | None = None

    def results(self) -> "LimitResults | None":
        """What cabinetry's plot takes, NaN where a number is missing; None without a limit."""
        from cabinetry.fit import LimitResults

        if self.limit is None:
            return None
        observed = np.nan if self.limit.observed is None else self.limit.observed
        return LimitResults(
            observed_limit=observed,
            expected_limit=np.array(self.limit.expected, dtype=np.float64),
            observed_CLs=np.array([entry.observed for entry in self.cls], dtype=np.float64),
            expected_CLs=np.array([entry.expected for entry in self.cls], dtype=np.float64),
            poi_values=np.array(self.strengths),
            confidence_level=self.confidence,
        )


class SensitivityRecord(TemplateGradients, WorkspaceRecord):
    """How the results depend on the templates, and on the number of simulated events.

    Attributes:
        poi: name of the parameter of interest; None without one.
        spending: what more simulated events give; None where the datasets of the templates, or an
            expected uncertainty, are not known.
    """

    poi: str | None
    spending: Spending | None


class PropagationRecord(WorkspaceRecord):
    """The fit in other distributions.

    Attributes:
        channels: by title.
        yields: before and after the fit.
        missing: regions that the fit could not be propagated to.
    """

    channels: dict[str, Channel]
    yields: Yields
    missing: tuple[Missing, ...] = ()
