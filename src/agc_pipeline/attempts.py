"""Parts of a result that others do not depend on: what fails is left out and listed."""

import logging
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager

from agc_pipeline.errors import MACHINE_ERRORS, PipelineError
from agc_pipeline.formatting import shortened
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)


class Missing(Settings):
    """A part of a result that is left out.

    Attributes:
        part: what it is.
        reason: why it is left out.
    """

    part: str
    reason: str


@contextmanager
def attempt(part: str, missing: MutableSequence[Missing]) -> Iterator[None]:
    """Go on without what fails inside of the block.

    Failures of the machine are not of this part: they are raised.

    Args:
        part: name of what is done inside.
        missing: where a failure is added.

    Raises:
        OSError: if the machine fails.
    """
    try:
        yield
    except PipelineError as error:
        reason = error.problem
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        reason = _text(error)
    # What other packages raise for models that they do not expect has no common class.
    except Exception as error:
        reason = _text(error)
        log.info("%s", part, exc_info=True)
    else:
        return
    entry = Missing(part=part, reason=without_secrets(reason))
    missing.append(entry)
    log.warning("left out: %s: %s", entry.part, entry.reason)


def _text(error: Exception) -> str:
    text = " ".join(str(error).split())
    return shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__)
