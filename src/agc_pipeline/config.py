"""The whole configuration, read from its files and validated once; each stage is given its part."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from agc_pipeline import analyses, layers
from agc_pipeline.analyses import Part
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.declaration import Analysis, Physics
from agc_pipeline.declaration.checks import requirement_problems
from agc_pipeline.declaration.features import feature_problems
from agc_pipeline.declaration.thresholds import changed, nesting_problems, trial_problems, trials
from agc_pipeline.delivery.settings import DeliverySettings
from agc_pipeline.errors import AnalysisError, ConfigurationError
from agc_pipeline.functions import told_by_line
from agc_pipeline.inference.edges import edge_problems
from agc_pipeline.inference.settings import (
    TRAINED,
    FitSettings,
    OptimisationSettings,
    pair_problems,
    treatment_problems,
)
from agc_pipeline.inputs import (
    FilesetInput,
    FilesInput,
    Input,
    PublishedInput,
    SimulatedInput,
    WorkspaceInput,
)
from agc_pipeline.layers import Layer, Values
from agc_pipeline.learning.settings import LearningSettings, Scorer
from agc_pipeline.places import root_folder
from agc_pipeline.report.settings import ReportSettings
from agc_pipeline.resources import ResourceSettings
from agc_pipeline.settings import AtMost, Settings, explain, unknown
from agc_pipeline.simulation import part as simulation_part
from agc_pipeline.simulation.part import SimulationPart
from agc_pipeline.validation.settings import ValidationSettings

# Defaults of every analysis, in the order in which they are read.
_GENERIC = ("default", "resources", "fit", "optimise")
# What neither a shell nor Snakemake nor a batch system reads as anything but a name.
_PLAIN = re.compile(r"[\w.+@][\w.+@-]*")
# Snakemake writes it into its commands as it is.
_IMAGE = re.compile(r"[\w./~][\w.+@:/~-]*")
# Kinds of input whose events are there.
_EVENTS = (SimulatedInput, FilesInput, FilesetInput)
# Where what is missing should have been.
_PLACE = "configuration files and --config"
# Keys of paths, which are seen from the working folder; * is any.
_PATHS = (
    ("container",),
    ("discriminant",),
    ("input", "mirrors", "*"),
    ("input", "path"),
    ("learning", "models"),
    ("learning", "triton", "tls", "*"),
    ("histograms", "dask", "tls", "*"),
    ("optimise", "judge"),
    ("report", "optimisation"),
    ("results",),
)
_MISSING: Mapping[Part, str] = {
    "simulation": "it has no simulation.py",
    "validation": "it has no folder published",
    "learning": "it declares no learned observables",
}


def _unquoted_off(value: object) -> object:
    # YAML reads an unquoted off as false.
    return "off" if value is False else value


_Scorer = Annotated[Scorer, BeforeValidator(_unquoted_off)]


class Configuration(Settings):
    """Everything that a run can be told.

    An analysis with learned observables has one more key, named after them: what scores their
    models, or "off". The parts ``simulation``, ``validation`` and ``learning`` are there for
    analyses that have them, and None otherwise.

    Attributes:
        analysis: name of the analysis, or path of its folder.
        results: folder that all outputs go to, and none of sources.
        input: where the events come from.
        n_files_max_per_sample: take only the first N files of each dataset; -1 is all.
        container: image that jobs run in with `--software-deployment-method apptainer`: a file,
            relative to the working folder, or an address such as `docker://...`.
        files_per_job: input files that one delivery or histogram job handles; "auto" takes it from
            the list of files, see ``datasets.files_per_job``.
        allow_partial: leave out files of simulated events that fail, renormalise, and mark the
            result as partial; collision data must be complete.
        selection: which selection of the analysis has the regions that are fitted; None is those
            that are declared so.
        discriminant: folder of models of `snakemake optimise`, whose score is the observable of the
            regions that are fitted; None has the observables that the analysis declares.
        blinded: leave data out where regions are declared as blinded.
        optimise: how `snakemake optimise` looks for bin edges of the fit and thresholds of cuts.
        matrix: file that says what `snakemake matrix` tries; relative to the Snakefile.
        facility: file that says what `snakemake facility` measures; relative to the Snakefile.
    """

    analysis: str = Field(min_length=1)
    results: str = Field(min_length=1)
    container: str = Field(min_length=1)
    input: Input
    n_files_max_per_sample: Annotated[int, AtMost(1e9, "-1 is all")]
    files_per_job: Annotated[PositiveInt, AtMost(1e6, "one job reads them all")] | Literal["auto"]
    allow_partial: bool
    selection: str | None = None
    discriminant: Annotated[str, Field(min_length=1)] | None = None
    blinded: bool
    matrix: str = Field(min_length=1)
    facility: str = Field(min_length=1)
    delivery: DeliverySettings
    histograms: HistogramSettings
    physics: Physics
    fit: FitSettings
    optimise: OptimisationSettings
    report: ReportSettings
    resources: ResourceSettings
    simulation: SimulationPart | None = None
    validation: ValidationSettings | None = None
    learning: LearningSettings | None = None

    @field_validator("results")
    @classmethod
    def _plain(cls, value: str) -> str:
        parts = [part for part in value.split("/") if part]
        if not parts:
            raise ValueError("it is the root folder, not one of your own")
        if not all(_PLAIN.fullmatch(part) for part in parts):
            raise ValueError(
                "names of folders here have letters, digits and _ . + @ -, and do not begin with -:"
                " this path stands in the commands of all jobs and in Snakemake's patterns"
            )
        return value

    @field_validator("container")
    @classmethod
    def _image(cls, value: str) -> str:
        if not _IMAGE.fullmatch(value):
            raise ValueError(
                "paths and addresses of images here have letters, digits and _ . + @ : / ~ -, and "
                "do not begin with -: Snakemake writes them into the commands of jobs"
            )
        return value

    @field_validator("n_files_max_per_sample")
    @classmethod
    def _some_files(cls, value: int) -> int:
        if value != -1 and value < 1:
            raise ValueError(f"{value} files are none; give 1 or more, or -1 for all")
        return value

    @model_validator(mode="after")
    def _input_of_a_part(self) -> Self:
        for kind, part in ((SimulatedInput, "simulation"), (PublishedInput, "validation")):
            if isinstance(self.input, kind) and part not in self.parts:
                raise ValueError(
                    f"`input.kind` {self.input.kind!r} is not for the analysis {self.analysis}: "
                    f"{_MISSING[part]}"  # type: ignore[index]
                )
        return self

    @model_validator(mode="after")
    def _regions_and_edges_of_the_fit(self) -> Self:
        model = self.fit.model
        problems = [
            *_selection_problems(self.declaration, self.selection),
            *edge_problems(self.declaration, model.edges),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _thresholds(self) -> Self:
        wished, reference = self.optimise.thresholds, self.optimise.reference
        selection = self.physics.model_dump()["selection"]
        declared = self.declaration.with_selection(self.selection).fitted_thresholds
        problems = list(trial_problems(declared, selection, wished, reference))
        if not problems:
            problems += _selection_of_thresholds(self, selection)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _discriminants(self) -> Self:
        analysis, settings = self.declaration.with_selection(self.selection), self.optimise
        regions = [region.name for region in analysis.regions if region.fitted]
        problems: list[str] = []
        trained = [method for method in settings.methods if method in TRAINED]
        names = settings.discriminant.features
        if trained or names is not None:
            place = "optimise.discriminant.features"
            problems += feature_problems(analysis.features, regions, names, place)
        if not isinstance(self.input, _EVENTS):
            if trained:
                problems.append(
                    f"`optimise.methods`: {' and '.join(trained)} need events, and there are none "
                    f"with `input.kind` {self.input.kind!r}"
                )
            if self.discriminant is not None:
                problems.append(
                    "`discriminant` needs events, and there are none with `input.kind` "
                    f"{self.input.kind!r}"
                )
        if self.discriminant is not None and (settings.thresholds or settings.reference):
            problems.append(
                "`optimise.thresholds`: the models of `discriminant` are for the cuts of the run; "
                "leave it out to try others"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _treatments_of_systematics(self) -> Self:
        problems = list(treatment_problems(self.fit.model.treatments, self.declaration.systematics))
        if problems:
            raise ValueError(f"`fit.model.treatments`: {'; '.join(problems)}")
        return self

    @model_validator(mode="after")
    def _pairs_of_parameters(self) -> Self:
        if not isinstance(self.input, WorkspaceInput):
            problems = list(pair_problems(self.fit.scan.pairs, self.declaration))
            if problems:
                raise ValueError(f"`fit.scan.pairs`: {'; '.join(problems)}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(_inconsistencies(self, self.declaration))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def declaration(self) -> Analysis:
        """The analysis that the configuration names."""
        return analyses.load(self.analysis)

    @property
    def parts(self) -> frozenset[Part]:
        """The parts that the analysis has."""
        return analyses.parts(self.declaration)

    @property
    def pseudodata(self) -> bool:
        """Whether simulated events stand in the place of all collision data."""
        if self.input.kind != "simulated":
            return False
        names = {dataset.name for dataset in self.declaration.data}
        return bool(names) and names.isdisjoint(self.input.datasets)

    @property
    def learned(self) -> Scorer:
        """What scores the models of learned observables; "off" without them."""
        learned = self.declaration.learned
        scorer: Scorer = "off" if learned is None else getattr(self, learned.name)
        return scorer


def load_config(
    paths: Path | str | Iterable[Path | str] = (),
    overrides: Mapping[str, Any] | None = None,
    root: Path | str | None = None,
) -> Configuration:
    """The configuration as Snakemake reads it.

    Args:
        paths: configuration file, or files, that override the defaults, as given with
            ``--configfile``.
        overrides: values on top, as given with ``--config``.
        root: folder of the Snakefile; None looks for it from the working folder upwards, then where
            this package lies.

    Raises:
        ConfigurationError: if a file cannot be read, or one error that names every unknown key and
            wrong value.
        AnalysisError: if the analysis is wrong.
    """
    files = [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]
    return load(
        read(files, overrides, root=root_folder(root)), folders=[path.parent for path in files]
    )


def read(
    paths: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
    *,
    root: Path,
    folders: Iterable[Path] = (),
) -> Values:
    """The values of all files, merged and not validated; see ``load_config``.

    Args:
        paths: configuration files that override the defaults.
        overrides: values on top.
        root: folder of the Snakefile.
        folders: of other configuration files, see ``analyses.locate``.

    Raises:
        ConfigurationError: if a file cannot be read, or the analysis is unknown.
        AnalysisError: if there cannot be an analysis in its folder.
    """
    own = [*map(layers.read, paths), Layer(overrides or {})]
    defaults = [layers.read(path) for path in _generic_files(root)]
    values = Values(*defaults, *own)
    name = values.get("analysis")
    if name is not None:
        places = [*(path.parent for path in paths), *folders]
        try:
            files = _analysis_files(str(name), root, places)
        except ConfigurationError as error:
            raise values.located(error) from None
        defaults += [layers.read(path) for path in files]
    return Values(*defaults, *own)


def _generic_files(root: Path) -> list[Path]:
    """The files with the defaults of every analysis.

    Args:
        root: folder of the Snakefile.
    """
    files = (root / "config" / f"{name}.yaml" for name in _GENERIC)
    return [path for path in files if path.is_file()]


def _analysis_files(name: str, root: Path, folders: Iterable[Path] = ()) -> list[Path]:
    """The configuration files of an analysis, with all keys of its own.

    Args:
        name: of the analysis, as it is configured.
        root: folder of the Snakefile; ``config/NAME`` in there comes before ``config`` in the
            folder of the analysis.
        folders: of other configuration files, see ``analyses.locate``.

    Raises:
        ConfigurationError: for an unknown name.
        AnalysisError: if there cannot be an analysis in its folder.
    """
    location = analyses.locate(name, folders)
    candidates = [root / "config" / location.folder.name, location.folder / "config"]
    # A folder that is named by its path comes with its own.
    for folder in candidates if location.imported else reversed(candidates):
        if folder.is_dir():
            return sorted(folder.glob("*.yaml"))
    return []


def load(values: Mapping[str, Any], folders: Iterable[Path] = ()) -> Configuration:
    """Validate the merged configuration.

    Args:
        values: of all files and the command line, as ``read`` gives them.
        folders: of configuration files, where the folder of the analysis may be.

    Raises:
        ConfigurationError: one error that names every unknown key and wrong value.
        AnalysisError: if the analysis is wrong.
    """
    values = values if isinstance(values, Values) else Values(Layer(values))
    name = values.get("analysis")
    if not isinstance(name, str) or not name:
        raise values.located(
            ConfigurationError(
                f"`analysis` cannot be {name!r}",
                place="analysis",
                remedy="name an analysis with `analysis`",
            )
        )
    try:
        location = analyses.locate(name, folders)
    except ConfigurationError as error:
        raise values.located(error) from None
    model = _model(location.name)
    name = location.name
    if values.get("discriminant") is not None:
        # Whoever loads the analysis by this name has the regions as they are filled.
        selection = values.get("selection")
        analysis = analyses.load(name).with_selection(
            selection if isinstance(selection, str) else None
        )
        name = analyses.with_discriminant(
            name, [region.name for region in analysis.regions if region.fitted]
        )
    try:
        return model.model_validate({**values, "analysis": name})
    except ValidationError as error:
        raise layers.another_kind(values, model, layers.RUN, place=_PLACE) or explain(
            error, model, place=_PLACE, values=values, origin=values.origin
        ) from error


def anchored(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration for a run in another working folder: its paths are absolute.

    What matrices and facilities measure is no part of it: a copy of their file has the same runs.

    Args:
        values: of the configuration, merged and not validated.
    """
    anchored = {**values, "matrix": layers.MATRIX.example, "facility": layers.FACILITY.example}
    for key in _PATHS:
        _anchor(anchored, key)
    if isinstance(anchored.get("analysis"), str):
        anchored["analysis"] = analyses.locate(anchored["analysis"]).reference
    return anchored


