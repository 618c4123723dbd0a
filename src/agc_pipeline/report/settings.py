"""The ``report:`` part of the configuration."""

from typing import Any

from pydantic import Field, PositiveInt

from agc_pipeline.settings import Settings


class ReportSettings(Settings):
    """Words and looks of the report; nothing here changes a result.

    Attributes:
        title: title of the page.
        description: what is measured and how, one paragraph.
        quantity: name of the cross section that is measured, with its symbol.
        energy: centre-of-mass energy, on figures.
        correlation_min: statistical factors of single bins are left out of the correlation
            matrix, unless one of their correlations is as large as this.
        ranked: number of parameters in the figure of the ranking.
        keywords: of tables for HEPData, in its vocabulary.
    """

    title: str
    description: str
    quantity: str
    energy: str
    correlation_min: float = Field(ge=0, lt=1)
    ranked: PositiveInt
    keywords: dict[str, tuple[str | float, ...]]


class ReportStage(Settings):
    """What the report needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``; None if the run starts from a
            workspace.
        parts: optional regions that the run has.
        report: words and looks.
        measured: process whose cross section the parameter of interest multiplies.
        luminosity_per_pb: integrated luminosity, 1/pb.
        rules: of the workflow, whose run times are shown.
        configuration: the whole of it, to be shown.
    """

    analysis: str | None
    parts: tuple[str, ...] = ()
    report: ReportSettings
    measured: str
    luminosity_per_pb: float
    rules: tuple[str, ...]
    configuration: dict[str, Any]
