"""Which backend delivers a dataset, and what its jobs are given."""

from typing import Any

import pytest

from agc_pipeline.datasets import DatasetFiles, InputFile
from agc_pipeline.delivery.choice import choose, needs_endpoint
from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.delivery.settings import DeliverySettings
from agc_pipeline.errors import ConfigurationError
from conftest import read_config

SERVICE = Endpoint(name="site", url="https://servicex.example.org", file="servicex.yaml")


def settings(**changes: Any) -> DeliverySettings:
    return DeliverySettings.model_validate(read_config()["delivery"] | changes)


def dataset(url: str = "https://a.example/1.root", n_events: int | None = 5) -> DatasetFiles:
    file = InputFile(urls=(url,), n_events=n_events)
    return DatasetFiles(name="ttbar__nominal", xsec_pb=1, luminosity_per_pb=1, files=(file,))


@pytest.mark.parametrize(
    ("url", "endpoint", "backend", "reason"),
    [
        ("https://a.example/1.root", SERVICE, "servicex", "its client is configured here"),
        ("https://a.example/1.root", None, "local", "no configuration of a ServiceX client here"),
        ("data/1.root", SERVICE, "local", "the files are on this machine"),
        ("data/1.root", None, "local", "the files are on this machine"),
    ],
)
def test_auto_takes_servicex_only_where_it_can(
    url: str, endpoint: Endpoint | None, backend: str, reason: str
) -> None:
    job, why = choose(dataset(url), settings(backend="auto"), endpoint)
    assert (job.backend, why) == (backend, reason)
    assert (job.servicex is not None) == (backend == "servicex")


def test_a_dataset_may_be_delivered_in_its_own_way() -> None:
    own = {"ttbar__nominal": {"backend": "servicex", "format": "parquet"}}
    job, why = choose(dataset(), settings(datasets=own), SERVICE)
    assert (job.backend, job.format, why) == ("servicex", "parquet", "as configured")
    other = dataset().model_copy(update={"name": "wjets__nominal"})
    job, _ = choose(other, settings(datasets=own), SERVICE)
    assert (job.backend, job.format) == ("local", "ttree")


def test_without_skims_there_is_no_format() -> None:
    job, _ = choose(dataset(), settings(backend="none"), None)
    assert job.format is None


def test_another_service_or_format_makes_other_skims_and_patience_does_not() -> None:
    job, _ = choose(dataset(), settings(backend="servicex"), SERVICE)
    other = SERVICE.model_copy(update={"url": "https://other.example.org"})
    elsewhere, _ = choose(dataset(), settings(backend="servicex"), other)
    network = read_config()["delivery"]["network"] | {"attempts": 9}
    patient, _ = choose(dataset(), settings(backend="servicex", network=network), SERVICE)
    rntuple, _ = choose(dataset(), settings(backend="servicex", format="rntuple"), SERVICE)
    assert job.what() != elsewhere.what()
    assert job.what() != rntuple.what()
    assert job.what() == patient.what()


@pytest.mark.parametrize(
    ("given", "endpoint", "kind", "problem"),
    [
        (dataset(), None, "ttree", "its client is not configured"),
        (
            dataset("data/1.root"),
            SERVICE,
            "ttree",
            "cannot read files of this machine: data/1.root",
        ),
        (dataset(n_events=None), SERVICE, "parquet", "cannot tell in Parquet how many events"),
    ],
)
def test_what_servicex_cannot_deliver_is_said_before_the_first_job(
    given: DatasetFiles, endpoint: Endpoint | None, kind: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        choose(given, settings(backend="servicex", format=kind), endpoint)


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_numbers_of_events_need_not_be_given_where_they_are_counted(kind: str) -> None:
    asked = settings(backend="servicex", format=kind)
    assert choose(dataset(n_events=None), asked, SERVICE)[0].backend == "servicex"


def test_generator_weights_are_summed_where_the_files_are_read() -> None:
    job, why = choose(dataset(), settings(backend="auto"), SERVICE, weighted=True)
    assert (job.backend, why) == ("local", "sums of generator weights are read from the files")
    own = settings(datasets={"ttbar__nominal": {"backend": "servicex"}})
    for changed in (settings(backend="servicex"), own):
        with pytest.raises(
            ConfigurationError, match="not the sum of the generator weights"
        ) as info:
            choose(dataset(), changed, SERVICE, weighted=True)
        assert info.value.place == "delivery of ttbar__nominal"
    assert choose(dataset(), settings(backend="none"), SERVICE, weighted=True)[0].format is None


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"backend": "auto"}, True),
        ({"datasets": {"ttbar__nominal": {"backend": "servicex"}}}, True),
        ({"datasets": {"ttbar__nominal": {"format": "rntuple"}}}, False),
    ],
)
def test_the_client_is_looked_for_only_if_it_may_be_used(
    changes: dict[str, Any], needed: bool
) -> None:
    assert needs_endpoint(settings(**changes)) is needed
