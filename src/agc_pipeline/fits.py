"""Statistical models and their fits, for notebooks and other tools."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import hist
from matplotlib.figure import Figure

from agc_pipeline.config import Configuration, load_config
from agc_pipeline.declaration import Analysis
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import external, model
from agc_pipeline.inference.derived_records import RankingRecord
from agc_pipeline.inference.fit_records import FitRecord, ModelDescription, Workspace
from agc_pipeline.inference.model import Model
from agc_pipeline.inference.ranking import rank
from agc_pipeline.inference.result import FitResult, fit_workspace
from agc_pipeline.inference.workspace import quieten, validate_schema
from agc_pipeline.report import figures
from agc_pipeline.report.parameter_titles import titles
from agc_pipeline.report.settings import Texts
from agc_pipeline.report.texts import data_text
from agc_pipeline.report.yields import Moment
from agc_pipeline.results import Results, open_results
from agc_pipeline.settings import unknown


@dataclass(frozen=True, repr=False)
class FitReport(FitResult):
    """A fit that draws itself; as text and in notebooks it is a table of its parameters.

    The figures are those of the report, see ``agc_pipeline.figures`` for all of them.

    Attributes:
        analysis: gives the order of the processes; None is by their yields.
    """

    analysis: Analysis | None

    @cached_property
    def ranking(self) -> RankingRecord:
        """Impacts of all parameters on that of interest."""
        rows = rank(self.problem, self.minimum, self.groups)
        return RankingRecord.of(rows, None if self.poi is None else self.poi.name, self.workspace)

    def plot_pulls(self) -> Figure:
        """Systematics after the fit, in units of their uncertainties before it."""
        return figures.pulls(self._record, self.ranking)

    def plot_correlation(self, *parameters: str, smallest: float = 0.4) -> Figure:
        """Correlations of parameters.

        Args:
            parameters: their names; none is that of interest, all systematics, and what is strongly
                correlated.
            smallest: the correlation that is strong.

        Raises:
            ModelError: for an unknown name.
        """
        _require("parameter", parameters, self.parameters)
        return figures.correlation(
            self._record, parameters or None, smallest=smallest, titles=titles(self._record)
        )

    def plot_ranking(self, number: int = 20) -> Figure:
        """The parameters with the largest impacts on that of interest.

        Args:
            number: of parameters.
        """
        return figures.ranking(self.ranking, number, titles(self._record))

    def plot_channel(self, channel: str, moment: Moment = "post-fit") -> Figure:
        """Events of a channel, stacked by process, with the data that are fitted.

        Args:
            channel: its title, or the name of its region.
            moment: before or after the fit.

        Raises:
            ModelError: for an unknown name.
        """
        regions = {entry.region: title for title, entry in self.description.channels.items()}
        title = regions.get(channel, channel)
        _require("channel", [title], self.description.channels)
        record, analysis = self._record, self.analysis
        label = data_text(record.data, Texts(), external=analysis is None).label
        if analysis is None:
            analysis = external.analysis(record)
        return figures.stack(analysis, record, title, moment, data_label=label)

    @cached_property
    def _record(self) -> FitRecord:
        return self.record()

    def __repr__(self) -> str:
        poi = self.poi
        if poi is None:
            return f"<fit: -2 ln L = {self.fit.results.best_twice_nll:.4f}>"
        return f"<fit: {poi.name} = {poi.bestfit:.4f} +- {poi.uncertainty:.4f}>"

    def _repr_html_(self) -> str:
        """The table in a notebook, that of interest first."""
        rows = "".join(
            f"<tr><td>{html.escape(row.name)}</td><td>{row.bestfit:.4f}</td>"
            f"<td>{row.uncertainty:.4f}</td></tr>"
            for row in self.rows
        )
        head = "<tr><th>parameter</th><th>best fit</th><th>uncertainty</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def build_workspace(
    histograms: Results | Path | str | Mapping[str, hist.Hist],
    *,
    config: Configuration | None = None,
    analysis: Analysis | None = None,
) -> Model:
    """The statistical model of an analysis with the histograms of a run.

    To leave a systematic out, give an analysis without it:

        others = tuple(s for s in results.analysis.systematics if s.name != "ME variation")
        build_workspace(results, analysis=dataclasses.replace(results.analysis, systematics=others))

    Args:
        histograms: results of a run, their folder, or histograms by their names in
            ``histograms.root``.
        config: has the settings of the model, ``fit.model``; None is that of the results, or the
            default configuration.
        analysis: the declaration; None is that of the configuration.

    Raises:
        InputError: if there are no such results.
        ModelError: if histograms that the model needs are missing or cannot be used, or the checks
            of the model find an error.
    """
    quieten()
    if isinstance(histograms, Path | str):
        histograms = open_results(histograms, config)
    partial, subsets, place = False, dict[str, str](), "histograms"
    if isinstance(histograms, Results):
        config = histograms.config if config is None else config
        accounts, place = histograms.closure, str(histograms.folder)
        partial, subsets = accounts.partial, accounts.subsets
        histograms = histograms.histograms.by_name
    config = load_config() if config is None else config
    analysis = config.declaration if analysis is None else analysis
    return model.build_workspace(
        analysis.with_selection(config.selection),
        histograms,
        config.fit.model,
        partial=partial,
        blinded=config.blinded,
        pseudodata=config.pseudodata,
        subsets=subsets,
        place=place,
    )


def fit(
    workspace: Model | Results | Workspace, *, config: Configuration | None = None
) -> FitReport:
    """Fit a statistical model to its data.

    Args:
        workspace: from ``build_workspace``, results with one, or any workspace of pyhf with one
            measurement.
        config: has the settings of the fit, ``fit.minimiser``; None is that of the results, or the
            default configuration.

    Raises:
        InputError: if the results have no workspace.
        ModelError: if the workspace is not valid, not supported, or has no minimum.
    """
    quieten()
    description: ModelDescription | None = None
    analysis: Analysis | None = None
    match workspace:
        case Model():
            content, description = workspace.workspace, workspace.description
            analysis = workspace.analysis
        case Results():
            content, description = workspace.workspace, workspace.model
            config = workspace.config if config is None else config
            # A run that starts from a workspace has an analysis by its name only.
            if config.input.kind != "workspace":
                analysis = workspace.analysis
        case _:
            content = workspace
    validate_schema(content, place="workspace")
    config = load_config() if config is None else config
    result = fit_workspace(
        content, config.fit.minimiser, description=description, noise=config.fit.template_noise
    )
    values: dict[str, Any] = {field.name: getattr(result, field.name) for field in fields(result)}
    return FitReport(**values, analysis=analysis)


def _require(kind: str, names: tuple[str, ...] | list[str], among: Mapping[str, object]) -> None:
    problem = unknown(kind, names, list(among))
    if problem is not None:
        raise ModelError(problem, place="fit", remedy="correct the name")
