"""Removal of credentials from texts that are logged, recorded or raised."""

import logging
import re

_HIDDEN = "***"

# Names of credentials in addresses alone: elsewhere they are common words.
_IN_ADDRESSES = (
    r"tokens?|jwt|auth|authorization|oauth_token|policy|key-pair-id|macaroon|xrdhttptk|ticket"
    r"|sig|code|assertion|saml(?:request|response)|samlart|hdnea|hdnts|hdntl|__token__|__gda__"
    r"|secret|passphrase|pass|pwd|pw|credentials?|session(?:id)?|sid|sas|api[-_]?token"
    r"|private[-_]token|job[-_]token|deploy[-_]token|x-access-token|x-api-key|x-vault-token"
)

# Names of credentials in query strings, headers, JSON and YAML.
_KEYS = (
    r"x-(?:amz|goog)-(?:signature|credential|security-token)|awsaccesskeyid|googleaccessid"
    r"|signature|authz"
    r"|(?:access|refresh|bearer|id|session|security)[-_]?token|[\w-]*(?:access|secret|api)[-_]?key"
    r"(?:[-_]?id)?|client[-_]?secret|password|passwd|passphrase"
)

_PATTERNS = (
    # -----BEGIN RSA PRIVATE KEY----- ... -----END RSA PRIVATE KEY-----
    (
        re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*-----|\Z)", re.S),
        rf"\1{_HIDDEN}",
    ),
    # https://user:password@host, root://user@host
    (re.compile(r"(?<=://)[^\s/@?#'\"]+@"), f"{_HIDDEN}@"),
    # Authorization: Basic ..., and Bearer ... anywhere; a word without a digit is prose.
    (re.compile(r"(\bauthorization['\"]?\s*[:=]\s*['\"]?\w+ +)[^\s'\",]+", re.I), rf"\1{_HIDDEN}"),
    (re.compile(r"\b(bearer) +(?=\S*\d)[\w~+/.=-]{12,}", re.I), rf"\1 {_HIDDEN}"),
    # A JSON Web Token: three parts in base64, of which the first two are JSON objects.
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?"), _HIDDEN),
    # An access key of AWS
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), _HIDDEN),
    # An API key of Google
    (re.compile(r"\bAIza[\w-]{35}"), _HIDDEN),
    # ?X-Amz-Signature=..., &authz=..., ?token=...
    (
        re.compile(rf"([?&;#](?:amp;)?(?:{_KEYS}|{_IN_ADDRESSES})=)[^\s&;,#'\"<>]+", re.I),
        rf"\1{_HIDDEN}",
    ),
    # 'minio-secret-key': '...', password: ..., "token": "..."
    (
        re.compile(rf"(\b(?:{_KEYS})\b['\"]?\s*[:=]\s*)(['\"])(?:(?!\2).)*\2", re.I),
        rf"\1\2{_HIDDEN}\2",
    ),
    (re.compile(rf"(\b(?:{_KEYS})\b['\"]?\s*[:=]\s*)[^\s'\",;&}}\]*]+", re.I), rf"\1{_HIDDEN}"),
    # A bare "token" is a common word: only a value that looks like a token is replaced.
    (re.compile(r"(\btokens?\b['\"]?\s*[:=]\s*['\"]?)[\w~+/.=-]{16,}", re.I), rf"\1{_HIDDEN}"),
)


def without_secrets(text: str) -> str:
    """The text with every recognised credential replaced by ``***``.

    Recognised are user names and passwords in addresses, signatures, tokens and keys in query
    strings, ``Bearer`` headers, JSON Web Tokens, private keys, and values behind names such as
    ``secret_key`` or ``password``. A text without them is returned unchanged.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class WithoutSecrets(logging.Filter):
    """Removes credentials from log records: a filter for handlers, which see all loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's message and traceback; every record passes."""
        record.msg = without_secrets(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = without_secrets(record.exc_text)
        if record.stack_info:
            record.stack_info = without_secrets(record.stack_info)
        return True
