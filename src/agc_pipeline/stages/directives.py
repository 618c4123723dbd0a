"""What the rule of a stage is made of, from the description of the stage."""

from collections.abc import Callable, Mapping
from functools import cached_property
from string import Formatter
from typing import Any, Protocol

from agc_pipeline import provenance
from agc_pipeline.config import Configuration
from agc_pipeline.declaration import Analysis
from agc_pipeline.settings import Settings
from agc_pipeline.stages import failure
from agc_pipeline.stages.description import Option, Role, Source, Stage, never, wildcards_of
from agc_pipeline.stages.settings_files import SettingsFiles
from agc_pipeline.stages.sources import of_stage


class Folder(Protocol):
    """A plan, as far as all rules need it."""

    @property
    def folder(self) -> str:
        """Folder of the results."""
        ...

    @property
    def config(self) -> Configuration:
        """The configuration."""
        ...

    @property
    def analysis(self) -> Analysis:
        """The declaration of the analysis."""
        ...


class Directives:
    """The directives of a rule, as Snakemake takes them.

    Args:
        stage: whose rule it is.
        plan: of the run.
        files: where settings of jobs are kept.
        guard: around each function that Snakemake calls, whose errors it would tell with its trace.
    """

    def __init__(
        self,
        stage: Stage[Any, Any],
        plan: Folder,
        files: SettingsFiles,
        guard: Callable[[Callable[[Any], Any]], Callable[[Any], Any]] = lambda function: function,
    ) -> None:
        self.stage = stage
        self._plan = plan
        self._files = files
        self._guard = guard
        self._options = stage.options.described()

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.stage.name

    @property
    def wanted(self) -> bool:
        """Whether the run has jobs of the stage."""
        return self.stage.when(self._plan)

    @cached_property
    def sources(self) -> list[str]:
        """Source files behind the stage, also those of the analysis."""
        modules = self.stage.modules(self._plan) if self.wanted or self.stage.when is never else ()
        analysis, physics = self._plan.analysis, self.stage.physics
        return of_stage(self.stage.module, analysis, *modules, physics=physics)

    @property
    def input(self) -> dict[str, Any]:
        """Input files by name, those included that the job is not told of."""
        files = self._inputs | dict(self.stage.events)
        return {name: self._paths(source) for name, source in files.items()}

    @property
    def output(self) -> dict[str, Any]:
        """Output files by name."""
        told = {name: option.source for name, option in self._of("output").items()}
        # Snakemake takes no functions of wildcards for them: they depend on the plan alone.
        return {
            name: self._paths(source) if isinstance(source, str) else source(self._plan)
            for name, source in (told | dict(self.stage.generated)).items()
        }

    @property
    def folders(self) -> dict[str, Any]:
        """Output folders by name."""
        return {name: self._paths(option.source) for name, option in self._of("folder").items()}

    @property
    def log(self) -> dict[str, str]:
        """Log files by name."""
        place = self._place("logs")
        others = {name: f"{place}{option.source}" for name, option in self._of("log").items()}
        return {"text": f"{place}.log"} | others

    @property
    def benchmark(self) -> str:
        """File for what a job takes."""
        return f"{self._place('benchmarks')}.tsv"

    @property
    def params(self) -> dict[str, Any]:
        """File of the settings, contents of inputs, and paths that Snakemake does not watch."""
        places = {name: self._paths(option.source) for name, option in self._of("place").items()}
        return {"settings": self._settings} | self._contents | places

    @property
    def resources(self) -> dict[str, Any]:
        """What a job asks for, more at every retry, and the file that says how it runs.

        Unlike parameters, resources are no reason to run a job again.
        """
        need = self._plan.config.resources.of(self.stage.name)
        files = self.stage.files(self._plan)

        def at(name: str) -> Callable[[Any, int], int]:
            return lambda _, attempt: need.at(attempt, files=files)[name]

        def how(name: str, value: Settings) -> Callable[[Any], str]:
            return lambda _: self._files.path(f"{self.name}/{name}", value)

        return {name: at(name) for name in need.at(1)} | {
            name: how(name, value) for name, value in self._execution.items()
        }

    @property
    def local(self) -> bool:
        """Whether jobs run where Snakemake does."""
        return self.stage.local(self._plan)

    @property
    def threads(self) -> int:
        """Threads of a job."""
        return self.stage.threads(self._plan)

    @property
    def shell(self) -> str:
        """The command, in which every path is quoted."""
        values: dict[Role, str] = {
            "input": "{{input.{}:q}}",
            "output": "{{output.{}:q}}",
            "folder": "{{output.{}:q}}",
            "place": "{{params.{}:q}}",
            "log": "{{log.{}:q}}",
            "execution": "{{resources.{}:q}}",
            "threads": "{{threads}}",
        }
        options = [
            f"--{name} {values[option.role].format(name)}"
            for name, option in self._options.items()
            if option.role != "execution" or name in self._execution
        ]
        settings = "--settings {params.settings:q} --code {input.code:q}"
        command = " ".join((f"python -m {self.stage.module} {settings}", *options))
        failed = f"python -m {failure.__name__} $? {{log.text:q}}"
        # A stage without output is there to print something.
        shown = "" if self.output or self.folders else "2>&1 | tee {log.text:q}"
        return f"{{{{ {command} || {failed}; }}}} {shown or '> {log.text:q} 2>&1'}"

    @property
    def _inputs(self) -> dict[str, Source]:
        """Where input files are, by name, those of events apart."""
        told = {name: option.source for name, option in self._of("input").items()}
        return told | dict(self.stage.watched)

    @property
    def _contents(self) -> dict[str, Callable[[Any], str]]:
        """Digest of the input files of a job that no rule writes; none if there are no such files.

        Snakemake alone notices those that are newer than what was made of them.
        """
        # The others are paths in the folder of the results.
        sources = [
            (source, wildcards_of(source))
            for source in self._inputs.values()
            if not isinstance(source, str)
        ]

        def contents(wildcards: Any) -> str:
            paths: list[str] = []
            for source, names in sources:
                found = source(self._plan, **_named(wildcards, names))
                paths += [found] if isinstance(found, str) else found
            external, made = self.stage.external(self._plan), f"{self._plan.folder}/"
            return provenance.contents(
                path for path in paths if path in external or not path.startswith(made)
            )

        return {"contents": self._guard(contents)} if sources else {}

    @cached_property
    def _execution(self) -> dict[str, Settings]:
        """How the jobs of this run are run, by option; without those that do not apply."""
        values = {name: option.source(self._plan) for name, option in self._of("execution").items()}
        return {name: value for name, value in values.items() if value is not None}

    def _of(self, role: Role) -> dict[str, Option]:
        return {name: option for name, option in self._options.items() if option.role == role}

    def _place(self, kind: str) -> str:
        """Path without suffix, different for each job of the stage."""
        return "/".join((self._plan.folder, kind, self.stage.name, *self._wildcards))

    @cached_property
    def _wildcards(self) -> list[str]:
        """The wildcards of the output files, in braces."""
        for output in self.output.values():
            for path in [output] if isinstance(output, str) else output:
                names = [name for _, name, _, _ in Formatter().parse(path) if name]
                return [f"{{{name}}}" for name in names]
        return []

    def _paths(self, source: Source) -> Any:
        if isinstance(source, str):
            return f"{self._plan.folder}/{source}"
        names = wildcards_of(source)
        # Also without wildcards: Snakemake looks for some in every path that is no function.
        return self._guard(lambda wildcards: source(self._plan, **_named(wildcards, names)))

    @cached_property
    def _settings(self) -> Callable[[Any], str]:
        """File of the settings, made when they are needed; once if all jobs have the same."""
        configure = self.stage.configure
        names = wildcards_of(configure)
        paths: list[str] = []

        def settings(wildcards: Any) -> str:
            job = "/".join((self.name, "settings", *(wildcards[name] for name in names)))
            if names:
                return self._files.path(job, configure(self._plan, **_named(wildcards, names)))
            if not paths:
                paths.append(self._files.path(job, configure(self._plan)))
            return paths[0]

        return self._guard(settings)


def _named(wildcards: Any, names: tuple[str, ...]) -> Mapping[str, str]:
    return {name: wildcards[name] for name in names}
