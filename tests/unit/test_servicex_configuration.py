"""The client's configuration: the file that the client would find, without its token."""

from pathlib import Path

import pytest
import yaml
from servicex.configuration import Configuration

from agc_pipeline.delivery.servicex.configuration import configured, required
from agc_pipeline.errors import ConfigurationError

TOKEN = "refresh-9b1c44e07a"  # noqa: S105 - of no server
ENDPOINTS = [
    {"name": "uc", "endpoint": "https://servicex.uc.example", "token": TOKEN},
    {"name": "unl", "endpoint": "https://servicex.unl.example/", "token": TOKEN},
]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory below the home directory's sibling."""
    folder = tmp_path / "project" / "run"
    folder.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, **content: object) -> Path:
    path.write_text(yaml.safe_dump({"api_endpoints": ENDPOINTS, **content}))
    return path


def test_without_a_file_there_is_none(work: Path) -> None:
    assert configured(None) is None
    with pytest.raises(ConfigurationError, match=r"no configuration file of the ServiceX client"):
        required(None)


@pytest.mark.parametrize(
    "places",
    [
        ["project/run/.servicex", "project/run/servicex.yaml", "project/.servicex"],
        ["project/run/servicex.yaml", "project/.servicex", "home/.servicex"],
        ["project/.servicex", "project/servicex.yaml", "home/.servicex"],
        ["project/servicex.yaml", "servicex.yaml", "home/.servicex"],
        ["servicex.yaml", "home/.servicex"],
        ["home/.servicex", "home/servicex.yaml"],
        ["home/servicex.yaml"],
    ],
)
def test_the_first_is_the_one_that_the_client_finds(
    work: Path, tmp_path: Path, places: list[str]
) -> None:
    for place in places:
        write(tmp_path / place, cache_path=str(tmp_path / "client"))
    endpoint = configured(None)
    assert endpoint is not None
    assert not (tmp_path / "client").exists()
    assert endpoint.file == str(tmp_path / places[0]) == Configuration.read().config_file


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ({}, None, "uc"),
        ({"default_endpoint": "unl"}, None, "unl"),
        ({"default-endpoint": "unl"}, None, "unl"),
        ({"default_endpoint": "unl"}, "uc", "uc"),
    ],
)
def test_the_endpoint_is_the_one_that_the_client_takes(
    work: Path, content: dict[str, object], name: str | None, expected: str
) -> None:
    write(work / "servicex.yaml", **content)
    endpoint = configured(name)
    assert endpoint is not None
    assert endpoint.name == expected
    assert endpoint.url == next(e["endpoint"] for e in ENDPOINTS if e["name"] == expected)
    assert TOKEN not in repr(endpoint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"api_endpoints: [{{token: {TOKEN}", "not valid YAML in line"),
        (f"api_endpoints: {TOKEN}", "`api_endpoints`: Input should be a valid list"),
        ("api_endpoints: []", "at least 1 item"),
        ("servers: []", "`api_endpoints`: Field required"),
        (f"api_endpoints: [{{name: uc, token: [{TOKEN}]}}]", "endpoint`: Field required"),
        (f"- {TOKEN}", "is not as expected"),
    ],
)
def test_a_damaged_file_is_named_without_its_token(work: Path, text: str, words: str) -> None:
    path = work / ".servicex"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        configured(None)
    assert words in raised.value.problem
    assert raised.value.place == str(path)
    assert TOKEN not in str(raised.value)


def test_a_folder_is_no_configuration(work: Path) -> None:
    (work / ".servicex").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: IsADirectoryError"):
        configured(None)


def test_an_unknown_endpoint_is_named_with_those_that_there_are(work: Path) -> None:
    write(work / "servicex.yaml")
    with pytest.raises(ConfigurationError, match=r"'cern' \(there are uc, unl\)") as raised:
        configured("cern")
    assert raised.value.remedy.startswith("correct `delivery.servicex.endpoint`")
    with pytest.raises(ConfigurationError, match=r"endpoint 'unnl' \(did you mean unl\?\)"):
        configured("unnl")


def test_the_client_must_be_installed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(work / "servicex.yaml")
    monkeypatch.setattr("agc_pipeline.extras.find_spec", lambda _: None)
    with pytest.raises(
        ConfigurationError, match="packages of the extra `servicex` are not installed"
    ):
        configured(None)
