"""Errors that a user can act on: each names the problem, its place and a remedy."""

import errno

from agc_pipeline.secrets import without_secrets

# Failures of the machine, not of the program: one line tells the user what to do.
MACHINE_ERRORS = {
    errno.ENOSPC: "free some space and run again: finished jobs are kept",
    errno.EFBIG: "raise the limit on the size of files, or choose another disk with `results:`",
    errno.EDQUOT: "free some of the quota and run again: finished jobs are kept",
    errno.EACCES: "give write permission or choose another folder with `results:`",
    errno.EPERM: "give write permission or choose another folder with `results:`",
    errno.EROFS: "choose a writable folder with `results:`",
    errno.ENOTDIR: "choose a folder, not a file, with `results:`",
}

# What a parser that believes what it reads raises for damaged files, beside errors of its own.
PARSER_ERRORS = (
    LookupError,
    TypeError,
    AttributeError,
    NameError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
)


class PipelineError(Exception):
    """A problem with a user's input or environment, reported as one message.

    Args:
        problem: what is wrong, with the offending value.
        place: file, configuration key or address of the problem.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, *, place: str, remedy: str) -> None:
        super().__init__(problem, place, remedy)
        self.problem = problem
        self.place = place
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # The default pickling loses keyword-only arguments, and errors are sent between processes.
        return (_rebuild, (type(self), self.args, self.__dict__))

    def __str__(self) -> str:
        # Addresses and messages of servers may contain credentials.
        return without_secrets(f"{self.problem}\n  where: {self.place}\n  remedy: {self.remedy}")


class ConfigurationError(PipelineError):
    """The configuration has an unknown key or an invalid value."""


class AnalysisError(PipelineError):
    """The declaration of an analysis is wrong, or its functions do not do what it says."""


class InputError(PipelineError):
    """An input file is missing, damaged or empty, or differs from the configuration."""


class ClosureError(PipelineError):
    """Expected, delivered and processed events do not agree."""


class ServiceError(PipelineError):
    """A server or scheduler that the configuration names does not answer."""


class ModelError(PipelineError):
    """The statistical model cannot be built from the histograms, or not be fitted."""


def _rebuild(
    kind: type[PipelineError], arguments: tuple[object, ...], attributes: dict[str, object]
) -> PipelineError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error
