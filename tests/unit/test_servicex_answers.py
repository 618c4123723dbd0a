"""What a ServiceX service hands out is checked before anything is done with it."""

import pytest

from agc_pipeline.delivery.servicex import answers
from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.errors import ServiceError

FAR = Endpoint(name="far", url="https://servicex.example.org", file="servicex.yaml")
NEAR = Endpoint(name="near", url="http://localhost:5000", file="servicex.yaml")


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "file://a.example",
        "http://a.example:9000",
        "user:secret@a.example:9000",
        "a.example:9000/other?x=",
        "a.example#",
        "127.0.0.1:9000",
        "localhost:9000",
        "[::1]:9000",
        "0.0.0.0:80",
        "169.254.169.254:80",
        "",
    ],
)
def test_object_stores_that_are_refused(address: str) -> None:
    with pytest.raises(ServiceError, match="hands out the object store"):
        answers.check_store(address, FAR)


def test_object_stores_that_are_used() -> None:
    for address in (None, "minio.example.org:9000", "servicex.example.org", "10.1.2.3:9000"):
        answers.check_store(address, FAR)
    answers.check_store("127.0.0.1:9000", NEAR)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "/etc/passwd"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ServiceError, match="the name of a file"):
        answers.check_names(["root:::a.root", name], FAR)
    with pytest.raises(ServiceError, match="the name of a request"):
        answers.check_request(name, FAR)