def _anchor(values: dict[str, Any], key: tuple[str, ...]) -> None:
    """Make the paths with a key absolute; mappings above them become copies."""
    for name in list(values) if key[0] == "*" else [key[0]]:
        value = values.get(name)
        if len(key) > 1 and isinstance(value, Mapping):
            values[name] = dict(value)
            _anchor(values[name], key[1:])
        elif len(key) == 1 and isinstance(value, str) and "://" not in value:
            values[name] = str(Path(value).absolute())


def of_analysis(name: str, folders: Iterable[Path] = ()) -> type[Configuration]:
    """The model of the configuration of an analysis.

    Args:
        name: of the analysis, as it is configured.
        folders: of configuration files, where the folder of the analysis may be.

    Raises:
        ConfigurationError: for an unknown name.
        AnalysisError: if the analysis is wrong.
    """
    return _model(analyses.locate(name, folders).name)


@cache
def _model(name: str) -> type[Configuration]:
    """The configuration of an analysis: the parts that it has, and no others."""
    analysis = analyses.load(name)
    parts = analyses.parts(analysis)
    kinds: dict[Part, Any] = {
        "simulation": simulation_part.settings(analysis) if "simulation" in parts else None,
        "validation": ValidationSettings,
        "learning": LearningSettings,
    }
    fields: dict[str, Any] = {"physics": (analysis.settings, ...)}
    for part, kind in kinds.items():
        absent = Annotated[None, BeforeValidator(_refusal(analysis, part))]
        fields[part] = (kind, ...) if part in parts else (absent, Field(None, exclude=True))
    if analysis.learned is not None:
        name = analysis.learned.name
        if name in Configuration.model_fields or name not in analysis.settings.model_fields:
            raise AnalysisError(
                f"the learned observables {name!r} have a name that a key of the configuration has,"
                f" or `physics.{name}` has no model",
                place=f"declaration of the analysis {analysis.name}",
                remedy=f"add `{name}` to {analysis.settings.__name__}, or rename them",
            )
        told = "what scores the models of the learned observables; off is none"
        fields[name] = (_Scorer, Field(description=told))
    return create_model("Configuration", __base__=Configuration, **fields)


