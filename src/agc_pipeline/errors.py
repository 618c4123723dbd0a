"""Errors that a user can act on: each names what is wrong, where, and what to do."""

from agc_pipeline.secrets import without_secrets


class PipelineError(Exception):
    """A problem with a user's input or environment, reported as one message.

    Args:
        problem: what is wrong, with the offending value.
        place: file, configuration key or address where it was found.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, *, place: str, remedy: str) -> None:
        super().__init__(problem, place, remedy)
        self.problem = problem
        self.place = place
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and errors cross processes.
        return (_rebuild, (type(self), self.problem, self.place, self.remedy))

    def __str__(self) -> str:
        # Addresses and messages of servers may hold what gives access to them.
        return without_secrets(f"{self.problem}\n  where: {self.place}\n  remedy: {self.remedy}")


class ConfigurationError(PipelineError):
    """The configuration holds an unknown key or a value that makes no sense."""


class AnalysisError(PipelineError):
    """The declaration of an analysis is wrong, or its functions do not do what it says."""


class InputError(PipelineError):
    """An input file is missing, damaged, empty or not what the configuration says."""


class ClosureError(PipelineError):
    """Events expected, delivered and processed do not agree."""


class ServiceError(PipelineError):
    """A server or scheduler that the configuration names does not answer."""


class ModelError(PipelineError):
    """The statistical model cannot be built or fitted from the histograms given."""


def _rebuild(kind: type[PipelineError], problem: str, place: str, remedy: str) -> PipelineError:
    return kind(problem, place=place, remedy=remedy)
