"""Every output of ServiceX is matched to its input, or refused."""

import string
from hashlib import sha1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.delivery.servicex.outputs import check_sources, disk_name, match, object_name
from agc_pipeline.errors import InputError, ServiceError

A = "root://eospublic.cern.ch//eos/opendata/cms/a.root"
B = "https://xrootd-local.unl.edu:1094//store/user/AGC/b.root"
LONG = f"root://host//{'x' * 300}.root"


def test_names() -> None:
    assert object_name(A) == "root:::eospublic.cern.ch::eos:opendata:cms:a.root"
    assert disk_name("root:::host::a*b;1.root") == "root___host__a_b_1.root"
    # The last 214 characters behind the SHA-1 of all, as the service's own code has it.
    plain = LONG.replace("/", ":")
    hashed = sha1(plain.encode(), usedforsecurity=False).hexdigest()
    assert object_name(LONG) == f"_{hashed}{plain[-214:]}"
    assert len(object_name(LONG)) == 255


@pytest.mark.parametrize(
    "output",
    [
        object_name(A),
        disk_name(object_name(A)),
        f"{object_name(A)}.parquet",
        disk_name(object_name(A)).replace(".root", ".parquet"),
        disk_name(f"root:::cache::{object_name(A)}"),
        disk_name(f"root:::cache::{object_name(A)}.parquet"),
        # Shortened by the client to 60 characters.
        f"_{sha1(b'root:::cache::x', usedforsecurity=False).hexdigest()}{object_name(A)[-19:]}",
    ],
)
def test_outputs_are_matched(output: str) -> None:
    assert match([output], (A, B), place="here") == {A: output}


def test_long_names_are_matched() -> None:
    other = LONG.replace("host", "tsoh")
    outputs = [disk_name(object_name(other)), disk_name(object_name(LONG))]
    assert match(outputs, (LONG, other), place="here") == {other: outputs[0], LONG: outputs[1]}


def test_an_input_that_ends_like_another_is_not_confused_with_it() -> None:
    inner, outer = "host//a.root", "root://host//a.root"
    behind_cache = disk_name(f"root:::cache::{object_name(outer)}")
    assert match([behind_cache], (inner, outer), place="here") == {outer: behind_cache}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (["other.root"], "belongs to none"),
        ([object_name(A), disk_name(object_name(A))], "belong to the same input"),
        ([f"_{'0' * 40}.root"], "may belong to several"),
    ],
)
def test_doubtful_outputs_are_refused(outputs: list[str], words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        match(outputs, (A, B), place="here")


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ((A, B, A), "listed more than once: root://eospublic"),
        (("a:b.root", "a/b.root"), "gives the same name"),
        (("a;b.root", "a*b.root"), "gives the same name"),
        (("davs://h/a.root", "https://h/a.root"), "gives the same name"),
        (("a.root", "a.txt"), "gives the same name"),
    ],
)
def test_inputs_that_could_be_confused_are_refused(sources: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_sources(sources)


@given(
    st.lists(
        st.text(string.ascii_lowercase + "/:_*", min_size=1, max_size=300).map(
            lambda name: f"root://h/{name}.root"
        ),
        max_size=6,
        unique=True,
    ),
    st.booleans(),
)
def test_what_is_not_refused_is_matched(sources: list[str], parquet: bool) -> None:
    try:
        check_sources(sources)
    except InputError:
        return
    extension = ".parquet" if parquet else ""
    names = {source: disk_name(object_name(source, extension=extension)) for source in sources}
    assert match(names.values(), sources, place="here") == names