def _refusal(analysis: Analysis, part: Part) -> Any:
    def refuse(value: object) -> None:
        if value is not None:
            raise ValueError(f"the analysis {analysis.name} has no {part}: {_MISSING[part]}")

    return refuse


def _selection_problems(analysis: Analysis, name: str | None) -> Iterator[str]:
    """What is wrong with the selection of the configuration."""
    names = () if name is None else (name,)
    if problem := unknown("selection", names, analysis.selections, "selection"):
        yield problem


def _selection_of_thresholds(config: Configuration, selection: dict[str, Any]) -> Iterator[str]:
    """What a selection with other values of thresholds cannot be."""
    analysis = config.declaration
    wished, reference = config.optimise.thresholds, config.optimise.reference
    named = {*(wished or {}), *reference}
    if not named:
        return
    thresholds = analysis.with_selection(config.selection).fitted_thresholds
    declared = trials(thresholds, selection, wished, reference)
    tried = [trial for trial in declared if trial.threshold.name in named]
    if not isinstance(config.input, _EVENTS):
        yield (
            "`optimise.thresholds` needs events, and there are none with `input.kind` "
            f"{config.input.kind!r}"
        )
    for trial in tried:
        for value in trial.values[1:]:
            try:
                analysis.selection(changed(selection, [(trial.threshold, value)]))
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                yield f"`optimise.thresholds`: {trial.threshold.stated(value)} is refused: {reason}"
                return
    datasets = [dataset for dataset in analysis.datasets if dataset.kind == "simulation"]
    yield from nesting_problems(
        tried,
        selection,
        lambda values: analysis.requirements(analysis.selection(values), datasets[0]),
    )


