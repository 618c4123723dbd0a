"""The ``report:`` part of the configuration, and the settings of the stage."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PositiveInt

from agc_pipeline.settings import AtMost, Settings

if TYPE_CHECKING:
    from agc_pipeline.inference.fit_records import DataKind


class Texts(Settings):
    """Texts of an analysis, instead of the general ones; None is the general one.

    Attributes:
        data_label: name of the data in legends and tables.
        data: sentences on the data of the fit and what the result means, below the result.
        learned: introduction of the learned observables.
        training: introduction of the training of their models.
        reconstructions: names of regions, where two of them reconstruct the same quantity.
    """

    data_label: str | None = None
    data: str | None = None
    learned: str | None = None
    training: str | None = None
    reconstructions: dict[str, str] = Field(default_factory=dict)


# Of tables, in HEPData's vocabulary.
Keyword = Literal["cmenergies", "observables", "reactions", "phrases"]


class LabelSettings(Settings):
    """What stands above the figures, as in publications.

    Attributes:
        experiment: whose events are analysed. It is left out where the pipeline has generated them
            itself.
        collisions: of figures with collision data, behind the experiment: "Open Data".
        simulation: of figures with pseudodata or Asimov data from the experiment's simulation.
        generated: of figures with events that the pipeline has generated.
    """

    experiment: str = ""
    collisions: str = ""
    simulation: str = "Simulation"
    generated: str = "Simulation"

    def of(self, data: "DataKind", *, generated: bool) -> tuple[str, str]:
        """Experiment and status of a run.

        Args:
            data: kind of the data of the fit.
            generated: whether the pipeline has generated the events.
        """
        if generated:
            return "", self.generated
        return self.experiment, self.collisions if data == "observed" else self.simulation


class ReportSettings(Settings):
    """Texts and looks of the report; nothing here changes a result.

    Attributes:
        title: title of the page.
        description: what is measured and how, one paragraph.
        quantity: name of the cross section that is measured, with its symbol.
        energy: centre-of-mass energy, on figures.
        label: experiment and status, on figures.
        correlation_min: statistical factors of single bins are left out of the correlation
            matrix, unless one of their correlations is as large as this.
        ranked: number of parameters in the figure of the ranking.
        keywords: of tables for HEPData, in its vocabulary.
        texts: of the analysis, instead of the general ones.
    """

    title: str
    description: str
    quantity: str
    energy: str
    label: LabelSettings = LabelSettings()
    correlation_min: float = Field(ge=0, lt=1)
    ranked: Annotated[PositiveInt, AtMost(1000, "a figure does not show more")]
    keywords: dict[Keyword, tuple[str | float, ...]]
    texts: Texts = Texts()


class ReportStage(Settings):
    """Settings of the stage.

    Attributes:
        analysis: name of the analysis; None if the run starts from a workspace.
        learned: whether the run has the learned observables of the analysis.
        report: texts and looks.
        luminosity_per_pb: integrated luminosity in 1/pb, one number or one for each era.
        rules: of the workflow, whose run times are shown.
        edges: stages of the run of which the second reads what the first writes.
        configuration: the whole of it, to be shown.
    """

    analysis: str | None
    learned: bool = False
    report: ReportSettings
    luminosity_per_pb: float | dict[str, float]
    rules: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    configuration: dict[str, Any]

    @property
    def beam(self) -> str:
        """Luminosity and energy, for figures; only energy for a workspace."""
        if self.analysis is None:
            return self.report.energy
        luminosity = self.luminosity_per_pb
        total = sum(luminosity.values()) if isinstance(luminosity, dict) else luminosity
        return rf"{total / 1000:.3g} fb$^{{-1}}$ ({self.report.energy})"
