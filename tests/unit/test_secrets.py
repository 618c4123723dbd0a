"""Texts lose their secrets and nothing else."""

import io
import logging
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agc_pipeline.secrets import WithoutSecrets, without_secrets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root://user:secret@host//path", "root://***@host//path"),
        ("http://me@host/a?b=1", "http://***@host/a?b=1"),
        (
            "http://s3/b/o.root?AWSAccessKeyId=minio&Signature=ab%2Fc%3D&Expires=17",
            "http://s3/b/o.root?AWSAccessKeyId=***&Signature=***&Expires=17",
        ),
        (
            "https://s3/o?X-Amz-Algorithm=AWS4&X-Amz-Credential=K%2F20&X-Amz-Signature=0a1b",
            "https://s3/o?X-Amz-Algorithm=AWS4&X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        ("root://host//f.root?authz=Bearer%20abc&x=1", "root://host//f.root?authz=***&x=1"),
        ("https://host/f?token=abc", "https://host/f?token=***"),
        ("https://host/f?jwt=a.b.c&x=1", "https://host/f?jwt=***&x=1"),
        ("https://host/f?x=1&auth=abc", "https://host/f?x=1&auth=***"),
        (
            "https://d1.cloudfront.net/f.root?Policy=eyJ_~&Signature=a-b~&Key-Pair-Id=K2J",
            "https://d1.cloudfront.net/f.root?Policy=***&Signature=***&Key-Pair-Id=***",
        ),
        (
            "https://h/f?X-Goog-Signature=0a&X-Goog-Date=1",
            "https://h/f?X-Goog-Signature=***&X-Goog-Date=1",
        ),
        ("https://h/f?sv=2&sig=a%2B", "https://h/f?sv=2&sig=***"),
        (
            "http://pool:1094//f?xrdhttptk=abc&xrdhttptime=1",
            "http://pool:1094//f?xrdhttptk=***&xrdhttptime=1",
        ),
        ("https://h/f#access_token=abc", "https://h/f#access_token=***"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer ***"),
        ("authorization: bearer 0123456789abcdef", "authorization: bearer ***"),
        (f"rejected {JWT}, sorry", "rejected ***, sorry"),
        (
            "{'minio-access-key': 'k', \"minio-secret-key\": \"a b\", 'files': 3}",
            "{'minio-access-key': '***', \"minio-secret-key\": \"***\", 'files': 3}",
        ),
        ("{'access_token': None}", "{'access_token': ***}"),
        ("password: hunter2", "password: ***"),
        ("- {name: uc, token: 0123456789abcdef0123}", "- {name: uc, token: ***}"),
        ("key AKIAIOSFODNN7EXAMPLE was refused", "key *** was refused"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nxyz\n-----END RSA PRIVATE KEY----- behind",
            "-----BEGIN RSA PRIVATE KEY-----*** behind",
        ),
    ],
)
def test_secrets_are_taken_out(text: str, expected: str) -> None:
    assert without_secrets(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "12 of 40 files, 3456 of 78910 events kept: root://eospublic.cern.ch//eos/a@b/file.root",
        "unexpected token: `)`",
        "get a new token from the service's profile page",
        "the bearer of the token",
        "https://host:1094//store/user/AGC/file.root?xrd.wantprot=unix&files=3",
        "KeyError: 'access'; basic configuration of the token_refresh rule",
        "servicex://test0/0b7a-11/root%3A%3A%3Ahost%3A%3Afile.root",
        "write permission to /data/secrets/keys denied",
        # A common name of a signal.
        "sig = 1.02 +- 0.13; sig: 120, B: 300; /data/sig=125/a.root",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert without_secrets(text) == text


WORDS = st.text(string.ascii_letters + string.digits + " ./_-,()", max_size=60)


@given(WORDS)
def test_words_and_paths_stay(text: str) -> None:
    assert without_secrets(text) == text


@given(st.text(max_size=50))
def test_a_second_time_changes_nothing(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once


SECRET = st.text(string.ascii_letters + string.digits + "+/-_", min_size=20, max_size=40)


@given(
    WORDS,
    SECRET,
    st.sampled_from(
        [
            "http://host/o?Signature={}&Expires=3",
            "https://user:{}@host/path",
            "Authorization: Bearer {}",
            "secret_key={}",
            "'aws_secret_access_key': '{}'",
            "refresh_token: {}",
            "token: {}",
        ]
    ),
)
def test_no_secret_stays(words: str, secret: str, shape: str) -> None:
    # In an address a slash ends the part that holds the user.
    secret = secret.replace("/", "-")
    assume(secret not in words)
    assert secret not in without_secrets(f"{words} {shape.format(secret)} {words}")


def test_log_records_lose_their_secrets() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(WithoutSecrets())
    logger = logging.getLogger("test_secrets")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.warning("reading %s, 100 %%", "https://me:pass@host/f?sig=abc")
        try:
            raise ValueError(f"refused: Bearer {JWT}")
        except ValueError:
            logger.exception("failed", stack_info=True)
    finally:
        logger.removeHandler(handler)
    told = stream.getvalue()
    assert "reading https://***@host/f?sig=***, 100 %\n" in told
    assert "ValueError: refused: Bearer ***" in told
    assert JWT not in told
