"""The whole configuration, validated once; each stage is given its own part of it."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import (
    Field,
    PositiveInt,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from agc_pipeline import analyses
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.declaration import Analysis, Physics
from agc_pipeline.delivery.settings import DeliverySettings
from agc_pipeline.inference.binning import edge_problems
from agc_pipeline.inference.settings import FitSettings
from agc_pipeline.inputs import Input
from agc_pipeline.learning.settings import LearningSettings, Scorer
from agc_pipeline.report.settings import ReportSettings
from agc_pipeline.resources import ResourceSettings
from agc_pipeline.settings import Settings, explain
from agc_pipeline.simulation.settings import SimulationSettings
from agc_pipeline.validation.settings import ValidationSettings


class Configuration(Settings):
    """Everything that a run can be told.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        results: folder that all outputs go to.
        input: where the events come from.
        n_files_max_per_sample: take only the first N files of each dataset; -1 is all.
        files_per_job: input files that one delivery or histogram job handles; "auto" takes it from
            the list of files, see ``datasets.files_per_job``.
        allow_partial: leave out files that fail, renormalise, and mark the result as partial.
        jet_assignment: what scores the model that assigns jets to partons; "off" assigns none.
        matrix: file that says what `snakemake matrix` tries; relative to the Snakefile.
    """

    analysis: Literal["cms_ttbar"]
    results: str = Field(min_length=1)
    input: Input
    n_files_max_per_sample: int
    files_per_job: PositiveInt | Literal["auto"]
    allow_partial: bool
    jet_assignment: Scorer
    matrix: str = Field(min_length=1)
    simulation: SimulationSettings
    delivery: DeliverySettings
    histograms: HistogramSettings
    physics: Physics
    learning: LearningSettings
    fit: FitSettings
    validation: ValidationSettings
    report: ReportSettings
    resources: ResourceSettings

    @field_validator("n_files_max_per_sample")
    @classmethod
    def _some_files(cls, value: int) -> int:
        if value != -1 and value < 1:
            raise ValueError(f"{value} files are none; give 1 or more, or -1 for all")
        return value

    @field_validator("jet_assignment", mode="before")
    @classmethod
    def _unquoted_off(cls, value: object) -> object:
        # YAML reads an unquoted off as false.
        return "off" if value is False else value

    @model_validator(mode="after")
    def _complete_cross_sections(self) -> "Configuration":
        processes = {process.name for process in self.declaration.processes}
        given = set(self.physics.cross_sections_pb)
        if processes != given:
            missing = ", ".join(sorted(processes - given))
            unknown = ", ".join(sorted(given - processes))
            raise ValueError(
                (f"no cross section for {missing}; " if missing else "")
                + (f"cross section for the unknown process {unknown}" if unknown else "")
            )
        return self

    @model_validator(mode="after")
    def _fit_edges_of_histograms(self) -> "Configuration":
        problems = list(edge_problems(self.declaration, self.fit.model.edges))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _known_datasets(self) -> "Configuration":
        analysis = self.declaration
        known = {analysis.dataset_name(*dataset) for dataset in analysis.datasets}
        unknown = sorted(set(self.delivery.datasets) - known)
        if unknown:
            raise ValueError(
                f"`delivery.datasets` names the unknown dataset {', '.join(unknown)}; "
                f"the datasets are {', '.join(sorted(known))}"
            )
        return self

    @property
    def declaration(self) -> Analysis:
        """The analysis that the configuration names."""
        return analyses.load(self.analysis)


def load(values: Mapping[str, Any]) -> Configuration:
    """Validate the merged configuration.

    Args:
        values: what Snakemake read from the configuration files and ``--config``.

    Raises:
        ConfigurationError: one error that names every unknown key and wrong value.
    """
    # The analysis says what its physics looks like; a wrong name is told by the model itself.
    known = get_args(Configuration.model_fields["analysis"].annotation)
    name = values.get("analysis")
    physics = analyses.load(str(name) if name in known else known[0]).settings
    model = create_model("Configuration", __base__=Configuration, physics=(physics, ...))
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, model, place="configuration files and --config") from error
