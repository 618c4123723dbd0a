"""What a stage is, described once: settings, files, resources, and what it does.

The ``STAGE`` of a module is all that its rule and its command line are made of. Importing it must
be cheap, as the Snakefile imports all of them: what a stage computes with is imported inside the
function that runs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from inspect import signature
from typing import Any, Generic, Literal, TypeVar, dataclass_transform

from agc_pipeline.settings import Settings

# Path in the folder of the results, with wildcards in braces, or a function that gives whole paths.
# Its arguments are the plan and those wildcards that it names.
Source = str | Callable[..., str | Sequence[str]]
Role = Literal["input", "output", "folder", "place", "log", "execution", "threads"]
# Key of the metadata of fields.
_OPTION = "option"


@dataclass(frozen=True)
class Option:
    """An option of a stage's command line, and what the rule has for it.

    Attributes:
        role: "input", "output", "folder" (an output, too) and "log" are what they are for
            Snakemake; a "place" is a path that Snakemake does not watch; "execution" is how a job
            runs, which is no reason to run it again; "threads" is their number.
        source: path of the file; for "log" what follows the path of the log without its suffix;
            for "execution" a function of the plan that gives settings, None where there are none.
        help: for people.
    """

    role: Role
    source: Any
    help: str


def reads(source: Source, text: str, **default: Any) -> Any:
    """A field for input files: none, one or several, as its type says."""
    return _field(Option("input", source, text), **default)


def writes(source: Source, text: str, **default: Any) -> Any:
    """A field for output files: one or several, as its type says; a function has no wildcards."""
    return _field(Option("output", source, text), **default)


def writes_folder(source: Source, text: str, **default: Any) -> Any:
    """A field for an output folder."""
    return _field(Option("folder", source, text), **default)


def uses(source: Source, text: str, **default: Any) -> Any:
    """A field for a file or folder that Snakemake does not watch."""
    return _field(Option("place", source, text), **default)


def logs(suffix: str, text: str, **default: Any) -> Any:
    """A field for a file that is kept if the job fails."""
    return _field(Option("log", suffix, text), **default)


def runs_with(value: Callable[[Any], Settings | None], text: str, **default: Any) -> Any:
    """A field for settings that change no result."""
    return _field(Option("execution", value, text), **default)


def has_threads(text: str, **default: Any) -> Any:
    """A field for the number of threads that the job has."""
    return _field(Option("threads", None, text), **default)


def _field(option: Option, **default: Any) -> Any:
    return field(metadata={_OPTION: option}, **default)


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    field_specifiers=(reads, writes, writes_folder, uses, logs, runs_with, has_threads),
)
@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of what a stage is told beside its settings, one field for each option."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def described(cls) -> dict[str, Option]:
        """The options by name."""
        return {item.name: item.metadata[_OPTION] for item in fields(cls)}


S = TypeVar("S", bound=Settings)
O = TypeVar("O", bound=Options)  # noqa: E741 - for options as S for settings


def always(_: Any) -> bool:
    """The predicate of stages that every run has."""
    return True


def never(_: Any) -> bool:
    """The predicate of stages that are asked for by name, and no part of a run."""
    return False


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[S, O]):
    """A stage.

    Attributes:
        name: of its module; its rule has the same.
        settings: what it needs of the configuration: a change runs its jobs again.
        configure: takes them from the plan, for the wildcards that it names.
        options: its files, and how it runs.
        run: does the work.
        when: whether a run has jobs of it.
        watched: files by name that jobs depend on without being told of them.
        events: the same for files of events, which are too large to be compared by their content.
        external: paths of inputs that the user has from elsewhere, also if they lie among the
            results; other inputs in there are written by rules.
        generated: files by name that jobs write without being told of each.
        modules: full names of modules of the analysis that are loaded by name.
        physics: whether jobs depend on the declaration of the analysis; None finds out.
        local: whether jobs run where Snakemake does, not on a batch system.
        threads: of a job.
        files: input files of a job, which resources are made for.
    """

    name: str
    settings: type[S]
    configure: Callable[..., S]
    options: type[O]
    run: Callable[[S, O], None]
    when: Callable[[Any], bool] = always
    watched: Mapping[str, Source] = field(default_factory=dict)
    events: Mapping[str, Source] = field(default_factory=dict)
    external: Callable[[Any], Collection[str]] = lambda _: ()
    generated: Mapping[str, Source] = field(default_factory=dict)
    modules: Callable[[Any], Sequence[str]] = lambda _: ()
    physics: bool | None = None
    local: Callable[[Any], bool] = never
    threads: Callable[[Any], int] = lambda _: 1
    files: Callable[[Any], int] = lambda _: 1

    @property
    def module(self) -> str:
        """Full name of its module."""
        return f"{__package__}.{self.name}"

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Its command line."""
        from agc_pipeline.stages import command

        command.main(self, arguments)


def wildcards_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The wildcards that a function of the plan depends on."""
    return tuple(signature(function).parameters)[1:]
