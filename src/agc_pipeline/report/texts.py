"""Texts of the report that depend on the analysis and on the kind of its data."""

from dataclasses import dataclass

from agc_pipeline.inference.fit_records import DataKind
from agc_pipeline.report.settings import Texts


@dataclass(frozen=True)
class DataText:
    """Texts on the data of a fit.

    Attributes:
        label: in legends and tables.
        sentences: below the result.
        summary: a few words.
        goodness_of_fit: remark on the p-value; empty if there is none.
    """

    label: str
    sentences: str
    summary: str
    goodness_of_fit: str = ""


_DATA: dict[DataKind, DataText] = {
    "pseudodata": DataText(
        label="Pseudodata",
        sentences="The fit uses pseudodata built from simulated events instead of collision data. "
        "The result demonstrates the analysis; it is not a measurement.",
        summary="pseudodata built from simulated events",
        goodness_of_fit="close to 1 by construction, since pseudodata lack the statistical "
        "fluctuations of data",
    ),
    "asimov": DataText(
        label="Asimov data",
        sentences="The fit uses Asimov data, the expectation before the fit, instead of collision "
        "data. The result shows the expected precision; it is not a measurement.",
        summary="Asimov data, the expectation before the fit: the fit returns the nominal values "
        "by construction",
    ),
    "simulated": DataText(
        label="Pseudodata",
        sentences="The fit uses pseudodata, simulated events in the place of collision data. The "
        "result demonstrates the analysis; it is not a measurement.",
        summary="pseudodata, simulated events in the place of collision data",
    ),
    "observed": DataText(
        label="Data",
        sentences="The fit uses the observed collision data.",
        summary="observed data",
    ),
}

# A workspace from elsewhere does not tell what its observations are.
_EXTERNAL = DataText(label="Data", sentences="", summary="observations of the workspace")


def data_text(kind: DataKind, texts: Texts, *, external: bool) -> DataText:
    """Texts on the data of a fit.

    Args:
        kind: of the data.
        texts: those of the analysis, which take precedence.
        external: the run starts from a workspace.
    """
    general = _EXTERNAL if external and kind == "observed" else _DATA[kind]
    return DataText(
        label=general.label if texts.data_label is None else texts.data_label,
        sentences=general.sentences if texts.data is None else texts.data,
        summary=general.summary,
        goodness_of_fit=general.goodness_of_fit,
    )
