"""Which addresses are read, and what is said of the others."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toy
from agc_pipeline import config
from agc_pipeline.datasets import InputFile, watched
from agc_pipeline.declaration import NANOAOD
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.readers import addresses, parquet
from agc_pipeline.readers.opening import open_tree
from agc_pipeline.readers.settings import NETWORK
from conftest import ROOT
from oracle.strategies import write_nanoaod


@pytest.mark.parametrize(
    "address",
    [
        "a.root",
        "/data/a#b?c d.root",
        "file:///data/a.root",
        "https://a.example:1094//store/a.root",
        "https://[::1]:8443/a%23b%3Fc.root?version=3",
        "davs://a.example/a.root",
        "root://a.example//store/a#b.root",
        "root://[2001:db8::1]:1094//a.root?xrd.wantprot=unix",
        "root://cache.example//root://a.example//a.root",
    ],
)
def test_addresses_that_are_read(address: str) -> None:
    addresses.check(address, place="here")


@pytest.mark.parametrize(
    ("address", "problem", "remedy"),
    [
        ("reference://::http://a.example/a", "chains file systems", "the file itself"),
        ("simplecache::https://a.example/a.root", "chains file systems", "the file itself"),
        ("zip://a.root::b.zip", "chains file systems", "the file itself"),
        ("filecache::/data/a.root", "chains file systems", "the file itself"),
        ("s3://bucket/a.root", "addresses with s3:// are not read", "root://"),
        ("memory://a.root", "addresses with memory://", "root://"),
        ("ftp://a.example/a.root", "addresses with ftp://", "root://"),
        ("HTTPS://a.example/a.root", "addresses with HTTPS://", "write https://"),
        ("htps://a.example/a.root", "addresses with htps://", "write https://"),
        ("xroot://a.example//a.root", "addresses with xroot://", "write root://"),
        ("file://a.example/a.root", "file:// with a host", "file:///PATH"),
        ("~/data/a.root", "`~`", "the whole path"),
        ("https:///a.root", "without a host", "HOST"),
        ("https://a.example:port/a.root", "no port", "HOST:PORT"),
        ("https://a.example:65536/a.root", "no port", "HOST:PORT"),
        ("root://a.example:1094:1094//a.root", "no port", "HOST:PORT"),
        ("root://a example//a.root", "no host", "HOST:PORT"),
        ("https:/a.example/a.root", "one slash", "https://"),
        ("https://a.example/a#1.root", "`#`", "`%23`"),
        ("davs://a.example/a?1.root", "`?`", "`%3F`"),
        ("root://a.example//a?1.root", "`?`", "rename"),
        ("https://a.example/a\n.root", "control characters", "remove"),
    ],
)
def test_addresses_that_are_not_read(
    address: str, problem: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for check in (
        lambda: addresses.check(address, place="here"),
        lambda: open_tree(address, {"": ("run",)}, NANOAOD),
        lambda: parquet.inspect(address, {"": ("run",)}, NANOAOD),
    ):
        with pytest.raises(ConfigurationError) as caught:
            check()
        assert problem in caught.value.problem
        assert remedy in caught.value.remedy


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        addresses.check(text, place="here")
    except ConfigurationError:
        return
    assert addresses.scheme(text) in ("", *addresses.SCHEMES)
    assert "::" not in text or "[" in text


def test_local_files_by_address(tmp_path: Path) -> None:
    path = tmp_path / "a b#c.root"
    write_nanoaod(path, toy.events(5))
    # Who looks whether the file has changed looks at its path.
    for address in (f"file://{path}", f"file://localhost{path}"):
        file = InputFile(urls=(address, "root://a.example//a.root"))
        assert file.urls == (str(path), "root://a.example//a.root")
        assert watched([file]) == [str(path)]
    with open_tree(f"file://{path}", {"": ("run",)}, NANOAOD) as tree:
        assert tree.num_entries == 5


def test_the_patience_of_the_configuration_is_that_of_the_code() -> None:
    values = config.read([ROOT / "config" / "default.yaml"], root=ROOT)
    assert NETWORK.model_dump(mode="json") == values["delivery"]["network"]
