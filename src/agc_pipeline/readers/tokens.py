"""Bearer tokens for servers: where they are found, and the only hosts that they are sent to.

The places are those of the WLCG's Bearer Token Discovery (https://doi.org/10.5281/zenodo.3937438).
A token gives its holder's rights to whoever gets it: it goes to hosts that the configuration
names, over TLS, and nowhere else.
"""

import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import yarl

from agc_pipeline.errors import ConfigurationError

# RFC 6750, section 2.1.
_TOKEN = re.compile(r"[\w~+/.-]+=*", re.ASCII)


class Token(NamedTuple):
    """A bearer token.

    Attributes:
        value: the secret.
        origin: variable or file that it is from, for messages.
    """

    value: str
    origin: str

    def __repr__(self) -> str:
        return f"Token(origin={self.origin!r})"


def is_for(url: yarl.URL, hosts: Collection[str]) -> bool:
    """Whether a token may be sent with a request.

    Args:
        url: of the request.
        hosts: of the configuration, ``HOST`` or ``HOST:PORT``; without a port that of https.
    """
    host, port = url.host, url.port
    return url.scheme == "https" and any(
        (host, port) == (other.host, other.port)
        for other in (yarl.URL(f"https://{name}") for name in hosts)
    )


def discover() -> Token | None:
    """The token of this process' user; None where there is none.

    Raises:
        ConfigurationError: if what should hold it cannot be read or holds something else.
    """
    if value := os.environ.get("BEARER_TOKEN", "").strip():
        return _checked(value, "BEARER_TOKEN")
    if named := os.environ.get("BEARER_TOKEN_FILE", ""):
        return _of_file(Path(named), f"{named} (BEARER_TOKEN_FILE)")
    folders = (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir())
    for folder in filter(None, folders):
        path = Path(folder) / f"bt_u{os.getuid()}"
        # Everybody may put a file into the folder of temporary files.
        if path.exists() and path.stat().st_uid == os.getuid():
            return _of_file(path, str(path))
    return None


def _of_file(path: Path, origin: str) -> Token:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the bearer token cannot be read: {type(error).__name__}",
            place=origin,
            remedy="correct BEARER_TOKEN_FILE or the file, or unset it to read without a token",
        ) from None
    return _checked(text.strip(), origin)


def _checked(value: str, origin: str) -> Token:
    if not _TOKEN.fullmatch(value):
        # Not its text: it may be a token with something behind it.
        raise ConfigurationError(
            "not a bearer token: it is empty or has characters that no token has",
            place=origin,
            remedy="get a new token, for example with `htgettoken` or `oidc-token`",
        )
    return Token(value, origin)
