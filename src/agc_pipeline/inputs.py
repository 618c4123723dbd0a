"""The ``input:`` part of the configuration, and the files that it lists."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from agc_pipeline.datasets import DatasetFiles, InputFile, checked, declared, normalised
from agc_pipeline.declaration import Analysis, Physics
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.exchange import card_text
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import AtMost, EventCount, Settings, unknown


class Block(Settings):
    """Files numbered consecutively: ``{stem}_{number:04d}.root``.

    Attributes:
        stem: beginning of their names.
        first: number of the first one.
        n_events: number of events of each.
    """

    stem: str
    first: Annotated[NonNegativeInt, AtMost(1e9, "no list is as long")] = 0
    n_events: tuple[EventCount, ...] = Field(min_length=1)


class FileList(Settings):
    """The files of one dataset: numbered blocks, single files, or both.

    Attributes:
        folder: that they are in, relative to the mirrors.
        blocks: files that are numbered.
        files: name to its number of events; None where it is not known.
    """

    folder: str = ""
    blocks: tuple[Block, ...] = ()
    files: dict[str, EventCount | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _some_files(self) -> "FileList":
        if not self.blocks and not self.files:
            raise ValueError("no files are listed: give `blocks` or `files`")
        return self

    def entries(self) -> list[tuple[str, int | None]]:
        """Paths below a mirror's prefix, with the number of events."""
        names: list[tuple[str, int | None]] = [
            (f"{block.stem}_{number:04d}.root", n_events)
            for block in self.blocks
            for number, n_events in enumerate(block.n_events, block.first)
        ]
        names += self.files.items()
        return [(f"{self.folder}/{name}" if self.folder else name, n) for name, n in names]


class ListedFiles(Settings):
    """Input files listed in the configuration.

    Attributes:
        mirrors: name to prefix of the places that hold the files.
        mirror_order: names of the mirrors in the order in which to try them.
        xcache: prefix of an XCache that stands in front of every remote mirror, e.g.
            ``root://cache.example.org:1094//``.
        datasets: dataset name to its files.
    """

    mirrors: dict[str, str]
    mirror_order: tuple[str, ...]
    xcache: str | None = None
    datasets: dict[str, FileList] = Field(min_length=1)

    @field_validator("mirrors", "xcache")
    @classmethod
    def _no_credentials(cls, value: Any) -> Any:
        # Also of mirrors that are not tried: all of them stand in reports.
        for address in value.values() if isinstance(value, dict) else [value]:
            if address is not None and without_secrets(address) != address:
                raise ValueError(
                    f"an address holds credentials: {without_secrets(address)}; leave them out, "
                    "clients find tokens and proxies in the environment"
                )
        return value


class SimulatedInput(ListedFiles):
    """Input made by the rule ``simulate``, but for the datasets that are listed."""

    kind: Literal["simulated"]
    mirrors: dict[str, str] = Field(default_factory=dict)
    mirror_order: tuple[str, ...] = ()
    datasets: dict[str, FileList] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _somewhere(self) -> "SimulatedInput":
        if self.datasets and not self.mirror_order:
            raise ValueError("name the places of the files with `mirrors` and `mirror_order`")
        return self


class FilesInput(ListedFiles):
    """All input files listed in the configuration."""

    kind: Literal["files"]
    mirror_order: tuple[str, ...] = Field(min_length=1)


class FilesetInput(Settings):
    """Input files listed in a JSON file in coffea's fileset shape, which may be compressed.

    Relative paths in it are relative to the folder of the JSON file.
    """

    kind: Literal["fileset"]
    path: str


class PublishedInput(Settings):
    """No events: start from published histograms."""

    kind: Literal["published"]