def _inconsistencies(config: Configuration, analysis: Analysis) -> Iterable[str]:
    """What does not fit together in configuration and declaration."""
    simulated = [dataset for dataset in analysis.datasets if dataset.kind == "simulation"]
    simulated_names = [dataset.name for dataset in simulated]
    needed = dict.fromkeys(dataset.cross_section_name for dataset in simulated)
    cross_sections = config.physics.cross_sections_pb
    missing = [name for name in needed if name not in cross_sections]
    if missing:
        yield f"no cross section for {', '.join(missing)} in `physics.cross_sections_pb`"
    luminosity = config.physics.luminosity_per_pb
    eras = dict.fromkeys(dataset.era for dataset in analysis.datasets if dataset.era is not None)
    values = luminosity if isinstance(luminosity, dict) else {}
    if isinstance(luminosity, dict) or len(eras) > 1:
        without = [era for era in eras if era not in values]
        if without:
            yield f"no luminosity for the era {', '.join(without)} in `physics.luminosity_per_pb`"
    if config.physics.sums_of_weights and analysis.generated is None:
        yield (
            f"`physics.sums_of_weights`: the analysis {analysis.name} normalises to numbers of "
            "events; leave it out, or declare `generated`, which reads the sum of generator "
            "weights of a file"
        )
    if isinstance(config.input, _EVENTS):
        with told_by_line():
            yield from requirement_problems(
                analysis, analysis.selection(config.physics.model_dump()["selection"])
            )
    datasets = [dataset.name for dataset in analysis.datasets]
    for problem in (
        unknown("cross section", cross_sections, needed, "physics.cross_sections_pb"),
        unknown(
            "dataset", config.physics.sums_of_weights, simulated_names, "physics.sums_of_weights"
        ),
        unknown("era", values, eras, "physics.luminosity_per_pb") if eras else None,
        unknown("dataset", config.delivery.datasets, datasets, "delivery.datasets"),
    ):
        if problem is not None:
            yield problem
