"""The matrix in the form that continuous integration systems read."""

from collections.abc import Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from agc_pipeline.files import atomic_path
from agc_pipeline.matrix.records import Judged
from agc_pipeline.matrix.settings import Verdict


def write(path: Path, judged: Sequence[Judged], fail_on: Sequence[Verdict]) -> None:
    """Write one test case for each cell, atomically.

    A broken cell is an error, another bad surprise a failure. What is untested is skipped, and so
    is what is bad as expected.
    """
    suite = TestSuite("matrix")
    for item in judged:
        case = TestCase(item.cell.name, classname="matrix", time=item.cell.seconds)
        case.result = _result(item, fail_on)
        failed = item.cell.failed
        case.system_out = item.reason if failed is None else f"{item.reason}\n\n{failed.tail}"
        suite.add_testcase(case)
    xml = JUnitXml()
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call] # of junitparser
    with atomic_path(path) as temporary:
        xml.write(str(temporary), pretty=True)


def surprise(item: Judged, fail_on: Sequence[Verdict]) -> bool:
    """Whether a verdict is a bad one that is not expected."""
    return item.verdict in fail_on and item.verdict is not item.expected


def _result(item: Judged, fail_on: Sequence[Verdict]) -> list[FinalResult]:
    if surprise(item, fail_on):
        kind = Error if item.verdict is Verdict.BROKEN else Failure
        return [kind(item.reason, item.verdict.value)]
    if item.verdict is Verdict.UNTESTED:
        return [Skipped(item.reason)]
    if item.verdict is not Verdict.WORKS:
        return [Skipped(f"{item.verdict.value}, as expected: {item.reason}")]
    return []