class ParameterSettings(Settings):
    """How the fit treats a parameter of a workspace.

    A modifier with a parameter for each bin takes one value for all of them, or as many as it has.

    Attributes:
        start: where the fit starts, and the value of a fixed parameter; None is that of the
            workspace.
        bounds: lowest and highest value; None likewise.
        fixed: whether it keeps its value; None likewise.
    """

    start: float | tuple[float, ...] | None = None
    bounds: tuple[float, float] | tuple[tuple[float, float], ...] | None = None
    fixed: bool | None = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "ParameterSettings":
        if any(low > high for low, high in self.all_bounds):
            raise ValueError("a lower bound is above the higher one")
        return self

    @property
    def all_bounds(self) -> tuple[tuple[float, float], ...]:
        """The bounds of each parameter; one pair for all of them, none without."""
        match self.bounds:
            case None:
                return ()
            case (float() as low, float() as high):
                return ((low, high),)
            case pairs:
                return pairs


# Bytes of a file that tell whether it is a datacard.
_HEAD = 65_536


def _shapes(path: Path) -> list[str]:
    """Files of histograms that a datacard names; none of anything else."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        if not card_text.is_card(file.read(_HEAD).decode("utf-8-sig", errors="replace")):
            return []
    return card_text.shape_files(path.read_text(encoding="utf-8-sig", errors="replace"))


class WorkspaceInput(Settings):
    """No histograms either: start from a workspace, a published likelihood, or a datacard.

    Attributes:
        path: JSON file of pyhf or HS3, which may be compressed, or archive (``.zip``,
            ``.tar.gz``) that has it; or datacard of Combine, beside its histograms.
        member: file of the archive that is the workspace.
        patchset: JSON file, or file of the archive, with signals to be patched in.
        patch: name of the signal in the patchset; without one, JSON file, or file of the archive,
            that is the patch.
        measurement: name of the one to use, of HS3 an analysis; None is the first, of HS3 the
            only one.
        poi: parameter of interest, any of the model; None is that of the measurement, and none if
            the model does not have it; empty is none.
        parameters: settings of parameters, by name, in place of those of the measurement.
        groups: names of groups of systematics, to patterns of the names of these (``jet_*``).
    """

    kind: Literal["workspace"]
    path: str
    member: str | None = None
    patchset: str | None = None
    patch: str | None = None
    measurement: str | None = None
    poi: str | None = None
    parameters: dict[str, ParameterSettings] = Field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        """The files that it is made of, by the key that names them."""
        files = {"input.path": self.path}
        if self.member is None:
            if self.patchset is not None:
                files["input.patchset"] = self.patchset
            elif self.patch is not None:
                files["input.patch"] = self.patch
            for name in _shapes(Path(self.path)):
                files[f"shapes {name}"] = str(Path(self.path).parent / name)
        return files

    @model_validator(mode="after")
    def _patch_of_set(self) -> "WorkspaceInput":
        if self.patchset is not None and self.patch is None:
            raise ValueError("a patchset has several signals: name one with `patch`")
        return self


Input = Annotated[
    SimulatedInput | FilesInput | FilesetInput | PublishedInput | WorkspaceInput,
    Field(discriminator="kind"),
]


def listed(source: ListedFiles, analysis: Analysis, physics: Physics) -> tuple[DatasetFiles, ...]:
    """The datasets of a file list in the configuration.

    Raises:
        ConfigurationError: for an unknown mirror or dataset, or a file that is listed twice.
    """
    if problem := unknown("mirror", source.mirror_order, source.mirrors):
        raise ConfigurationError(
            problem,
            place="input.mirror_order",
            remedy="correct the name, or add it to `input.mirrors`",
        )
    prefixes = [_through_cache(source.mirrors[name], source.xcache) for name in source.mirror_order]
    datasets = []
    for name, files in source.datasets.items():
        dataset = declared(name, analysis, place="input.datasets")
        entries = (
            InputFile(urls=tuple(_join(prefix, path) for prefix in prefixes), n_events=n)
            for path, n in files.entries()
        )
        datasets.append(normalised(dataset, physics, entries))
    return checked(datasets, place="input.datasets")


def _through_cache(prefix: str, cache: str | None) -> str:
    return cache + prefix if cache is not None and is_remote(prefix) else prefix


def _join(prefix: str, path: str) -> str:
    return f"{prefix.rstrip('/')}/{path}"
